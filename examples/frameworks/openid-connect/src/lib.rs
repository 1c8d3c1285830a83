//! Sign-in through an OpenID Connect provider: the provider proves who the visitor is, and
//! [`Session::sign_in`] makes that a session.
//!
//! The crate `openidconnect` speaks the protocol (OpenID Connect Core 1.0, 3.1, with PKCE, RFC 7636). The
//! session keeps what the two requests of a sign-in share, so that only the browser that began a sign-in
//! can finish it.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use cloakroom::{Owner, SeeOther, Session, Sessions, SignIn, axum::SessionLayer};
use openidconnect::{
    AuthenticationFlow, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl,
    core::{CoreClient, CoreProviderMetadata, CoreResponseType},
    reqwest,
};
use serde::{Deserialize, Serialize};

/// The key of a sign-in that was begun.
const BEGUN: &str = "openid_connect";

/// Returns the application. Its sessions need a store, because a sign-in is taken out of the session once.
pub fn app(sessions: Sessions, provider: Provider) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/sign-in", get(begin))
        .route("/callback", get(finish))
        .route("/sign-out", post(sign_out))
        .with_state(Arc::new(provider))
        .layer(SessionLayer::new(sessions))
}

/// A provider, with the name that the application has there.
#[derive(Debug)]
pub struct Provider {
    client: Client,
    http: reqwest::Client,
}

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

impl Provider {
    /// Reads the provider's endpoints and keys from its discovery document.
    ///
    /// # Errors
    /// When a URL is malformed, or the provider cannot be reached.
    pub async fn discover(
        issuer: &str,
        id: &str,
        secret: &str,
        callback: &str,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        // A provider that redirects could make the application send requests to any address.
        let http =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let issuer = IssuerUrl::new(issuer.to_owned())?;
        let metadata = CoreProviderMetadata::discover_async(issuer, &http).await?;
        let (id, secret) = (ClientId::new(id.to_owned()), ClientSecret::new(secret.to_owned()));
        let client = CoreClient::from_provider_metadata(metadata, id, Some(secret))
            .set_redirect_uri(RedirectUrl::new(callback.to_owned())?);
        Ok(Self { client, http })
    }
}

async fn home(owner: Owner) -> String {
    format!("signed in as {owner}")
}

/// The values that the callback compares with the provider's reply. Of two tabs, the last one that began can finish.
#[derive(Serialize, Deserialize)]
struct Begun {
    state: CsrfToken,
    nonce: Nonce,
    verifier: PkceCodeVerifier,
}

async fn begin(
    State(provider): State<Arc<Provider>>,
    session: Session,
) -> Result<Redirect, cloakroom::Error> {
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
    let request = provider.client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
    let (url, state, nonce) = request.set_pkce_challenge(challenge).url();
    session.put(BEGUN, Begun { state, nonce, verifier })?;
    Ok(Redirect::to(url.as_str()))
}

#[derive(Deserialize)]
struct Reply {
    code: AuthorizationCode,
    state: CsrfToken,
}

/// The provider sends the browser here by a link, so the cookie comes along with `SameSite=Lax`, and not
/// with `Strict`.
async fn finish(
    State(provider): State<Arc<Provider>>,
    session: Session,
    Query(reply): Query<Reply>,
) -> Result<SeeOther, Refused> {
    let begun = session.take::<Begun>(BEGUN).await?;
    let begun = begun.filter(|begun| begun.state.secret() == reply.state.secret());
    let Begun { nonce, verifier, .. } = begun.ok_or(Refused::NotBegun)?;
    let tokens = provider.client.exchange_code(reply.code).map_err(Refused::provider)?;
    let tokens = tokens.set_pkce_verifier(verifier).request_async(&provider.http).await;
    let tokens = tokens.map_err(Refused::provider)?;
    let id_token =
        tokens.extra_fields().id_token().ok_or_else(|| Refused::provider("no ID token"))?;
    let claims = id_token.claims(&provider.client.id_token_verifier(), &nonce);
    let subject = claims.map_err(Refused::provider)?.subject();
    // The subject is unique within the issuer. An application with several providers stores both.
    session.sign_in(SignIn::of(subject.as_str()))?;
    Ok(session.redirect_intended("/")?)
}

async fn sign_out(session: Session) -> Result<SeeOther, cloakroom::Error> {
    session.sign_out()?;
    Ok(SeeOther::to("/sign-in"))
}

/// A sign-in that failed.
#[derive(Debug)]
enum Refused {
    Session(cloakroom::Error),
    NotBegun,
    Provider(String),
}

impl Refused {
    fn provider(error: impl ToString) -> Self {
        Self::Provider(error.to_string())
    }
}

impl From<cloakroom::Error> for Refused {
    fn from(error: cloakroom::Error) -> Self {
        Self::Session(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Session(error) => error.into_response(),
            Self::NotBegun => {
                let text = "This sign-in was not begun in this browser. Begin again at /sign-in.";
                (StatusCode::BAD_REQUEST, text).into_response()
            }
            Self::Provider(problem) => {
                eprintln!("the provider's reply was refused: {problem}");
                let text = "The sign-in failed. Begin again at /sign-in.";
                (StatusCode::BAD_GATEWAY, text).into_response()
            }
        }
    }
}
