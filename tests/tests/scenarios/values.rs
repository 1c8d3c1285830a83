//! Operations on values, each seen by the *next* request.

use std::time::Duration;

use cloakroom_tests::{
    browser::{Sent, StepError},
    server::Server,
    step::{
        Step, Type, decrement, decrement_by, except, forget, get, get_as, get_literal, get_or,
        get_or_put, has, has_any, increment, increment_by, increment_now, missing, only, pull,
        pull_or, push, put, put_all, put_for, put_literal, remember, repeat, replace, take,
        update_push,
    },
};
use serde_json::{Value, json};

every_driver! {
    every_mutation_is_seen_by_the_next_request,
    every_change_of_several_values_is_seen_by_the_next_request,
    several_values_are_read_at_once,
    discarded_changes_are_not_committed,
    a_value_with_a_time_is_gone_after_it,
    a_change_that_changes_nothing_sets_no_cookie,
    falsy_values_survive,
    defaults_are_given_where_nothing_is_stored,
    errors_carry_their_words_and_later_steps_go_on,
    dotted_keys_address_nested_objects,
    keys_beyond_a_limit_are_errors_and_the_process_lives,
    a_literal_key_names_one_member_whatever_dots_it_has,
    counting_is_exact_and_refuses_what_is_no_number,
    a_wrong_type_is_an_error_and_the_value_stays,
    a_thousand_mutations_are_one_commit,
}

/// A mutator that forgets to mark the session changed.
async fn every_mutation_is_seen_by_the_next_request(server: Server) {
    let user = json!({"theme": "dark", "name": "v"});
    let start = [put("n", 5), put("list", [1]), put("gone", true), put("user", user)];
    let rows = [
        (put("new", 1), "new", json!(1)),
        (put("user.theme", "light"), "user.theme", json!("light")),
        (increment("n"), "n", json!(6)),
        (increment_by("n", 5), "n", json!(10)),
        (decrement("n"), "n", json!(4)),
        (decrement_by("n", 2), "n", json!(3)),
        (forget("gone"), "gone", Value::Null),
        (forget("user.name"), "user.name", Value::Null),
        (pull("gone"), "gone", Value::Null),
        (update_push("list", 2), "list", json!([1, 2])),
        (update_push("fresh", 2), "fresh", json!([2])),
        (Step::Clear, "n", Value::Null),
        (Step::Destroy, "n", Value::Null),
        (Step::Regenerate, "n", json!(5)),
    ];
    for (step, key, expected) in &rows {
        let mut visitor = server.browser_with(&start).await;
        visitor.step(step.clone()).await;
        let seen = visitor.step(get(key)).await;
        assert_eq!(seen, *expected, "after {step:?}");
    }
}

/// Each step's own value, and the values of the next request.
async fn every_change_of_several_values_is_seen_by_the_next_request(server: Server) {
    let start = put_all([("n", json!(5)), ("list", json!([1]))]);
    let after = |change: Value| {
        let mut all = json!({"n": 5, "list": [1]});
        all.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        all
    };
    let null = Value::Null;
    let rows = [
        (put_all([("n", 6), ("a.b", 1)]), null.clone(), after(json!({"n": 6, "a.b": 1}))),
        (replace([("n", 6)]), null.clone(), json!({"n": 6})),
        (get_or_put("n", 1), json!(5), after(json!({}))),
        (get_or_put("new.x", 1), json!(1), after(json!({"new": {"x": 1}}))),
        (remember("n", 1), json!(5), after(json!({}))),
        (remember("new.x", 1), json!(1), after(json!({"new": {"x": 1}}))),
        (push("list", json!({"x": 2})), null.clone(), after(json!({"list": [1, {"x": 2}]}))),
        (push("fresh", 2), null.clone(), after(json!({"fresh": [2]}))),
        (put_for("code", 7, 60_000), null, after(json!({"code": 7}))),
    ];
    for (step, own, expected) in rows {
        let mut visitor = server.browser_with(std::slice::from_ref(&start)).await;
        assert_eq!(visitor.step(step.clone()).await, own, "{step:?}");
        assert_eq!(visitor.step(Step::All).await, expected, "after {step:?}");
    }
}

