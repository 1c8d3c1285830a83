//! Servers in this process, with a clock that tests can step.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use actix_web::{App, HttpServer, dev::ServerHandle, web::ServiceConfig};
use axum::Router;
use cloakroom::{
    AppKeys, Driver, FileStore, MemoryStore, Sessions, SessionsBuilder,
    clock::FakeClock,
    cookie::CookieSettings,
    file::Durability,
    redis::{RedisStore, Servers},
    store::Store,
    testing::TestClient,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    browser::Browser,
    databases::{Database, SqlBackend},
    local, probe,
    redis::RedisServer,
    step::Step,
    store::Hooks,
};

/// The drivers that the scenarios run over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverUnderTest {
    /// The sealed cookie.
    Cookie,
    /// The memory store.
    Memory,
    /// Files in a folder of their own.
    File,
    /// A Redis server for this test.
    Redis,
    /// Tables in a PostgreSQL server.
    Postgres,
    /// Tables in a MariaDB server.
    MySql,
    /// An SQLite database in a new file.
    Sqlite,
}

impl DriverUnderTest {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Cookie,
        Self::Memory,
        Self::File,
        Self::Redis,
        Self::Postgres,
        Self::MySql,
        Self::Sqlite,
    ];

    /// Whether records live on the server, where concurrent requests can be told apart.
    pub fn is_server_side(self) -> bool {
        self != Self::Cookie
    }
}

/// The frameworks that the scenarios run over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framework {
    /// axum.
    Axum,
    /// actix-web.
    Actix,
}

impl Framework {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Axum, Self::Actix];

    /// Serves the probe with these sessions.
    pub async fn probe(self, sessions: Sessions) -> (SocketAddr, Serving) {
        match self {
            Self::Axum => serve(probe::axum::router(sessions)).await,
            Self::Actix => serve_actix(move |app| probe::actix::configure(app, &sessions)),
        }
    }
}

/// A framework and a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The framework that serves.
    pub framework: Framework,
    /// The driver that stores the records.
    pub driver: DriverUnderTest,
}

impl Setup {
    /// Every framework over every driver.
    pub fn all() -> impl Iterator<Item = Self> {
        let over = |framework| DriverUnderTest::ALL.map(|driver| Self { framework, driver });
        Framework::ALL.into_iter().flat_map(over)
    }
}

/// On axum, where a test is not about frameworks.
impl From<DriverUnderTest> for Setup {
    fn from(driver: DriverUnderTest) -> Self {
        Self { framework: Framework::Axum, driver }
    }
}

/// A probe server in this process.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its framework and driver.
    pub setup: Setup,
    /// Its sessions.
    pub sessions: Sessions,
    /// Its clock.
    pub clock: Arc<FakeClock>,
    /// Where its records are.
    pub backend: Backend,
    _serving: Serving,
}

/// Where a server's records are.
#[derive(Debug)]
pub enum Backend {
    /// Nowhere: with the visitors, or in a store of the test's own.
    None,
    /// In memory.
    Memory(Arc<MemoryStore>),
    /// In this folder, which goes with the server.
    File(TempDir),
    /// In this Redis, which ends with the server.
    Redis(RedisServer),
    /// In tables of the test's own.
    Sql(SqlBackend),
}

impl Backend {
    fn new(driver: DriverUnderTest) -> Self {
        match driver {
            DriverUnderTest::Cookie => Self::None,
            DriverUnderTest::Memory => Self::Memory(Arc::default()),
            DriverUnderTest::File => {
                Self::File(tempfile::tempdir().unwrap_or_else(|error| panic!("{error}")))
            }
            DriverUnderTest::Redis => Self::Redis(RedisServer::start()),
            DriverUnderTest::Postgres => Self::Sql(SqlBackend::new(Database::Postgres)),
            DriverUnderTest::MySql => Self::Sql(SqlBackend::new(Database::MySql)),
            DriverUnderTest::Sqlite => Self::Sql(SqlBackend::new(Database::Sqlite)),
        }
    }

    /// Session settings on this backend.
    fn sessions(&mut self, clock: &Arc<FakeClock>) -> SessionsBuilder {
        if let Self::Memory(store) = self {
            *store = Arc::new(MemoryStore::with_clock(clock.clone()));
        }
        match self.store(clock) {
            Some(store) => Sessions::builder(store, AppKeys::random()),
            None => Sessions::builder(Driver::Cookie, AppKeys::random()),
        }
    }

    /// Returns another store on the records, which goes by this clock. `None` if they are not kept here.
    ///
    /// # Panics
    /// When there is no folder.
    pub fn store(&self, clock: &Arc<FakeClock>) -> Option<Box<dyn Store>> {
        Some(match self {
            Self::None => return None,
            Self::Memory(store) => Box::new(store.clone()),
            Self::File(folder) => {
                let store = FileStore::builder(folder.path().join("sessions"));
                // What these tests look at does not depend on the disk.
                let store = store.durability(Durability::Fast).clock(clock.clone()).open();
                Box::new(store.unwrap_or_else(|error| panic!("{error}")))
            }
            Self::Redis(server) => {
                let servers = Servers::at(&server.url()).unwrap_or_else(|error| panic!("{error}"));
                let store = RedisStore::builder(servers).clock(clock.clone()).build();
                Box::new(store.unwrap_or_else(|error| panic!("{error}")))
            }
            Self::Sql(tables) => tables.store(clock),
        })
    }

