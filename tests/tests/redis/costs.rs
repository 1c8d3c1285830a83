//! Round trips, counted by the server.

use cloakroom::adapter::RequestContext;
use std::{sync::Arc, time::Duration};

use cloakroom::{
    AppKeys, DEFAULT_IDLE_TIMEOUT, Error, Session, Sessions, clock::FakeClock,
    cookie::CookieSettings, store::Cursor,
};
use cloakroom_tests::redis::RedisServer;

use super::builder;

/// An application with one visitor.
struct Stage {
    server: RedisServer,
    sessions: Sessions,
    clock: Arc<FakeClock>,
    cookie: Option<String>,
}

impl Stage {
    fn set(near_cache: bool) -> Self {
        let server = RedisServer::start();
        let clock = Arc::new(FakeClock::default());
        let store = builder(&server.url()).clock(clock.clone()).near_cache(near_cache);
        let sessions = Sessions::builder(store.build().unwrap(), AppKeys::random())
            .clock(clock.clone())
            .cookie_settings(CookieSettings::development())
            .build()
            .unwrap();
        Self { server, sessions, clock, cookie: None }
    }

    /// Sends one request and counts what the server ran for it: `GET`s, those within scripts
    /// included, and scripts; and the cookies that the response sets. A script reads once, the one
    /// that rotates twice.
    async fn request(
        &mut self,
        handler: impl FnOnce(&Session) -> Result<(), Error>,
    ) -> (u64, u64, usize) {
        self.server.reset_stats();
        let headers: Vec<_> = self.cookie.iter().map(|cookie| ("cookie", cookie.clone())).collect();
        let visit = RequestContext::new(&self.sessions);
        handler(&visit.session(headers.as_slice()).await.unwrap()).unwrap();
        let set_cookie = visit.finish(200).await.unwrap().set_cookie;
        if let Some(line) = set_cookie.first() {
            self.cookie = line.split(';').next().map(ToOwned::to_owned);
        }
        let calls = self.server.calls();
        let [gets, scripts] =
            ["get", "evalsha"].map(|name| calls.get(name).copied().unwrap_or_default());
        (gets, scripts, set_cookie.len())
    }
}

// The cost table of the design.
#[tokio::test]
async fn every_kind_of_request_makes_exactly_so_many_round_trips() {
    let mut stage = Stage::set(false);
    let put = |session: &Session| session.put("n", 1);
    let read = |session: &Session| session.get::<u8>("n").map(drop);
    // The server has seen no script yet: this first round costs a second command for each kind.
    stage.request(put).await;
    stage.request(|session| session.put("n", 2)).await;
    stage.request(Session::regenerate).await;
    stage.request(Session::destroy).await;
    stage.cookie = None;

    assert_eq!(stage.request(|_| Ok(())).await, (0, 0, 0), "asked for, no cookie, nothing put");
    assert_eq!(stage.request(put).await, (1, 1, 1), "first write");
    assert_eq!(stage.request(read).await, (1, 0, 0), "read");
    stage.clock.advance(DEFAULT_IDLE_TIMEOUT / 4);
    assert_eq!(stage.request(read).await, (2, 1, 1), "read with its due touch");
    assert_eq!(stage.request(|session| session.put("n", 2)).await, (2, 1, 0), "write");
    let regenerate = |session: &Session| {
        session.put("n", 3)?;
        session.regenerate()
    };
    assert_eq!(stage.request(regenerate).await, (3, 1, 1), "regenerate and write");
    let owned = |session: &Session| session.set_owner("user-42");
    assert_eq!(stage.request(owned).await, (2, 1, 0), "the index in one step with the record");
    assert_eq!(stage.request(Session::destroy).await, (2, 1, 1), "destroy");
}

#[tokio::test]
async fn only_a_sign_in_reads_the_list_of_its_owner() {
    let mut stage = Stage::set(false);
    let owned = |session: &Session| session.set_owner("user-42");
    let looks = |stage: &Stage| stage.server.calls().get("zscan").copied().unwrap_or_default();
    stage.request(owned).await;
    assert_eq!(looks(&stage), 1, "the sign-in");
    for handler in
        [owned, |session: &Session| session.put("n", 1), Session::regenerate, Session::destroy]
    {
        stage.request(handler).await;
        assert_eq!(looks(&stage), 0);
    }
}

#[tokio::test]
async fn a_handle_and_a_page_cost_the_same_however_long_the_list_is() {
    const MANY: usize = 3_001;
    let server = RedisServer::start();
    let sessions = Sessions::builder(builder(&server.url()).build().unwrap(), AppKeys::random());
    let sessions = sessions.max_sessions(None).build().unwrap();
    let mut handle = None;
    for number in 0..MANY {
        let visit = RequestContext::new(&sessions);
        let no_headers: &[(&str, &str)] = &[];
        let session = visit.session(no_headers).await.unwrap();
        session.set_owner("user-42").unwrap();
        let _ = visit.finish(200).await.unwrap();
        if number == MANY / 2 {
            handle = session.handle();
        }
    }
    server.reset_stats();
    let edited = sessions.edit(&handle.unwrap(), |session| session.put("n", 1)).await.unwrap();
    assert_eq!(edited, Some(()));
    let calls = server.calls();
    let of = |name: &str| calls.get(name).copied().unwrap_or_default();
    assert_eq!(of("zscan"), 0, "{calls:?}");
    assert!(of("zrange") <= 2, "{calls:?}");
    assert!(of("get") <= 4, "its record, perhaps one beside it, and the commit: {calls:?}");
    let (admin, mut listed) = (sessions.admin().unwrap(), 0);
    let mut next = Some(Cursor::default());
    while let Some(from) = next {
        server.reset_stats();
        let page = admin.sessions_of("user-42", from).await.unwrap();
        let calls = server.calls();
        let [scans, gets] = ["zscan", "get"].map(|name| calls.get(name).copied().unwrap_or(0));
        assert!(scans <= 4 && gets <= 400, "{calls:?}");
        listed += page.sessions.len();
        next = page.next;
    }
    assert!(listed >= MANY);
}

#[tokio::test]
async fn with_the_near_cache_a_read_costs_nothing_and_a_write_one() {
    let mut stage = Stage::set(true);
    let read = |session: &Session| session.get::<u8>("n").map(drop);
    stage.request(|session| session.put("n", 1)).await;
    let mut gets = u64::MAX;
    for _ in 0..200 {
        (gets, ..) = stage.request(read).await;
        if gets == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(gets, 0, "the link stood for a second and reads were not warm");
    // The first replace is the one that the server sees the script with.
    stage.request(|session| session.put("n", 2)).await;
    stage.request(read).await;
    stage.request(read).await;
    assert_eq!(stage.request(read).await, (0, 0, 0), "warm read");
    assert_eq!(stage.request(|session| session.put("n", 3)).await, (1, 1, 0), "write");
}
