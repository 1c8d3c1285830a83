//! Sessions that are bound to the device that signed in.

use std::time::Duration;

use actix_web::web;
use cloakroom::{
    DeviceBinding,
    actix::{CsrfMiddleware, SessionMiddleware},
    axum::{CsrfLayer, SessionLayer},
    testing::{TestClient, TestDevice, TestResponse},
};
use cloakroom_tests::{
    browser::{Browser, Reply, Sent},
    local::LocalApp,
    probe,
    server::{Framework, Server, serve, serve_actix},
    step::{Step, get, put, sign_in},
};
use http::Method;
use serde_json::{Value, json};

every_driver! {
    a_stolen_cookie_is_worth_eleven_minutes,
    a_browser_without_a_device_is_served_as_before,
    a_sensitive_page_is_for_the_device_and_others_are_for_its_owner,
    a_report_signs_nobody_out,
    a_request_without_the_device_leaves_the_session_to_it,
    a_visitor_without_the_device_can_sign_out,
    a_visitor_without_the_device_can_sign_in_again,
    the_device_goes_along_with_a_new_token_and_ends_with_the_session,
    the_library_replies_to_browsers_as_the_protocol_says,
}

const MINUTES: Duration = Duration::from_mins(1);

/// Starts a server like this one, with another policy.
async fn with(server: &Server, policy: DeviceBinding) -> Server {
    Server::start_with(server.setup, |builder| builder.device_binding(policy)).await
}

async fn run(client: &mut TestClient<Browser>, steps: impl AsRef<[Step]>) -> TestResponse {
    let script = serde_json::to_string(steps.as_ref()).unwrap();
    client.get("/script").header("x-script", &script).send().await
}

async fn device(client: &mut TestClient<Browser>) -> Value {
    run(client, [Step::Device]).await.json::<Value>()["results"][0]["ok"].take()
}

async fn status_of_mine(client: &mut TestClient<Browser>) -> u16 {
    client.get("/mine").header("accept", "application/json").send().await.status()
}

/// Returns a visitor who has signed in, on a browser that supports device-bound sessions.
async fn virk(server: &Server) -> TestClient<Browser> {
    let mut virk = server.client().with_device();
    run(&mut virk, [sign_in("virk"), put("cart", 3)]).await.assert_device_bound();
    virk
}

async fn a_stolen_cookie_is_worth_eleven_minutes(server: Server) {
    let server = with(&server, DeviceBinding::Require).await;
    let mut virk = virk(&server).await;
    let mut thief = server.client().with_cookies_of(&virk);
    server.clock.advance(MINUTES * 10);
    assert_eq!(status_of_mine(&mut thief).await, 200, "the stolen bound cookie still counts");
    server.clock.advance(MINUTES);
    assert_eq!(status_of_mine(&mut thief).await, 401);
    run(&mut thief, [get("cart")]).await.assert_session_missing("cart");
    virk.get("/mine").send().await.assert_status(200).assert_device_bound();
    run(&mut virk, [get("cart")]).await.assert_session("cart", 3);
    server.clock.advance(MINUTES * 60);
    assert_eq!(status_of_mine(&mut virk).await, 200);
    assert_eq!(status_of_mine(&mut thief).await, 401);
}

async fn a_browser_without_a_device_is_served_as_before(server: Server) {
    let server = with(&server, DeviceBinding::Require).await;
    let mut visitor = server.client();
    run(&mut visitor, [sign_in("virk")]).await;
    server.clock.advance(MINUTES * 60);
    visitor.get("/mine").send().await.assert_status(200).assert_signed_in_as("virk");
}

async fn a_sensitive_page_is_for_the_device_and_others_are_for_its_owner(server: Server) {
    let server = with(&server, DeviceBinding::Sensitive).await;
    let mut virk = virk(&server).await;
    let mut thief = server.client().with_cookies_of(&virk);
    assert_eq!(code_of_fresh(&mut thief).await, None, "the stolen bound cookie still counts");
    server.clock.advance(MINUTES * 11);
    assert_eq!(code_of_fresh(&mut thief).await.as_deref(), Some("device_missing"));
    thief.get("/fresh").send().await.assert_status(401);
    assert_eq!(status_of_mine(&mut thief).await, 200);
    run(&mut thief, [get("cart")]).await.assert_session("cart", 3);
    assert_eq!(code_of_fresh(&mut virk).await, None);
    assert_eq!(status_of_mine(&mut virk).await, 200);
}

