//! Round trips, counted between the library and the server.

use std::{sync::Arc, time::Duration};

use cloakroom::{
    AppKeys, DEFAULT_IDLE_TIMEOUT, Error, Session, Sessions,
    adapter::RequestContext,
    clock::{Clock, FakeClock},
    cookie::CookieSettings,
    sql::{PgStatements, PostgresStore, sqlx::PgPool},
    store::{Commit, Draft, Store},
};
use cloakroom_tests::{databases::PostgresServer, proxy::FaultProxy};

use super::{Database, HOUR, Place, Settings, done, key, live};

/// An application with one visitor, on one connection.
struct Stage {
    _place: Place,
    proxy: FaultProxy,
    sessions: Sessions,
    clock: Arc<FakeClock>,
    cookie: Option<String>,
}

impl Stage {
    async fn set(database: Database) -> Self {
        let place = Place::new(database);
        let proxy = FaultProxy::start(place.address()).await;
        let clock = Arc::new(FakeClock::default());
        let settings = Settings { clock: clock.clone(), pool_size: 1, ..Settings::default() };
        let store: Arc<dyn Store> = database.open(&place.url_at(proxy.address()), &settings);
        let sessions = Sessions::builder(store, AppKeys::random())
            .clock(clock.clone())
            .cookie_settings(CookieSettings::development())
            .build()
            .unwrap();
        Self { _place: place, proxy, sessions, clock, cookie: None }
    }

    /// Sends one request. Returns how often the library sent something to the server and waited for its
    /// reply, and the number of cookies that the response sets.
    async fn request(
        &mut self,
        handler: impl FnOnce(&Session) -> Result<(), Error>,
    ) -> (usize, usize) {
        let before = self.proxy.exchanges();
        let headers: Vec<_> = self.cookie.iter().map(|cookie| ("cookie", cookie.clone())).collect();
        let visit = RequestContext::new(&self.sessions);
        handler(&visit.session(headers.as_slice()).await.unwrap()).unwrap();
        let set_cookie = visit.finish(200).await.unwrap().set_cookie;
        if let Some(line) = set_cookie.first() {
            self.cookie = line.split(';').next().map(ToOwned::to_owned);
        }
        (self.proxy.exchanges() - before, set_cookie.len())
    }
}

fn put(session: &Session) -> Result<(), Error> {
    session.put("n", 1)
}

fn read(session: &Session) -> Result<(), Error> {
    session.get::<u8>("n").map(drop)
}

fn regenerate(session: &Session) -> Result<(), Error> {
    session.put("n", 3)?;
    session.regenerate()
}

// The cost table of the design.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_request_makes_exactly_so_many_round_trips() {
    for database in Database::SERVERS {
        let mut stage = Stage::set(database).await;
        // Each statement is prepared once for each connection.
        stage.request(put).await;
        stage.request(|session| session.put("n", 2)).await;
        stage.clock.advance(DEFAULT_IDLE_TIMEOUT / 4);
        stage.request(read).await;
        stage.request(regenerate).await;
        stage.request(Session::destroy).await;
        stage.cookie = None;
        // MariaDB has no statement that rotates, or that returns what it changed.
        let (rotate, destroy) = if database == Database::MariaDb { (4, 2) } else { (1, 1) };

        let costs = |name: &str, found: (usize, usize), expected: (usize, usize)| {
            assert_eq!(found, expected, "{database:?}: {name}");
        };
        costs("asked for, no cookie, nothing put", stage.request(|_| Ok(())).await, (0, 0));
        costs("first write", stage.request(put).await, (1, 1));
        costs("read", stage.request(read).await, (1, 0));
        stage.clock.advance(DEFAULT_IDLE_TIMEOUT / 4);
        costs("read with its due touch", stage.request(read).await, (2, 1));
        costs("write", stage.request(|session| session.put("n", 2)).await, (2, 0));
        costs("regenerate and write", stage.request(regenerate).await, (1 + rotate, 1));
        costs("destroy", stage.request(Session::destroy).await, (1 + destroy, 1));
    }
}

/// The statements that the server ran, by its log.
struct Logged {
    server: PostgresServer,
    read: usize,
}

impl Logged {
    fn start() -> Self {
        Self { server: PostgresServer::start_with(&["log_statement=all"]), read: 0 }
    }

    /// Returns the statements since the last time.
    fn statements(&mut self) -> Vec<String> {
        let log = self.server.log();
        let new = log[self.read..].to_owned();
        self.read = log.len();
        let text = |line: &str| {
            let (_, rest) = line.split_once("LOG:  ")?;
            let is_run = rest.starts_with("statement: ") || rest.starts_with("execute ");
            is_run.then(|| rest.split_once(": ").map(|(_, text)| text.to_owned()))?
        };
        new.lines().filter_map(text).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_runs_one_statement_for_each_step_and_nothing_else() {
    let mut logged = Logged::start();
    let url = logged.server.url();
    let setup = PostgresStore::at(&url).unwrap().build().unwrap();
    setup.migrate().await.unwrap();
    for statements in [PgStatements::Prepared, PgStatements::Simple] {
        let store = PostgresStore::at(&url).unwrap().statements(statements);
        let store = store.sweep_budget(None).build().unwrap();
        logged.statements();
        let (now, until) = (cloakroom::clock::SystemClock.now(), HOUR);
        let base = if statements == PgStatements::Simple { 100 } else { 0 };
        for round in 0..2 {
            let (from, to) = (key(base + 2 * round), key(base + 2 * round + 1));
            let draft = || Draft::new("values", now, HOUR);
            let expected = done(store.commit(Commit::create(from, draft())).await);
            assert_ran(&mut logged, "INSERT");
            live(&store, from).await;
            assert_ran(&mut logged, "SELECT");
            let expected = done(store.commit(Commit::replace(from, expected, draft())).await);
            assert_ran(&mut logged, "UPDATE");
            done(store.commit(Commit::touch(from, expected, now + 2 * until)).await);
            assert_ran(&mut logged, "WITH fast");
            let rotate = Commit::rotate(from, Some(expected), to, draft(), now + until);
            done(store.commit(rotate).await);
            assert_ran(&mut logged, "WITH former");
            done(store.commit(Commit::destroy(to, now + until)).await);
            assert_ran(&mut logged, "UPDATE");
        }
    }
    // The application's pool tests a connection before it gives it out, with a round trip and no statement.
    let store = PostgresStore::builder(PgPool::connect(&url).await.unwrap());
    let store = store.sweep_budget(None).build().unwrap();
    logged.statements();
    live_or_absent(&store).await;
    assert_ran(&mut logged, "SELECT");
}

async fn live_or_absent(store: &dyn Store) {
    assert_eq!(store.load(&key(9_999)).await.unwrap(), None);
}

/// Asserts that the server ran one statement, which begins like this.
fn assert_ran(logged: &mut Logged, begins: &str) {
    let ran = logged.statements();
    assert!(ran.len() == 1 && ran[0].starts_with(begins), "{begins}: {ran:?}");
}

/// The first use of a connection logs in and prepares. Each later one is a single round trip.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_with_its_own_connections_sends_no_pings() {
    for database in Database::SERVERS {
        let place = Place::new(database);
        let proxy = FaultProxy::start(place.address()).await;
        let settings = Settings { pool_size: 1, ..Settings::default() };
        let store = database.open(&place.url_at(proxy.address()), &settings);
        live_or_absent(&*store).await;
        let before = proxy.exchanges();
        for _ in 0..20 {
            live_or_absent(&*store).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(proxy.exchanges() - before, 20, "{database:?}");
        assert_eq!(proxy.connections(), 1, "{database:?}");
    }
}
