//! Operations on values, each seen by the *next* request.

use cloakroom_tests::server::Server;
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

/// Regression 1: a mutator that forgets to mark the session changed.
async fn every_mutation_is_seen_by_the_next_request(server: Server) {
    let start = json!({"n": 5, "list": [1], "gone": true, "user": {"theme": "dark", "name": "v"}});
    let rows = [
        (json!({"do": "put", "key": "new", "value": 1}), "new", json!(1)),
        (json!({"do": "put", "key": "user.theme", "value": "light"}), "user.theme", json!("light")),
        (json!({"do": "increment", "key": "n"}), "n", json!(6)),
        (json!({"do": "increment", "key": "n", "by": 5}), "n", json!(10)),
        (json!({"do": "decrement", "key": "n"}), "n", json!(4)),
        (json!({"do": "decrement", "key": "n", "by": 2}), "n", json!(3)),
        (json!({"do": "forget", "key": "gone"}), "gone", Value::Null),
        (json!({"do": "forget", "key": "user.name"}), "user.name", Value::Null),
        (json!({"do": "pull", "key": "gone"}), "gone", Value::Null),
        (json!({"do": "update_push", "key": "list", "value": 2}), "list", json!([1, 2])),
        (json!({"do": "update_push", "key": "fresh", "value": 2}), "fresh", json!([2])),
        (json!({"do": "clear"}), "n", Value::Null),
        (json!({"do": "destroy"}), "n", Value::Null),
        (json!({"do": "regenerate"}), "n", json!(5)),
    ];
    for (step, key, expected) in &rows {
        let mut visitor = server.client();
        let puts = start.as_object().unwrap().iter();
        let puts: Vec<_> =
            puts.map(|(key, value)| json!({"do": "put", "key": key, "value": value})).collect();
        visitor.script(&Value::Array(puts)).await;
        visitor.step(step.clone()).await;
        let seen = visitor.step(json!({"do": "get", "key": key})).await;
        assert_eq!(seen, *expected, "after {step}");
    }
    println!("mutations seen by the next request: {}/{}", rows.len(), rows.len());
}

async fn falsy_values_survive(server: Server) {
    let mut visitor = server.client();
    for value in [json!(false), json!(0), json!(""), json!([]), json!({})] {
        visitor.step(json!({"do": "put", "key": "k", "value": value})).await;
        assert_eq!(visitor.step(json!({"do": "get", "key": "k", "default": "d"})).await, value);
        assert_eq!(visitor.step(json!({"do": "has", "key": "k"})).await, true);
    }
}

async fn defaults_are_given_where_nothing_is_stored(server: Server) {
    let mut visitor = server.client();
    assert_eq!(visitor.step(json!({"do": "get", "key": "k", "default": "guest"})).await, "guest");
    assert_eq!(visitor.step(json!({"do": "get", "key": "k"})).await, Value::Null);
    assert_eq!(visitor.step(json!({"do": "pull", "key": "k", "default": 7})).await, 7);
    assert_eq!(visitor.step(json!({"do": "all"})).await, json!({}));
    assert!(visitor.jar.is_empty(), "reading sets no cookie");
}

async fn errors_carry_their_words_and_later_steps_go_on(server: Server) {
    let reply = server
        .client()
        .script(&json!([
            {"do": "put", "key": "s", "value": "text"},
            {"do": "increment", "key": "s"},
            {"do": "put", "key": "s.below", "value": 1},
            {"do": "get_as", "key": "s", "type": "i64"},
            {"do": "put", "key": "max", "value": i64::MAX},
            {"do": "increment", "key": "max"},
            {"do": "flash_all"},
            {"do": "juggle"},
            {"do": "get", "key": "s"},
        ]))
        .await;
    let words: Vec<_> = [1, 2, 3, 5, 6, 7].map(|step| reply.error(step)).into();
    let expected = ["not_a_number", "not_an_object", "decode", "overflow", "no_input", "bad_step"];
    assert_eq!(words, expected);
    assert_eq!(reply.result(8), "text");
}

async fn dotted_keys_address_nested_objects(server: Server) {
    let mut visitor = server.client();
    visitor.step(json!({"do": "put", "key": "user.settings.theme", "value": "dark"})).await;
    assert_eq!(
        visitor.step(json!({"do": "get", "key": "user"})).await,
        json!({"settings": {"theme": "dark"}})
    );
    visitor.step(json!({"do": "increment", "key": "user.visits", "by": 3})).await;
    assert_eq!(visitor.step(json!({"do": "get", "key": "user.visits"})).await, 3);
}

