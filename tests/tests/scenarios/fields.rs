//! Names of form fields: one reading, whoever stores, finds or drops a field.

use actix_web::web;
use axum::routing::post;
use cloakroom::{AppKeys, MemoryStore, Sessions, cookie::CookieSettings};
use cloakroom_tests::{
    client::{Client, Sent},
    probe,
    server::{DriverUnderTest, Framework, Server, Setup, serve, serve_actix},
};
use serde::Deserialize;
use serde_json::{Value, json};

every_driver! {
    flash_except_drops_a_field_however_it_is_spelled,
    flash_only_picks_a_field_however_it_is_spelled,
    errors_are_found_by_each_spelling,
    reflash_takes_fields_by_each_spelling,
    a_field_without_messages_has_no_error,
    messages_keep_their_order_and_are_kept_once,
    a_newer_form_replaces_the_older_one_whole,
    sixteen_batches_wait_and_the_oldest_goes,
    a_json_form_has_a_thousand_members_at_most,
    flash_except_drops_a_field_below_numbers_in_flat_names,
    half_of_a_newer_form_replaces_that_half_of_the_older_one,
    a_form_beyond_a_limit_is_refused,
    a_hundred_fields_with_errors_are_kept,
}

const FORM: &str = "user[name]=Virk&user[answer]=42&tags[]=a&tags[]=b&codes[]=1&codes[]=2\
    &items[0][answer]=42&items[0][q]=1&items[1][answer]=42&items[1][q]=2&dotted.name=d";

/// A request that is no page and reads no flash.
fn fetch() -> Sent {
    Sent::with("sec-fetch-mode", "cors")
}

async fn flashed(server: &Server, step: Value) -> Client {
    let mut visitor = server.client();
    let reply = visitor.script_with(&json!([step]), Sent::form(FORM)).await;
    assert_eq!(reply.result(0), Value::Null);
    visitor
}

async fn old(visitor: &mut Client, fields: &[&str]) -> Vec<Value> {
    let steps: Vec<_> = fields.iter().map(|key| json!({"do": "old", "key": key})).collect();
    let reply = visitor.script(&json!(steps)).await;
    (0..fields.len()).map(|index| reply.result(index)).collect()
}

async fn flash_except_drops_a_field_however_it_is_spelled(server: Server) {
    for dropped in [
        ["items.0.answer", "items.1.answer", "user.answer", "codes"],
        ["items[0][answer]", "items[1].answer", "user[answer]", "codes[]"],
        ["items[][answer]", "items", "user[answer][]", "codes[0]"],
    ] {
        let step = json!({"do": "flash_except", "fields": dropped});
        let mut visitor = flashed(&server, step).await;
        let fields = [
            "items.0.answer",
            "items[1][answer]",
            "user[answer]",
            "codes.0",
            "user[name]",
            "tags",
            "dotted[name]",
        ];
        let shown = old(&mut visitor, &fields).await;
        assert_eq!(shown[..4], [const { Value::Null }; 4], "{dropped:?}");
        assert_eq!(shown[4..], [json!("Virk"), json!(["a", "b"]), json!("d")], "{dropped:?}");
    }
    let step = json!({"do": "flash_except", "fields": ["items.0.answer", "dotted[name]"]});
    let mut visitor = flashed(&server, step).await;
    let fields = ["items[1][answer]", "items[0][q]", "dotted.name"];
    assert_eq!(old(&mut visitor, &fields).await, [json!("42"), json!("1"), Value::Null]);
}

async fn flash_except_drops_a_field_below_numbers_in_flat_names(server: Server) {
    for name in ["items.0.answer", "items[0.answer]", "items.0[answer]", "items[0][answer]"] {
        let mut visitor = server.client();
        let post = json!([{"do": "flash_except", "fields": ["items[][answer]"]}]);
        let form = Sent::form(&format!("{name}=42&name=Virk"));
        visitor.script_with(&post, form).await;
        let shown = old(&mut visitor, &[name, "name"]).await;
        assert_eq!(shown, [Value::Null, json!("Virk")], "{name}");
    }
}

async fn flash_only_picks_a_field_however_it_is_spelled(server: Server) {
    for picked in [["user[name]", "tags[]", "items[1][q]"], ["user.name", "tags", "items.1.q"]] {
        let step = json!({"do": "flash_only", "fields": picked});
        let mut visitor = flashed(&server, step).await;
        let fields = ["user.name", "tags[]", "items.1.q", "user[answer]", "items.0.q", "codes"];
        let mut expected = vec![json!("Virk"), json!(["a", "b"]), json!("2")];
        expected.extend([const { Value::Null }; 3]);
        assert_eq!(old(&mut visitor, &fields).await, expected, "{picked:?}");
    }
}

