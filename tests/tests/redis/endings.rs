//! Readers that wait for an ending by another process: another store on the same server.

use std::time::{Duration, Instant};

use cloakroom::{
    AppKeys, Session, Sessions,
    clock::{Clock, SystemClock},
    cookie::CookieSettings,
    redis::RedisStore,
    store::{Commit, EndingFeed, KeyWatch, Store},
};
use cloakroom_tests::{local::LocalBrowser, proxy::FaultProxy, redis::RedisServer};
use tokio::{task::JoinHandle, time::timeout};

use super::{HOUR, builder, create, draft, key, store};

/// The time in which a pushed ending arrives.
const SOON: Duration = Duration::from_millis(100);

/// Two processes of an application: one in which readers wait, and one in which sessions end.
struct Processes {
    waiting: Sessions,
    ending: Sessions,
}

impl Processes {
    fn on(waiting: RedisStore, ending: RedisStore) -> Self {
        let keys = AppKeys::random();
        let [waiting, ending] = [waiting, ending].map(|store| {
            let builder = Sessions::builder(store, keys.clone());
            builder.cookie_settings(CookieSettings::development()).build().unwrap()
        });
        Self { waiting, ending }
    }

    /// Returns a browser at the other process, and a reader of its session that waits here and looks by
    /// itself at this interval.
    async fn reader(&self, every: Duration) -> (LocalBrowser, JoinHandle<()>) {
        let mut browser = LocalBrowser::new(&self.waiting);
        browser.visit(|session| session.put("n", 1).unwrap()).await;
        let reader = browser.open().await.read_only();
        browser.sessions = self.ending.clone();
        (browser, tokio::spawn(async move { reader.ended(every).await }))
    }
}

