//! The sign-in with a provider that this test serves over loopback.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::{
    collections::HashMap,
    process::Command,
    sync::{Arc, Mutex},
};

use axum::{
    Form, Json, Router,
    extract::State,
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use cloakroom::{
    AppKeys, MemoryStore, Sessions,
    axum::testing::{InProcess, TestClient, client},
    cookie::CookieSettings,
};
use openid_connect::{Provider, app};
use openidconnect::{
    Audience, AuthUrl, EmptyAdditionalClaims, EmptyAdditionalProviderMetadata, EndUserEmail,
    IssuerUrl, JsonWebKeyId, JsonWebKeySetUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    PrivateSigningKey, ResponseTypes, StandardClaims, SubjectIdentifier, TokenUrl,
    core::{
        CoreIdToken, CoreIdTokenClaims, CoreJsonWebKeySet, CoreJwsSigningAlgorithm,
        CoreProviderMetadata, CoreResponseType, CoreRsaPrivateSigningKey,
        CoreSubjectIdentifierType,
    },
    url::Url,
};
use serde_json::json;

/// A provider whose only user is `virk`.
struct Fake {
    issuer: IssuerUrl,
    key: CoreRsaPrivateSigningKey,
    /// The nonce and the PKCE challenge of each code that was handed out.
    codes: Mutex<HashMap<String, (String, String)>>,
}

impl Fake {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let made = Command::new("openssl").args(["genrsa", "-traditional", "2048"]).output();
        let pem = String::from_utf8(made.unwrap().stdout).unwrap();
        let key = CoreRsaPrivateSigningKey::from_pem(&pem, Some(JsonWebKeyId::new("k".into())));
        let (issuer, key) = (IssuerUrl::new(issuer).unwrap(), key.unwrap());
        let fake = Arc::new(Self { issuer, key, codes: Mutex::default() });
        let provider = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(fake.clone());
        tokio::spawn(async { axum::serve(listener, provider).await });
        fake
    }

    fn at(&self, path: &str) -> String {
        self.issuer.url().join(path).unwrap().into()
    }

    /// Signs the user in, as the provider's page would. Returns the path that the browser is sent to.
    fn authorize(&self, url: &str) -> String {
        let url = Url::parse(url).unwrap();
        assert_eq!(url.path(), "/authorize");
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(asked["code_challenge_method"], "S256");
        let code = format!("code-{}", self.codes.lock().unwrap().len());
        let challenge = (asked["nonce"].clone(), asked["code_challenge"].clone());
        self.codes.lock().unwrap().insert(code.clone(), challenge);
        format!("/callback?code={code}&state={}", asked["state"])
    }
}

async fn configuration(State(fake): State<Arc<Fake>>) -> Json<CoreProviderMetadata> {
    let metadata = CoreProviderMetadata::new(
        fake.issuer.clone(),
        AuthUrl::new(fake.at("/authorize")).unwrap(),
        JsonWebKeySetUrl::new(fake.at("/keys")).unwrap(),
        vec![ResponseTypes::new(vec![CoreResponseType::Code])],
        vec![CoreSubjectIdentifierType::Public],
        vec![CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256],
        EmptyAdditionalProviderMetadata {},
    );
    Json(metadata.set_token_endpoint(Some(TokenUrl::new(fake.at("/token")).unwrap())))
}

async fn keys(State(fake): State<Arc<Fake>>) -> Json<CoreJsonWebKeySet> {
    Json(CoreJsonWebKeySet::new(vec![fake.key.as_verification_key()]))
}

async fn token(
    State(fake): State<Arc<Fake>>,
    Form(asked): Form<HashMap<String, String>>,
) -> impl IntoResponse {
    let Some((nonce, challenge)) = fake.codes.lock().unwrap().remove(&asked["code"]) else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" })));
    };
    let verifier = PkceCodeVerifier::new(asked["code_verifier"].clone());
    assert_eq!(PkceCodeChallenge::from_code_verifier_sha256(&verifier).as_str(), challenge);
    let now = std::time::SystemTime::now();
    let user = StandardClaims::new(SubjectIdentifier::new("virk".into()))
        .set_email(Some(EndUserEmail::new("virk@example.org".into())));
    let claims = CoreIdTokenClaims::new(
        fake.issuer.clone(),
        vec![Audience::new("shop".into())],
        (now + std::time::Duration::from_mins(1)).into(),
        now.into(),
        user,
        EmptyAdditionalClaims {},
    );
    let claims = claims.set_nonce(Some(Nonce::new(nonce)));
    let algorithm = CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256;
    let id_token = CoreIdToken::new(claims, &fake.key, algorithm, None, None).unwrap();
    let reply = json!({ "access_token": "a", "token_type": "Bearer", "id_token": id_token });
    (StatusCode::OK, Json(reply))
}

type Visitor = TestClient<InProcess<Router>>;

async fn start() -> (Arc<Fake>, impl Fn() -> Visitor) {
    let fake = Fake::start().await;
    let callback = "http://127.0.0.1:3000/callback";
    let provider =
        Provider::discover(fake.issuer.as_str(), "shop", "secret", callback).await.unwrap();
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random())
        .cookie_settings(CookieSettings::development())
        .sign_in_page("/sign-in")
        .build()
        .unwrap();
    let app = app(sessions.clone(), provider);
    (fake, move || client(app.clone(), &sessions))
}

/// Begins a sign-in. Returns the path that the provider sends the browser to.
async fn begin(visitor: &mut Visitor, fake: &Fake) -> String {
    let begun = visitor.get("/sign-in").send().await;
    fake.authorize(begun.header("location").unwrap())
}

#[tokio::test]
async fn the_provider_signs_in_and_the_visitor_gets_where_they_wanted() {
    let (fake, visitor) = start().await;
    let mut virk = visitor();
    virk.get("/?tab=2").send().await.assert_redirect("/sign-in");
    let callback = begin(&mut virk, &fake).await;
    virk.get(&callback).send().await.assert_redirect("/?tab=2").assert_signed_in_as("virk");
    assert_eq!(virk.get("/").send().await.text(), "signed in as virk");
    virk.get(&callback).send().await.assert_status(400).assert_signed_in_as("virk");
    virk.post("/sign-out").send().await.assert_signed_out();
}

#[tokio::test]
async fn another_browser_cannot_finish_a_sign_in() {
    let (fake, visitor) = start().await;
    let callback = begin(&mut visitor(), &fake).await;
    let mut victim = visitor();
    victim.get(&callback).send().await.assert_status(400).assert_signed_out();
    // Nor one that has begun another.
    begin(&mut victim, &fake).await;
    victim.get(&callback).send().await.assert_status(400).assert_signed_out();
}

#[tokio::test]
async fn a_code_that_the_provider_does_not_know_signs_nobody_in() {
    let (fake, visitor) = start().await;
    let mut virk = visitor();
    let callback = begin(&mut virk, &fake).await;
    fake.codes.lock().unwrap().clear();
    virk.get(&callback).send().await.assert_status(502).assert_signed_out();
}
