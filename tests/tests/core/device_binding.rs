//! Sessions that are bound to a device: the policies, and what goes wrong between browser and server.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Path,
    routing::{get, post},
};
use cloakroom::{
    AppKeys, DeviceBinding, Error, MemoryStore, RequireOwner, Session, Sessions,
    axum::{
        SessionLayer,
        testing::{InProcess, TestClient, client},
    },
    clock::FakeClock,
    cookie::{CookieSettings, SameSite},
    store::Cursor,
    testing::{TestDevice, TestResponse},
};
use cloakroom_tests::{local::LocalApp, store::Hooks};
use serde_json::{Value, json};

const MINUTES: Duration = Duration::from_mins(1);
const REGISTRATION: &str = "/.well-known/cloakroom/session/device-registration";
const REFRESH: &str = "/.well-known/cloakroom/session/device-refresh";

type Visitor = TestClient<InProcess<Router>>;

async fn sign_in(session: Session, Path(name): Path<String>) -> Result<(), Error> {
    session.sign_in(&name)
}

/// The visitor has entered the password once more.
async fn confirm(session: Session) -> Result<(), Error> {
    session.mark_authenticated()
}

async fn regenerate(session: Session) -> Result<(), Error> {
    session.regenerate()
}

async fn read(session: Session) -> Result<String, Error> {
    session.get_or("count", 0_u8).map(|count| count.to_string())
}

async fn write(session: Session) -> Result<(), Error> {
    session.increment("count").map(drop)
}

fn router(sessions: &Sessions) -> Router {
    let sensitive = RequireOwner::new().within(MINUTES * 600);
    Router::new()
        .route("/password", get(|| async { "change it" }).layer(sensitive))
        .route("/leveled", get(|| async {}).layer(RequireOwner::new().level(1)))
        .route("/account", get(|| async {}).layer(RequireOwner::new()))
        .route("/sign-in/{name}", post(sign_in))
        .route("/confirm", post(confirm))
        .route("/regenerate", post(regenerate))
        .route("/none", get(|| async {}))
        .route("/read", get(read))
        .route("/write", post(write))
        .layer(SessionLayer::new(sessions.clone()))
}

fn visitor(sessions: &Sessions) -> Visitor {
    client(router(sessions), sessions)
}

fn on_store(policy: DeviceBinding) -> LocalApp {
    LocalApp::with((), |builder| builder.device_binding(policy))
}

/// Returns a visitor who has signed in, on a browser that supports device-bound sessions.
async fn virk<H: Hooks>(app: &LocalApp<H>) -> Visitor {
    let mut virk = visitor(&app.sessions).with_device();
    virk.post("/sign-in/virk").send().await.assert_device_bound();
    virk
}

/// Returns a visitor who has signed in, and the challenge of the response.
async fn asked(sessions: &Sessions) -> (Visitor, String) {
    let mut visitor = visitor(sessions);
    let response = visitor.post("/sign-in/virk").send().await;
    let field = response.header("secure-session-registration").unwrap();
    let (_, challenge) = field.split_once("challenge=\"").unwrap();
    (visitor, challenge.trim_end_matches('"').to_owned())
}

async fn register(visitor: &mut Visitor, proof: &str) -> TestResponse {
    visitor.post(REGISTRATION).header("secure-session-response", proof).send().await
}

async fn refresh(visitor: &mut Visitor, id: &str, proof: Option<&str>) -> TestResponse {
    let request = visitor.post(REFRESH).header("sec-secure-session-id", &format!("\"{id}\""));
    match proof {
        Some(proof) => request.header("secure-session-response", proof).send().await,
        None => request.send().await,
    }
}

fn challenge_of(response: &TestResponse) -> String {
    let field = response.assert_status(403).header("secure-session-challenge").unwrap();
    field.split('"').nth(1).unwrap().to_owned()
}

fn id_of(response: &TestResponse) -> String {
    response.json::<Value>()["session_identifier"].as_str().unwrap().to_owned()
}