/// Asserts that the visit ends the reader. The test's machine may be busy, so one of several attempts has
/// to succeed in time.
async fn end(processes: &Processes, visit: impl Fn(&Session)) {
    let mut took = Vec::new();
    for _ in 0..5 {
        let (mut browser, reader) = processes.reader(HOUR).await;
        // The reader's connection is open now.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!reader.is_finished());
        browser.visit(|session| visit(session)).await;
        let ended = Instant::now();
        timeout(Duration::from_secs(10), reader).await.expect("an ending is pushed").unwrap();
        took.push(ended.elapsed());
        if ended.elapsed() < SOON {
            return;
        }
    }
    panic!("{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_and_a_login_in_another_process_end_a_reader_at_once() {
    let server = RedisServer::start();
    for near_cache in [false, true] {
        let cached = builder(&server.url()).near_cache(near_cache).build().unwrap();
        let processes = Processes::on(cached, store(&server.url()));
        end(&processes, |session| session.destroy().unwrap()).await;
        end(&processes, |session| session.regenerate().unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ending_while_the_link_is_down_is_found_when_it_is_back() {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(server.address()).await;
    let processes = Processes::on(store(&proxy.url()), store(&server.url()));
    for cut in [true, false] {
        let (mut browser, reader) = processes.reader(HOUR).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        if cut {
            proxy.start_over();
        } else {
            server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
        assert!(!reader.is_finished());
        browser.visit(|session| session.destroy().unwrap()).await;
        timeout(Duration::from_secs(5), reader).await.expect("looked after the reconnect").unwrap();
    }
    // The new connection pushes as well.
    tokio::time::sleep(Duration::from_secs(1)).await;
    end(&processes, |session| session.destroy().unwrap()).await;
}

async fn is_woken(watch: &mut KeyWatch) -> bool {
    timeout(Duration::from_secs(2), watch.woken()).await.is_ok()
}

#[tokio::test]
async fn what_others_do_to_a_record_wakes_its_watch_only_if_it_ends() {
    let server = RedisServer::start();
    let (watching, other) = (store(&server.url()), store(&server.url()));
    let revision = create(&watching, 1, "0").await;
    let mut watch = watching.watch(&key(1));
    let replace = Commit::replace(key(1), revision, draft("1"));
    other.commit(replace).await.unwrap();
    assert!(!is_woken(&mut watch).await, "a write");
    let name = server.cli(&["KEYS", "session:*"]);
    for (end, command) in [
        ("an operator", ["DEL", &name].as_slice()),
        ("an eviction or a deadline", &["PEXPIRE", &name, "1"]),
        ("a foreign value", &["SET", &name, "text"]),
        ("a flush", &["FLUSHALL"]),
    ] {
        server.cli(&["DEL", &name]);
        create(&other, 1, "0").await;
        let mut watch = watching.watch(&key(1));
        assert!(!is_woken(&mut watch).await, "a record that is live");
        server.cli(command);
        server.cli(&["GET", &name]);
        assert!(is_woken(&mut watch).await, "{end}");
    }
}

#[tokio::test]
async fn a_watch_costs_one_command_and_the_connection_ends_with_the_last() {
    let server = RedisServer::start();
    let (watching, other) = (store(&server.url()), store(&server.url()));
    let connections = || server.cli(&["CLIENT", "LIST"]).lines().count();
    create(&watching, 1, "watched").await;
    let revision = create(&other, 2, "not watched").await;
    let before = connections();
    let watches = [watching.watch(&key(1)), watching.watch(&key(3))];
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(connections(), before + 1);
    assert!(server.calls()["getrange"] <= 4, "each watch looks, and so does the new connection");
    server.reset_stats();
    drop(watching.watch(&key(4)));
    let replace = Commit::replace(key(2), revision, draft("1"));
    other.commit(replace).await.unwrap();
    other.commit(Commit::destroy(key(2), SystemClock.now() + HOUR)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.calls()["getrange"], 1, "of the new watch, and none of another session");
    drop(watches);
    let dropped = Instant::now();
    while connections() > before {
        assert!(dropped.elapsed() < Duration::from_secs(15), "the connection stays");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn thousands_of_watches_are_served_after_a_reconnect() {
    const MANY: u64 = 5_000;
    let server = RedisServer::start();
    let (watching, other) = (store(&server.url()), store(&server.url()));
    create(&other, 0, "live").await;
    let mut watches: Vec<_> = (1..MANY).map(|number| watching.watch(&key(number))).collect();
    let mut live = watching.watch(&key(0));
    for watch in &mut watches {
        timeout(Duration::from_secs(20), watch.woken()).await.expect("nothing is under its key");
    }
    server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    for watch in &mut watches {
        timeout(Duration::from_secs(20), watch.woken()).await.expect("looked again");
    }
    other.commit(Commit::destroy(key(0), SystemClock.now() + HOUR)).await.unwrap();
    assert!(is_woken(&mut live).await);
}

#[tokio::test]
async fn a_runtime_that_ends_takes_no_watch_of_another_with_it() {
    let server = RedisServer::start();
    let (watching, other) = (store(&server.url()), store(&server.url()));
    create(&other, 1, "live").await;
    let in_first = watching.clone();
    let first = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        // Built here, so that the link's task is here too.
        runtime.block_on(async { drop(in_first.watch(&key(2))) });
    });
    first.join().unwrap();
    let mut watch = watching.watch(&key(1));
    tokio::time::sleep(Duration::from_millis(300)).await;
    other.commit(Commit::destroy(key(1), SystemClock.now() + HOUR)).await.unwrap();
    assert!(is_woken(&mut watch).await);
}

#[tokio::test]
async fn without_the_permission_readers_poll() {
    let server = RedisServer::start();
    let rules =
        ["ACL", "SETUSER", "limited", "reset", "on", ">secret", "~*", "+@all", "-client|tracking"];
    assert_eq!(server.cli(&rules), "OK");
    let limited = store(&format!("redis://limited:secret@{}", server.address()));
    let processes = Processes::on(limited, store(&server.url()));
    let (mut browser, reader) = processes.reader(Duration::from_millis(300)).await;
    browser.visit(|session| session.destroy().unwrap()).await;
    timeout(Duration::from_secs(5), reader).await.expect("polled").unwrap();
}
