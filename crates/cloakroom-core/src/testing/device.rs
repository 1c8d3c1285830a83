//! A device in software, which plays the browser's part in binding a session.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use serde_json::{Value, json};

use super::{Application, RawRequest, RawResponse, TestClient};
use crate::crypto::random::fill_from_system;
use cloakroom_store::clock::Timestamp;

/// A device with a key for ES256, as [`TestClient::with_device`](super::TestClient::with_device) uses it. The
/// key of a real one is in its hardware.
pub struct TestDevice {
    key: SigningKey,
    binding: Option<TestBinding>,
}

/// The browser's side of a session that is bound to the device.
struct TestBinding {
    id: String,
    refresh_url: String,
    /// The name of the bound cookie.
    cookie: String,
    /// The moment at which the browser drops the bound cookie.
    until: Timestamp,
}

impl TestDevice {
    /// Makes a device with a random key.
    ///
    /// # Panics
    /// Never: the chance that 32 random bytes are no key is below 2^-32, and another draw follows.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "two devices differ")]
    pub fn new() -> Self {
        let mut bytes = [0; 32];
        loop {
            fill_from_system(&mut bytes);
            if let Ok(key) = SigningKey::from_slice(&bytes) {
                return Self { key, binding: None };
            }
        }
    }

    /// Returns the proof for a registration, as `Secure-Session-Response` has it.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// let proof = cloakroom::testing::TestDevice::new().register("challenge");
    /// assert_eq!(proof.split('.').count(), 3);
    /// ```
    pub fn register(&self, challenge: &str) -> String {
        let point = self.key.verifying_key().to_sec1_point(false);
        let coordinate = |bytes: Option<&_>| bytes.map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        let jwk = json!({
            "kty": "EC",
            "crv": "P-256",
            "x": coordinate(point.x()),
            "y": coordinate(point.y()),
        });
        self.sign(&json!({ "typ": "dbsc+jwt", "alg": "ES256", "jwk": jwk }), challenge)
    }

    /// Returns the proof for a refresh, as `Secure-Session-Response` has it.
    pub fn prove(&self, challenge: &str) -> String {
        self.sign(&json!({ "typ": "dbsc+jwt", "alg": "ES256" }), challenge)
    }

    fn sign(&self, header: &Value, challenge: &str) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(header), encode(&json!({ "jti": challenge })));
        let signature: Signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }
}

impl<A: Application> TestClient<A> {
    /// Gives the client a device with a key, as a browser has it that supports device-bound sessions. The
    /// client then registers at a sign-in, and gets another bound cookie before a request when the one that it
    /// has expires, by the clock of the sessions.
    ///
    /// ```no_run
    /// # use cloakroom_core as cloakroom;
    /// # async fn example<A: cloakroom::testing::Application>(app: A, sessions: cloakroom::Sessions) {
    /// use cloakroom::testing::TestClient;
    ///
    /// let mut virk = TestClient::new(app, &sessions).with_device().signed_in_as("virk");
    /// virk.get("/account").send().await.assert_device_bound();
    /// # }
    /// ```
    #[must_use]
    pub fn with_device(mut self) -> Self {
        self.device = Some(TestDevice::new());
        self
    }

    /// Registers the device, if the response asks for it.
    pub(super) async fn register_device(&mut self, registration: Option<&str>) {
        let Some((device, field)) = self.device.as_ref().zip(registration) else { return };
        let (Some(path), Some(challenge)) =
            (parameter(field, "path"), parameter(field, "challenge"))
        else {
            return;
        };
        let proof = ("secure-session-response", device.register(challenge));
        let (path, headers) = (path.to_owned(), vec![proof]);
        let response = self.post_of_browser(&path, headers).await;
        self.follow(&response);
    }

    /// Gets another bound cookie, if the one of the session has expired.
    pub(super) async fn refresh_device(&mut self) {
        let binding = self.device.as_ref().and_then(|device| device.binding.as_ref());
        let now = self.sessions.context().now();
        let Some(binding) = binding.filter(|binding| binding.until <= now) else { return };
        let id = ("sec-secure-session-id", format!("\"{}\"", binding.id));
        let (path, cookie) = (binding.refresh_url.clone(), binding.cookie.clone());
        self.cookies.remove(&cookie);
        let asked = self.post_of_browser(&path, vec![id.clone()]).await;
        let field = asked.header("secure-session-challenge").unwrap_or_default();
        let challenge = field.split('"').nth(1).unwrap_or_default();
        let Some(proof) = self.device.as_ref().map(|device| device.prove(challenge)) else {
            return;
        };
        if asked.status == 403 {
            let headers = vec![id, ("secure-session-response", proof)];
            let response = self.post_of_browser(&path, headers).await;
            self.follow(&response);
        } else {
            self.follow(&asked);
        }
    }

    async fn post_of_browser(&mut self, path: &str, headers: Vec<(&str, String)>) -> RawResponse {
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (method, uri) = ("POST".to_owned(), path.to_owned());
        self.exchange(RawRequest { method, uri, headers, body: Vec::new() }).await
    }

    /// Follows the server's instructions, as a browser does.
    fn follow(&mut self, response: &RawResponse) {
        let now = self.sessions.context().now();
        let Some(device) = &mut self.device else { return };
        if response.status < 500 {
            device.binding = TestBinding::read(response, now);
        }
    }
}

impl TestBinding {
    /// Reads the server's instructions. Returns `None` if they end the binding, or there is no bound cookie.
    fn read(response: &RawResponse, now: Timestamp) -> Option<Self> {
        let instructions: Value = serde_json::from_slice(&response.body).ok()?;
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let cookie = text(&instructions["credentials"][0]["name"])?;
        let line = response.header("set-cookie").filter(|line| line.starts_with(&cookie))?;
        let (_, rest) = line.split_once("Max-Age=")?;
        let seconds = rest.split(';').next()?.parse().ok()?;
        Some(Self {
            id: text(&instructions["session_identifier"])?,
            refresh_url: text(&instructions["refresh_url"])?,
            cookie,
            until: now + Duration::from_secs(seconds),
        })
    }
}

/// Returns the quoted parameter of a structured field.
fn parameter<'f>(field: &'f str, name: &str) -> Option<&'f str> {
    let (_, rest) = field.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// Hides the key.
impl fmt::Debug for TestDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_bound = self.binding.is_some();
        f.debug_struct("TestDevice").field("is_bound", &is_bound).finish_non_exhaustive()
    }
}