#[track_caller]
fn assert_refused(response: &TestResponse, code: &str) {
    response.assert_status(400);
    assert_eq!(response.json::<Value>(), json!({ "error": code }));
}

/// Returns what a client of JSON is told about a page.
async fn code(visitor: &mut Visitor, page: &str) -> String {
    let response = visitor.get(page).header("accept", "application/json").send().await;
    match response.status() {
        200 => "passed".to_owned(),
        _ => response.json::<Value>()["code"].as_str().unwrap().to_owned(),
    }
}

#[tokio::test]
async fn sensitive_pages_need_the_device_and_others_do_not() {
    for (policy, found) in [
        (DeviceBinding::Report, ["passed", "level_too_low", "passed"]),
        (DeviceBinding::Sensitive, ["device_missing", "device_missing", "passed"]),
        (DeviceBinding::Require, ["not_signed_in", "not_signed_in", "not_signed_in"]),
    ] {
        let app = on_store(policy);
        let mut virk = virk(&app).await;
        let mut thief = visitor(&app.sessions).with_cookies_of(&virk);
        let pages = ["/password", "/leveled", "/account"];
        app.clock.advance(MINUTES * 11);
        for (page, found) in pages.into_iter().zip(found) {
            assert_eq!(code(&mut thief, page).await, found, "{policy:?} {page}");
        }
        assert_eq!(code(&mut virk, "/password").await, "passed", "{policy:?}");
    }
}

#[tokio::test]
async fn a_binding_costs_no_call_of_the_store() {
    let mut calls = Vec::new();
    for policy in [DeviceBinding::Off, DeviceBinding::Require] {
        let app = on_store(policy);
        let mut virk = visitor(&app.sessions).with_device();
        virk.post("/sign-in/virk").send().await;
        virk.get("/account").send().await.assert_status(200);
        app.store.calls();
        virk.get("/none").send().await;
        virk.get("/read").send().await;
        virk.post("/write").send().await;
        calls.push(app.store.calls());
    }
    assert_eq!(calls[0], calls[1]);
}

#[tokio::test]
async fn a_browser_may_take_two_minutes_for_its_first_bound_cookie() {
    let app = on_store(DeviceBinding::Require);
    let (mut virk, challenge) = asked(&app.sessions).await;
    let mut other_tab = visitor(&app.sessions).with_cookies_of(&virk);
    register(&mut virk, &TestDevice::new().register(&challenge)).await.assert_status(200);
    assert_eq!(code(&mut other_tab, "/account").await, "passed");
    app.clock.advance(MINUTES * 2);
    assert_eq!(code(&mut other_tab, "/account").await, "not_signed_in");
    assert_eq!(code(&mut virk, "/account").await, "passed");
}

#[tokio::test]
async fn a_registration_whose_reply_was_lost_is_repeated() {
    let app = on_store(DeviceBinding::Require);
    let (mut virk, challenge) = asked(&app.sessions).await;
    let device = TestDevice::new();
    let first = register(&mut virk, &device.register(&challenge)).await;
    let again = register(&mut virk, &device.register(&challenge)).await;
    assert_eq!(id_of(&first), id_of(&again));
    let other = register(&mut virk, &TestDevice::new().register(&challenge)).await;
    assert_refused(&other, "device_bound_to_other");
}

#[tokio::test]
async fn a_registration_needs_the_challenge_of_this_sign_in() {
    let app = on_store(DeviceBinding::Require);
    let (mut virk, challenge) = asked(&app.sessions).await;
    let (_, of_another) = asked(&app.sessions).await;
    let device = TestDevice::new();
    for other in ["", "AAAA", &of_another] {
        let refused = register(&mut virk, &device.register(other)).await;
        assert_refused(&refused, "device_challenge");
    }
    assert_refused(&register(&mut virk, "a.b.c").await, "device_proof");
    assert_refused(&virk.post(REGISTRATION).send().await, "device_proof");
    assert_refused(&register(&mut virk, &device.prove(&challenge)).await, "device_key");
    let mut anonymous = visitor(&app.sessions);
    let refused = register(&mut anonymous, &device.register(&challenge)).await;
    assert_refused(&refused, "device_not_signed_in");
    app.clock.advance(MINUTES * 10);
    let late = register(&mut virk, &device.register(&challenge)).await;
    assert_refused(&late, "device_challenge");
    assert_eq!(code(&mut virk, "/account").await, "passed", "an unbound session goes on");
}