async fn errors_are_found_by_each_spelling(server: Server) {
    for stored in ["user[name]", "user.name", "user[name][]"] {
        let mut visitor = server.client();
        visitor.step(json!({"do": "with_errors", "errors": {stored: "is taken"}})).await;
        let page = json!([
            {"do": "get_error_for", "field": "user[name]"},
            {"do": "get_error_for", "field": "user.name"},
            {"do": "has_error_for", "field": "user[name][]"},
            {"do": "has_error_for", "field": "user"},
            {"do": "errors"},
        ]);
        let shown = visitor.script(&page).await;
        let shown: Vec<_> = (0..5).map(|index| shown.result(index)).collect();
        let all = json!({"user.name": ["is taken"]});
        assert_eq!(shown, [json!("is taken"), json!("is taken"), json!(true), json!(false), all]);
    }
    let mut visitor = server.client();
    visitor.step(json!({"do": "with_errors", "errors": {"user[name]": "is taken"}})).await;
    let template = "{{ get_error_for('user[name]') }}, {{ get_error_for('user.name') }}";
    let page = visitor.script(&json!([{"do": "render", "template": template}])).await;
    assert_eq!(page.text(), "is taken, is taken");
}

async fn reflash_takes_fields_by_each_spelling(server: Server) {
    for (step, kept) in [
        (
            json!({"do": "reflash_only", "keys": ["user[name]"]}),
            [json!("Virk"), Value::Null, json!(true), json!(false)],
        ),
        (
            json!({"do": "reflash_except", "keys": ["user[name]"]}),
            [Value::Null, json!("42"), json!(false), json!(true)],
        ),
    ] {
        let mut visitor = server.client();
        let errors = json!({"do": "with_errors", "errors": {"user.name": "a", "user.answer": "b"}});
        visitor.script_with(&json!([errors, {"do": "flash_all"}]), Sent::form(FORM)).await;
        visitor.step(step).await;
        let page = json!([
            {"do": "old", "key": "user.name"}, {"do": "old", "key": "user.answer"},
            {"do": "has_error_for", "field": "user.name"}, {"do": "has_error_for", "field": "user[answer]"},
        ]);
        let shown = visitor.script(&page).await;
        assert_eq!([0, 1, 2, 3].map(|index| shown.result(index)), kept);
    }
}

async fn a_field_without_messages_has_no_error(server: Server) {
    let mut visitor = server.client();
    visitor.step(json!({"do": "with_errors", "errors": {"name": []}})).await;
    let page = json!([
        {"do": "has_errors"}, {"do": "has_error_for", "field": "name"},
        {"do": "get_error_for", "field": "name"}, {"do": "errors"},
    ]);
    let shown = visitor.script(&page).await;
    let expected = [json!(false), json!(false), Value::Null, json!({})];
    assert_eq!([0, 1, 2, 3].map(|index| shown.result(index)), expected);
}

async fn messages_keep_their_order_and_are_kept_once(server: Server) {
    let mut visitor = server.client();
    let steps = json!([
        {"do": "with_errors", "errors": {"name": ["z", "a", "z"]}},
        {"do": "with_errors", "errors": [
            {"field": "name", "message": "m"}, {"field": "name[]", "message": "a"},
        ]},
    ]);
    visitor.script(&steps).await;
    assert_eq!(visitor.step(json!({"do": "errors"})).await, json!({"name": ["z", "a", "m"]}));
}

async fn a_newer_form_replaces_the_older_one_whole(server: Server) {
    let mut visitor = server.client();
    for (form, errors) in [("a=1&b=1", json!({"a": "x", "b": "x"})), ("b=2", json!({"b": "y"}))] {
        let post = json!([{"do": "with_errors", "errors": errors}, {"do": "flash_all"}]);
        let sent = Sent::form(form).and("sec-fetch-mode", "cors");
        visitor.script_with(&post, sent).await;
    }
    let page = json!([{"do": "old", "key": "a"}, {"do": "old", "key": "b"}, {"do": "errors"}]);
    let shown = visitor.script(&page).await;
    let expected = [Value::Null, json!("2"), json!({"b": ["y"]})];
    assert_eq!([0, 1, 2].map(|index| shown.result(index)), expected);

    // Kept flash is older, whether it is kept before or after this request's own.
    for reflash_first in [true, false] {
        visitor.script_with(&json!([{"do": "flash_all"}]), Sent::form("a=1&b=1")).await;
        let mut steps = [json!({"do": "reflash"}), json!({"do": "flash_all"})];
        if !reflash_first {
            steps.reverse();
        }
        visitor.script_with(&json!(steps), Sent::form("b=2")).await;
        assert_eq!(old(&mut visitor, &["a", "b"]).await, [Value::Null, json!("2")]);
    }
}

