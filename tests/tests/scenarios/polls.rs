//! Requests that do not count as a use of their session, such as the polls of a script.

use std::time::Duration;

use cloakroom_tests::{
    browser::{Browser, Reply, Sent},
    jar::SetCookie,
    server::{Server, Setup},
    step::{Step, get, put, set_owner},
};
use serde_json::Value;

every_driver! {
    polls_with_no_touch_keep_nobody_signed_in,
    a_write_with_no_touch_leaves_the_deadline_where_it_was,
    a_regenerate_with_no_touch_leaves_the_deadline_where_it_was,
    no_touch_after_the_response_is_an_error,
}

server_side! {
    a_sign_in_starts_the_idle_time_in_spite_of_no_touch,
}

const HOUR: Duration = Duration::from_hours(1);

async fn user(visitor: &mut Browser) -> Value {
    visitor.step(get("user")).await
}

/// Returns the `Max-Age` of the one cookie of a reply, in seconds.
fn max_age(reply: &Reply) -> String {
    let [line] = &reply.set_cookies()[..] else { panic!("one cookie: {:?}", reply.set_cookies()) };
    SetCookie::parse(line).unwrap().attributes["max-age"].clone()
}

async fn polls_with_no_touch_keep_nobody_signed_in(server: Server) {
    let mut visitor = server.browser_with([put("user", "virk")]).await;
    for _ in 0..11 {
        server.clock.advance(HOUR / 6);
        let poll = visitor.run([Step::NoTouch, get("user")]).await;
        assert_eq!(poll.value(1), "virk");
        assert!(poll.set_cookies().is_empty(), "{:?}", poll.set_cookies());
    }
    server.clock.advance(HOUR / 6);
    assert_eq!(user(&mut visitor).await, Value::Null, "unused for two hours");
}

async fn a_write_with_no_touch_leaves_the_deadline_where_it_was(server: Server) {
    let mut visitor = server.browser_with([put("user", "virk")]).await;
    server.clock.advance(HOUR);
    let written = visitor.run([Step::NoTouch, put("unread", 3)]).await;
    if server.setup.driver.is_server_side() {
        assert!(written.set_cookies().is_empty(), "{:?}", written.set_cookies());
    } else {
        assert_eq!(max_age(&written), "3600", "the record is in the cookie");
    }
    let poll = visitor.run([Step::NoTouch, get("unread")]).await;
    assert_eq!(poll.value(1), 3);
    server.clock.advance(HOUR);
    assert_eq!(user(&mut visitor).await, Value::Null);
}

async fn a_regenerate_with_no_touch_leaves_the_deadline_where_it_was(server: Server) {
    let mut visitor = server.browser_with([put("user", "virk")]).await;
    server.clock.advance(HOUR);
    let before = visitor.token();
    let regenerated = visitor.run([Step::Regenerate, Step::NoTouch]).await;
    assert_ne!(visitor.token(), before);
    assert_eq!(max_age(&regenerated), "3600");
    assert_eq!(visitor.clone().run([Step::NoTouch, get("user")]).await.value(1), "virk");
    server.clock.advance(HOUR);
    assert_eq!(user(&mut visitor).await, Value::Null);
}

async fn a_sign_in_starts_the_idle_time_in_spite_of_no_touch(server: Server) {
    let mut visitor = server.browser_with([put("user", "virk")]).await;
    for _ in 0..2 {
        server.clock.advance(HOUR);
        let signed_in = visitor.run([Step::NoTouch, Step::Regenerate, set_owner("virk")]).await;
        assert_eq!(max_age(&signed_in), "7200");
    }
    server.clock.advance(HOUR + HOUR / 2);
    assert_eq!(user(&mut visitor).await, "virk");
}

async fn no_touch_after_the_response_is_an_error(server: Server) {
    let mut visitor = server.browser_with([put("user", "virk")]).await;
    let late = visitor.run_late([get("user"), Step::NoTouch]).await;
    assert_eq!(late.value(0), "virk");
    assert_eq!(late.error(1).code, "committed");
}

#[tokio::test]
async fn polls_with_the_header_keep_nobody_signed_in() {
    for setup in Setup::all() {
        let server = Server::start_with(setup, |builder| builder.no_touch_header("X-Poll")).await;
        let mut visitor = server.browser_with([put("user", "virk")]).await;
        let poll = || Sent::with("x-poll", "");
        server.clock.advance(HOUR);
        let polled = visitor.run_with([get("user")], poll()).await;
        assert_eq!(polled.value(0), "virk");
        assert!(polled.set_cookies().is_empty(), "{setup:?}");
        let used = visitor.run_with([get("user")], Sent::with("x-other", "1")).await;
        assert_eq!(max_age(&used), "7200", "{setup:?}");
        for _ in 0..3 {
            server.clock.advance(HOUR / 2);
            let written = visitor.run_with([put("unread", 3), get("user")], poll()).await;
            assert_eq!(written.value(1), "virk", "{setup:?}");
        }
        server.clock.advance(HOUR / 2);
        assert_eq!(user(&mut visitor).await, Value::Null, "{setup:?}");
    }
}