/// 64 KiB of dots once overflowed the stack and aborted the process.
async fn keys_beyond_a_limit_are_errors_and_the_process_lives(server: Server) {
    let mut visitor = server.client();
    let (dots, deep, long) = (".".repeat(64 * 1024), ["s"; 33].join("."), "k".repeat(1025));
    for key in [&dots, &deep, &long] {
        for mut step in [
            json!({"do": "put", "value": 1}),
            json!({"do": "get"}),
            json!({"do": "increment"}),
            json!({"do": "decrement"}),
            json!({"do": "forget"}),
            json!({"do": "pull"}),
            json!({"do": "update_push", "value": 1}),
        ] {
            step["key"] = json!(key);
            let refused = visitor.step(step.clone()).await;
            assert_eq!(refused["err"], "bad_key", "{}", step["do"]);
            let message = refused["message"].as_str().unwrap();
            assert!(message.len() < 300 && message.contains("at most"), "{message}");
        }
        assert_eq!(visitor.step(json!({"do": "has", "key": key})).await, false);
    }
    for step in ["increment_now", "take"] {
        let refused = visitor.step(json!({"do": step, "key": dots})).await;
        assert_eq!(refused["err"], "bad_key", "{step}");
    }
    for step in [
        json!({"do": "put_literal", "key": long, "value": 1}),
        json!({"do": "get_literal", "key": long}),
    ] {
        assert_eq!(visitor.step(step).await["err"], "bad_key");
    }
    assert!(visitor.jar.is_empty(), "nothing was kept");
    let longest = ["s"; 32].join(".");
    let script = json!([{"do": "put", "key": longest, "value": 1}, {"do": "get", "key": longest}]);
    assert_eq!(visitor.script(&script).await.result(1), 1, "the limits themselves are accepted");
}

async fn a_literal_key_names_one_member_whatever_dots_it_has(server: Server) {
    let mut visitor = server.client();
    let article = "..A.17.";
    let put = json!({"do": "put_literal", "key": article, "value": 2});
    visitor.script(&json!([put, {"do": "put", "key": "a.b", "value": 1}])).await;
    assert_eq!(visitor.step(json!({"do": "get_literal", "key": article})).await, 2);
    assert_eq!(visitor.step(json!({"do": "get_literal", "key": "a.b"})).await, Value::Null);
    assert_eq!(visitor.step(json!({"do": "get", "key": article})).await, Value::Null);
    assert_eq!(visitor.step(json!({"do": "all"})).await, json!({article: 2, "a": {"b": 1}}));
}

async fn counting_is_exact_and_refuses_what_is_no_number(server: Server) {
    let mut visitor = server.client();
    visitor.step(json!({"do": "put", "key": "half", "value": 1.5})).await;
    assert_eq!(visitor.step(json!({"do": "increment", "key": "half"})).await, 2.5);
    let count = json!({"do": "repeat", "times": 100, "steps": [{"do": "increment", "key": "n"}]});
    visitor.step(count).await;
    assert_eq!(visitor.step(json!({"do": "get", "key": "n"})).await, 100);
}

async fn a_wrong_type_is_an_error_and_the_value_stays(server: Server) {
    let mut visitor = server.client();
    visitor.step(json!({"do": "put", "key": "k", "value": "yes"})).await;
    let wrong = visitor.step(json!({"do": "get_as", "key": "k", "type": "bool"})).await;
    assert_eq!(wrong["err"], "decode");
    assert!(wrong["message"].as_str().unwrap().contains("`k`"));
    assert_eq!(visitor.step(json!({"do": "get_as", "key": "k", "type": "string"})).await, "yes");
}

// Requirement 55: the exact store calls are counted beside the core.
async fn a_thousand_mutations_are_one_commit(server: Server) {
    let mut visitor = server.client();
    let steps = json!([
        {"do": "repeat", "times": 500, "steps": [
            {"do": "increment", "key": "n"}, {"do": "put", "key": "k", "value": "v"},
        ]},
        {"do": "get", "key": "n"},
    ]);
    let reply = visitor.script(&steps).await;
    assert_eq!(reply.result(1), 500);
    assert_eq!(reply.set_cookies().len(), 1);
}