async fn half_of_a_newer_form_replaces_that_half_of_the_older_one(server: Server) {
    let page = json!([{"do": "old", "key": "a"}, {"do": "errors"}]);
    for (newer, expected) in [
        (json!({"do": "flash_all"}), [json!("2"), json!({"a": ["x"]})]),
        (json!({"do": "with_errors", "errors": {"b": "y"}}), [json!("1"), json!({"b": ["y"]})]),
    ] {
        let mut visitor = server.client();
        let older = json!([{"do": "with_errors", "errors": {"a": "x"}}, {"do": "flash_all"}]);
        for (steps, form) in [(older, "a=1"), (json!([newer]), "a=2")] {
            visitor.script_with(&steps, Sent::form(form).and("sec-fetch-mode", "cors")).await;
        }
        let shown = visitor.script(&page).await;
        assert_eq!([0, 1].map(|index| shown.result(index)), expected, "{newer}");
    }
}

async fn sixteen_batches_wait_and_the_oldest_goes(server: Server) {
    let mut visitor = server.client();
    for number in 0..20 {
        let flash = json!([{"do": "flash", "values": {format!("m{number}"): number}}]);
        visitor.script_with(&flash, fetch()).await;
    }
    let page: Vec<_> =
        (0..20).map(|number| json!({"do": "flash_message", "key": format!("m{number}")})).collect();
    let shown = visitor.script(&json!(page)).await;
    let shown: Vec<_> = (0..20).filter(|index| shown.result(*index) == *index).collect();
    assert_eq!(shown, (4..20).collect::<Vec<_>>());
}

async fn a_json_form_has_a_thousand_members_at_most(server: Server) {
    for (count, status) in [(999, 200), (1_000, 400)] {
        let members = (0..count).map(|number| (number.to_string(), json!(number)));
        let form = json!({"within": members.collect::<serde_json::Map<_, _>>()});
        let sent = Sent::body("application/json", form.to_string().as_bytes());
        let reply = server.client().script_with(&json!([]), sent).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert!(
            status == 200 || reply.text().contains("more than 1000 fields"),
            "{}",
            reply.text()
        );
    }
}

async fn a_form_beyond_a_limit_is_refused(server: Server) {
    let (longest, longer) = ("n".repeat(1_024), "n".repeat(1_025));
    let multipart = |name: &str| {
        let part = "content-disposition: form-data; name=";
        Sent::body(
            "multipart/form-data; boundary=x",
            format!("--x\r\n{part}\"{name}\"\r\n\r\n1\r\n--x--\r\n").as_bytes(),
        )
    };
    let urlencoded = |name: &str| Sent::form(&format!("{name}=1"));
    let json = |form: Value| Sent::body("application/json", form.to_string().as_bytes());
    let name = "longer than 1024 bytes";
    for (sent, refused) in [
        (urlencoded(&longest), None),
        (urlencoded(&longer), Some(name)),
        (multipart(&longest), None),
        (multipart(&longer), Some(name)),
        (json(json!({&longest: 1})), None),
        (json(json!({&longer: 1})), Some(name)),
        (json(json!({"n": {&longest: 1}})), Some(name)),
        (json(json!({"list": vec![0; 9_999]})), None),
        (json(json!({"list": vec![0; 10_000]})), Some("more than 10000 values")),
    ] {
        let reply = server.client().script_with(&json!([]), sent).await;
        let status = if refused.is_some() { 400 } else { 200 };
        assert_eq!(reply.status, status, "{}", reply.text());
        assert!(reply.text().contains(refused.unwrap_or_default()), "{}", reply.text());
    }
}