/// Returns the code of the refusal on the route that needs a recent sign-in, if it refuses the client.
async fn code_of_fresh(client: &mut TestClient<Browser>) -> Option<String> {
    let reply = client.get("/fresh").header("accept", "application/json").send().await;
    (reply.status() != 200).then(|| reply.json::<Value>()["code"].as_str().unwrap().to_owned())
}

async fn a_report_signs_nobody_out(server: Server) {
    let server = with(&server, DeviceBinding::Report).await;
    let virk = virk(&server).await;
    server.clock.advance(MINUTES * 60);
    // The browser of this one does not refresh.
    let mut broken = server.client().with_cookies_of(&virk);
    let reply = broken.get("/mine").send().await;
    reply.assert_status(200).assert_signed_in_as("virk");
    assert_eq!(device(&mut broken).await, json!({ "is_present": false }), "the page can see it");
    let mut virk = virk;
    assert_eq!(device(&mut virk).await, json!({ "is_present": true }));
    let mut visitor = server.client();
    run(&mut visitor, [sign_in("virk")]).await;
    assert_eq!(device(&mut visitor).await, Value::Null, "not bound");
}

async fn a_request_without_the_device_leaves_the_session_to_it(server: Server) {
    let server = with(&server, DeviceBinding::Require).await;
    let mut virk = virk(&server).await;
    let mut broken = server.client().with_cookies_of(&virk);
    server.clock.advance(MINUTES * 11);
    let reply = run(&mut broken, [put("cart", 9), put("theme", "dark")]).await;
    reply.assert_session_missing("theme");
    assert!(reply.header("set-cookie").is_none(), "the browser keeps its cookie");
    assert_eq!(status_of_mine(&mut broken).await, 401);
    run(&mut virk, [get("cart")]).await.assert_session("cart", 3).assert_device_bound();
}

async fn a_visitor_without_the_device_can_sign_out(server: Server) {
    let server = with(&server, DeviceBinding::Require).await;
    let virk = virk(&server).await;
    let mut broken = server.client().with_cookies_of(&virk);
    server.clock.advance(MINUTES * 11);
    let reply = run(&mut broken, [Step::Destroy]).await;
    assert!(reply.header("set-cookie").unwrap().starts_with("session=; Max-Age=0"));
    if server.setup.driver.is_server_side() {
        let mut virk = virk;
        assert_eq!(status_of_mine(&mut virk).await, 401);
    }
}

async fn a_visitor_without_the_device_can_sign_in_again(server: Server) {
    let server = with(&server, DeviceBinding::Require).await;
    let virk = virk(&server).await;
    let mut broken = server.client().with_cookies_of(&virk).with_device();
    server.clock.advance(MINUTES * 11);
    run(&mut broken, [sign_in("virk")]).await.assert_device_bound();
    assert_eq!(status_of_mine(&mut broken).await, 200);
}

async fn the_device_goes_along_with_a_new_token_and_ends_with_the_session(server: Server) {
    let server = with(&server, DeviceBinding::Require).await;
    let mut virk = virk(&server).await;
    run(&mut virk, [Step::Regenerate]).await.assert_device_bound();
    server.clock.advance(MINUTES * 11);
    virk.get("/mine").send().await.assert_status(200).assert_device_bound();
    run(&mut virk, [Step::Destroy]).await.assert_signed_out();
    server.clock.advance(MINUTES * 11);
    assert_eq!(status_of_mine(&mut virk).await, 401);
}

