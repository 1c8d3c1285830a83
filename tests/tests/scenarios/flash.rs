//! Flash: shown once, on the next page, and never lost before that.

use cloakroom::form::SecretFields;
use cloakroom_tests::{
    browser::{Browser, Sent, StepError},
    server::{Server, Setup},
    step::{
        Step, discard_flash, errors_in, fail, flash, flash_except, flash_message, flash_now,
        flash_only, flash_push, get, get_error_for, has_error_for, old, old_or, put, redirect,
        redirect_back, reflash_except, reflash_only, render, sleep, with_errors, with_errors_in,
    },
};
use serde_json::{Value, json};

every_driver! {
    a_message_is_shown_on_the_next_page_once,
    messages_of_one_level_are_all_shown_in_order_once,
    messages_wait_until_they_are_read,
    a_reflash_keeps_messages_once_and_before_newer_ones,
    old_input_and_errors_are_shown_once,
    the_errors_of_two_forms_do_not_mix,
    a_discarded_message_is_shown_by_no_page,
    the_three_bags_do_not_mix,
    secret_fields_are_never_given_back,
    flash_only_and_flash_except_pick_fields,
    reflash_keeps_for_one_more_page,
    reflash_keeps_neither_what_is_older_nor_what_is_for_now,
    reflash_only_and_except_pick_names,
    the_last_choice_of_form_fields_counts,
    flash_now_shows_within_the_request_alone,
    a_background_fetch_that_reads_nothing_leaves_flash_alone,
    a_prefetch_leaves_flash_alone,
    a_redirect_on_the_way_leaves_flash_alone,
    a_page_that_was_cut_off_leaves_flash_alone,
    forms_of_every_encoding_are_flashed,
    errors_come_as_lists_and_as_maps,
    templates_use_the_helpers_of_the_view,
    a_template_that_does_not_escape_shows_nothing_of_the_visitor,
    an_empty_flash_leaves_no_trace,
    a_goodbye_message_survives_the_destroy,
}

server_side! {
    parallel_pages_show_a_message_and_lose_none,
    messages_of_parallel_requests_are_all_shown,
    a_message_flashed_during_a_page_survives_it,
    a_form_posted_during_a_reflash_survives_it,
}

fn message() -> [Step; 1] {
    [flash_message("m")]
}

async fn a_message_is_shown_on_the_next_page_once(server: Server) {
    let mut visitor = server.browser();
    let flashed =
        visitor.run([flash([("m", "saved")]), flash_message("m"), redirect("/next")]).await;
    assert_eq!(flashed.status, 303);
    assert_eq!(flashed.headers["location"], "/next");
    assert_eq!(visitor.run(message()).await.value(0), "saved");
    assert_eq!(visitor.run(message()).await.value(0), Value::Null);
}

/// Runs one request and returns the messages that it shows, as `level: text`.
async fn messages(visitor: &mut Browser) -> Vec<String> {
    let shown = visitor.step(Step::Messages).await;
    let shown = shown.as_array().expect("a list").iter();
    shown.map(|message| format!("{}: {}", message["level"], message["text"])).collect()
}

async fn messages_of_one_level_are_all_shown_in_order_once(server: Server) {
    let mut visitor = server.browser();
    let first = [flash_push("info", "one"), flash_push("error", "two"), flash_push("info", "one")];
    let shown = visitor.run([&first[..], &[Step::Messages]].concat()).await;
    assert_eq!(shown.value(3), json!([]), "they are for the next page");
    let second = [flash_push("info", "three"), flash([("info", "by name")]), redirect("/next")];
    visitor.run(second).await;
    let steps = [Step::Messages, flash_message("info")];
    let shown = visitor.run(&steps).await;
    let expected = [("info", "one"), ("error", "two"), ("info", "one"), ("info", "three")];
    let expected = expected.map(|(level, text)| json!({"level": level, "text": text}));
    assert_eq!(shown.values(), [json!(expected), json!("by name")]);
    assert_eq!(visitor.run(&steps).await.values(), [json!([]), Value::Null]);
}

