//! Requests that overlap, and what comes too late.

use std::time::Duration;

use cloakroom_tests::{
    browser::{Browser, Sent},
    server::{Server, Setup},
    step::{
        Step, destroy_others, flash, flash_message, forget, get, has, increment, increment_now,
        pull, put, sessions_of, set_owner, sleep, take, update_push,
    },
};
use http::Method;
use serde_json::{Value, json};

every_driver! {
    no_change_of_a_late_session_is_taken,
    no_head_request_consumes_flash,
}

server_side! {
    of_two_overlapping_sign_ins_each_answer_signs_in,
    a_regenerate_that_a_sign_in_overtakes_gets_no_cookie,
    ending_the_others_spares_whoever_signs_in_beside_it,
    exact_changes_of_a_late_session_come_too_late,
    a_slow_poll_leaves_the_cookie_of_a_login_alone,
    a_late_second_logout_spares_the_next_login,
}

async fn guest(server: &Server) -> Browser {
    server.browser_with([put("cart", 1)]).await
}

fn cookie(visitor: &Browser) -> String {
    visitor.token()
}

/// The sleep stands for the check of a password.
fn sign_in() -> [Step; 5] {
    [get("cart"), sleep(20), set_owner("u"), put("user", "virk"), Step::Regenerate]
}

async fn is_signed_in(visitor: &mut Browser) -> bool {
    visitor.step(get("user")).await == "virk"
}

/// How many sessions the owner has, and how many of them are the visitor's.
async fn listed(visitor: &mut Browser) -> (usize, usize) {
    let list = visitor.step(sessions_of("u")).await;
    let list = list.as_array().cloned().unwrap();
    (list.len(), list.iter().filter(|session| session["current"] == true).count())
}

/// The browser drops the response to the first click. Which of the two commits first is open.
async fn of_two_overlapping_sign_ins_each_answer_signs_in(server: Server) {
    for _ in 0..10 {
        let visitor = guest(&server).await;
        let (first, second) = (visitor.start(sign_in()), visitor.start(sign_in()));
        let (_, dropped) = first.await.unwrap();
        let (reply, mut after) = second.await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.set_cookies().len()), (200, 1));
        assert_ne!(cookie(&after), cookie(&visitor));
        assert_ne!(cookie(&after), cookie(&dropped));
        assert!(is_signed_in(&mut after).await);
        assert_eq!(listed(&mut after).await.1, 1);
    }
}

/// A holder of an old token of the session must not get the new one.
async fn a_regenerate_that_a_sign_in_overtakes_gets_no_cookie(server: Server) {
    let late = [get("cart"), sleep(400), put("user", "eve"), Step::Regenerate];
    let mut old = guest(&server).await;
    let mut visitor = old.clone();
    let slow = old.start(late.clone());
    tokio::time::sleep(Duration::from_millis(40)).await;
    visitor.run(sign_in()).await;
    let (overtaken, _) = slow.await.unwrap();
    let repeated = old.run(&late).await;
    for reply in [overtaken, repeated] {
        assert_eq!((reply.status.as_u16(), reply.set_cookies()), (200, Vec::new()));
    }
    assert_eq!(old.step(Step::All).await, json!({}));
    assert!(is_signed_in(&mut visitor).await);
}

/// The poll commits while its touch is due, which earns a cookie of the token that it came with.
async fn a_slow_poll_leaves_the_cookie_of_a_login_alone(server: Server) {
    let mut visitor = guest(&server).await;
    server.clock.advance(Duration::from_mins(30));
    let poll = [put("progress", 1), Step::Commit, sleep(400), put("progress", 2)];
    let slow = visitor.start(poll);
    tokio::time::sleep(Duration::from_millis(40)).await;
    visitor.run(sign_in()).await;
    let (reply, _) = slow.await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.set_cookies()), (200, Vec::new()));
    assert!(is_signed_in(&mut visitor).await);
}

