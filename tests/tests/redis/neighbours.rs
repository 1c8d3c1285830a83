//! Visitors beside another one whose session has the largest size.

use cloakroom::adapter::RequestContext;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cloakroom::{AppKeys, Sessions, cookie::CookieSettings};
use cloakroom_tests::redis::RedisServer;
use tokio::task::JoinSet;

use super::builder;

/// Nearly the default of `max_bytes`, 256 KiB.
const LARGE: usize = 255 * 1024;
const WRITERS: usize = 8;
const REQUESTS: usize = 500;

/// Sends one request that writes `value`. Returns the cookie.
async fn write(sessions: &Sessions, cookie: Option<&str>, value: &str) -> String {
    let headers: Vec<_> = cookie.map(|cookie| ("cookie", cookie)).into_iter().collect();
    let visit = RequestContext::new(sessions);
    visit.session(headers.as_slice()).await.unwrap().put("value", value).unwrap();
    let lines = visit.finish(200).await.unwrap().set_cookie;
    let issued = lines.first().and_then(|line| line.split(';').next());
    issued.or(cookie).unwrap().to_owned()
}

/// Has a visitor send requests, one after the other. Returns how long the slowest of all and of 99 %
/// took.
async fn pace(sessions: &Sessions) -> [Duration; 2] {
    let cookie = write(sessions, None, "small").await;
    let mut took = Vec::with_capacity(REQUESTS);
    for number in 0..REQUESTS {
        let begun = Instant::now();
        write(sessions, Some(&cookie), &number.to_string()).await;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    [took[REQUESTS - 1], took[REQUESTS * 99 / 100]]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_the_largest_size_delays_no_other_visitor() {
    let server = RedisServer::start();
    let store = builder(&server.url()).build().unwrap();
    let sessions = Sessions::builder(store, AppKeys::random());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build().unwrap();
    pace(&sessions).await;

    let large: Arc<str> = "x".repeat(LARGE).into();
    let cookie: Arc<str> = write(&sessions, None, &large).await.into();
    let over = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (sessions, large) = (sessions.clone(), large.clone());
        let (cookie, over) = (cookie.clone(), over.clone());
        writers.spawn(async move {
            let mut written = 0;
            while !over.load(Ordering::Relaxed) {
                write(&sessions, Some(&cookie), &large).await;
                written += 1;
            }
            written
        });
    }
    let [slowest, _] = pace(&sessions).await;
    over.store(true, Ordering::Relaxed);
    let written: usize = writers.join_all().await.into_iter().sum();
    assert!(written >= WRITERS, "the large session was written meanwhile");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}
