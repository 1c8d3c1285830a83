//! Servers in this process, with a clock that tests can step.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use cloakroom::{
    AppKeys, MemoryStore, Sessions, SessionsBuilder, clock::FakeClock, cookie::CookieSettings,
    store::Store,
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{client::Client, probe};

/// The drivers that the scenarios run over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverUnderTest {
    /// The sealed cookie.
    Cookie,
    /// The memory store.
    Memory,
}

impl DriverUnderTest {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Cookie, Self::Memory];

    /// Whether records live on the server, where concurrent requests can be told apart.
    pub fn is_server_side(self) -> bool {
        self != Self::Cookie
    }
}

/// A probe server in this process.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its driver.
    pub driver: DriverUnderTest,
    /// Its clock.
    pub clock: Arc<FakeClock>,
    /// Its store, where it has one.
    pub store: Option<Arc<MemoryStore>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts one with the development cookie and default lifetimes.
    pub async fn start(driver: DriverUnderTest) -> Self {
        Self::start_with(driver, |builder| builder).await
    }

    /// Starts one with other settings.
    ///
    /// # Panics
    /// When the settings are refused.
    pub async fn start_with(
        driver: DriverUnderTest,
        settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Self {
        let clock = Arc::new(FakeClock::default());
        let store =
            driver.is_server_side().then(|| Arc::new(MemoryStore::with_clock(clock.clone())));
        let builder = match &store {
            Some(store) => Sessions::store(store.clone(), AppKeys::random()),
            None => Sessions::cookie(AppKeys::random()),
        };
        let builder = builder.clock(clock.clone()).cookie_settings(CookieSettings::development());
        let sessions = settings(builder).build().unwrap_or_else(|error| panic!("{error}"));
        let (address, task) = serve(probe::axum::router(sessions)).await;
        Self { address, driver, clock, store, task }
    }

    /// Starts one on a store of the test's own, by the system's time.
    pub async fn on_store(store: impl Store) -> Self {
        let clock = Arc::new(FakeClock::default());
        let builder = Sessions::store(store, AppKeys::random());
        let builder = builder.cookie_settings(CookieSettings::development());
        let sessions = builder.build().unwrap_or_else(|error| panic!("{error}"));
        let (address, task) = serve(probe::axum::router(sessions)).await;
        Self { address, driver: DriverUnderTest::Memory, clock, store: None, task }
    }

    /// A new visitor.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }
}

/// Stops serving when the test lets go of it.
impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves `app` on a free port of loopback.
///
/// # Panics
/// When there is none.
pub async fn serve(app: Router) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.unwrap_or_else(|error| panic!("no free port: {error}"));
    let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            eprintln!("the test server stopped: {error}");
        }
    });
    (address, task)
}