async fn several_values_are_read_at_once(server: Server) {
    let mut visitor = server.browser_with([put_all([("a", 1), ("b", 2), ("c.d", 3)])]).await;
    let reads = [
        (only(["a", "c.d", "none"]), json!({"a": 1, "c.d": 3})),
        (except(["a", "c.d", "none"]), json!({"b": 2})),
        (has_any(["none", "b"]), json!(true)),
        (has_any(["none", "c.d"]), json!(false)),
        (missing("none"), json!(true)),
        (missing("a"), json!(false)),
        (Step::IsModified, json!(false)),
    ];
    let reply = visitor.run(reads.clone().map(|(step, _)| step)).await;
    for ((step, expected), found) in reads.into_iter().zip(reply.values()) {
        assert_eq!(found, expected, "{step:?}");
    }
    assert!(reply.set_cookies().is_empty(), "reading changes nothing");
}

/// `reload` discards them as well, also on the cookie driver, which has no record to read.
async fn discarded_changes_are_not_committed(server: Server) {
    for discard in [Step::DiscardChanges, Step::Reload] {
        let mut visitor = server.browser_with([put("n", 5)]).await;
        let steps = [put("n", 6), Step::IsModified, discard, get("n"), Step::IsModified];
        let reply = visitor.run(steps).await;
        assert_eq!(reply.values()[1..], [json!(true), Value::Null, json!(5), json!(false)]);
        assert!(reply.set_cookies().is_empty());
        assert_eq!(visitor.step(get("n")).await, 5);
    }
}

async fn a_value_with_a_time_is_gone_after_it(server: Server) {
    let mut visitor = server.browser_with([put_for("code", 7, 60_000), put("n", 5)]).await;
    server.clock.advance(Duration::from_secs(59));
    assert_eq!(visitor.step(get("code")).await, 7);
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(visitor.step(Step::All).await, json!({"n": 5}));
    visitor.step(increment("code")).await;
    assert_eq!(visitor.step(Step::All).await, json!({"n": 5, "code": 1}));
}

async fn a_change_that_changes_nothing_sets_no_cookie(server: Server) {
    let mut visitor = server.browser_with([put("user", json!({"name": "virk"}))]).await;
    let steps = [put("user.name", "virk"), forget("none"), forget("user.none"), pull("none")];
    for step in steps {
        let reply = visitor.run([step.clone()]).await;
        reply.values();
        assert_eq!(reply.set_cookies(), [""; 0], "{step:?}");
    }
    assert_eq!(visitor.step(Step::All).await, json!({"user": {"name": "virk"}}));
}

async fn falsy_values_survive(server: Server) {
    let mut visitor = server.browser();
    for value in [json!(false), json!(0), json!(""), json!([]), json!({})] {
        visitor.step(put("k", &value)).await;
        assert_eq!(visitor.step(get_or("k", "d")).await, value);
        assert_eq!(visitor.step(has("k")).await, true);
    }
}

async fn defaults_are_given_where_nothing_is_stored(server: Server) {
    let mut visitor = server.browser();
    assert_eq!(visitor.step(get_or("k", "guest")).await, "guest");
    assert_eq!(visitor.step(get("k")).await, Value::Null);
    assert_eq!(visitor.step(pull_or("k", 7)).await, 7);
    assert_eq!(visitor.step(Step::All).await, json!({}));
    assert!(visitor.jar.is_empty(), "reading sets no cookie");
}