#[tokio::test]
async fn a_refresh_needs_a_fresh_challenge_and_the_same_key() {
    let app = on_store(DeviceBinding::Require);
    let (mut virk, challenge) = asked(&app.sessions).await;
    let device = TestDevice::new();
    let id = id_of(&register(&mut virk, &device.register(&challenge)).await);
    let challenge = challenge_of(&refresh(&mut virk, &id, None).await);
    let forged = TestDevice::new().prove(&challenge);
    assert_refused(&refresh(&mut virk, &id, Some(&forged)).await, "device_signature");
    assert_refused(&refresh(&mut virk, &id, Some("x")).await, "device_proof");
    app.clock.advance(MINUTES * 4);
    let proven = refresh(&mut virk, &id, Some(&device.prove(&challenge))).await;
    proven.assert_status(200).assert_device_bound();
    app.clock.advance(MINUTES * 10);
    let old = refresh(&mut virk, &id, Some(&device.prove(&challenge))).await;
    let challenge = challenge_of(&old);
    let proven = refresh(&mut virk, &id, Some(&device.prove(&challenge))).await;
    proven.assert_status(200).assert_device_bound();
}

/// A browser that is told that its session has no such device ends the binding for good.
#[tokio::test]
async fn a_refresh_with_the_token_before_a_regenerate_is_repeated() {
    let app = on_store(DeviceBinding::Require);
    let (mut virk, challenge) = asked(&app.sessions).await;
    let device = TestDevice::new();
    let id = id_of(&register(&mut virk, &device.register(&challenge)).await);
    let mut before = visitor(&app.sessions).with_cookies_of(&virk);
    virk.post("/regenerate").send().await.assert_status(200);
    refresh(&mut before, &id, None).await.assert_status(503);
    challenge_of(&refresh(&mut virk, &id, None).await);
}

#[tokio::test]
async fn a_sign_in_at_a_missing_device_asks_for_another() {
    let app = on_store(DeviceBinding::Sensitive);
    let virk = virk(&app).await;
    app.clock.advance(MINUTES * 11);
    let mut broken = visitor(&app.sessions).with_cookies_of(&virk).with_device();
    assert_eq!(code(&mut broken, "/password").await, "device_missing");
    broken.post("/sign-in/virk").send().await.assert_device_bound();
    assert_eq!(code(&mut broken, "/password").await, "passed");
}

#[tokio::test]
async fn a_password_that_is_entered_again_asks_for_a_device_unless_it_is_present() {
    for (policy, asked_without_device) in [
        (DeviceBinding::Report, true),
        (DeviceBinding::Sensitive, true),
        // The request has no session, so there is nothing to bind.
        (DeviceBinding::Require, false),
    ] {
        let app = on_store(policy);
        let is_asked = async |visitor: &mut Visitor| {
            let response = visitor.post("/confirm").send().await;
            response.assert_status(200).header("secure-session-registration").is_some()
        };
        assert!(!is_asked(&mut visitor(&app.sessions)).await, "{policy:?}: nobody is signed in");
        let (mut unbound, _) = asked(&app.sessions).await;
        assert!(is_asked(&mut unbound).await, "{policy:?}: unbound");
        let mut virk = virk(&app).await;
        assert!(!is_asked(&mut virk).await, "{policy:?}: present");
        app.clock.advance(MINUTES * 11);
        let mut broken = visitor(&app.sessions).with_cookies_of(&virk);
        assert_eq!(is_asked(&mut broken).await, asked_without_device, "{policy:?}: missing");
    }
}

