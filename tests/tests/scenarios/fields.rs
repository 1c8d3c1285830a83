//! Names of form fields are read alike where a field is stored, found or dropped.

use actix_web::web;
use axum::routing::post;
use cloakroom::{AppKeys, Driver, Error, Input, MemoryStore, Sessions, cookie::CookieSettings};
use cloakroom_tests::{
    browser::{Browser, Sent},
    probe,
    server::{DriverUnderTest, Framework, Server, Setup, serve, serve_actix},
    step::{
        Step, flash, flash_except, flash_message, flash_only, get, get_error_for, has_error_for,
        old, put, reflash_except, reflash_only, render, repeat, update_push, with_errors,
    },
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

async fn flashed(server: &Server, step: Step) -> Browser {
    let mut visitor = server.browser();
    let reply = visitor.run_with([step], Sent::form(FORM)).await;
    assert_eq!(reply.value(0), Value::Null);
    visitor
}

async fn old_of<const N: usize>(visitor: &mut Browser, fields: [&str; N]) -> Vec<Value> {
    visitor.run(fields.map(old)).await.values()
}

async fn flash_except_drops_a_field_however_it_is_spelled(server: Server) {
    for dropped in [
        ["items.0.answer", "items.1.answer", "user.answer", "codes"],
        ["items[0][answer]", "items[1].answer", "user[answer]", "codes[]"],
        ["items[][answer]", "items", "user[answer][]", "codes[0]"],
    ] {
        let step = flash_except(dropped);
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
        let shown = old_of(&mut visitor, fields).await;
        assert_eq!(shown[..4], [const { Value::Null }; 4], "{dropped:?}");
        assert_eq!(shown[4..], [json!("Virk"), json!(["a", "b"]), json!("d")], "{dropped:?}");
    }
    let step = flash_except(["items.0.answer", "dotted[name]"]);
    let mut visitor = flashed(&server, step).await;
    let fields = ["items[1][answer]", "items[0][q]", "dotted.name"];
    assert_eq!(old_of(&mut visitor, fields).await, [json!("42"), json!("1"), Value::Null]);
}

async fn flash_except_drops_a_field_below_numbers_in_flat_names(server: Server) {
    for name in ["items.0.answer", "items[0.answer]", "items.0[answer]", "items[0][answer]"] {
        let mut visitor = server.browser();
        let post = [flash_except(["items[][answer]"])];
        let form = Sent::form(&format!("{name}=42&name=Virk"));
        visitor.run_with(&post, form).await;
        let shown = old_of(&mut visitor, [name, "name"]).await;
        assert_eq!(shown, [Value::Null, json!("Virk")], "{name}");
    }
}

async fn flash_only_picks_a_field_however_it_is_spelled(server: Server) {
    for picked in [["user[name]", "tags[]", "items[1][q]"], ["user.name", "tags", "items.1.q"]] {
        let step = flash_only(picked);
        let mut visitor = flashed(&server, step).await;
        let fields = ["user.name", "tags[]", "items.1.q", "user[answer]", "items.0.q", "codes"];
        let mut expected = vec![json!("Virk"), json!(["a", "b"]), json!("2")];
        expected.extend([const { Value::Null }; 3]);
        assert_eq!(old_of(&mut visitor, fields).await, expected, "{picked:?}");
    }
}

async fn errors_are_found_by_each_spelling(server: Server) {
    for stored in ["user[name]", "user.name", "user[name][]"] {
        let mut visitor = server.browser_with([with_errors(json!({stored: "is taken"}))]).await;
        let page = [
            get_error_for("user[name]"),
            get_error_for("user.name"),
            has_error_for("user[name][]"),
            has_error_for("user"),
            Step::Errors,
        ];
        let shown = visitor.run(&page).await;
        let shown = shown.values();
        let all = json!({"user.name": ["is taken"]});
        assert_eq!(shown, [json!("is taken"), json!("is taken"), json!(true), json!(false), all]);
    }
    let mut visitor = server.browser_with([with_errors(json!({"user[name]": "is taken"}))]).await;
    let template = "{{ get_error_for('user[name]') }}, {{ get_error_for('user.name') }}";
    let page = visitor.run([render(template)]).await;
    assert_eq!(page.text(), "is taken, is taken");
}

async fn reflash_takes_fields_by_each_spelling(server: Server) {
    for (step, kept) in [
        (reflash_only(["user[name]"]), [json!("Virk"), Value::Null, json!(true), json!(false)]),
        (reflash_except(["user[name]"]), [Value::Null, json!("42"), json!(false), json!(true)]),
    ] {
        let mut visitor = server.browser();
        let errors = with_errors(json!({"user.name": "a", "user.answer": "b"}));
        visitor.run_with([errors, Step::FlashAll], Sent::form(FORM)).await;
        visitor.step(step).await;
        let page = [
            old("user.name"),
            old("user.answer"),
            has_error_for("user.name"),
            has_error_for("user[answer]"),
        ];
        let shown = visitor.run(&page).await;
        assert_eq!(shown.values(), kept);
    }
}

async fn a_field_without_messages_has_no_error(server: Server) {
    let mut visitor = server.browser_with([with_errors(json!({"name": []}))]).await;
    let page = [Step::HasErrors, has_error_for("name"), get_error_for("name"), Step::Errors];
    let shown = visitor.run(&page).await;
    let expected = [json!(false), json!(false), Value::Null, json!({})];
    assert_eq!(shown.values(), expected);
}

async fn messages_keep_their_order_and_are_kept_once(server: Server) {
    let mut visitor = server.browser();
    let steps = [
        with_errors(json!({"name": ["z", "a", "z"]})),
        with_errors(json!([
            {"field": "name", "message": "m"}, {"field": "name[]", "message": "a"},
        ])),
    ];
    visitor.run(&steps).await;
    assert_eq!(visitor.step(Step::Errors).await, json!({"name": ["z", "a", "m"]}));
}

async fn a_newer_form_replaces_the_older_one_whole(server: Server) {
    let mut visitor = server.browser();
    for (form, errors) in [("a=1&b=1", json!({"a": "x", "b": "x"})), ("b=2", json!({"b": "y"}))] {
        let post = [with_errors(errors), Step::FlashAll];
        let sent = Sent::form(form).and("sec-fetch-mode", "cors");
        visitor.run_with(&post, sent).await;
    }
    let page = [old("a"), old("b"), Step::Errors];
    let shown = visitor.run(&page).await;
    let expected = [Value::Null, json!("2"), json!({"b": ["y"]})];
    assert_eq!(shown.values(), expected);

    // Kept flash is older, whether it is kept before or after this request's own.
    for reflash_first in [true, false] {
        visitor.run_with([Step::FlashAll], Sent::form("a=1&b=1")).await;
        let mut steps = [Step::Reflash, Step::FlashAll];
        if !reflash_first {
            steps.reverse();
        }
        visitor.run_with(&steps, Sent::form("b=2")).await;
        assert_eq!(old_of(&mut visitor, ["a", "b"]).await, [Value::Null, json!("2")]);
    }
}

async fn half_of_a_newer_form_replaces_that_half_of_the_older_one(server: Server) {
    let page = [old("a"), Step::Errors];
    for (newer, expected) in [
        (Step::FlashAll, [json!("2"), json!({"a": ["x"]})]),
        (with_errors(json!({"b": "y"})), [json!("1"), json!({"b": ["y"]})]),
    ] {
        let mut visitor = server.browser();
        let older = vec![with_errors(json!({"a": "x"})), Step::FlashAll];
        for (steps, form) in [(older, "a=1"), (vec![newer.clone()], "a=2")] {
            visitor.run_with(&steps, Sent::form(form).and("sec-fetch-mode", "cors")).await;
        }
        let shown = visitor.run(&page).await;
        assert_eq!(shown.values(), expected, "{newer:?}");
    }
}

async fn sixteen_batches_wait_and_the_oldest_goes(server: Server) {
    let mut visitor = server.browser();
    for number in 0..20 {
        visitor.run_with([flash([(format!("m{number}"), number)])], fetch()).await;
    }
    let page: Vec<_> = (0..20).map(|number| flash_message(format!("m{number}"))).collect();
    let shown = visitor.run(&page).await.values();
    let expected = (0..20).map(|number| if number < 4 { Value::Null } else { json!(number) });
    assert_eq!(shown, expected.collect::<Vec<_>>());
}

async fn a_json_form_has_a_thousand_members_at_most(server: Server) {
    for (count, status) in [(999, 200), (1_000, 400)] {
        let members = (0..count).map(|number| (number.to_string(), json!(number)));
        let form = json!({"within": members.collect::<serde_json::Map<_, _>>()});
        let sent = Sent::body("application/json", form.to_string().as_bytes());
        let reply = server.browser().run_with([], sent).await;
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
        let reply = server.browser().run_with([], sent).await;
        let status = if refused.is_some() { 400 } else { 200 };
        assert_eq!(reply.status, status, "{}", reply.text());
        assert!(reply.text().contains(refused.unwrap_or_default()), "{}", reply.text());
    }
}

async fn a_hundred_fields_with_errors_are_kept(server: Server) {
    let mut visitor = server.browser();
    let errors = |numbers: std::ops::Range<u32>| -> serde_json::Map<_, _> {
        numbers.map(|number| (format!("f{number:03}"), json!("is wrong"))).collect()
    };
    let steps = [with_errors(errors(0..60)), with_errors(errors(50..200))];
    visitor.run(&steps).await;
    let shown = visitor.step(Step::Errors).await;
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
        let mut visitor = server.browser_with([put("kept", 1)]).await;
        let form = format!("name=Virk&bio={}&user[city]=Oslo&tags[]=a", "x".repeat(LONG));
        let post = [
            flash([("notice", "look again")]),
            with_errors(json!({"name": "is taken"})),
            Step::FlashAll,
        ];
        let sent = visitor.run_with(&post, Sent::form(&form)).await;
        assert_eq!(sent.status, 200, "{setup:?}: {}", sent.text());
        let page = [
            old("bio"),
            old("name"),
            old("user.city"),
            old("tags.0"),
            get_error_for("name"),
            flash_message("notice"),
            get("kept"),
        ];
        let shown = visitor.run(&page).await;
        let shown = shown.values();
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
        let mut visitor = server.browser();
        let form: Vec<_> = (0..40).map(|n| format!("f{n}={}", "x".repeat(LONG / 20))).collect();
        let post = [Step::FlashAll, Step::Commit, old("f0")];
        let sent = visitor.run_with(&post, Sent::form(&form.join("&"))).await;
        assert_eq!((sent.status.as_u16(), sent.value(1)), (200, Value::Null), "{setup:?}");
        let page: Vec<_> = (0..40).map(|n| old(format!("f{n}"))).collect();
        let shown = visitor.run(&page).await;
        let kept = (0..40).filter(|index| !shown.value(*index).is_null()).count();
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

type Reply = Result<&'static str, Error>;

async fn profile(input: Input<Profile>) -> Reply {
    input.check(taken).map(|_| "saved")
}

async fn strict(input: Input<Strict>) -> Reply {
    input.valid().map(|_| "saved")
}

async fn order(input: Input<Order>) -> Reply {
    input.check(wrong_items).map(|_| "saved")
}

/// Sends a form to the handler at `path` on every framework, with sessions that have little room, and
/// returns what the next page shows of `steps`.
async fn sent_back(path: &str, form: &str, steps: &[Step]) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    for framework in Framework::ALL {
        for builder in [
            Sessions::builder(Driver::Cookie, AppKeys::random()),
            Sessions::builder(MemoryStore::new(), AppKeys::random()).max_bytes(LONG),
        ] {
            let sessions = builder.cookie_settings(CookieSettings::development()).build().unwrap();
            let (address, _serving) = match framework {
                Framework::Axum => {
                    let app = probe::axum::routes()
                        .route("/profile", post(profile))
                        .route("/strict", post(strict))
                        .route("/order", post(order));
                    serve(app.layer(cloakroom::axum::SessionLayer::new(sessions))).await
                }
                Framework::Actix => serve_actix(move |app| {
                    let routes = web::scope("")
                        .route("/profile", web::post().to(profile))
                        .route("/strict", web::post().to(strict))
                        .route("/order", web::post().to(order));
                    let layer = cloakroom::actix::SessionMiddleware::new(sessions.clone());
                    app.service(routes.configure(probe::actix::routes).wrap(layer));
                }),
            };
            let mut visitor = Browser::new(address);
            let back = visitor.send(path, Sent::form(form)).await;
            assert_eq!(back.status, 303, "{framework:?}: {}", back.text());
            pages.push(visitor.run(steps).await.values());
        }
    }
    pages
}

#[tokio::test]
async fn an_invalid_form_that_is_too_long_leads_back() {
    let form = format!("name=Virk&bio={}", "x".repeat(LONG));
    let page = [old("name"), old("bio"), get_error_for("name")];
    for shown in sent_back("/profile", &form, &page).await {
        assert_eq!(shown, [json!("Virk"), Value::Null, json!("Virk is taken")]);
    }
}

#[tokio::test]
async fn the_name_of_an_unknown_field_is_quoted_in_no_error() {
    let name = "unknown".repeat(100);
    let form = format!("name=Virk&{name}=1");
    for shown in sent_back("/strict", &form, &[Step::Errors]).await {
        assert_eq!(shown, [json!({&name: ["is unknown; known are: name"]})]);
    }
}

#[tokio::test]
async fn errors_that_do_not_fit_are_left_out_last() {
    let form: Vec<_> = (0..900).map(|number| format!("items[]={number}")).collect();
    let page = [Step::Errors, old("items")];
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
        let mut visitor = server.browser_with([put("kept", 1)]).await;
        let steps = [
            Step::FlashAll,
            put("big", "x"),
            repeat(14, [update_push("list", "x".repeat(1_000))]),
            Step::Commit,
        ];
        let refused = visitor.run_with(&steps, Sent::form("name=Virk")).await;
        assert_eq!(refused.error(3).code, "too_large", "{setup:?}");
        assert_eq!(visitor.step(get("kept")).await, 1, "{setup:?}");
    }
}
