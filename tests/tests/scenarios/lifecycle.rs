//! Token and deadlines: regenerate, destroy, idle and absolute timeout.

use std::time::Duration;

use cloakroom::{
    SiteData,
    clock::{Clock, Timestamp},
    cookie::CookieSettings,
    store::Sweep,
};
use cloakroom_tests::{
    browser::Browser,
    jar::SetCookie,
    server::{Backend, Server, Setup},
    step::{Step, browser_session, get, put, set_idle_timeout},
};
use serde_json::{Value, json};

every_driver! {
    regenerate_gives_a_new_token_and_keeps_the_values,
    destroy_ends_the_session_and_removes_its_cookie,
    a_busy_reader_moves_the_deadline_by_tenths,
    the_idle_timeout_is_enforced_without_the_browser,
    a_clock_that_goes_back_brings_nothing_back,
    putting_after_destroy_begins_another_session,
    is_new_says_whether_the_visitor_came_with_a_session,
    a_session_has_an_idle_timeout_of_its_own_until_it_is_reset,
    a_cookie_ends_with_the_browser_as_the_session_says,
}

// On each framework and driver, over https as far as the settings know.
#[tokio::test]
async fn a_sign_out_clears_the_data_of_the_site() {
    for setup in Setup::all() {
        let server = Server::start_with(setup, |builder| {
            let data = [SiteData::Cache, SiteData::Storage];
            builder.cookie_settings(CookieSettings::default()).clear_site_data(data)
        })
        .await;
        let mut visitor = server.browser();
        let header = async |visitor: &mut Browser, step| {
            visitor.run([step]).await.headers.get("clear-site-data").cloned()
        };
        let sign_in = Step::SignIn { owner: "virk".into() };
        assert_eq!(header(&mut visitor, sign_in).await, None, "{setup:?}");
        let cleared = header(&mut visitor, Step::SignOut).await;
        assert_eq!(cleared.unwrap(), "\"cache\", \"storage\"", "{setup:?}");
        assert_eq!(header(&mut visitor, Step::SignOut).await, None, "{setup:?}");
    }
}

server_side! {
    the_old_token_is_dead_after_regenerate,
    parallel_logins_leave_one_session,
    a_dead_token_writes_nothing_and_keeps_its_cookie,
    a_dead_token_starts_over_after_its_tombstone,
}

crate::on_drivers! { Memory; sweeping_removes_what_expired_and_nothing_else }

fn put_user() -> [Step; 1] {
    [put("user", "virk")]
}

fn user() -> Step {
    get("user")
}

async fn regenerate_gives_a_new_token_and_keeps_the_values(server: Server) {
    let mut visitor = server.browser();
    visitor.run(put_user()).await;
    let before = visitor.token();
    visitor.step(Step::Regenerate).await;
    assert_ne!(visitor.jar.get("session").unwrap(), before);
    assert_eq!(visitor.step(user()).await, "virk");
}

async fn the_old_token_is_dead_after_regenerate(server: Server) {
    let mut visitor = server.browser();
    visitor.run(put_user()).await;
    let mut old = visitor.clone();
    visitor.step(Step::Regenerate).await;
    assert_eq!(old.step(user()).await, Value::Null);
    assert_eq!(server.backend.records(), 1);
}

async fn destroy_ends_the_session_and_removes_its_cookie(server: Server) {
    let mut visitor = server.browser();
    visitor.run(put_user()).await;
    let reply = visitor.run([Step::Destroy]).await;
    let removal = SetCookie::parse(&reply.set_cookies()[0]).unwrap();
    assert!(removal.removes() && visitor.jar.is_empty());
    assert_eq!(visitor.step(user()).await, Value::Null);
}

async fn the_idle_timeout_is_enforced_without_the_browser(server: Server) {
    let mut visitor = server.browser();
    visitor.run(put_user()).await;
    let kept = visitor.jar.clone();
    server.clock.advance(Duration::from_secs(7_199));
    assert_eq!(visitor.clone().step(user()).await, "virk");
    visitor.jar = kept.clone();
    server.clock.advance(Duration::from_hours(2));
    assert_eq!(visitor.step(user()).await, Value::Null);
}

#[tokio::test]
async fn the_absolute_timeout_ends_even_a_busy_session() {
    for setup in Setup::all() {
        let hour = Duration::from_hours(1);
        let server = Server::start_with(setup, |builder| {
            builder.idle_timeout(hour * 2).absolute_timeout(hour * 5)
        })
        .await;
        let mut visitor = server.browser();
        visitor.run(put_user()).await;
        for hours in 1..5 {
            server.clock.advance(hour);
            assert_eq!(visitor.step(user()).await, "virk", "{setup:?} after {hours} h");
        }
        server.clock.advance(Duration::from_millis(3_599_999));
        assert_eq!(visitor.clone().step(user()).await, "virk");
        server.clock.advance(Duration::from_millis(1));
        assert_eq!(visitor.step(user()).await, Value::Null, "{setup:?}");
    }
}

/// Set-Cookie on every response.
async fn a_busy_reader_moves_the_deadline_by_tenths(server: Server) {
    let mut visitor = server.browser();
    visitor.run(put_user()).await;
    let mut cookies = 0;
    for _ in 0..60 {
        server.clock.advance(Duration::from_mins(2));
        cookies += visitor.run([user()]).await.set_cookies().len();
    }
    assert!((8..=10).contains(&cookies), "{cookies} cookies in one idle time");
    assert_eq!(visitor.step(user()).await, "virk");
}

