//! Schedules of concurrent and repeated requests whose result used to be wrong in silence.

use std::collections::BTreeSet;

use cloakroom_tests::{
    browser::{Browser, Reply, Sent},
    server::Server,
    step::{
        Step, destroy_others, flash, flash_message, get, increment, increment_now, put,
        sessions_of, set_owner, take,
    },
};
use serde_json::{Value, json};

server_side! {
    a_double_click_on_sign_in_signs_in,
    a_mere_regenerate_of_an_ended_session_sets_no_cookie,
    a_new_owner_and_destroy_others_leave_the_visitor_signed_in,
    numbers_that_decide_are_given_once,
    a_limit_lets_through_as_many_as_it_says,
    a_value_that_counts_once_is_taken_once,
    a_crowd_on_one_session_is_counted_exactly,
}

every_driver! {
    a_cookie_that_a_commit_has_earned_survives_a_panic,
    a_session_first_asked_for_in_the_body_is_read_only,
    flash_in_a_late_session_waits_for_the_next_page,
    a_head_request_does_not_consume_flash,
}

crate::on_drivers! { Cookie; what_decides_is_unsupported_where_nothing_is_compared }

fn sign_in(user: &str) -> [Step; 3] {
    [put("user", user), set_owner("u"), Step::Regenerate]
}

async fn visitor(server: &Server) -> Browser {
    server.browser_with([put("cart", 1)]).await
}

/// Sends the same steps from clones of the visitor at once.
async fn all_at_once<const N: usize>(
    visitor: &Browser,
    count: usize,
    steps: [Step; N],
) -> Vec<Value> {
    let requests: Vec<_> = (0..count).map(|_| visitor.start(&steps)).collect();
    let mut results = Vec::new();
    for request in requests {
        let (reply, _) = request.await.unwrap();
        results.push(reply.values().pop().unwrap());
    }
    results
}

async fn a_double_click_on_sign_in_signs_in(server: Server) {
    let before = visitor(&server).await;
    // The response to the first click is lost, and with it the new cookie.
    let mut lost = before.clone();
    lost.run(sign_in("first")).await;
    let mut second = before.clone();
    let reply = second.run(sign_in("second")).await;
    assert_eq!(reply.set_cookies().len(), 1, "a fresh token");
    let all = second.step(Step::All).await;
    assert_eq!(all, json!({"user": "second"}), "on an empty record");
    let sessions = second.step(sessions_of("u")).await;
    assert_eq!(sessions.as_array().map(Vec::len), Some(2));
}

async fn a_mere_regenerate_of_an_ended_session_sets_no_cookie(server: Server) {
    let before = visitor(&server).await;
    before.clone().run(sign_in("first")).await;
    let mut late = before.clone();
    let steps = [put("late", 1), Step::Regenerate];
    assert!(late.run(&steps).await.set_cookies().is_empty());
}

async fn a_new_owner_and_destroy_others_leave_the_visitor_signed_in(server: Server) {
    let (mut here, mut there) = (visitor(&server).await, visitor(&server).await);
    here.run(sign_in("here")).await;
    there.run(sign_in("there")).await;
    let steps = [set_owner("u"), destroy_others("u")];
    let reply = here.run(&steps).await;
    assert_eq!(reply.value(1), 1);
    assert_eq!(here.step(get("user")).await, "here");
    assert_eq!(there.step(get("user")).await, Value::Null);
}

async fn numbers_that_decide_are_given_once(server: Server) {
    let visitor = visitor(&server).await;
    let steps = [put("other", 1), increment_now("n")];
    let results = all_at_once(&visitor, 30, steps).await;
    let numbers: BTreeSet<_> = results.iter().filter_map(Value::as_i64).collect();
    assert_eq!(numbers, (1..=30).collect());
}

async fn a_limit_lets_through_as_many_as_it_says(server: Server) {
    let visitor = visitor(&server).await;
    let attempt = [increment_now("attempts")];
    let results = all_at_once(&visitor, 30, attempt).await;
    let passed = results.iter().filter_map(Value::as_i64).filter(|number| *number <= 5).count();
    assert_eq!(passed, 5);
}

async fn a_value_that_counts_once_is_taken_once(server: Server) {
    let mut visitor = visitor(&server).await;
    visitor.step(put("code", "1234")).await;
    let results = all_at_once(&visitor, 10, [take("code")]).await;
    let taken = results.iter().filter(|value| *value == "1234").count();
    let nothing = results.iter().filter(|value| value.is_null()).count();
    assert_eq!((taken, nothing), (1, 9), "{results:?}");
}

async fn a_crowd_on_one_session_is_counted_exactly(server: Server) {
    let mut visitor = visitor(&server).await;
    let crowd: Vec<_> = (0..32)
        .map(|_| {
            let mut visitor = visitor.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    let reply = visitor.run([increment("n")]).await;
                    assert_eq!(reply.status, 200);
                }
            })
        })
        .collect();
    for connection in crowd {
        connection.await.unwrap();
    }
    assert_eq!(visitor.step(get("n")).await, 1_600);
}

async fn what_decides_is_unsupported_where_nothing_is_compared(server: Server) {
    let mut visitor = visitor(&server).await;
    let steps = [increment_now("n"), take("cart")];
    let reply = visitor.run(&steps).await;
    assert_eq!(
        (reply.error(0).code.as_str(), reply.error(1).code.as_str()),
        ("unsupported", "unsupported")
    );
}

async fn a_cookie_that_a_commit_has_earned_survives_a_panic(server: Server) {
    let mut visitor = visitor(&server).await;
    let steps = [put("user", "virk"), Step::Regenerate, Step::Commit, put("half", 1), Step::Panic];
    let reply = visitor.run(&steps).await;
    assert_eq!((reply.status.as_u16(), reply.set_cookies().len()), (500, 1));
    let all = visitor.step(Step::All).await;
    assert_eq!(all, json!({"cart": 1, "user": "virk"}));
}

/// Runs steps in the body of `/late`.
async fn late(visitor: &mut Browser, steps: &[Step]) -> Reply {
    let reply = visitor.run_late(steps).await;
    assert!(reply.set_cookies().is_empty());
    reply
}

async fn a_session_first_asked_for_in_the_body_is_read_only(server: Server) {
    let mut visitor = visitor(&server).await;
    let steps = [get("cart"), put("late", 1), flash([("m", 1)]), Step::Regenerate, Step::Destroy];
    let reply = late(&mut visitor, &steps).await;
    assert_eq!(reply.value(0), 1);
    assert_eq!([1, 2, 3, 4].map(|index| reply.error(index).code), ["committed"; 4]);
    assert_eq!(visitor.step(Step::All).await, json!({"cart": 1}));
}

async fn flash_in_a_late_session_waits_for_the_next_page(server: Server) {
    let mut visitor = visitor(&server).await;
    visitor.step(flash([("m", "hello")])).await;
    let message = [flash_message("m")];
    assert_eq!(late(&mut visitor, &message).await.value(0), Value::Null);
    assert_eq!(visitor.run(&message).await.value(0), "hello");
    assert_eq!(visitor.run(&message).await.value(0), Value::Null);
}

async fn a_head_request_does_not_consume_flash(server: Server) {
    let mut visitor = visitor(&server).await;
    visitor.step(flash([("m", "hello")])).await;
    let message = [flash_message("m")];
    let head = Sent::method(http::Method::HEAD);
    visitor.run_with(&message, head).await;
    assert_eq!(visitor.run(&message).await.value(0), "hello");
    assert_eq!(visitor.run(&message).await.value(0), Value::Null);
}
