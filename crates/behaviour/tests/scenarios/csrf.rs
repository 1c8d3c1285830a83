//! The CSRF layer: before the handler, and by the session's token.

use behaviour::{
    client::{Client, Reply, Sent},
    server::Server,
};
use http::Method;
use serde_json::{Value, json};

every_driver! {
    a_form_of_the_page_passes,
    what_has_no_proof_is_refused,
    a_token_of_another_session_is_refused,
    a_token_from_before_the_login_is_refused,
    a_token_in_the_query_or_a_cookie_is_no_proof,
    every_encoding_of_a_form_may_carry_the_token,
}

async fn token(visitor: &mut Client) -> String {
    let page = visitor.get("/csrf-form").await.text();
    let start = page.find("value=\"").unwrap() + 7;
    page[start..start + page[start..].find('"').unwrap()].to_owned()
}

async fn post(visitor: &mut Client, sent: Sent) -> Reply {
    visitor.send("/csrf-form", &Value::Null, sent).await
}

async fn a_form_of_the_page_passes(server: Server) {
    let mut visitor = server.client();
    let (one, two) = (token(&mut visitor).await, token(&mut visitor).await);
    assert_ne!(one, two, "requirement 46: masked anew");
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

// Requirements 42, 43, 45 and 51.
async fn what_has_no_proof_is_refused(server: Server) {
    let mut visitor = server.client();
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
    let mut fresh = server.client();
    let reply = post(&mut fresh, Sent::form("_csrf=")).await;
    assert_eq!(reply.status, 403, "no session, no proof");
    println!("refused: 4 methods × 4 bodies, cross-site, no session");
}

// Requirement 44.
async fn a_token_of_another_session_is_refused(server: Server) {
    let (mut one, mut two) = (server.client(), server.client());
    let foreign = token(&mut one).await;
    token(&mut two).await;
    assert_eq!(post(&mut two, Sent::form(&format!("_csrf={foreign}"))).await.status, 403);
}

// Requirement 7.
async fn a_token_from_before_the_login_is_refused(server: Server) {
    let mut visitor = server.client();
    let before = token(&mut visitor).await;
    visitor.step(json!({"do": "regenerate"})).await;
    assert_eq!(post(&mut visitor, Sent::form(&format!("_csrf={before}"))).await.status, 403);
    let after = token(&mut visitor).await;
    assert_eq!(post(&mut visitor, Sent::form(&format!("_csrf={after}"))).await.status, 200);
}

// Requirements 50 and 51.
async fn a_token_in_the_query_or_a_cookie_is_no_proof(server: Server) {
    let mut visitor = server.client();
    let token = token(&mut visitor).await;
    let path = format!("/csrf-form?_csrf={token}");
    let sent = Sent { method: Method::POST, ..Sent::default() };
    assert_eq!(visitor.send(&path, &Value::Null, sent.clone()).await.status, 403);
    visitor.jar.put("XSRF-TOKEN", &token);
    visitor.jar.put("_csrf", &token);
    assert_eq!(post(&mut visitor, sent).await.status, 403);
}

async fn every_encoding_of_a_form_may_carry_the_token(server: Server) {
    let mut visitor = server.client();
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
}
