//! Flash: shown once, on the next page, and never lost before that.

use cloakroom::form::SecretFields;
use cloakroom_tests::{
    client::{Client, Sent},
    server::{Server, Setup},
};
use serde_json::{Value, json};

every_driver! {
    a_message_is_shown_on_the_next_page_once,
    old_input_and_errors_are_shown_once,
    the_three_bags_do_not_mix,
    secret_fields_are_never_given_back,
    flash_only_and_flash_except_pick_fields,
    reflash_keeps_for_one_more_page,
    reflash_keeps_neither_what_is_older_nor_what_is_for_now,
    reflash_only_and_except_pick_names,
    flash_now_shows_within_the_request_alone,
    a_background_fetch_that_reads_nothing_leaves_flash_alone,
    a_prefetch_leaves_flash_alone,
    a_redirect_on_the_way_leaves_flash_alone,
    a_page_that_was_cut_off_leaves_flash_alone,
    forms_of_every_encoding_are_flashed,
    errors_come_as_lists_and_as_maps,
    templates_use_the_seed_s_helpers,
    a_template_that_does_not_escape_shows_nothing_of_the_visitor,
    an_empty_flash_leaves_no_trace,
    a_goodbye_message_survives_the_destroy,
}

server_side! {
    parallel_pages_show_a_message_and_lose_none,
    a_message_flashed_meanwhile_survives_the_reader,
    a_form_posted_meanwhile_survives_a_reflash,
}

fn message() -> Value {
    json!([{"do": "flash_message", "key": "m"}])
}

// Requirement 52.
async fn a_message_is_shown_on_the_next_page_once(server: Server) {
    let mut visitor = server.client();
    let flashed = visitor
        .script(&json!([
            {"do": "flash", "values": {"m": "saved"}},
            {"do": "flash_message", "key": "m"},
            {"do": "redirect", "to": "/next"},
        ]))
        .await;
    assert_eq!(flashed.status, 303);
    assert_eq!(flashed.headers["location"], "/next");
    assert_eq!(visitor.script(&message()).await.result(0), "saved");
    assert_eq!(visitor.script(&message()).await.result(0), Value::Null);
    println!("shown once, lost 0");
}

async fn old_input_and_errors_are_shown_once(server: Server) {
    let mut visitor = server.client();
    let steps = json!([
        {"do": "with_errors", "errors": {"username": "is required"}},
        {"do": "flash_all"},
        {"do": "redirect_back", "fallback": "/form"},
    ]);
    visitor.script_with(&steps, Sent::form("username=&email=v%40example.org")).await;
    let page = json!([
        {"do": "old", "key": "email"}, {"do": "old", "key": "nothing", "default": "d"},
        {"do": "has_error_for", "field": "username"}, {"do": "get_error_for", "field": "username"},
        {"do": "has_error_for", "field": "email"}, {"do": "errors"}, {"do": "has_errors"},
    ]);
    let shown = visitor.script(&page).await;
    let expected = [
        json!("v@example.org"),
        json!("d"),
        json!(true),
        json!("is required"),
        json!(false),
        json!({"username": ["is required"]}),
        json!(true),
    ];
    for (index, expected) in expected.iter().enumerate() {
        assert_eq!(shown.result(index), *expected);
    }
    let again = visitor.script(&page).await;
    assert_eq!(again.result(0), Value::Null);
    assert_eq!(again.result(6), false);
}

/// A visitor who posts fields of these names forges neither message nor error.
async fn the_three_bags_do_not_mix(server: Server) {
    let mut visitor = server.client();
    let form = Sent::form("m=forged&errors=forged&username=forged");
    visitor.script_with(&json!([{"do": "flash_all"}]), form).await;
    let shown = visitor
        .script(&json!([
            {"do": "flash_message", "key": "m"}, {"do": "has_errors"},
            {"do": "has_error_for", "field": "username"}, {"do": "old", "key": "m"},
        ]))
        .await;
    assert_eq!(
        shown.results(),
        [json!({"ok": null}), json!({"ok": false}), json!({"ok": false}), json!({"ok": "forged"})]
    );
}