async fn errors_carry_their_words_and_later_steps_go_on(server: Server) {
    let steps = [
        put("s", "text"),
        increment("s"),
        put("s.below", 1),
        get_as("s", Type::I64),
        put("max", i64::MAX),
        increment("max"),
        Step::FlashAll,
        get("s"),
    ];
    let reply = server.browser().run(steps).await;
    let words = [1, 2, 3, 5, 6].map(|step| reply.error(step).code);
    assert_eq!(words, ["not_a_number", "not_an_object", "decode", "overflow", "no_input"]);
    assert_eq!(reply.value(7), "text");
    let unknown = Sent::with("x-script", r#"[{"do": "juggle"}, {"do": "is_new"}]"#);
    let reply = server.browser().send("/script", unknown).await;
    assert_eq!(reply.error(0).code, "bad_step");
    assert_eq!(reply.value(1), true);
}

async fn dotted_keys_address_nested_objects(server: Server) {
    let mut visitor = server.browser_with([put("user.settings.theme", "dark")]).await;
    assert_eq!(visitor.step(get("user")).await, json!({"settings": {"theme": "dark"}}));
    visitor.step(increment_by("user.visits", 3)).await;
    assert_eq!(visitor.step(get("user.visits")).await, 3);
}

/// 64 KiB of dots once overflowed the stack and aborted the process.
async fn keys_beyond_a_limit_are_errors_and_the_process_lives(server: Server) {
    let mut visitor = server.browser();
    let (dots, deep, long) = (".".repeat(64 * 1024), ["s"; 33].join("."), "k".repeat(1025));
    for key in [&dots, &deep, &long] {
        let steps = [
            put(key, 1),
            get(key),
            increment(key),
            decrement(key),
            forget(key),
            pull(key),
            update_push(key, 1),
        ];
        for step in steps {
            let StepError { code, message } = visitor.run([step]).await.error(0);
            assert_eq!(code, "bad_key");
            assert!(message.len() < 300 && message.contains("at most"), "{message}");
        }
        assert_eq!(visitor.step(has(key)).await, false);
    }
    let steps = [increment_now(&dots), take(&dots), put_literal(&long, 1), get_literal(&long)];
    for step in steps {
        assert_eq!(visitor.run([step]).await.error(0).code, "bad_key");
    }
    assert!(visitor.jar.is_empty(), "nothing was kept");
    let longest = ["s"; 32].join(".");
    let script = [put(&longest, 1), get(&longest)];
    assert_eq!(visitor.run(&script).await.value(1), 1, "the limits themselves are accepted");
}

async fn a_literal_key_names_one_member_whatever_dots_it_has(server: Server) {
    let mut visitor = server.browser();
    let article = "..A.17.";
    visitor.run([put_literal(article, 2), put("a.b", 1)]).await;
    assert_eq!(visitor.step(get_literal(article)).await, 2);
    assert_eq!(visitor.step(get_literal("a.b")).await, Value::Null);
    assert_eq!(visitor.step(get(article)).await, Value::Null);
    assert_eq!(visitor.step(Step::All).await, json!({article: 2, "a": {"b": 1}}));
}

async fn counting_is_exact_and_refuses_what_is_no_number(server: Server) {
    let mut visitor = server.browser_with([put("half", 1.5)]).await;
    assert_eq!(visitor.step(increment("half")).await, 2.5);
    let count = repeat(100, [increment("n")]);
    visitor.step(count).await;
    assert_eq!(visitor.step(get("n")).await, 100);
}

async fn a_wrong_type_is_an_error_and_the_value_stays(server: Server) {
    let mut visitor = server.browser_with([put("k", "yes")]).await;
    let wrong = visitor.run([get_as("k", Type::Bool)]).await.error(0);
    assert_eq!(wrong.code, "decode");
    assert!(wrong.message.contains("`k`"));
    assert_eq!(visitor.step(get_as("k", Type::String)).await, "yes");
}

// The exact store calls are counted beside the core.
async fn a_thousand_mutations_are_one_commit(server: Server) {
    let mut visitor = server.browser();
    let steps = [repeat(500, [increment("n"), put("k", "v")]), get("n")];
    let reply = visitor.run(&steps).await;
    assert_eq!(reply.value(1), 500);
    assert_eq!(reply.set_cookies().len(), 1);
}