async fn a_clock_that_goes_back_brings_nothing_back(server: Server) {
    let mut visitor = server.browser();
    visitor.run(put_user()).await;
    let kept = visitor.jar.clone();
    server.clock.advance(Duration::from_hours(3));
    assert_eq!(visitor.step(user()).await, Value::Null);
    visitor.run(put_user()).await;
    let now = server.clock.now().as_millis();
    server.clock.set(Timestamp::from_millis(now - 3_600_000));
    assert_eq!(visitor.step(user()).await, "virk");
    visitor.jar = kept;
    assert_eq!(visitor.step(user()).await, Value::Null);
}

/// Values put after a destroy must not revive the id of the session before.
async fn putting_after_destroy_begins_another_session(server: Server) {
    let mut visitor = server.browser();
    visitor.run([put("user", 1), put("old", 1)]).await;
    let old = visitor.clone();
    visitor.run([Step::Destroy, put("user", 2)]).await;
    assert_ne!(visitor.jar.get("session"), old.jar.get("session"));
    assert_eq!(visitor.step(Step::All).await, json!({"user": 2}));
}

async fn is_new_says_whether_the_visitor_came_with_a_session(server: Server) {
    let mut visitor = server.browser();
    assert_eq!(visitor.step(Step::IsNew).await, true);
    visitor.run(put_user()).await;
    assert_eq!(visitor.step(Step::IsNew).await, false);
}

async fn a_session_has_an_idle_timeout_of_its_own_until_it_is_reset(server: Server) {
    let mut visitor = server.browser();
    visitor.run([put("user", "virk"), set_idle_timeout(4 * 3_600_000)]).await;
    server.clock.advance(Duration::from_hours(3));
    assert_eq!(visitor.step(user()).await, "virk");
    visitor.step(Step::ResetIdleTimeout).await;
    server.clock.advance(Duration::from_secs(7_199));
    assert_eq!(visitor.clone().step(user()).await, "virk");
    server.clock.advance(Duration::from_hours(2));
    assert_eq!(visitor.step(user()).await, Value::Null);
}

async fn a_cookie_ends_with_the_browser_as_the_session_says(server: Server) {
    let mut visitor = server.browser();
    visitor.run(put_user()).await;
    for (steps, max_age) in [
        (vec![browser_session(true)], None),
        // A request that says nothing about it.
        (vec![put("k", 1), Step::Regenerate], None),
        (vec![browser_session(false)], Some("7200")),
        (vec![put("k", 2), Step::Regenerate], Some("7200")),
    ] {
        let lines = visitor.run(&steps).await.set_cookies();
        let cookie = SetCookie::parse(&lines[0]).unwrap();
        assert_eq!(cookie.attributes.get("max-age").map(String::as_str), max_age, "{steps:?}");
        assert!(!cookie.attributes.contains_key("expires"));
    }
    assert_eq!(visitor.step(Step::All).await, json!({"user": "virk", "k": 2}));
}

async fn parallel_logins_leave_one_session(server: Server) {
    let mut visitor = server.browser();
    visitor.run(put_user()).await;
    let login = [Step::Regenerate, put("admin", true)];
    let logins: Vec<_> = (0..32)
        .map(|_| {
            let (mut visitor, login) = (visitor.clone(), login.clone());
            tokio::spawn(async move {
                let reply = visitor.run(&login).await;
                (reply.status.as_u16(), visitor)
            })
        })
        .collect();
    let (mut privileged, mut errors, mut carried_on) = (0, 0, 0);
    for login in logins {
        let (status, mut visitor) = login.await.unwrap();
        errors += usize::from(status >= 500);
        let all = visitor.step(Step::All).await;
        privileged += usize::from(all["admin"] == true);
        carried_on += usize::from(all["user"] == "virk");
    }
    assert_eq!(errors, 0);
    assert_eq!((carried_on, privileged), (1, 1), "the session went on under one new token");
    assert_eq!(visitor.step(user()).await, Value::Null, "the old token is dead");
}

async fn a_dead_token_writes_nothing_and_keeps_its_cookie(server: Server) {
    let mut visitor = server.browser();
    visitor.run(put_user()).await;
    let mut late = visitor.clone();
    visitor.step(Step::Destroy).await;
    for step in [put("k", 1), Step::Destroy, Step::All] {
        let reply = late.run([step]).await;
        assert!(reply.set_cookies().is_empty(), "{:?}", reply.set_cookies());
    }
    assert_eq!(late.step(Step::All).await, json!({}));
    assert_eq!(server.backend.records(), 0);
}

/// A visitor whose browser missed the response to the logout still has the dead token.
async fn a_dead_token_starts_over_after_its_tombstone(server: Server) {
    let mut visitor = server.browser();
    visitor.run(put_user()).await;
    let mut late = visitor.clone();
    visitor.step(Step::Destroy).await;
    let login = [Step::Regenerate, put("user", "again")];
    assert!(late.run(&login).await.set_cookies().is_empty());
    server.clock.advance(Duration::from_secs(30));
    late.run(&login).await;
    assert_eq!(late.step(Step::All).await, json!({"user": "again"}));
}

async fn sweeping_removes_what_expired_and_nothing_else(server: Server) {
    for _ in 0..200 {
        server.browser().run(put_user()).await;
    }
    server.clock.advance(Duration::from_hours(3));
    let mut live = server.browser();
    live.run(put_user()).await;
    let Backend::Memory(store) = &server.backend else { panic!("a sweep of the memory store") };
    let mut removed = 0;
    loop {
        let swept = store.sweep(1_000).await.unwrap();
        removed += swept.removed;
        if swept.is_finished() {
            break;
        }
    }
    assert_eq!(removed, 200);
    assert_eq!(live.step(user()).await, "virk");
}