async fn messages_wait_until_they_are_read(server: Server) {
    let mut visitor = server.browser_with([flash_push("info", "waits")]).await;
    let unread = [Sent::with("sec-fetch-mode", "cors"), Sent::with("sec-purpose", "prefetch")];
    for sent in unread {
        visitor.run_with([get("k")], sent).await;
    }
    visitor.run([get("k"), redirect("/")]).await;
    assert_eq!(messages(&mut visitor).await, [r#""info": "waits""#]);
    assert!(messages(&mut visitor).await.is_empty());
}

async fn a_reflash_keeps_messages_once_and_before_newer_ones(server: Server) {
    for reads in [false, true] {
        let mut visitor = server.browser_with([flash_push("info", "old")]).await;
        let read = reads.then_some(Step::Messages);
        let keep = [flash_push("info", "new"), Step::Reflash, Step::Reflash, redirect("/")];
        visitor.run(read.into_iter().chain(keep).collect::<Vec<_>>()).await;
        assert_eq!(messages(&mut visitor).await, [r#""info": "old""#, r#""info": "new""#]);
        assert!(messages(&mut visitor).await.is_empty());
    }
}

async fn old_input_and_errors_are_shown_once(server: Server) {
    let mut visitor = server.browser();
    let steps =
        [with_errors(json!({"username": "is required"})), Step::FlashAll, redirect_back("/form")];
    visitor.run_with(&steps, Sent::form("username=&email=v%40example.org")).await;
    let page = [
        old("email"),
        old_or("nothing", "d"),
        has_error_for("username"),
        get_error_for("username"),
        has_error_for("email"),
        Step::Errors,
        Step::HasErrors,
    ];
    let shown = visitor.run(&page).await;
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
        assert_eq!(shown.value(index), *expected);
    }
    let again = visitor.run(&page).await;
    assert_eq!(again.value(0), Value::Null);
    assert_eq!(again.value(6), false);
}

async fn the_errors_of_two_forms_do_not_mix(server: Server) {
    let mut visitor = server.browser();
    let steps = [
        with_errors_in("login", json!({"email": "is unknown"})),
        with_errors_in("register", json!({"email": "is taken", "name": "is required"})),
        with_errors(json!({"search": "is too short"})),
        redirect_back("/forms"),
    ];
    visitor.run(steps).await;
    let page = ["login", "register", "other"].map(errors_in);
    let page = [&page[..], &[Step::Errors, has_error_for("email")]].concat();
    let expected = [
        json!({"email": ["is unknown"]}),
        json!({"email": ["is taken"], "name": ["is required"]}),
        json!({}),
        json!({"search": ["is too short"]}),
        json!(false),
    ];
    assert_eq!(visitor.run(&page).await.values(), expected);
    let empty = [json!({}), json!({}), json!({}), json!({}), json!(false)];
    assert_eq!(visitor.run(&page).await.values(), empty, "they are shown once");
}

async fn a_discarded_message_is_shown_by_no_page(server: Server) {
    let page = ["m", "other", "new"].map(flash_message);
    let mut visitor = server.browser_with([flash([("m", 1), ("other", 2)])]).await;
    let here = [&[discard_flash(["m"])], &page[..2]].concat();
    assert_eq!(visitor.run(here).await.values()[1..], [Value::Null, json!(2)]);

    let mut sender = server.browser_with([flash([("m", 1), ("other", 2)])]).await;
    let steps = [discard_flash(["m"]), flash([("new", 3)]), redirect("/")];
    sender.run(steps).await;
    let shown = sender.run(&page).await.values();
    assert_eq!(shown, [Value::Null, json!(2), json!(3)]);
}

/// A visitor who posts fields of these names forges neither message nor error.
async fn the_three_bags_do_not_mix(server: Server) {
    let mut visitor = server.browser();
    let form = Sent::form("m=forged&errors=forged&username=forged");
    visitor.run_with([Step::FlashAll], form).await;
    let shown = visitor
        .run([flash_message("m"), Step::HasErrors, has_error_for("username"), old("m")])
        .await;
    let expected = [Value::Null, json!(false), json!(false), json!("forged")];
    assert_eq!(shown.values(), expected);
}

async fn secret_fields_are_never_given_back(server: Server) {
    let mut visitor = server.browser();
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
    let page: Vec<_> = secret.iter().chain(&shown).map(old).collect();
    let form: Vec<_> = secret.iter().chain(&shown).map(|name| format!("{name}=a")).collect();
    for step in [Step::FlashAll, flash_except([""; 0])] {
        visitor.run_with([step], Sent::form(&form.join("&"))).await;
        let expected = [vec![false; secret.len()], vec![true; shown.len()]].concat();
        let values = visitor.run(&page).await.values();
        assert_eq!(values.iter().map(|value| value == "a").collect::<Vec<_>>(), expected);
    }
    let named = [flash_only(["otp"])];
    visitor.run_with(&named, Sent::form("otp=a")).await;
    assert_eq!(visitor.step(old("otp")).await, "a", "asked for by name");
}

#[tokio::test]
async fn a_list_of_secret_fields_takes_the_place_of_the_default() {
    for setup in Setup::all() {
        let fields = SecretFields::new(["iban"]).unwrap();
        let server = Server::start_with(setup, |builder| builder.secret_fields(fields)).await;
        let mut visitor = server.browser();
        let form = Sent::form("customer[iban]=a&pin=a&_csrf=a");
        visitor.run_with([Step::FlashAll], form).await;
        let fields = ["customer[iban]", "pin", "_csrf"].map(old);
        let shown = visitor.run(&fields).await;
        let expected = [Value::Null, json!("a"), Value::Null];
        assert_eq!(shown.values(), expected, "{setup:?}");
    }
}

async fn flash_only_and_flash_except_pick_fields(server: Server) {
    for (step, kept) in [
        (flash_only(["a"]), [json!("1"), Value::Null]),
        (flash_except(["a"]), [Value::Null, json!("2")]),
    ] {
        let mut visitor = server.browser();
        visitor.run_with([step], Sent::form("a=1&b=2")).await;
        let shown = visitor.run([old("a"), old("b")]).await;
        assert_eq!(shown.values(), kept);
    }
}

async fn the_last_choice_of_form_fields_counts(server: Server) {
    for (steps, kept) in [
        ([Step::FlashAll, flash_only(["a"])], [json!("1"), Value::Null]),
        ([flash_only(["a"]), flash_except(["a"])], [Value::Null, json!("2")]),
        ([flash_only(["a"]), Step::FlashAll], [json!("1"), json!("2")]),
        ([Step::FlashAll, flash_only(["c"])], [Value::Null, Value::Null]),
    ] {
        let mut visitor = server.browser();
        let steps = steps.into_iter().chain([flash([("m", "stays")])]).collect::<Vec<_>>();
        visitor.run_with(steps, Sent::form("a=1&b=2")).await;
        let shown = visitor.run([old("a"), old("b"), flash_message("m")]).await;
        let [a, b] = kept;
        assert_eq!(shown.values(), [a, b, json!("stays")]);
    }
}

async fn reflash_keeps_for_one_more_page(server: Server) {
    let mut visitor = server.browser_with([flash([("m", "kept")])]).await;
    visitor.run([Step::Reflash, redirect("/")]).await;
    assert_eq!(visitor.run(message()).await.value(0), "kept");
    assert_eq!(visitor.run(message()).await.value(0), Value::Null);
    visitor.step(flash([("m", "kept")])).await;
    let both = visitor.run([flash_message("m"), Step::Reflash]).await;
    assert_eq!(both.value(0), "kept");
    assert_eq!(visitor.run(message()).await.value(0), "kept");
    assert_eq!(visitor.run(message()).await.value(0), Value::Null);
}

async fn reflash_keeps_neither_what_is_older_nor_what_is_for_now(server: Server) {
    let mut visitor = server.browser();
    let own = flash([("m", "new")]);
    for [first, second] in [[own.clone(), Step::Reflash], [Step::Reflash, own]] {
        visitor.step(flash([("m", "old"), ("other", "kept")])).await;
        visitor.run([flash_now([("now", "now")]), first, second]).await;
        let shown = visitor.run(["m", "other", "now"].map(flash_message)).await;
        assert_eq!(shown.values(), [json!("new"), json!("kept"), Value::Null]);
    }
}

async fn reflash_only_and_except_pick_names(server: Server) {
    let page = [reflash_only(["a"]), reflash_except(["b"])].map(|step| vec![step]);
    let redirects = page.clone().map(|steps| [steps, vec![redirect("/")]].concat());
    for steps in page.into_iter().chain(redirects) {
        let mut visitor = server.browser_with([flash([("a", 1), ("b", 2)])]).await;
        visitor.run(&steps).await;
        let shown = visitor.run([flash_message("a"), flash_message("b")]).await;
        assert_eq!(shown.values(), [json!(1), Value::Null]);
    }
}

async fn flash_now_shows_within_the_request_alone(server: Server) {
    let mut visitor = server.browser_with([put("k", 1)]).await;
    let now = [flash_now([("m", "now")]), flash_message("m")];
    assert_eq!(visitor.run(&now).await.value(1), "now");
    assert_eq!(visitor.run(message()).await.value(0), Value::Null);
}

async fn a_background_fetch_that_reads_nothing_leaves_flash_alone(server: Server) {
    let mut visitor = server.browser_with([flash([("m", "waits")])]).await;
    for mode in ["cors", "no-cors", "same-origin", "websocket"] {
        let fetch = Sent::with("sec-fetch-mode", mode);
        visitor.run_with([put("k", mode)], fetch).await;
    }
    assert_eq!(visitor.run(message()).await.value(0), "waits");
    visitor.step(flash([("m", "read")])).await;
    let fetch = Sent::with("sec-fetch-mode", "cors");
    assert_eq!(visitor.run_with(&message(), fetch).await.value(0), "read");
    assert_eq!(visitor.run(message()).await.value(0), Value::Null);
    visitor.step(flash([("m", "unread")])).await;
    let page = Sent::with("sec-fetch-mode", "navigate");
    visitor.run_with([Step::All], page).await;
    assert_eq!(visitor.run(message()).await.value(0), Value::Null, "a page was shown");
}

async fn a_prefetch_leaves_flash_alone(server: Server) {
    let mut visitor = server.browser_with([flash([("m", "waits")])]).await;
    let prefetch =
        || Sent::with("sec-purpose", "prefetch;prerender").and("sec-fetch-mode", "navigate");
    for _ in 0..2 {
        visitor.run_with(&message(), prefetch()).await;
    }
    assert_eq!(visitor.run(message()).await.value(0), "waits");
}

async fn a_redirect_on_the_way_leaves_flash_alone(server: Server) {
    let mut visitor = server.browser_with([flash([("m", "waits")])]).await;
    visitor.run([get("k"), redirect("/")]).await;
    assert_eq!(visitor.run(message()).await.value(0), "waits");
}

/// A timeout inside of the session layer sends these statuses instead of the page.
async fn a_page_that_was_cut_off_leaves_flash_alone(server: Server) {
    let mut visitor = server.browser_with([flash([("m", "saved")])]).await;
    for status in [408, 504] {
        let page = [flash_message("m"), fail(status)];
        assert_eq!(visitor.run(&page).await.status.as_u16(), status);
    }
    assert_eq!(visitor.run(message()).await.value(0), "saved");
    assert_eq!(visitor.run(message()).await.value(0), Value::Null);
}

async fn forms_of_every_encoding_are_flashed(server: Server) {
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"user[name]\"\r\n\r\nVirk\r\n\
        --x\r\nContent-Disposition: form-data; name=\"cv\"; filename=\"cv.txt\"\r\n\r\nsecret\r\n--x--\r\n";
    for form in [
        Sent::form("user%5Bname%5D=Virk"),
        Sent::body("multipart/form-data; boundary=x", multipart.as_bytes()),
        Sent::body("application/json; charset=utf-8", br#"{"user":{"name":"Virk"}}"#),
    ] {
        let mut visitor = server.browser();
        visitor.run_with([Step::FlashAll], form).await;
        let shown = visitor.run([old("user.name"), old("cv")]).await;
        assert_eq!(shown.values(), [json!("Virk"), Value::Null]);
    }
}

async fn errors_come_as_lists_and_as_maps(server: Server) {
    for errors in [
        json!([{"field": "a", "message": "first"}, {"field": "a", "message": "second"}]),
        json!({"a": "first"}),
        json!({"a": ["first", "second"]}),
    ] {
        let mut visitor = server.browser_with([with_errors(errors)]).await;
        assert_eq!(visitor.step(get_error_for("a")).await, "first");
    }
}

async fn templates_use_the_helpers_of_the_view(server: Server) {
    let mut visitor = server.browser();
    let steps = [
        with_errors(json!([{"field": "username", "message": "Username is required"}])),
        Step::FlashAll,
        flash([("notification", "Update <successful>!")]),
        flash_push("info", "1 < 2"),
    ];
    visitor.run_with(&steps, Sent::form("username=%3Cscript%3E")).await;
    let template = "<input name=\"username\" value=\"{{ old('username', '') }}\">\
        {% if has_error_for('username') %}<b>{{ get_error_for('username') }}</b>{% endif %}\
        {{ get_error_for('email') }}{{ old('email', 'none') }}\
        {% if flash_message('notification') %}<span>{{ flash_message('notification') }}</span>{% endif %}\
        {% if has_errors() %}{{ errors().username[0] }}{% endif %}\
        {% for message in messages() %}<p class=\"{{ message.level }}\">{{ message.text }}</p>{% endfor %}";
    let page = visitor.run([render(template)]).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(
        page.text(),
        "<input name=\"username\" value=\"&lt;script&gt;\"><b>Username is required</b>none\
         <span>Update &lt;successful&gt;!</span>Username is required\
         <p class=\"info\">1 &lt; 2</p>"
    );
    let again = visitor.run([render(template)]).await;
    assert_eq!(again.text(), "<input name=\"username\" value=\"\">none");
}

async fn a_template_that_does_not_escape_shows_nothing_of_the_visitor(server: Server) {
    let mut visitor = server.browser();
    let form = Sent::form("name=%3Cscript%3E");
    visitor.run_with([Step::FlashAll], form).await;
    let template = "{% autoescape false %}{{ old('name') }}{% endautoescape %}";
    let refused = visitor.run([render(template)]).await;
    let StepError { code, message } = refused.error(0);
    assert_eq!(code, "bad_step");
    assert!(message.contains("`page.html` does not escape"), "{message}");
    assert!(!refused.text().contains("<script>"), "{}", refused.text());
}

async fn an_empty_flash_leaves_no_trace(server: Server) {
    let mut visitor = server.browser();
    visitor.run([flash([("", 0); 0]), Step::Reflash]).await;
    assert!(visitor.jar.is_empty());
}

async fn a_goodbye_message_survives_the_destroy(server: Server) {
    let mut visitor = server.browser_with([put("user", 1)]).await;
    let before = visitor.jar.clone();
    visitor.run([Step::Destroy, flash([("m", "goodbye")])]).await;
    assert_ne!(visitor.jar.get("session"), before.get("session"), "a new token");
    let page = [flash_message("m"), get("user")];
    let shown = visitor.run(&page).await;
    assert_eq!(shown.values(), [json!("goodbye"), Value::Null]);
}

async fn parallel_pages_show_a_message_and_lose_none(server: Server) {
    let mut visitor = server.browser_with([flash([("m", "once")])]).await;
    let pages: Vec<_> = (0..10)
        .map(|_| {
            let mut visitor = visitor.clone();
            tokio::spawn(async move { visitor.run(message()).await.value(0) })
        })
        .collect();
    let mut shown = 0;
    for page in pages {
        shown += usize::from(page.await.unwrap() == "once");
    }
    assert!(shown >= 1);
    assert_eq!(visitor.run(message()).await.value(0), Value::Null);
}

async fn messages_of_parallel_requests_are_all_shown(server: Server) {
    let mut visitor = server.browser_with([flash_push("info", "first")]).await;
    let requests: Vec<_> = (0..10)
        .map(|number| {
            let mut visitor = visitor.clone();
            let fetch = Sent::with("sec-fetch-mode", "cors");
            let push = [flash_push("info", number.to_string())];
            tokio::spawn(async move { visitor.run_with(&push, fetch).await.status })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    let mut shown = messages(&mut visitor).await;
    assert_eq!(shown.remove(0), r#""info": "first""#);
    shown.sort();
    let expected: Vec<_> = (0..10).map(|number| format!(r#""info": "{number}""#)).collect();
    assert_eq!(shown, expected);
}

async fn a_message_flashed_during_a_page_survives_it(server: Server) {
    let mut visitor = server.browser_with([flash([("old", 1)])]).await;
    let mut reader = visitor.clone();
    let slow = [flash_message("old"), sleep(200)];
    let reading = tokio::spawn(async move { reader.run(&slow).await.value(0) });
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    let fetch = Sent::with("sec-fetch-mode", "cors");
    visitor.run_with([flash([("new", 2)])], fetch).await;
    assert_eq!(reading.await.unwrap(), 1);
    let shown = visitor.run([flash_message("old"), flash_message("new")]).await;
    assert_eq!(shown.values(), [Value::Null, json!(2)]);
}

async fn a_form_posted_during_a_reflash_survives_it(server: Server) {
    let mut visitor = server.browser();
    let post =
        |error: &str| [with_errors(json!({"name": error})), Step::FlashAll, flash([(error, 1)])];
    visitor.run_with(&post("older"), Sent::form("name=a&only=older")).await;
    let mut reader = visitor.clone();
    let slow = [Step::Reflash, sleep(200)];
    let reading = tokio::spawn(async move { reader.run(&slow).await });
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    let form = Sent::form("name=b").and("sec-fetch-mode", "cors");
    visitor.run_with(&post("newer"), form).await;
    assert_eq!(reading.await.unwrap().status, 200);
    let page =
        [Step::Errors, old("name"), old("only"), flash_message("older"), flash_message("newer")];
    let shown = visitor.run(&page).await;
    let expected = [json!({"name": ["newer"]}), json!("b"), Value::Null, json!(1), json!(1)];
    assert_eq!(shown.values(), expected);
}