async fn secret_fields_are_never_given_back(server: Server) {
    let mut visitor = server.client();
    let secret = [
        "password",
        "password_confirmation",
        "user[current_password]",
        "_csrf",
        "new_password",
        "otp",
        "cvv2",
        "card_number",
        "card[number]",
        "apiKey",
        "user[newPin]",
        "clientSecret",
        "passwd",
        "totp",
        "pincode",
        "userpin",
        "creditcardnumber",
        "myapikey",
        "cards[0][number]",
        "PINcode",
    ];
    let shown = ["name", "shipping", "footprint", "user[opinion]", "card[holder]"];
    let old = async |visitor: &mut Client| {
        let fields = secret.iter().chain(&shown);
        let steps: Vec<_> = fields.map(|key| json!({"do": "old", "key": key})).collect();
        let reply = visitor.script(&Value::Array(steps)).await;
        reply.results().iter().map(|entry| entry["ok"] == "a").collect::<Vec<_>>()
    };
    let form: Vec<_> = secret.iter().chain(&shown).map(|name| format!("{name}=a")).collect();
    for step in [json!({"do": "flash_all"}), json!({"do": "flash_except", "fields": []})] {
        visitor.script_with(&json!([step]), Sent::form(&form.join("&"))).await;
        let expected = [vec![false; secret.len()], vec![true; shown.len()]].concat();
        assert_eq!(old(&mut visitor).await, expected);
    }
    let named = json!([{"do": "flash_only", "fields": ["otp"]}]);
    visitor.script_with(&named, Sent::form("otp=a")).await;
    assert_eq!(visitor.step(json!({"do": "old", "key": "otp"})).await, "a", "asked for by name");
}

#[tokio::test]
async fn a_list_of_secret_fields_takes_the_place_of_the_default() {
    for setup in Setup::all() {
        let fields = SecretFields::new(["iban"]).unwrap();
        let server = Server::start_with(setup, |builder| builder.secret_fields(fields)).await;
        let mut visitor = server.client();
        let form = Sent::form("customer[iban]=a&pin=a&_csrf=a");
        visitor.script_with(&json!([{"do": "flash_all"}]), form).await;
        let fields = ["customer[iban]", "pin", "_csrf"].map(|key| json!({"do": "old", "key": key}));
        let shown = visitor.script(&json!(fields)).await;
        let expected = [Value::Null, json!("a"), Value::Null];
        assert_eq!([0, 1, 2].map(|index| shown.result(index)), expected, "{setup:?}");
    }
}

async fn flash_only_and_flash_except_pick_fields(server: Server) {
    for (step, kept) in [
        (json!({"do": "flash_only", "fields": ["a"]}), [json!("1"), Value::Null]),
        (json!({"do": "flash_except", "fields": ["a"]}), [Value::Null, json!("2")]),
    ] {
        let mut visitor = server.client();
        visitor.script_with(&json!([step]), Sent::form("a=1&b=2")).await;
        let shown =
            visitor.script(&json!([{"do": "old", "key": "a"}, {"do": "old", "key": "b"}])).await;
        assert_eq!([shown.result(0), shown.result(1)], kept);
    }
}

async fn reflash_keeps_for_one_more_page(server: Server) {
    let mut visitor = server.client();
    visitor.step(json!({"do": "flash", "values": {"m": "kept"}})).await;
    visitor.script(&json!([{"do": "reflash"}, {"do": "redirect", "to": "/"}])).await;
    assert_eq!(visitor.script(&message()).await.result(0), "kept");
    assert_eq!(visitor.script(&message()).await.result(0), Value::Null);
    visitor.step(json!({"do": "flash", "values": {"m": "kept"}})).await;
    let both =
        visitor.script(&json!([{"do": "flash_message", "key": "m"}, {"do": "reflash"}])).await;
    assert_eq!(both.result(0), "kept");
    assert_eq!(visitor.script(&message()).await.result(0), "kept");
    assert_eq!(visitor.script(&message()).await.result(0), Value::Null);
}

