//! An application and its browsers in this process: no HTTP, the session's context driven directly.

use std::sync::Arc;

use cloakroom::{
    AppKeys, Error, Session, Sessions, SessionsBuilder,
    adapter::{RequestContext, ResponseHeaders},
    clock::FakeClock,
    cookie::CookieSettings,
};

use crate::{
    jar::Jar,
    store::{Faults, Hooks, TestStore},
};

/// An application on a [`TestStore`], with the development cookie and a clock that tests set.
#[derive(Debug)]
pub struct LocalApp<H = ()> {
    /// Its sessions.
    pub sessions: Sessions,
    /// Its store.
    pub store: Arc<TestStore<H>>,
    /// Its clock.
    pub clock: Arc<FakeClock>,
}

impl<H> Clone for LocalApp<H> {
    fn clone(&self) -> Self {
        let Self { sessions, store, clock } = self;
        Self { sessions: sessions.clone(), store: store.clone(), clock: clock.clone() }
    }
}

impl LocalApp {
    /// Makes an application with default settings.
    pub fn new() -> Self {
        Self::with((), |builder| builder)
    }
}

impl Default for LocalApp {
    fn default() -> Self {
        Self::new()
    }
}

impl LocalApp<Faults> {
    /// Makes an application whose store has the faults that a test sets.
    pub fn faulty() -> Self {
        Self::with(Faults::default(), |builder| builder)
    }
}

impl<H: Hooks> LocalApp<H> {
    /// Makes an application with these hooks around its store, and these settings.
    ///
    /// # Panics
    /// When the settings contradict each other.
    pub fn with(hooks: H, settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        let clock = Arc::new(FakeClock::default());
        let store = TestStore::new(hooks, &clock);
        let builder = prepare(Sessions::builder(store.clone(), AppKeys::random()), &clock);
        let sessions = settings(builder).build().unwrap_or_else(|error| panic!("{error}"));
        Self { sessions, store, clock }
    }

    /// Returns a browser without cookies.
    pub fn browser(&self) -> LocalBrowser {
        LocalBrowser::new(&self.sessions)
    }

    /// Returns a browser whose session this handler began.
    pub async fn browser_with(&self, handler: impl FnOnce(&Session)) -> LocalBrowser {
        let mut browser = self.browser();
        browser.visit(handler).await;
        self.store.calls();
        browser
    }
}

/// Builds sessions by this clock, with the development cookie.
///
/// # Panics
/// When the settings contradict each other.
pub fn build(builder: SessionsBuilder, clock: &Arc<FakeClock>) -> Sessions {
    prepare(builder, clock).build().unwrap_or_else(|error| panic!("{error}"))
}

fn prepare(builder: SessionsBuilder, clock: &Arc<FakeClock>) -> SessionsBuilder {
    builder.clock(clock.clone()).cookie_settings(CookieSettings::development())
}

/// One browser of an application in this process.
#[derive(Clone, Debug)]
pub struct LocalBrowser {
    /// The application's sessions.
    pub sessions: Sessions,
    /// The cookies. Responses change them.
    pub jar: Jar,
}

impl LocalBrowser {
    /// Makes a browser without cookies.
    pub fn new(sessions: &Sessions) -> Self {
        Self { sessions: sessions.clone(), jar: Jar::default() }
    }

    /// Begins a request whose handler has asked for the session.
    ///
    /// # Errors
    /// When the session cannot be loaded.
    pub async fn try_begin(&self) -> Result<(RequestContext, Session), Error> {
        let context = RequestContext::new(&self.sessions);
        let headers: Vec<_> =
            self.jar.header().map(|cookies| ("cookie", cookies)).into_iter().collect();
        let session = context.session(headers.as_slice()).await?;
        Ok((context, session))
    }

    /// Begins a request whose handler has asked for the session.
    ///
    /// # Panics
    /// When the session cannot be loaded.
    pub async fn begin(&self) -> (RequestContext, Session) {
        self.try_begin().await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the session of a request that changes nothing.
    pub async fn open(&self) -> Session {
        self.begin().await.1
    }

    /// Ends a request with status 200, keeps the cookies of its response, and returns their lines.
    ///
    /// # Panics
    /// When the commit fails.
    pub async fn finish(&mut self, context: RequestContext) -> Vec<String> {
        let headers = context.finish(200).await.unwrap_or_else(|error| panic!("{error}"));
        self.keep(&headers);
        headers.set_cookie
    }

    /// Keeps the cookies of a response.
    pub fn keep(&mut self, headers: &ResponseHeaders) {
        for line in &headers.set_cookie {
            self.jar.take(line);
        }
    }

    /// Sends a request to a handler that asks for the session, and keeps the cookies of its response,
    /// and returns their lines.
    ///
    /// # Panics
    /// When the session cannot be loaded or committed.
    pub async fn visit(&mut self, handler: impl FnOnce(&Session)) -> Vec<String> {
        let (context, session) = self.begin().await;
        handler(&session);
        self.finish(context).await
    }

    /// Sends a request to a handler that may fail.
    ///
    /// # Errors
    /// When the session cannot be loaded or committed, or the handler fails.
    pub async fn try_visit(
        &mut self,
        handler: impl FnOnce(&Session) -> Result<(), Error>,
    ) -> Result<Vec<String>, Error> {
        let (context, session) = self.try_begin().await?;
        handler(&session)?;
        let headers = context.finish(200).await?;
        self.keep(&headers);
        Ok(headers.set_cookie)
    }
}
