//! Commands that are sent twice, because a proxy loses a part of the first copy.

use std::{sync::Arc, time::Duration};

use cloakroom::{
    AppKeys, Error, Session, Sessions, adapter::RequestContext, cookie::CookieSettings,
    store::Store,
};

use crate::proxy::{Fault, FaultProxy};

/// Runs `step` and has `fault` swallow something of it, then runs `gap`, then breaks the connection.
///
/// # Panics
/// When `step` does.
pub async fn lose<T: Send + 'static>(
    proxy: &FaultProxy,
    fault: Fault,
    step: impl Future<Output = T> + Send + 'static,
    gap: impl Future<Output = ()>,
) -> T {
    let before = proxy.swallowed();
    proxy.set(fault);
    let pending = tokio::spawn(step);
    while proxy.swallowed() == before {
        assert!(!pending.is_finished(), "{fault:?} swallowed nothing of it");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    gap.await;
    proxy.start_over();
    pending.await.unwrap()
}

/// A visitor of two processes: one is behind the proxy.
#[derive(Debug)]
pub struct Visitor {
    proxy: Arc<FaultProxy>,
    through: Sessions,
    direct: Sessions,
    cookie: String,
}

impl Visitor {
    /// Begins a session.
    ///
    /// # Panics
    /// When the stores fail.
    pub async fn new(
        proxy: Arc<FaultProxy>,
        through: Arc<dyn Store>,
        direct: Arc<dyn Store>,
    ) -> Self {
        let keys = AppKeys::random();
        let sessions = |store: Arc<dyn Store>| {
            let builder = Sessions::builder(store, keys.clone());
            builder.cookie_settings(CookieSettings::development()).build().unwrap()
        };
        let [through, direct] = [through, direct].map(sessions);
        let visit = RequestContext::new(&direct);
        visit.session([].as_slice() as &[(&str, String)]).await.unwrap().put("new", 1).unwrap();
        let set_cookie = visit.finish(200).await.unwrap().set_cookie;
        let cookie = set_cookie[0].split(';').next().unwrap().to_owned();
        Self { proxy, through, direct, cookie }
    }

    /// Makes a change in a request that nothing happens to.
    ///
    /// # Panics
    /// When it fails.
    pub async fn change(&self, change: impl FnOnce(&Session) -> Result<(), Error>) {
        let visit = RequestContext::new(&self.direct);
        let headers = [("cookie", self.cookie.clone())];
        change(&visit.session(headers.as_slice()).await.unwrap()).unwrap();
        visit.finish(200).await.map(drop).unwrap();
    }

    /// Makes a change in a request whose commit is sent twice.
    ///
    /// # Errors
    /// When the commit fails.
    ///
    /// # Panics
    /// When the session cannot be loaded or changed.
    pub async fn change_with_gap(
        &self,
        change: impl FnOnce(&Session) -> Result<(), Error>,
        fault: Fault,
        gap: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let visit = RequestContext::new(&self.through);
        let headers = [("cookie", self.cookie.clone())];
        change(&visit.session(headers.as_slice()).await.unwrap()).unwrap();
        let finish = async move { Ok(visit.finish(200).await.map(drop)?) };
        lose(&self.proxy, fault, finish, gap).await
    }

    /// Reads the session.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn read<T>(&self, read: impl FnOnce(&Session) -> Result<T, Error>) -> T {
        let headers = [("cookie", self.cookie.clone())];
        read(&RequestContext::new(&self.direct).session(headers.as_slice()).await.unwrap()).unwrap()
    }
}