async fn reflash_keeps_neither_what_is_older_nor_what_is_for_now(server: Server) {
    let mut visitor = server.client();
    for steps in [["flash", "reflash"], ["reflash", "flash"]] {
        visitor.step(json!({"do": "flash", "values": {"m": "old", "other": "kept"}})).await;
        let steps = steps.map(|step| json!({"do": step, "values": {"m": "new"}}));
        let now = json!({"do": "flash_now", "values": {"now": "now"}});
        visitor.script(&json!([now, steps[0], steps[1]])).await;
        let names = ["m", "other", "now"];
        let shown = json!(names.map(|name| json!({"do": "flash_message", "key": name})));
        let shown = visitor.script(&shown).await;
        let shown = [0, 1, 2].map(|index| shown.result(index));
        assert_eq!(shown, [json!("new"), json!("kept"), Value::Null]);
    }
}

async fn reflash_only_and_except_pick_names(server: Server) {
    for step in [
        json!({"do": "reflash_only", "keys": ["a"]}),
        json!({"do": "reflash_except", "keys": ["b"]}),
    ] {
        let mut visitor = server.client();
        visitor.step(json!({"do": "flash", "values": {"a": 1, "b": 2}})).await;
        visitor.step(step).await;
        let shown = visitor
            .script(&json!([
                {"do": "flash_message", "key": "a"}, {"do": "flash_message", "key": "b"},
            ]))
            .await;
        assert_eq!([shown.result(0), shown.result(1)], [json!(1), Value::Null]);
    }
}

async fn flash_now_shows_within_the_request_alone(server: Server) {
    let mut visitor = server.client();
    visitor.step(json!({"do": "put", "key": "k", "value": 1})).await;
    let now =
        json!([{"do": "flash_now", "values": {"m": "now"}}, {"do": "flash_message", "key": "m"}]);
    assert_eq!(visitor.script(&now).await.result(1), "now");
    assert_eq!(visitor.script(&message()).await.result(0), Value::Null);
}

async fn a_background_fetch_that_reads_nothing_leaves_flash_alone(server: Server) {
    let mut visitor = server.client();
    visitor.step(json!({"do": "flash", "values": {"m": "waits"}})).await;
    for mode in ["cors", "no-cors", "same-origin", "websocket"] {
        let fetch = Sent::with("sec-fetch-mode", mode);
        visitor.script_with(&json!([{"do": "put", "key": "k", "value": mode}]), fetch).await;
    }
    assert_eq!(visitor.script(&message()).await.result(0), "waits");
    visitor.step(json!({"do": "flash", "values": {"m": "read"}})).await;
    let fetch = Sent::with("sec-fetch-mode", "cors");
    assert_eq!(visitor.script_with(&message(), fetch).await.result(0), "read");
    assert_eq!(visitor.script(&message()).await.result(0), Value::Null);
    visitor.step(json!({"do": "flash", "values": {"m": "unread"}})).await;
    let page = Sent::with("sec-fetch-mode", "navigate");
    visitor.script_with(&json!([{"do": "all"}]), page).await;
    assert_eq!(visitor.script(&message()).await.result(0), Value::Null, "a page was shown");
}

async fn a_prefetch_leaves_flash_alone(server: Server) {
    let mut visitor = server.client();
    visitor.step(json!({"do": "flash", "values": {"m": "waits"}})).await;
    let prefetch =
        || Sent::with("sec-purpose", "prefetch;prerender").and("sec-fetch-mode", "navigate");
    for _ in 0..2 {
        visitor.script_with(&message(), prefetch()).await;
    }
    assert_eq!(visitor.script(&message()).await.result(0), "waits");
}

async fn a_redirect_on_the_way_leaves_flash_alone(server: Server) {
    let mut visitor = server.client();
    visitor.step(json!({"do": "flash", "values": {"m": "waits"}})).await;
    visitor.script(&json!([{"do": "get", "key": "k"}, {"do": "redirect", "to": "/"}])).await;
    assert_eq!(visitor.script(&message()).await.result(0), "waits");
}

