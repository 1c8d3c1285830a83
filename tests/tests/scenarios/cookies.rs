//! The cookie as it travels: forged, doubled, split, flooded.

use cloakroom::cookie::CookieSettings;
use cloakroom_tests::{
    browser::{Browser, Sent, StepError},
    jar::SetCookie,
    server::{DriverUnderTest, Framework, Server, Setup},
    step::{Step, forget, get, put, repeat, update_push},
};
use serde_json::{Value, json};

every_driver! {
    a_forged_name_is_not_the_session,
    a_malformed_neighbour_hides_nothing,
    doubled_cookies_never_lead_to_the_other_session,
    a_flood_of_cookies_is_an_anonymous_request,
    junk_under_our_name_signs_nobody_out,
}

async fn signed_in(server: &Server) -> Browser {
    server.browser_with([put("user", "virk")]).await
}

fn user() -> [Step; 1] {
    [get("user")]
}

/// Returns the user that a request with this `Cookie` header and no jar finds.
async fn with_cookies(server: &Server, header: &str) -> Value {
    let mut visitor = server.browser();
    visitor.run_with(&user(), Sent::with("cookie", header)).await.value(0)
}

// And 39 for what a client can see of it.
#[tokio::test]
async fn a_mutant_of_a_sealed_cookie_is_like_no_cookie() {
    let server = Server::start(DriverUnderTest::Cookie).await;
    let visitor = signed_in(&server).await;
    let sealed = visitor.token();
    let foreign = signed_in(&Server::start(DriverUnderTest::Cookie).await).await;
    let mut mutants = vec![foreign.token(), "null".to_owned(), "{}".to_owned()];
    for position in 0..sealed.len() {
        let mut flipped = sealed.clone().into_bytes();
        flipped[position] = if flipped[position] == b'A' { b'B' } else { b'A' };
        mutants.push(String::from_utf8(flipped).unwrap());
        mutants.push(sealed[..position].to_owned());
    }
    let plain = server.browser().run(user()).await;
    for mutant in &mutants {
        let mut client = server.browser();
        let reply =
            client.run_with(&user(), Sent::with("cookie", &format!("session={mutant}"))).await;
        assert_eq!((reply.status, &reply.body), (plain.status, &plain.body));
        let without_date = |headers: &http::HeaderMap| {
            let mut headers = headers.clone();
            headers.remove("date");
            headers
        };
        assert_eq!(without_date(&reply.headers), without_date(&plain.headers));
    }
}

async fn a_forged_name_is_not_the_session(server: Server) {
    let visitor = signed_in(&server).await;
    let value = visitor.jar.get("session").unwrap();
    for name in [
        "%73ession",
        "Session",
        "SESSION",
        "\u{2000}session",
        "session\u{3000}",
        "session.",
        "\"session\"",
    ] {
        assert_eq!(
            with_cookies(&server, &format!("{name}={value}")).await,
            Value::Null,
            "{name:?}"
        );
    }
}

async fn a_malformed_neighbour_hides_nothing(server: Server) {
    let visitor = signed_in(&server).await;
    let value = visitor.jar.get("session").unwrap();
    let headers =
        [format!("theme=\u{ff}; session={value}"), format!("=; ;; a; session={value}; \"")];
    for header in headers {
        assert_eq!(with_cookies(&server, &header).await, "virk");
    }
}

async fn doubled_cookies_never_lead_to_the_other_session(server: Server) {
    let (good, mut other) = (signed_in(&server).await, server.browser());
    other.step(put("user", "evil")).await;
    let (good, other) = (good.jar.get("session").unwrap(), other.jar.get("session").unwrap());
    let junk = "A".repeat(43);
    for (cookies, expected) in [
        (format!("session={good}; session={other}"), Value::Null),
        (format!("session={other}; session={good}"), Value::Null),
        (format!("session={good}; session={good}"), json!("virk")),
        (format!("session={good}; session={junk}"), json!("virk")),
        (format!("session={junk}; session={good}"), json!("virk")),
    ] {
        assert_eq!(with_cookies(&server, &cookies).await, expected);
    }
}

async fn a_flood_of_cookies_is_an_anonymous_request(server: Server) {
    let pairs: Vec<_> = (0..900).map(|n| format!("session.{n}={}", "A".repeat(40))).collect();
    let many: Vec<_> = (0..90).map(|n| format!("session={n}")).collect();
    let flood = format!("{}; {}", pairs.join("; "), many.join("; "));
    assert_eq!(with_cookies(&server, &flood).await, Value::Null);
    // Five of the right form are more than are looked at, the visitor's own among them.
    let visitor = signed_in(&server).await;
    let ours = visitor.jar.get("session").unwrap();
    let forged = (0..4).map(|n| format!("session=A{}{n}A", &"Q".repeat(ours.len() - 3)));
    let flood = forged.collect::<Vec<_>>().join("; ");
    assert_eq!(with_cookies(&server, &format!("{flood}; session={ours}")).await, Value::Null);
}