async fn a_hundred_fields_with_errors_are_kept(server: Server) {
    let mut visitor = server.client();
    let errors = |numbers: std::ops::Range<u32>| -> serde_json::Map<_, _> {
        numbers.map(|number| (format!("f{number:03}"), json!("is wrong"))).collect()
    };
    let steps = json!([
        {"do": "with_errors", "errors": errors(0..60)},
        {"do": "with_errors", "errors": errors(50..200)},
    ]);
    visitor.script(&steps).await;
    let shown = visitor.step(json!({"do": "errors"})).await;
    let shown: Vec<_> = shown.as_object().unwrap().keys().cloned().collect();
    assert_eq!(shown, errors(0..100).keys().cloned().collect::<Vec<_>>());
}

/// Large enough for no driver of these tests.
const LONG: usize = 14_000;

async fn small(setup: Setup) -> Server {
    Server::start_with(setup, |builder| match setup.driver {
        DriverUnderTest::Cookie => builder,
        _ => builder.max_bytes(LONG),
    })
    .await
}

#[tokio::test]
async fn old_input_that_does_not_fit_is_left_out_and_the_errors_stay() {
    for setup in Setup::all() {
        let server = small(setup).await;
        let mut visitor = server.client();
        visitor.step(json!({"do": "put", "key": "kept", "value": 1})).await;
        let form = format!("name=Virk&bio={}&user[city]=Oslo&tags[]=a", "x".repeat(LONG));
        let post = json!([
            {"do": "flash", "values": {"notice": "look again"}},
            {"do": "with_errors", "errors": {"name": "is taken"}},
            {"do": "flash_all"},
        ]);
        let sent = visitor.script_with(&post, Sent::form(&form)).await;
        assert_eq!(sent.status, 200, "{setup:?}: {}", sent.text());
        let page = json!([
            {"do": "old", "key": "bio"}, {"do": "old", "key": "name"},
            {"do": "old", "key": "user.city"}, {"do": "old", "key": "tags.0"},
            {"do": "get_error_for", "field": "name"}, {"do": "flash_message", "key": "notice"},
            {"do": "get", "key": "kept"},
        ]);
        let shown = visitor.script(&page).await;
        let shown: Vec<_> = (0..7).map(|index| shown.result(index)).collect();
        assert_eq!(
            json!(shown),
            json!([null, "Virk", "Oslo", "a", "is taken", "look again", 1]),
            "{setup:?}"
        );
    }
}

#[tokio::test]
async fn the_first_request_of_a_visitor_may_send_too_much_as_well() {
    for setup in Setup::all() {
        let server = small(setup).await;
        let mut visitor = server.client();
        let form: Vec<_> = (0..40).map(|n| format!("f{n}={}", "x".repeat(LONG / 20))).collect();
        let post = json!([{"do": "flash_all"}, {"do": "commit"}, {"do": "old", "key": "f0"}]);
        let sent = visitor.script_with(&post, Sent::form(&form.join("&"))).await;
        assert_eq!((sent.status.as_u16(), sent.result(1)), (200, Value::Null), "{setup:?}");
        let page: Vec<_> = (0..40).map(|n| json!({"do": "old", "key": format!("f{n}")})).collect();
        let shown = visitor.script(&json!(page)).await;
        let kept = (0..40).filter(|index| !shown.result(*index).is_null()).count();
        assert!((10..=20).contains(&kept), "{setup:?}: no more is left out than has to be: {kept}");
    }
}

#[derive(Deserialize)]
struct Profile {
    name: String,
    #[expect(dead_code, reason = "it is sent, and shown again where it fits")]
    bio: String,
}