    /// How many records are kept, tombstones left out.
    ///
    /// # Panics
    /// When nothing is kept here, or what is kept cannot be read.
    pub fn records(&self) -> usize {
        match self {
            Self::None => panic!("this driver keeps nothing on the server"),
            Self::Memory(store) => store.len(),
            Self::File(folder) => files(&folder.path().join("sessions")),
            Self::Sql(tables) => tables.records(),
            Self::Redis(server) => {
                let keys = server.cli(&["KEYS", "session:{*"]);
                let keys = keys.lines().filter(|key| !key.is_empty());
                keys.filter(|key| server.cli(&["GET", key]).starts_with("CR1R")).count()
            }
        }
    }

    /// Returns everything that a stolen store shows: names, keys and contents.
    ///
    /// # Panics
    /// As [`records`](Self::records).
    pub fn dump(&self) -> String {
        match self {
            Self::None | Self::Memory(_) => panic!("there is no dump of this driver"),
            Self::File(folder) => dump_of(folder.path()),
            Self::Sql(tables) => tables.dump(),
            Self::Redis(server) => {
                let keys = server.cli(&["KEYS", "*"]);
                let shown = keys.lines().map(|key| match server.cli(&["TYPE", key]).as_str() {
                    "zset" => server.cli(&["ZRANGE", key, "0", "-1", "WITHSCORES"]),
                    _ => server.cli(&["GET", key]),
                });
                shown.collect::<Vec<_>>().join("\n") + &keys
            }
        }
    }
}

/// The record files below a folder.
fn files(location: &Path) -> usize {
    let is_record = |path: &Path| {
        let kind = std::fs::read(path).ok().and_then(|bytes| bytes.get(5).copied());
        path.file_name().is_some_and(|name| name.len() == 64) && kind == Some(1)
    };
    paths(location).iter().filter(|path| path.is_file() && is_record(path)).count()
}

fn dump_of(folder: &Path) -> String {
    let shown = paths(folder).into_iter().map(|path| {
        let contents = std::fs::read(&path).unwrap_or_default();
        format!("{}: {}", path.display(), String::from_utf8_lossy(&contents))
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// Everything below a folder.
fn paths(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            all.extend(paths(&entry.path()));
        }
        all.push(entry.path());
    }
    all
}

impl Server {
    /// Starts one with the development cookie and default lifetimes.
    pub async fn start(setup: impl Into<Setup>) -> Self {
        Self::start_with(setup, |builder| builder).await
    }

    /// Starts one with other settings.
    pub async fn start_with(
        setup: impl Into<Setup>,
        settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Self {
        let (setup, clock) = (setup.into(), Arc::new(FakeClock::default()));
        let mut backend = Backend::new(setup.driver);
        let builder = backend.sessions(&clock).clock(clock.clone());
        Self::probe(setup, clock, backend, settings(with_cookie(builder))).await
    }

    /// Starts one with the sessions of an application in this process.
    pub async fn of<H: Hooks>(framework: Framework, app: &local::LocalApp<H>) -> Self {
        let setup = Setup { framework, driver: DriverUnderTest::Memory };
        let (address, serving) = framework.probe(app.sessions.clone()).await;
        let clock = app.clock.clone();
        let sessions = app.sessions.clone();
        Self { address, setup, sessions, clock, backend: Backend::None, _serving: serving }
    }

    async fn probe(
        setup: Setup,
        clock: Arc<FakeClock>,
        backend: Backend,
        builder: SessionsBuilder,
    ) -> Self {
        let sessions = builder.build().unwrap_or_else(|error| panic!("{error}"));
        let (address, serving) = setup.framework.probe(sessions.clone()).await;
        Self { address, setup, sessions, clock, backend, _serving: serving }
    }

    /// Returns a browser without cookies.
    pub fn browser(&self) -> Browser {
        Browser::new(self.address)
    }

    /// Returns a client with the assertions of `cloakroom::testing`, which sends its requests by HTTP.
    pub fn client(&self) -> TestClient<Browser> {
        TestClient::new(self.browser(), &self.sessions)
    }

    /// Returns a browser for which these steps were run.
    pub async fn browser_with(&self, steps: impl AsRef<[Step]>) -> Browser {
        let mut browser = self.browser();
        browser.run(steps).await.values();
        browser
    }
}

fn with_cookie(builder: SessionsBuilder) -> SessionsBuilder {
    builder.cookie_settings(CookieSettings::development())
}

/// A server that ends when the test lets go of it.
#[derive(Debug)]
pub struct Serving(Stop);

#[derive(Debug)]
enum Stop {
    Task(JoinHandle<()>),
    Actix(ServerHandle),
}

impl Drop for Serving {
    fn drop(&mut self) {
        match &self.0 {
            Stop::Task(task) => task.abort(),
            // The order is given at once; the answer need not be waited for.
            Stop::Actix(server) => drop(server.stop(false)),
        }
    }
}

/// Serves an axum application on a free port of loopback.
///
/// # Panics
/// When there is none.
pub async fn serve(app: Router) -> (SocketAddr, Serving) {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.unwrap_or_else(|error| panic!("no free port: {error}"));
    let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            eprintln!("the test server stopped: {error}");
        }
    });
    (address, Serving(Stop::Task(task)))
}

/// Serves actix-web routes on a free port of loopback, in separate threads.
///
/// # Panics
/// When there is none.
pub fn serve_actix(
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> (SocketAddr, Serving) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0");
    let listener = listener.unwrap_or_else(|error| panic!("no free port: {error}"));
    let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let app = move || App::new().configure(&configure);
        let serving = async {
            let server = HttpServer::new(app).workers(1).disable_signals().listen(listener)?.run();
            drop(sender.send(server.handle()));
            server.await
        };
        if let Err(error) = actix_web::rt::System::new().block_on(serving) {
            eprintln!("the test server stopped: {error}");
        }
    });
    let handle = receiver.recv().unwrap_or_else(|error| panic!("no server: {error}"));
    (address, Serving(Stop::Actix(handle)))
}