async fn junk_under_our_name_signs_nobody_out(server: Server) {
    let visitor = signed_in(&server).await;
    let ours = visitor.jar.get("session").unwrap();
    let (long, short) = ("A".repeat(61), "A".repeat(42));
    let junk = ["", "junk", "0", "2.junk", "%41", &format!("{short}="), &format!("{short}\u{ff}")];
    let other_form = if server.setup.driver.is_server_side() { long } else { short };
    let junk = junk.into_iter().map(ToOwned::to_owned).chain([other_form, ours[1..].to_owned()]);
    let junk: Vec<_> = junk.map(|value| format!("session={value}")).collect();
    for position in [0, 4, junk.len()] {
        let mut pairs = junk.clone();
        pairs.insert(position, format!("session={ours}"));
        assert_eq!(with_cookies(&server, &pairs.join("; ")).await, "virk", "{position}");
    }
}

#[tokio::test]
async fn a_session_grows_over_chunks_and_shrinks_again() {
    let server = Server::start(DriverUnderTest::Cookie).await;
    let mut visitor = signed_in(&server).await;
    let grow = put("big", "x".repeat(7_000));
    visitor.step(grow).await;
    assert_eq!(visitor.jar.names().collect::<Vec<_>>(), ["session", "session.2", "session.3"]);
    assert_eq!(visitor.step(get("user")).await, "virk");
    let whole = visitor.clone();
    let reply = visitor.run([forget("big")]).await;
    assert_eq!(visitor.jar.names().collect::<Vec<_>>(), ["session"], "{:?}", reply.set_cookies());

    let mut mixed = 0;
    for missing in ["session", "session.2", "session.3"] {
        let mut torn = whole.clone();
        torn.jar.remove(missing);
        mixed += usize::from(torn.step(get("user")).await == "virk");
    }
    let mut swapped = whole.clone();
    let second = whole.jar.get("session.2").unwrap();
    swapped.jar.put("session.3", second);
    mixed += usize::from(swapped.step(get("user")).await == "virk");
    assert_eq!(mixed, 0);
}

#[tokio::test]
async fn a_session_that_does_not_fit_is_an_error_and_the_old_one_stays() {
    let server = Server::start(DriverUnderTest::Cookie).await;
    let mut visitor = signed_in(&server).await;
    let big = repeat(20, [update_push("big", "x".repeat(1_000))]);
    let told = visitor.run([big.clone(), Step::Commit]).await;
    let StepError { code, message } = told.error(1);
    assert_eq!(code, "too_large");
    assert!(message.contains("driver with a store"), "{message}");
    assert!(told.set_cookies().is_empty());
    let silent = visitor.run([big.clone()]).await;
    assert_eq!((silent.status.as_u16(), silent.body.len()), (500, 0));
    assert!(silent.set_cookies().is_empty());
    assert_eq!(visitor.step(get("user")).await, "virk");
    let forgiven = visitor.run([big, Step::Commit, forget("big"), put("k", 1)]).await;
    assert_eq!(forgiven.status, 200);
    assert_eq!(visitor.step(Step::All).await, json!({"user": "virk", "k": 1}));
}

// Every Set-Cookie that can come, as a browser with the prefix rules sees it.
#[tokio::test]
async fn browsers_take_every_cookie_of_the_default_settings() {
    let mut checked = 0;
    for setup in Setup::all() {
        let server =
            Server::start_with(setup, |builder| builder.cookie_settings(CookieSettings::default()))
                .await;
        let mut visitor = server.browser();
        for step in [
            put("big", "x".repeat(7_000)),
            Step::Regenerate,
            forget("big"),
            Step::CsrfToken,
            Step::Destroy,
        ] {
            for line in visitor.run([step]).await.set_cookies() {
                let cookie = SetCookie::parse(&line).unwrap();
                assert_eq!(cookie.refused_because(), None, "{line}");
                let has = |name: &str| cookie.attributes.contains_key(name);
                assert!(
                    cookie.name.starts_with("__Host-Http-session")
                        && has("secure")
                        && has("httponly")
                );
                assert_eq!(cookie.attributes["samesite"], "Lax");
                assert!(line.len() <= 4096);
                checked += 1;
            }
        }
        assert!(visitor.jar.is_empty(), "{setup:?}: {:?}", visitor.jar);
    }
    assert!(checked > 0);
}

#[tokio::test]
async fn a_cookie_of_the_older_key_comes_back_sealed_by_the_newer() {
    use cloakroom::{AppKeys, Driver, Sessions};
    let (one, two) = (AppKeys::generate(), AppKeys::generate());
    let start = async |keys: String| {
        let keys = AppKeys::parse(&keys).unwrap();
        let sessions =
            Sessions::builder(Driver::Cookie, keys).cookie_settings(CookieSettings::development());
        Framework::Axum.probe(sessions.build().unwrap()).await
    };
    let (old, _serving) = start(one.clone()).await;
    let mut visitor = Browser::new(old);
    visitor.step(put("user", "virk")).await;
    let (rotated, _serving_too) = start(format!("{two},{one}")).await;
    let mut next = Browser::new(rotated);
    next.jar = visitor.jar.clone();
    assert_eq!(next.run(user()).await.set_cookies().len(), 1, "sealed again");
    assert_eq!(next.run(user()).await.set_cookies().len(), 0, "once");
    let (new, _serving_as_well) = start(two).await;
    let mut last = Browser::new(new);
    last.jar = next.jar.clone();
    assert_eq!(last.run(user()).await.value(0), "virk");
    last.jar = visitor.jar;
    assert_eq!(last.run(user()).await.value(0), Value::Null);
}