/// A timeout inside of the session layer sends these statuses instead of the page.
async fn a_page_that_was_cut_off_leaves_flash_alone(server: Server) {
    let mut visitor = server.client();
    visitor.step(json!({"do": "flash", "values": {"m": "saved"}})).await;
    for status in [408, 504] {
        let page = json!([message()[0], {"do": "fail", "status": status}]);
        assert_eq!(visitor.script(&page).await.status.as_u16(), status);
    }
    assert_eq!(visitor.script(&message()).await.result(0), "saved");
    assert_eq!(visitor.script(&message()).await.result(0), Value::Null);
}

async fn forms_of_every_encoding_are_flashed(server: Server) {
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"user[name]\"\r\n\r\nVirk\r\n\
        --x\r\nContent-Disposition: form-data; name=\"cv\"; filename=\"cv.txt\"\r\n\r\nsecret\r\n--x--\r\n";
    for form in [
        Sent::form("user%5Bname%5D=Virk"),
        Sent::body("multipart/form-data; boundary=x", multipart.as_bytes()),
        Sent::body("application/json; charset=utf-8", br#"{"user":{"name":"Virk"}}"#),
    ] {
        let mut visitor = server.client();
        visitor.script_with(&json!([{"do": "flash_all"}]), form).await;
        let shown = visitor
            .script(&json!([{"do": "old", "key": "user.name"}, {"do": "old", "key": "cv"}]))
            .await;
        assert_eq!([shown.result(0), shown.result(1)], [json!("Virk"), Value::Null]);
    }
}

async fn errors_come_as_lists_and_as_maps(server: Server) {
    for errors in [
        json!([{"field": "a", "message": "first"}, {"field": "a", "message": "second"}]),
        json!({"a": "first"}),
        json!({"a": ["first", "second"]}),
    ] {
        let mut visitor = server.client();
        visitor.step(json!({"do": "with_errors", "errors": errors})).await;
        assert_eq!(visitor.step(json!({"do": "get_error_for", "field": "a"})).await, "first");
    }
}

async fn templates_use_the_seed_s_helpers(server: Server) {
    let mut visitor = server.client();
    let steps = json!([
        {"do": "with_errors", "errors": [{"field": "username", "message": "Username is required"}]},
        {"do": "flash_all"},
        {"do": "flash", "values": {"notification": "Update <successful>!"}},
    ]);
    visitor.script_with(&steps, Sent::form("username=%3Cscript%3E")).await;
    let template = "<input name=\"username\" value=\"{{ old('username', '') }}\">\
        {% if has_error_for('username') %}<b>{{ get_error_for('username') }}</b>{% endif %}\
        {{ get_error_for('email') }}{{ old('email', 'none') }}\
        {% if flash_message('notification') %}<span>{{ flash_message('notification') }}</span>{% endif %}\
        {% if has_errors() %}{{ errors().username[0] }}{% endif %}";
    let page = visitor.script(&json!([{"do": "render", "template": template}])).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(
        page.text(),
        "<input name=\"username\" value=\"&lt;script&gt;\"><b>Username is required</b>none\
         <span>Update &lt;successful&gt;!</span>Username is required"
    );
    let again = visitor.script(&json!([{"do": "render", "template": template}])).await;
    assert_eq!(again.text(), "<input name=\"username\" value=\"\">none");
}

async fn a_template_that_does_not_escape_shows_nothing_of_the_visitor(server: Server) {
    let mut visitor = server.client();
    let form = Sent::form("name=%3Cscript%3E");
    visitor.script_with(&json!([{"do": "flash_all"}]), form).await;
    let template = "{% autoescape false %}{{ old('name') }}{% endautoescape %}";
    let refused = visitor.script(&json!([{"do": "render", "template": template}])).await;
    assert_eq!(refused.error(0), "bad_step");
    let message = refused.result(0)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("`page.html` does not escape"), "{message}");
    assert!(!refused.text().contains("<script>"), "{}", refused.text());
}