async fn a_late_second_logout_spares_the_next_login(server: Server) {
    let mut visitor = guest(&server).await;
    let logout = [get("cart"), sleep(400), Step::Destroy];
    let late = visitor.start(logout);
    tokio::time::sleep(Duration::from_millis(40)).await;
    let goodbye = flash([("m", "goodbye")]);
    visitor.run([Step::Destroy, goodbye]).await;
    visitor.run(sign_in()).await;
    let (reply, _) = late.await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.set_cookies()), (200, Vec::new()));
    assert!(is_signed_in(&mut visitor).await);
}

async fn ending_the_others_spares_whoever_signs_in_beside_it(server: Server) {
    let owner = set_owner("u");
    let others = destroy_others("u");
    let scripts = [
        vec![owner.clone(), others.clone()],
        vec![others.clone(), owner.clone()],
        vec![owner.clone(), Step::Regenerate, others.clone()],
        vec![owner, Step::Commit, others],
    ];
    for script in scripts {
        let (mut here, mut there) = (guest(&server).await, guest(&server).await);
        here.run(sign_in()).await;
        there.run(sign_in()).await;
        let reply = here.run(&script).await;
        assert_eq!(reply.values().len(), script.len());
        assert!(is_signed_in(&mut here).await, "{script:?}");
        assert!(!is_signed_in(&mut there).await, "{script:?}");
        assert_eq!(listed(&mut here).await, (1, 1), "{script:?}");
        here.step(Step::Destroy).await;
    }
}

#[tokio::test]
async fn an_earned_cookie_is_sent_when_the_last_commit_fails() {
    for setup in Setup::all() {
        let server = Server::start_with(setup, |builder| builder.max_bytes(10_000)).await;
        let mut visitor = guest(&server).await;
        let before = cookie(&visitor);
        // More than four cookies hold.
        let large = put("late", "x".repeat(30_000));
        let script = [put("user", "virk"), Step::Regenerate, Step::Commit, large];
        let reply = visitor.run(&script).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (500, 0), "{setup:?}");
        assert_eq!(reply.set_cookies().len(), 1, "{setup:?}");
        assert_ne!(cookie(&visitor), before);
        assert!(is_signed_in(&mut visitor).await, "{setup:?}");
        assert_eq!(visitor.step(get("late")).await, Value::Null);
    }
}

async fn no_change_of_a_late_session_is_taken(server: Server) {
    let mut visitor = guest(&server).await;
    let changes = [
        put("cart", 2),
        increment("cart"),
        forget("cart"),
        pull("cart"),
        Step::Clear,
        update_push("list", 1),
        flash([("m", 1)]),
        Step::Regenerate,
        Step::Destroy,
    ];
    let reply = visitor.run_late(&changes).await;
    assert_eq!((reply.status.as_u16(), reply.set_cookies()), (200, Vec::new()));
    for (index, step) in changes.iter().enumerate() {
        assert_eq!(reply.error(index).code, "committed", "{step:?}");
    }
    let reading = [get("cart"), has("list"), Step::IsNew];
    let reply = visitor.run_late(&reading).await;
    let read = reply.values();
    assert_eq!(read, [json!(1), json!(false), json!(false)]);
    assert_eq!(visitor.step(Step::All).await, json!({"cart": 1}));
}

async fn exact_changes_of_a_late_session_come_too_late(server: Server) {
    let mut visitor = guest(&server).await;
    let script = [increment_now("cart"), take("cart"), set_owner("u")];
    let reply = visitor.run_late(&script).await;
    for index in 0..3 {
        assert_eq!(reply.error(index).code, "committed", "{index}");
    }
    assert_eq!(visitor.step(Step::All).await, json!({"cart": 1}));
}

/// The page of a HEAD request is not shown.
async fn no_head_request_consumes_flash(server: Server) {
    let mut visitor = guest(&server).await;
    let message = flash_message("m");
    visitor.step(flash([("m", "saved")])).await;
    for script in [vec![], vec![message.clone()], vec![put("seen", 1), Step::Commit]] {
        let head = Sent::method(Method::HEAD);
        let reply = visitor.run_with(&script, head).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
    }
    assert_eq!(visitor.step(message.clone()).await, "saved");
    assert_eq!(visitor.step(message).await, Value::Null);
}