#[tokio::test]
async fn a_password_that_is_entered_at_a_missing_device_binds_another() {
    let app = on_store(DeviceBinding::Sensitive);
    let mut virk = virk(&app).await;
    app.clock.advance(MINUTES * 11);
    let mut broken = visitor(&app.sessions).with_cookies_of(&virk).with_device();
    broken.post("/confirm").send().await.assert_device_bound();
    assert_eq!(code(&mut broken, "/password").await, "passed");
    app.clock.advance(MINUTES * 3);
    assert_eq!(code(&mut virk, "/password").await, "device_missing", "its binding has ended");
}

#[tokio::test]
async fn a_planted_session_does_not_bind_its_victim_to_the_attacker() {
    let app = on_store(DeviceBinding::Require);
    let mut attacker = visitor(&app.sessions).with_device();
    attacker.post("/sign-in/eve").send().await.assert_device_bound();
    let mut victim = visitor(&app.sessions).with_cookies_of(&attacker);
    let response = victim.post("/sign-in/virk").send().await;
    assert!(response.header("secure-session-registration").is_some());
    app.clock.advance(MINUTES * 60);
    assert_eq!(code(&mut victim, "/account").await, "passed");
    assert_eq!(code(&mut attacker, "/account").await, "not_signed_in");
}

#[tokio::test]
async fn a_refresh_is_no_use_of_the_session() {
    let app = on_store(DeviceBinding::Require);
    let (mut virk, challenge) = asked(&app.sessions).await;
    let device = TestDevice::new();
    let id = id_of(&register(&mut virk, &device.register(&challenge)).await);
    for _ in 0..30 {
        app.clock.advance(MINUTES * 5);
        refresh(&mut virk, &id, None).await;
    }
    assert_eq!(code(&mut virk, "/account").await, "not_signed_in", "after two and a half hours");
}

#[tokio::test]
async fn the_owner_sees_which_sessions_are_bound() {
    let app = on_store(DeviceBinding::Report);
    virk(&app).await;
    visitor(&app.sessions).post("/sign-in/virk").send().await;
    let admin = app.sessions.admin().unwrap();
    let page = admin.sessions_of("virk", Cursor::default()).await.unwrap();
    let bound: Vec<_> = page.sessions.iter().map(|info| info.device_since.is_some()).collect();
    assert_eq!(bound.iter().filter(|is_bound| **is_bound).count(), 1, "{bound:?}");
}

#[tokio::test]
async fn a_session_that_was_ended_elsewhere_ends_the_binding() {
    let app = on_store(DeviceBinding::Require);
    let (mut virk, challenge) = asked(&app.sessions).await;
    let id = id_of(&register(&mut virk, &TestDevice::new().register(&challenge)).await);
    app.sessions.admin().unwrap().destroy_all("virk").await.unwrap();
    let ended: Value = refresh(&mut virk, &id, None).await.assert_status(200).json();
    assert_eq!(ended, json!({ "session_identifier": id, "continue": false }));
}

#[tokio::test]
async fn a_registration_keeps_the_changes_of_other_requests() {
    let app = on_store(DeviceBinding::Require);
    let (mut virk, challenge) = asked(&app.sessions).await;
    let mut other_tab = visitor(&app.sessions).with_cookies_of(&virk);
    let device = TestDevice::new();
    for _ in 0..20 {
        let proof = device.register(&challenge);
        let (registered, _) =
            tokio::join!(register(&mut virk, &proof), other_tab.post("/write").send());
        registered.assert_status(200);
    }
    virk.get("/read").send().await.assert_session("count", 20).assert_device_bound();
}

/// The token in a stolen cookie works as a bearer's token as well.
#[tokio::test]
async fn a_stolen_cookie_opens_no_sensitive_page_as_a_bearers_token() {
    for (policy, found) in
        [(DeviceBinding::Sensitive, "device_missing"), (DeviceBinding::Require, "not_signed_in")]
    {
        let app = on_store(policy);
        let virk = virk(&app).await;
        let (_, token) = virk.cookies().find(|(name, _)| *name == "session").unwrap();
        let bearer = app.sessions.bearer().unwrap();
        let mut thief = visitor(&bearer).with_bearer(token);
        app.clock.advance(MINUTES * 11);
        assert_eq!(code(&mut thief, "/password").await, found, "{policy:?}");
    }
}