fn taken(profile: &Profile) -> Result<(), [(&'static str, String); 1]> {
    Err([("name", format!("{} is taken", profile.name))])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what is sent is not a `Strict`")]
struct Strict {
    name: String,
}

/// An order of which each item is wrong, in a way that takes many words.
#[derive(Deserialize)]
struct Order {
    items: Vec<String>,
}

fn wrong_items(order: &Order) -> Result<(), Vec<(String, String)>> {
    let wrong = |index| (format!("items.{index}.quantity"), "must be less ".repeat(LONG / 500));
    Err((0..order.items.len()).map(wrong).collect())
}

mod on_axum {
    use super::*;
    use cloakroom::{Error, Input};

    type Reply = Result<&'static str, Error>;

    pub(super) async fn profile(input: Input<Profile>) -> Reply {
        input.check(taken).map(|_| "saved")
    }

    pub(super) async fn strict(input: Input<Strict>) -> Reply {
        input.valid().map(|_| "saved")
    }

    pub(super) async fn order(input: Input<Order>) -> Reply {
        input.check(wrong_items).map(|_| "saved")
    }
}

mod on_actix {
    use super::*;
    use cloakroom::{Error, Input};

    type Reply = Result<&'static str, Error>;

    pub(super) async fn profile(input: Input<Profile>) -> Reply {
        input.check(taken).map(|_| "saved")
    }

    pub(super) async fn strict(input: Input<Strict>) -> Reply {
        input.valid().map(|_| "saved")
    }

    pub(super) async fn order(input: Input<Order>) -> Reply {
        input.check(wrong_items).map(|_| "saved")
    }
}

/// Sends a form to the handler at `path` on every framework, with sessions that have little room, and
/// returns what the next page shows of `steps`.
async fn sent_back(path: &str, form: &str, steps: &Value) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    for framework in Framework::ALL {
        for builder in [
            Sessions::cookie(AppKeys::random()),
            Sessions::store(MemoryStore::new(), AppKeys::random()).max_bytes(LONG),
        ] {
            let sessions = builder.cookie_settings(CookieSettings::development()).build().unwrap();
            let (address, _serving) = match framework {
                Framework::Axum => {
                    let app = probe::axum::routes()
                        .route("/profile", post(on_axum::profile))
                        .route("/strict", post(on_axum::strict))
                        .route("/order", post(on_axum::order));
                    serve(app.layer(cloakroom::axum::SessionLayer::new(sessions))).await
                }
                Framework::Actix => serve_actix(move |app| {
                    let routes = web::scope("")
                        .route("/profile", web::post().to(on_actix::profile))
                        .route("/strict", web::post().to(on_actix::strict))
                        .route("/order", web::post().to(on_actix::order));
                    let layer = cloakroom::actix::SessionMiddleware::new(sessions.clone());
                    app.service(routes.configure(probe::actix::routes).wrap(layer));
                }),
            };
            let mut visitor = Client::new(address);
            let back = visitor.send(path, &Value::Null, Sent::form(form)).await;
            assert_eq!(back.status, 303, "{framework:?}: {}", back.text());
            let shown = visitor.script(steps).await;
            let count = steps.as_array().map_or(0, Vec::len);
            pages.push((0..count).map(|index| shown.result(index)).collect());
        }
    }
    pages
}

#[tokio::test]
async fn an_invalid_form_that_is_too_long_to_keep_sends_the_visitor_back() {
    let form = format!("name=Virk&bio={}", "x".repeat(LONG));
    let page = json!([
        {"do": "old", "key": "name"}, {"do": "old", "key": "bio"},
        {"do": "get_error_for", "field": "name"},
    ]);
    for shown in sent_back("/profile", &form, &page).await {
        assert_eq!(shown, [json!("Virk"), Value::Null, json!("Virk is taken")]);
    }
}

#[tokio::test]
async fn the_name_of_an_unknown_field_is_quoted_in_no_error() {
    let name = "unknown".repeat(100);
    let form = format!("name=Virk&{name}=1");
    for shown in sent_back("/strict", &form, &json!([{"do": "errors"}])).await {
        assert_eq!(shown, [json!({&name: ["is unknown; known are: name"]})]);
    }
}

#[tokio::test]
async fn errors_that_do_not_fit_are_left_out_last() {
    let form: Vec<_> = (0..900).map(|number| format!("items[]={number}")).collect();
    let page = json!([{"do": "errors"}, {"do": "old", "key": "items"}]);
    for shown in sent_back("/order", &form.join("&"), &page).await {
        let kept = shown[0].as_object().unwrap().len();
        assert!((10..100).contains(&kept), "no more are left out than have to be: {kept}");
        assert_eq!(shown[1], Value::Null, "input is left out first");
    }
}

/// A value is not old input: it is never left out.
#[tokio::test]
async fn a_value_that_does_not_fit_is_an_error_also_beside_old_input() {
    for setup in Setup::all() {
        let server = small(setup).await;
        let mut visitor = server.client();
        visitor.step(json!({"do": "put", "key": "kept", "value": 1})).await;
        let steps = json!([
            {"do": "flash_all"}, {"do": "put", "key": "big", "value": "x"},
            {"do": "repeat", "times": LONG / 1_000, "steps": [
                {"do": "update_push", "key": "list", "value": "x".repeat(1_000)},
            ]},
            {"do": "commit"},
        ]);
        let refused = visitor.script_with(&steps, Sent::form("name=Virk")).await;
        assert_eq!(refused.error(3), "too_large", "{setup:?}");
        assert_eq!(visitor.step(json!({"do": "get", "key": "kept"})).await, 1, "{setup:?}");
    }
}
