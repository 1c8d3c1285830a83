//! Throttled sign-ins: an account accepts five attempts from an address in a quarter of an hour.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, State},
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::get,
};
use cloakroom::{Error, Input, Owner, Session, Sessions, axum::SessionLayer, form::FieldErrors};

const ATTEMPTS: i64 = 5;
const WINDOW: Duration = Duration::from_mins(15);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = app(&cloakroom_examples::sessions());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://127.0.0.1:3000");
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}

fn app(sessions: &Sessions) -> Router {
    Router::new()
        .route("/", get(async |owner: Owner| String::from(owner)))
        .route("/sign-in", get(async || "Name and password, please.").post(sign_in))
        .with_state(sessions.clone())
        .layer(SessionLayer::new(sessions.clone()))
}

/// The attempts to sign in to one account from one address.
struct Attempts(Session);

impl Attempts {
    /// Counts an attempt, before the password is checked, so that concurrent ones are counted as well.
    /// Returns how long the visitor has to wait if there were too many.
    async fn begin(
        sessions: &Sessions,
        name: &str,
        address: IpAddr,
    ) -> Result<Result<Self, Duration>, Error> {
        let counted = sessions.shared(&format!("sign-ins to {name} from {address}")).await?;
        let attempt = counted.increment_now("attempts").await?;
        if attempt == 1 {
            counted.set_absolute_timeout(Some(WINDOW))?;
            counted.commit().await?;
        }
        if attempt > ATTEMPTS {
            return Ok(Err(counted.time_left().unwrap_or(WINDOW)));
        }
        Ok(Ok(Self(counted)))
    }

    /// Forgets the attempts, after one that was right.
    async fn forget(&self) -> Result<(), Error> {
        self.0.clear()?;
        self.0.commit().await
    }
}

#[derive(serde::Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

/// Behind a proxy, take the address from the header that it sets, and from no other.
async fn sign_in(
    State(sessions): State<Sessions>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    session: Session,
    input: Input<Credentials>,
) -> Result<Response, Error> {
    let Credentials { name, password } = input.fallback("/sign-in").valid()?;
    let attempts = match Attempts::begin(&sessions, &name, peer.ip()).await? {
        Ok(attempts) => attempts,
        Err(wait) => return Ok(too_many(wait)),
    };
    // In place of a hash: the example `passwords` has one.
    if password != "correct horse" {
        session.with_errors(FieldErrors::from_iter([("name", "or the password is wrong")]))?;
        return Ok(cloakroom::SeeOther::to("/sign-in").into_response());
    }
    attempts.forget().await?;
    session.sign_in(name)?;
    Ok(session.redirect_intended("/")?.into_response())
}

fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_secs() + 1;
    let text = format!("Too many attempts. Try again in {} minutes.", seconds.div_ceil(60));
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds.to_string())], text).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::extract::connect_info::MockConnectInfo;
    use cloakroom::{
        AppKeys, MemoryStore,
        axum::testing::{InProcess, TestClient, client},
        clock::FakeClock,
        cookie::CookieSettings,
    };

    use super::*;

    fn sessions() -> (Sessions, Arc<FakeClock>) {
        let clock = Arc::new(FakeClock::default());
        let store = MemoryStore::with_clock(clock.clone());
        let builder = Sessions::builder(store, AppKeys::random()).clock(clock.clone());
        let builder = builder.cookie_settings(CookieSettings::development());
        (builder.build().unwrap(), clock)
    }

    fn visitor(sessions: &Sessions, address: [u8; 4]) -> TestClient<InProcess<Router>> {
        let peer = MockConnectInfo(SocketAddr::from((address, 443)));
        client(app(sessions).layer(peer), sessions)
    }

    async fn attempt(visitor: &mut TestClient<InProcess<Router>>, password: &str) -> u16 {
        let form = [("name", "virk"), ("password", password)];
        visitor.post("/sign-in").form(&form).send().await.status()
    }

    #[tokio::test]
    async fn the_sixth_attempt_waits_for_the_end_of_the_window() {
        let (sessions, clock) = sessions();
        let mut guesser = visitor(&sessions, [192, 0, 2, 7]);
        for _ in 0..5 {
            assert_eq!(attempt(&mut guesser, "wrong").await, 303);
        }
        clock.advance(Duration::from_mins(10));
        let form = [("name", "virk"), ("password", "correct horse")];
        let refused = guesser.post("/sign-in").form(&form).send().await;
        assert_eq!((refused.status(), refused.header("retry-after")), (429, Some("301")));
        // A new browser at the same address has no more attempts than the old one.
        assert_eq!(attempt(&mut visitor(&sessions, [192, 0, 2, 7]), "correct horse").await, 429);
        // The owner of the account is at another address.
        let mut owner = visitor(&sessions, [198, 51, 100, 1]);
        assert_eq!(attempt(&mut owner, "correct horse").await, 303);
        owner.get("/").send().await.assert_status(200);
        clock.advance(Duration::from_mins(5));
        assert_eq!(attempt(&mut guesser, "correct horse").await, 303);
    }

    #[tokio::test]
    async fn a_right_password_forgets_the_attempts() {
        let (sessions, _) = sessions();
        let mut visitor = visitor(&sessions, [192, 0, 2, 7]);
        for _ in 0..3 {
            for _ in 0..4 {
                assert_eq!(attempt(&mut visitor, "wrong").await, 303);
            }
            assert_eq!(attempt(&mut visitor, "correct horse").await, 303);
        }
    }

    #[tokio::test]
    async fn concurrent_attempts_are_counted_one_by_one() {
        let (sessions, _) = sessions();
        let attempts = (0..20).map(|_| {
            let mut guesser = visitor(&sessions, [192, 0, 2, 7]);
            async move { attempt(&mut guesser, "wrong").await }
        });
        let replies = futures_util::future::join_all(attempts).await;
        assert_eq!(replies.iter().filter(|status| **status == 303).count(), 5);
    }
}
