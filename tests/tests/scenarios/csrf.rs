//! The CSRF layer: before the handler, and by the session's token.

use std::time::Duration;

use cloakroom_tests::{
    browser::{Browser, Reply, Sent},
    server::Server,
    step::Step,
};
use http::{HeaderValue, Method};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

every_driver! {
    a_form_of_the_page_passes,
    what_has_no_proof_is_refused,
    a_token_of_another_session_is_refused,
    a_token_from_before_the_login_is_refused,
    a_token_in_the_query_or_a_cookie_is_no_proof,
    every_encoding_of_a_form_may_carry_the_token,
    a_body_that_proves_nothing_is_not_waited_for,
    a_form_longer_than_the_limit_is_refused,
    a_form_that_cannot_be_read_is_no_forgery,
    a_connection_that_changes_its_protocol_is_not_waited_for,
    a_websocket_handshake_is_judged_by_its_origin,
    a_refusal_is_json_for_clients_that_accept_it,
}

pub(super) async fn token(visitor: &mut Browser) -> String {
    let page = visitor.get("/csrf-form").await.text();
    let start = page.find("value=\"").unwrap() + 7;
    page[start..start + page[start..].find('"').unwrap()].to_owned()
}

pub(super) async fn post(visitor: &mut Browser, sent: Sent) -> Reply {
    visitor.send("/csrf-form", sent).await
}

async fn a_form_of_the_page_passes(server: Server) {
    let mut visitor = server.browser();
    let (one, two) = (token(&mut visitor).await, token(&mut visitor).await);
    assert_ne!(one, two, "each is masked by itself");
    for token in [&one, &two] {
        let reply = post(&mut visitor, Sent::form(&format!("a=b&_csrf={token}"))).await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "passed"));
    }
    for header in ["x-csrf-token", "x-xsrf-token"] {
        let reply =
            post(&mut visitor, Sent { method: Method::POST, ..Sent::with(header, &one) }).await;
        assert_eq!(reply.status, 200);
    }
}

async fn what_has_no_proof_is_refused(server: Server) {
    let mut visitor = server.browser();
    token(&mut visitor).await;
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        for sent in [
            Sent::default(),
            Sent::form("_csrf="),
            Sent::form("_csrf=null"),
            Sent::body("text/plain", b"_csrf=x"),
        ] {
            let reply = post(&mut visitor, Sent { method: method.clone(), ..sent }).await;
            assert_eq!(reply.status, 403, "{method}");
            assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8");
        }
    }
    let cross_site = Sent { method: Method::POST, ..Sent::with("sec-fetch-site", "cross-site") };
    let reply = post(&mut visitor, cross_site).await;
    assert_eq!(reply.status, 403);
    assert!(reply.headers["vary"].to_str().unwrap().contains("Sec-Fetch-Site"));
    let mut fresh = server.browser();
    let reply = post(&mut fresh, Sent::form("_csrf=")).await;
    assert_eq!(reply.status, 403, "no session, no proof");
}

async fn a_token_of_another_session_is_refused(server: Server) {
    let (mut one, mut two) = (server.browser(), server.browser());
    let foreign = token(&mut one).await;
    token(&mut two).await;
    assert_eq!(post(&mut two, Sent::form(&format!("_csrf={foreign}"))).await.status, 403);
}

async fn a_token_from_before_the_login_is_refused(server: Server) {
    let mut visitor = server.browser();
    let before = token(&mut visitor).await;
    visitor.step(Step::Regenerate).await;
    assert_eq!(post(&mut visitor, Sent::form(&format!("_csrf={before}"))).await.status, 403);
    let after = token(&mut visitor).await;
    assert_eq!(post(&mut visitor, Sent::form(&format!("_csrf={after}"))).await.status, 200);
}

async fn a_token_in_the_query_or_a_cookie_is_no_proof(server: Server) {
    let mut visitor = server.browser();
    let token = token(&mut visitor).await;
    let path = format!("/csrf-form?_csrf={token}");
    let sent = Sent::method(Method::POST);
    assert_eq!(visitor.send(&path, sent.clone()).await.status, 403);
    visitor.jar.put("XSRF-TOKEN", &token);
    visitor.jar.put("_csrf", &token);
    assert_eq!(post(&mut visitor, sent).await.status, 403);
}

