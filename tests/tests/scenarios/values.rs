//! Operations on values, each seen by the *next* request.

use cloakroom_tests::{
    browser::{Sent, StepError},
    server::Server,
    step::{
        Step, Type, decrement, decrement_by, forget, get, get_as, get_literal, get_or, has,
        increment, increment_by, increment_now, pull, pull_or, put, put_literal, repeat, take,
        update_push,
    },
};
use serde_json::{Value, json};

every_driver! {
    every_mutation_is_seen_by_the_next_request,
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
