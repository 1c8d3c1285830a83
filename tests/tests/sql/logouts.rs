//! Random schedules of requests against a logout: nothing brings the session back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cloakroom::{
    AppKeys, Session, Sessions, adapter::RequestContext, cookie::CookieSettings, store::Store,
};
use fastrand::Rng;

use super::{Database, Place, hot};

/// Two processes with one database.
fn processes(place: &Place) -> [Sessions; 2] {
    let keys = AppKeys::random();
    let open = |store: Arc<dyn Store>| {
        let builder = Sessions::builder(store, keys.clone());
        builder.cookie_settings(CookieSettings::development()).build().unwrap()
    };
    let mut stores = hot::stores(place, 2).into_iter().map(open);
    [stores.next().unwrap(), stores.next().unwrap()]
}

/// Sends a request. Returns the cookie that the browser has afterwards.
async fn request(
    sessions: &Sessions,
    cookie: Option<String>,
    pauses: [Duration; 2],
    handler: impl FnOnce(&Session),
) -> Option<String> {
    let headers: Vec<_> = cookie.iter().map(|cookie| ("cookie", cookie.clone())).collect();
    pause(pauses[0]).await;
    let visit = RequestContext::new(sessions);
    handler(&visit.session(headers.as_slice()).await.unwrap());
    pause(pauses[1]).await;
    let set_cookie = visit.finish(200).await.unwrap().set_cookie;
    let line = set_cookie.first()?;
    let removes = line.contains("Max-Age=0");
    line.split(';').next().filter(|_| !removes).map(ToOwned::to_owned)
}

async fn pause(span: Duration) {
    if !span.is_zero() {
        tokio::time::sleep(span).await;
    }
}

/// Has a logout and the other requests of a browser run at the same time. Returns the cookies that the
/// browser got.
async fn schedule(processes: &[Sessions; 2], seed: u64) -> Vec<String> {
    let mut random = Rng::with_seed(seed);
    let begin = |session: &Session| session.put("n", 0).unwrap();
    let cookie = request(&processes[0], None, [Duration::ZERO; 2], begin).await;
    let mut pause = || Duration::from_micros(if random.bool() { 0 } else { random.u64(..2_000) });
    let requests: Vec<_> = (0..5)
        .map(|number| {
            let sessions = processes[number % 2].clone();
            let (cookie, pauses) = (cookie.clone(), [pause(), pause()]);
            let handler = move |session: &Session| {
                match number {
                    0 => session.destroy().unwrap(),
                    // A request that came too late has an empty session, which it leaves alone.
                    _ if session.is_new() => {}
                    1 if seed.is_multiple_of(2) => session.regenerate().unwrap(),
                    _ => drop(session.increment("n").unwrap()),
                }
            };
            tokio::spawn(async move { request(&sessions, cookie, pauses, handler).await })
        })
        .collect();
    let mut cookies: Vec<_> = cookie.into_iter().collect();
    for request in requests {
        cookies.extend(request.await.unwrap());
    }
    cookies
}

async fn check(database: Database, schedules: u64) {
    const AT_ONCE: u64 = 4;
    let place = Place::new(database);
    let processes = Arc::new(processes(&place));
    let next = Arc::new(AtomicU64::new(0));
    // The tables.
    schedule(&processes, 0).await;
    let running: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (processes, next) = (processes.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= schedules {
                        return;
                    }
                    for cookie in schedule(&processes, seed).await {
                        let visit = RequestContext::new(&processes[1]);
                        let headers = [("cookie", cookie)];
                        let session = visit.session(headers.as_slice()).await.unwrap();
                        assert!(session.is_new(), "seed {seed}: the logout did not hold");
                    }
                }
            })
        })
        .collect();
    for running in running {
        running.await.unwrap();
    }
    assert_eq!(place.records(), 0, "{database:?}: {schedules} logouts, and sessions are left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_is_final_whatever_runs_beside_it() {
    for database in Database::KINDS {
        check(database, 400).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn ten_thousand_logouts_are_final() {
    for database in Database::ALL {
        check(database, 10_000).await;
    }
}