#[tokio::test]
async fn a_planted_bound_cookie_hides_no_other() {
    let app = on_store(DeviceBinding::Require);
    let mut virk = virk(&app).await;
    app.clock.advance(MINUTES * 5);
    for planted in ["session-device=x", "session-device=x; session-device=y"] {
        let request = virk.get("/account").header("cookie", planted);
        request.send().await.assert_status(200);
    }
}

#[tokio::test]
async fn a_new_name_of_the_cookie_asks_for_no_new_device() {
    let (clock, keys) = (Arc::new(FakeClock::default()), AppKeys::random());
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let builder = || {
        Sessions::builder(store.clone(), keys.clone())
            .device_binding(DeviceBinding::Require)
            .clock(clock.clone())
    };
    let before = CookieSettings { name: "old".to_owned(), ..CookieSettings::development() };
    let sessions = builder().cookie_settings(before.clone()).build().unwrap();
    let mut virk = visitor(&sessions).with_device();
    virk.post("/sign-in/virk").send().await.assert_device_bound();
    clock.advance(MINUTES * 5);
    let until = std::time::SystemTime::now() + MINUTES * 60 * 24 * 365 * 100;
    let renamed = builder().cookie_settings(CookieSettings::development());
    let renamed = renamed.old_cookie(before, until).build().unwrap();
    let mut after = visitor(&renamed).with_cookies_of(&virk);
    after.get("/account").send().await.assert_status(200);
}

#[tokio::test]
async fn of_two_registrations_at_once_one_counts() {
    let app = on_store(DeviceBinding::Require);
    let (mut virk, challenge) = asked(&app.sessions).await;
    let mut other = visitor(&app.sessions).with_cookies_of(&virk);
    let proofs = [TestDevice::new(), TestDevice::new()].map(|device| device.register(&challenge));
    let (one, two) =
        tokio::join!(register(&mut virk, &proofs[0]), register(&mut other, &proofs[1]));
    let mut statuses = [one.status(), two.status()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
}

#[tokio::test]
async fn bearer_tokens_are_not_bound() {
    let app = on_store(DeviceBinding::Require);
    let bearer = app.sessions.bearer().unwrap();
    let mut script = visitor(&bearer);
    let response = script.post("/sign-in/virk").send().await;
    assert!(response.header("secure-session-registration").is_none());
    response.assert_status(200);
}

#[test]
fn the_settings_are_checked() {
    let clock = Arc::new(FakeClock::default());
    let builder = |refresh| {
        Sessions::builder(MemoryStore::new(), AppKeys::random())
            .device_binding(DeviceBinding::Report)
            .device_refresh(refresh)
            .clock(clock.clone())
            .build()
    };
    assert!(builder(MINUTES).is_ok());
    let with_domain = CookieSettings {
        name: "__Secure-session".to_owned(),
        domain: Some("example.org".to_owned()),
        ..CookieSettings::default()
    };
    let embedded = CookieSettings { same_site: SameSite::None, ..CookieSettings::default() };
    for (cookie, policy, accepted) in [
        (with_domain, DeviceBinding::Report, false),
        (embedded.clone(), DeviceBinding::Report, true),
        (embedded.clone(), DeviceBinding::Sensitive, false),
        (embedded, DeviceBinding::Require, false),
    ] {
        let builder = Sessions::builder(MemoryStore::new(), AppKeys::random());
        let built = builder.cookie_settings(cookie).device_binding(policy).build();
        assert_eq!(built.is_ok(), accepted, "{policy:?}");
        assert!(built.err().is_none_or(|error| error.key() == "device_binding"));
    }
    for wrong in [MINUTES / 2, MINUTES * 60 * 25] {
        let error = builder(wrong).unwrap_err();
        assert_eq!(error.to_string(), "device_refresh: one minute to one day is accepted");
    }
}