async fn the_library_replies_to_browsers_as_the_protocol_says(server: Server) {
    let server = with(&server, DeviceBinding::Require).await;
    let mut virk = server.client();
    let signed_in = run(&mut virk, [sign_in("virk")]).await;
    let registration = signed_in.header("secure-session-registration").unwrap().to_owned();
    let (head, challenge) = registration.split_once(";challenge=\"").unwrap();
    assert_eq!(head, "(ES256 RS256);path=\"/.well-known/cloakroom/session/device-registration\"");
    let challenge = challenge.strip_suffix('"').unwrap();
    assert!(run(&mut virk, [get("cart")]).await.header("secure-session-registration").is_none());

    let device = TestDevice::new();
    let proof = format!("\"{}\"", device.register(challenge));
    let path = "/.well-known/cloakroom/session/device-registration";
    let registered = virk.post(path).header("secure-session-response", &proof).send().await;
    registered.assert_status(200);
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(registered.header(name), Some(value));
    }
    let instructions: Value = registered.json();
    let id = instructions["session_identifier"].as_str().unwrap();
    let refresh = "/.well-known/cloakroom/session/device-refresh";
    let origin = format!("http://{}", server.address);
    assert_eq!(
        instructions,
        json!({
            "session_identifier": id,
            "refresh_url": refresh,
            "scope": { "origin": origin, "include_site": false, "scope_specification": [] },
            "credentials": [{
                "type": "cookie",
                "name": "session-device",
                "attributes": "Path=/; HttpOnly; SameSite=Lax",
            }],
            "allowed_refresh_initiators": ["*"],
        })
    );
    let cookie = registered.header("set-cookie").unwrap();
    assert!(cookie.starts_with("session-device=") && cookie.contains("; Max-Age=600; Path=/"));

    let named = format!("\"{id}\"");
    let asked = virk.post(refresh).header("sec-secure-session-id", &named).send().await;
    let field = asked.assert_status(403).header("secure-session-challenge").unwrap().to_owned();
    let (challenge, parameter) = field[1..].split_once('"').unwrap();
    assert_eq!(parameter, format!(";id=\"{id}\""));
    let proof = device.prove(challenge);
    let refreshed = virk.post(refresh).header("sec-secure-session-id", &named);
    let refreshed = refreshed.header("secure-session-response", &proof).send().await;
    assert_eq!(refreshed.assert_status(200).json::<Value>(), instructions);
    assert!(refreshed.header("set-cookie").unwrap().starts_with("session-device="));

    // A session without this binding, which ended or was never there, ends the browser's side of it.
    let mut other = server.client();
    let unknown = other.post(refresh).header("sec-secure-session-id", &named).send().await;
    let ended: Value = unknown.assert_status(200).json();
    assert_eq!(ended, json!({ "session_identifier": id, "continue": false }));
}

/// The browser sends these requests by itself, without a token of the page, and no page may read the replies.
#[tokio::test]
async fn a_csrf_layer_around_all_routes_lets_the_requests_of_the_browser_through() {
    for framework in Framework::ALL {
        let app = LocalApp::with((), |builder| builder.device_binding(DeviceBinding::Require));
        let sessions = app.sessions.clone();
        let (address, _serving) = match framework {
            Framework::Axum => {
                let routes = probe::axum::routes().layer(CsrfLayer::default());
                serve(routes.layer(SessionLayer::new(sessions))).await
            }
            Framework::Actix => serve_actix(move |app| {
                let routes = web::scope("").configure(probe::actix::routes);
                let routes = routes.wrap(CsrfMiddleware::default());
                app.service(routes.wrap(SessionMiddleware::new(sessions.clone())));
            }),
        };
        let mut virk = Browser::new(address);
        let signed_in = virk.run([sign_in("virk")]).await;
        let refused = virk.send("/script", Sent::method(Method::POST)).await;
        assert_eq!(refused.status, 403, "{framework:?}: the layer is around the routes");

        let device = TestDevice::new();
        let proof = device.register(&challenge(&signed_in, "registration", 3));
        let registered = post_of_browser(&mut virk, "registration", None, Some(&proof)).await;
        assert_eq!(registered.status, 200, "{framework:?}");
        let instructions: Value = serde_json::from_slice(&registered.body).unwrap();
        let id = instructions["session_identifier"].as_str();
        app.clock.advance(MINUTES * 11);
        virk.jar.remove("session-device");
        let asked = post_of_browser(&mut virk, "refresh", id, None).await;
        assert_eq!(asked.status, 403);
        let proof = device.prove(&challenge(&asked, "challenge", 1));
        let refreshed = post_of_browser(&mut virk, "refresh", id, Some(&proof)).await;
        assert_eq!(refreshed.status, 200, "{framework:?}");
        for reply in [signed_in, registered, asked, refreshed] {
            let mut names = reply.headers.keys().map(http::HeaderName::as_str);
            assert!(!names.any(|name| name.starts_with("access-control-")), "{reply:?}");
        }
        assert_eq!(virk.get("/mine").await.text(), "virk");
    }
}

/// Returns the quoted part of this number in the response's header about the device.
fn challenge(reply: &Reply, header: &str, part: usize) -> String {
    let field = reply.headers[&format!("secure-session-{header}")].to_str().unwrap();
    field.split('"').nth(part).unwrap().to_owned()
}

async fn post_of_browser(
    browser: &mut Browser,
    endpoint: &str,
    id: Option<&str>,
    proof: Option<&str>,
) -> Reply {
    let mut sent = Sent::method(Method::POST);
    if let Some(id) = id {
        sent = sent.and("sec-secure-session-id", &format!("\"{id}\""));
    }
    if let Some(proof) = proof {
        sent = sent.and("secure-session-response", &format!("\"{proof}\""));
    }
    browser.send(&format!("/.well-known/cloakroom/session/device-{endpoint}"), sent).await
}
