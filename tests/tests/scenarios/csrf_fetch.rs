//! CSRF layers that go by Fetch Metadata, and the origins that they compare with.

use cloakroom::{Origin, SessionsBuilder, csrf::CsrfRejection};
use cloakroom_tests::{
    browser::{Browser, Reply, Sent},
    local::LocalApp,
    server::{Framework, Server},
    store::Faults,
};
use http::Method;
use serde_json::Value;

use crate::csrf::token;

on_drivers! {
    Cookie Memory;
    a_proven_sender_needs_no_token
    a_client_that_proves_nothing_needs_a_token
    forms_alone_need_a_token_by_default
    each_refusal_has_its_code
    a_handshake_is_judged_by_its_sender_with_each_policy
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const CONTENT_TYPES: [&str; 6] =
    [FORM, "multipart/form-data; boundary=x", "text/plain", JSON, "application/cbor", ""];
const METHODS: [Method; 2] = [Method::POST, Method::DELETE];

/// A `POST` of this type, or without a type.
fn request(content_type: &str) -> Sent {
    match content_type {
        "" => Sent::method(Method::POST),
        content_type => Sent::body(content_type, b"{}"),
    }
}

fn own_origin(server: &Server) -> String {
    format!("http://{}", server.address)
}

async fn code(browser: &mut Browser, path: &str, sent: Sent) -> String {
    let reply = browser.send(path, sent.and("accept", "application/json")).await;
    if reply.status == 200 {
        return reply.text();
    }
    assert_eq!(reply.status, 403, "{}", reply.text());
    let details: Value = serde_json::from_slice(&reply.body).unwrap();
    details["code"].as_str().unwrap().to_owned()
}

async fn a_proven_sender_needs_no_token(server: Server) {
    let own = own_origin(&server);
    let senders: [&[(&'static str, &str)]; 5] = [
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "same-origin"), ("origin", &own)],
        &[("sec-fetch-site", "same-origin"), ("origin", "null")],
        &[("origin", &own)],
    ];
    for content_type in CONTENT_TYPES {
        for sender in senders {
            let mut visitor = server.browser();
            let sent = sender.iter().fold(request(content_type), |sent, (k, v)| sent.and(k, v));
            let reply = visitor.send("/csrf-fetch", sent).await;
            assert_eq!(reply.text(), "passed", "{content_type} {sender:?}");
            assert!(reply.set_cookies().is_empty(), "{content_type} {sender:?}");
        }
    }
}

async fn a_client_that_proves_nothing_needs_a_token(server: Server) {
    let mut visitor = server.browser();
    let token = token(&mut visitor).await;
    for content_type in CONTENT_TYPES {
        let sent = request(content_type).and("referer", &format!("{}/form", own_origin(&server)));
        for path in ["/csrf-fetch", "/csrf-form"] {
            let bare = sent.clone();
            let reply = visitor.send(path, bare.clone()).await;
            assert!(reply.status == 403 || reply.status == 400, "{path} {content_type}");
            let reply = visitor.send(path, bare.and("x-csrf-token", &token)).await;
            assert_eq!(reply.status, 200, "{path} {content_type}");
        }
    }
    let reply = visitor.send("/csrf-fetch", Sent::form(&format!("_csrf={token}"))).await;
    assert_eq!(reply.status, 200, "a token in the form");
}

async fn forms_alone_need_a_token_by_default(server: Server) {
    let mut visitor = server.browser();
    let token = token(&mut visitor).await;
    for (content_type, expected) in [
        (FORM, "missing_token"),
        ("Text/Plain; charset=utf-8", "missing_token"),
        ("text/plain;application/json", "missing_token"),
        ("", "missing_token"),
        (JSON, "passed"),
        ("application/vnd.api+json; charset=utf-8", "passed"),
        ("application/cbor", "passed"),
    ] {
        for site in ["same-origin", "none"] {
            let sent = request(content_type).and("sec-fetch-site", site);
            let found = code(&mut visitor, "/csrf-form", sent.clone()).await;
            assert_eq!(found, expected, "{content_type} {site}");
            let proved = sent.and("x-csrf-token", &token);
            assert_eq!(code(&mut visitor, "/csrf-form", proved).await, "passed", "{content_type}");
        }
    }
    let two_types = request(JSON).and("content-type", JSON).and("sec-fetch-site", "same-origin");
    assert_ne!(code(&mut visitor, "/csrf-form", two_types).await, "passed", "a repeated type");
}

async fn each_refusal_has_its_code(server: Server) {
    let own = own_origin(&server);
    let rows: [(&[(&'static str, &str)], &str); 10] = [
        (&[("sec-fetch-site", "cross-site")], "cross_site"),
        (&[("sec-fetch-site", "cross-site"), ("origin", &own)], "cross_site"),
        (&[("sec-fetch-site", "same-site")], "same_site"),
        (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], "repeated_header"),
        (&[("origin", &own), ("origin", &own)], "repeated_header"),
        (&[("origin", "null")], "origin"),
        (&[("origin", "https://evil.example")], "origin"),
        (&[("origin", "http://ex\u{e4}mple.org")], "origin"),
        (&[("referer", "https://evil.example/")], "origin"),
        (&[("sec-fetch-site", "Same-Origin")], "no_session"),
    ];
    for method in METHODS {
        for path in ["/csrf-fetch", "/csrf-form"] {
            for (sender, expected) in &rows {
                let sent = Sent { method: method.clone(), ..request("") };
                let token = sent.and("x-csrf-token", "x");
                let sent = sender.iter().fold(token, |sent, (name, value)| sent.and(name, value));
                let found = code(&mut server.browser(), path, sent).await;
                assert_eq!(found, *expected, "{method} {path} {sender:?}");
            }
        }
    }
}

/// A handshake has no token with any policy. The route is for `POST` alone, so one that passes gets 405.
async fn a_handshake_is_judged_by_its_sender_with_each_policy(server: Server) {
    let own = own_origin(&server);
    for (path, passed) in [("/csrf-fetch", 405), ("/csrf-form", 200)] {
        for (name, value, expected) in [
            ("origin", own.as_str(), passed),
            ("sec-fetch-site", "same-origin", passed),
            ("x-any", "a client that is no browser", passed),
            ("origin", "https://evil.example", 403),
            ("origin", "null", 403),
            ("sec-fetch-site", "cross-site", 403),
            ("sec-fetch-site", "same-site", 403),
        ] {
            let sent = Sent::with("upgrade", "websocket").and("connection", "upgrade");
            let status = server.browser().send(path, sent.and(name, value)).await.status;
            assert_eq!(status, expected, "{path} {name}: {value}");
        }
    }
}

/// Serves the probe on each framework with these settings, and sends a request to each.
async fn send_to_both(
    configure: fn(SessionsBuilder) -> SessionsBuilder,
    path: &str,
    sent: &Sent,
) -> [Reply; 2] {
    let mut replies = Vec::new();
    for framework in Framework::ALL {
        let app = LocalApp::with(Faults::default(), configure);
        let (address, _serving) = framework.probe(app.sessions).await;
        replies.push(Browser::new(address).send(path, sent.clone()).await);
    }
    replies.try_into().unwrap()
}

fn origin(text: &str) -> Origin {
    text.parse().unwrap()
}

fn behind_a_proxy(builder: SessionsBuilder) -> SessionsBuilder {
    let public = builder.public_origin(origin("https://shop.example.org"));
    public.trusted_origins([origin("https://admin.example.org")])
}

#[tokio::test]
async fn behind_a_proxy_that_changes_host_the_public_origin_counts() {
    for (sender, expected) in [
        (&[("origin", "https://shop.example.org")][..], 200),
        (&[("origin", "https://admin.example.org")], 200),
        (&[("sec-fetch-site", "same-origin"), ("origin", "https://shop.example.org")], 200),
        (&[("sec-fetch-site", "same-site"), ("origin", "https://admin.example.org")], 200),
        (&[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], 403),
        (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], 403),
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "http://shop.example.org")], 403),
        (&[("origin", "http://10.0.0.7:3333")], 403),
    ] {
        let host = request("").and("host", "10.0.0.7:3333");
        let forwarded = host
            .and("x-forwarded-host", "evil.example")
            .and("x-forwarded-proto", "https")
            .and("forwarded", "host=evil.example;proto=https");
        let sent = sender.iter().fold(forwarded, |sent, (name, value)| sent.and(name, value));
        for reply in send_to_both(behind_a_proxy, "/csrf-fetch", &sent).await {
            assert_eq!(reply.status, expected, "{sender:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_explained_in_development_only() {
    for (sender, refusal) in [
        (&[("sec-fetch-site", "cross-site")][..], CsrfRejection::CrossSite),
        (&[("origin", "https://evil.example")], CsrfRejection::ForeignOrigin),
        (&[], CsrfRejection::MissingToken),
    ] {
        let sent = sender.iter().fold(request(""), |sent, (name, value)| sent.and(name, value));
        for reply in send_to_both(|builder| builder.show_errors(false), "/csrf-fetch", &sent).await
        {
            assert_eq!((reply.status.as_u16(), reply.text()), (403, refusal.to_string()));
        }
        let explained = format!("{refusal} ({})", refusal.explanation());
        for reply in send_to_both(|builder| builder.show_errors(true), "/csrf-fetch", &sent).await {
            assert_eq!((reply.status.as_u16(), reply.text()), (403, explained.clone()));
        }
    }
}