async fn an_empty_flash_leaves_no_trace(server: Server) {
    let mut visitor = server.client();
    visitor.script(&json!([{"do": "flash", "values": {}}, {"do": "reflash"}])).await;
    assert!(visitor.jar.is_empty());
}

/// Regressions 4 and 5.
async fn a_goodbye_message_survives_the_destroy(server: Server) {
    let mut visitor = server.client();
    visitor.step(json!({"do": "put", "key": "user", "value": 1})).await;
    let before = visitor.jar.clone();
    visitor.script(&json!([{"do": "destroy"}, {"do": "flash", "values": {"m": "goodbye"}}])).await;
    assert_ne!(visitor.jar.get("session"), before.get("session"), "a new token");
    let page = json!([{"do": "flash_message", "key": "m"}, {"do": "get", "key": "user"}]);
    let shown = visitor.script(&page).await;
    assert_eq!([shown.result(0), shown.result(1)], [json!("goodbye"), Value::Null]);
}

// Requirement 52.
async fn parallel_pages_show_a_message_and_lose_none(server: Server) {
    let mut visitor = server.client();
    visitor.step(json!({"do": "flash", "values": {"m": "once"}})).await;
    let pages: Vec<_> = (0..10)
        .map(|_| {
            let mut visitor = visitor.clone();
            tokio::spawn(async move { visitor.script(&message()).await.result(0) })
        })
        .collect();
    let mut shown = 0;
    for page in pages {
        shown += usize::from(page.await.unwrap() == "once");
    }
    assert!(shown >= 1);
    assert_eq!(visitor.script(&message()).await.result(0), Value::Null);
    println!("10 parallel pages: shown {shown}, lost 0");
}

async fn a_message_flashed_meanwhile_survives_the_reader(server: Server) {
    let mut visitor = server.client();
    visitor.step(json!({"do": "flash", "values": {"old": 1}})).await;
    let mut reader = visitor.clone();
    let slow = json!([{"do": "flash_message", "key": "old"}, {"do": "sleep", "ms": 200}]);
    let reading = tokio::spawn(async move { reader.script(&slow).await.result(0) });
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    let fetch = Sent::with("sec-fetch-mode", "cors");
    visitor.script_with(&json!([{"do": "flash", "values": {"new": 2}}]), fetch).await;
    assert_eq!(reading.await.unwrap(), 1);
    let shown = visitor
        .script(
            &json!([{"do": "flash_message", "key": "old"}, {"do": "flash_message", "key": "new"}]),
        )
        .await;
    assert_eq!([shown.result(0), shown.result(1)], [Value::Null, json!(2)]);
}

async fn a_form_posted_meanwhile_survives_a_reflash(server: Server) {
    let mut visitor = server.client();
    let post = |error: &str| {
        json!([
            {"do": "with_errors", "errors": {"name": error}},
            {"do": "flash_all"},
            {"do": "flash", "values": {error: 1}},
        ])
    };
    visitor.script_with(&post("older"), Sent::form("name=a&only=older")).await;
    let mut reader = visitor.clone();
    let slow = json!([{"do": "reflash"}, {"do": "sleep", "ms": 200}]);
    let reading = tokio::spawn(async move { reader.script(&slow).await });
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    let form = Sent::form("name=b").and("sec-fetch-mode", "cors");
    visitor.script_with(&post("newer"), form).await;
    assert_eq!(reading.await.unwrap().status, 200);
    let page = json!([
        {"do": "errors"}, {"do": "old", "key": "name"}, {"do": "old", "key": "only"},
        {"do": "flash_message", "key": "older"}, {"do": "flash_message", "key": "newer"},
    ]);
    let shown = visitor.script(&page).await;
    let expected = [json!({"name": ["newer"]}), json!("b"), Value::Null, json!(1), json!(1)];
    assert_eq!([0, 1, 2, 3, 4].map(|index| shown.result(index)), expected);
}