async fn every_encoding_of_a_form_may_carry_the_token(server: Server) {
    let mut visitor = server.browser();
    let token = token(&mut visitor).await;
    let multipart = format!(
        "--x\r\nContent-Disposition: form-data; name=\"_csrf\"\r\n\r\n{token}\r\n--x--\r\n"
    );
    for sent in [
        Sent::body("multipart/form-data; boundary=x", multipart.as_bytes()),
        Sent::body("application/json", json!({"_csrf": token}).to_string().as_bytes()),
    ] {
        assert_eq!(post(&mut visitor, sent).await.status, 200);
    }
    let mut latin1 = Sent::form(&format!("_csrf={token}"));
    let content_type = b"application/x-www-form-urlencoded; by=\"\xe9\"";
    latin1.headers.insert("content-type", HeaderValue::from_bytes(content_type).unwrap());
    assert_eq!(post(&mut visitor, latin1).await.status, 200);
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

/// Sends a request's head and nothing of its body. Returns the status of the reply.
async fn status_without_body(server: &Server, method: &str, headers: &[&str]) -> u16 {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let headers = headers.join("\r\n");
    let head =
        format!("{method} /csrf-form HTTP/1.1\r\nHost: {}\r\n{headers}\r\n\r\n", server.address);
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut line = [0; 12];
    let reading = timeout(Duration::from_secs(5), stream.read_exact(&mut line)).await;
    reading.unwrap_or_else(|_| panic!("no reply to {method} {headers:?}")).unwrap();
    std::str::from_utf8(&line[9..]).unwrap().parse().unwrap()
}

/// A visitor with a session: their `Cookie` line and their token.
async fn signed_in(server: &Server) -> (String, String) {
    let mut visitor = server.browser();
    let token = token(&mut visitor).await;
    (format!("Cookie: {}", visitor.jar.header().unwrap()), format!("X-CSRF-Token: {token}"))
}

async fn a_body_that_proves_nothing_is_not_waited_for(server: Server) {
    let (cookie, token) = signed_in(&server).await;
    let (huge, unknown) = ("Content-Length: 1000000000", "Cookie: session=AAAA");
    let unmeasured = "Transfer-Encoding: chunked";
    let cells: [(u16, &[&str]); 10] = [
        (403, &[FORM, huge]),
        (403, &[FORM, huge, unknown]),
        (403, &[FORM, unmeasured]),
        (403, &[&cookie, huge]),
        (403, &[&cookie, unmeasured]),
        (403, &[&cookie, huge, "Content-Type: application/octet-stream"]),
        (415, &[&cookie, FORM, "Content-Length: 809", "Content-Encoding: br"]),
        (413, &[&cookie, FORM, huge]),
        (413, &[&cookie, FORM, "Content-Length: 2097153"]),
        (200, &[&cookie, &token, "Content-Type: application/octet-stream", huge]),
    ];
    for (expected, headers) in cells {
        assert_eq!(status_without_body(&server, "POST", headers).await, expected, "{headers:?}");
    }
}

async fn a_form_longer_than_the_limit_is_refused(server: Server) {
    let mut visitor = server.browser();
    let token = token(&mut visitor).await;
    let form = |length: usize| format!("_csrf={token}&a={}", "x".repeat(length - 95));
    let fits = form(2 * 1024 * 1024);
    assert_eq!(fits.len(), 2 * 1024 * 1024);
    assert_eq!(post(&mut visitor, Sent::form(&fits)).await.status, 200);
    let reply = visitor.try_send("/csrf-form", Sent::form(&form(fits.len() + 1)));
    // The server may close the connection while the form is on its way.
    if let Ok(reply) = reply.await {
        assert_eq!(reply.status, 413);
        assert!(reply.text().contains("2097152 bytes"), "{}", reply.text());
    }
}

async fn a_form_that_cannot_be_read_is_no_forgery(server: Server) {
    let mut visitor = server.browser();
    let token = token(&mut visitor).await;
    let form = |rest: &str| Sent::form(&format!("_csrf={token}&{rest}"));
    let long_name = "n".repeat(1_025) + "=1";
    let list = json!({"_csrf": token, "list": vec![0; 10_000]}).to_string();
    for (sent, status, said) in [
        (form("a=1"), 200, "passed"),
        (form(&long_name), 400, "longer than 1024 bytes"),
        (form(&"a=1&".repeat(1_000)), 400, "more than 1000 fields"),
        (Sent::body("application/json", list.as_bytes()), 400, "more than 10000 values"),
        (Sent::body("application/json", b"{"), 400, "not JSON"),
        (form("a=1").and("content-encoding", "br"), 415, "content encoding"),
        (Sent::body("text/plain", token.as_bytes()), 403, "no CSRF token"),
        (Sent::body("text/plain", b"").and("content-encoding", "br"), 403, "no CSRF token"),
    ] {
        let reply = post(&mut visitor, sent).await;
        assert_eq!(reply.status, status, "{said}: {}", reply.text());
        assert!(reply.text().contains(said), "{said}: {}", reply.text());
    }
    for sent in [form(&long_name), form("a=1").and("content-encoding", "br")] {
        assert_eq!(post(&mut server.browser(), sent).await.status, 403, "without a session");
    }
}

async fn a_connection_that_changes_its_protocol_is_not_waited_for(server: Server) {
    let (cookie, _) = signed_in(&server).await;
    let upgrade = ["Connection: upgrade", "Upgrade: websocket"];
    let post = [&[&cookie, FORM], &upgrade[..]].concat();
    assert_eq!(status_without_body(&server, "POST", &post).await, 403);
    let foreign = "Origin: https://evil.example";
    let connect = [&cookie, FORM, foreign];
    assert_eq!(status_without_body(&server, "CONNECT", &connect).await, 403);
    let own = format!("Origin: http://{}", server.address);
    let status = status_without_body(&server, "CONNECT", &[&cookie, FORM, &own]).await;
    assert_ne!(status, 403, "this site's own, for which there is no route");
}

async fn a_websocket_handshake_is_judged_by_its_origin(server: Server) {
    let (cookie, _) = signed_in(&server).await;
    let own = format!("Origin: http://{}", server.address);
    let handshake = [&cookie, "Connection: Upgrade", "Upgrade: websocket"];
    for (sender, expected) in [
        (own.as_str(), 200),
        ("Sec-Fetch-Site: same-origin", 200),
        ("X-Any: a client that is no browser", 200),
        ("Origin: https://evil.example", 403),
        ("Origin: null", 403),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: same-site", 403),
    ] {
        let headers = [&handshake[..], &[sender]].concat();
        assert_eq!(status_without_body(&server, "GET", &headers).await, expected, "{sender}");
        let page = [&cookie, sender];
        assert_eq!(status_without_body(&server, "GET", &page).await, 200, "a page, {sender}");
    }
}

async fn a_refusal_is_json_for_clients_that_accept_it(server: Server) {
    let mut visitor = server.browser();
    token(&mut visitor).await;
    for (sent, code) in [
        (Sent::form("_csrf=x"), "bad_token"),
        (Sent::form("a=b"), "missing_token"),
        (Sent::form("a=b").and("sec-fetch-site", "cross-site"), "cross_site"),
    ] {
        let reply = post(&mut visitor, sent.and("accept", "application/json")).await;
        assert_eq!(reply.status, 403);
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        assert!(reply.headers["vary"].to_str().unwrap().contains("Accept"));
        let details: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((&details["status"], &details["code"]), (&json!(403), &json!(code)));
        assert_eq!(
            (&details["type"], &details["title"]),
            (&json!("about:blank"), &json!("Forbidden"))
        );
        assert!(details["detail"].as_str().unwrap().len() > 20);
    }
}
