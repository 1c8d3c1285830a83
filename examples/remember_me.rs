//! Timeouts of single sessions: "remember me" makes one longer, an administrator's is shorter.

use std::time::Duration;

use axum::{
    Router,
    routing::{get, post},
};
use cloakroom::{Error, Input, Session, Sessions, SignIn, axum::SessionLayer};

const REMEMBERED: Duration = Duration::from_hours(30 * 24);
const LONGEST: Duration = Duration::from_hours(90 * 24);
const OFFICE_HOURS: Duration = Duration::from_hours(8);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    cloakroom_examples::serve(app(&cloakroom_examples::sessions())).await
}

fn app(sessions: &Sessions) -> Router {
    Router::new()
        .route("/", get(async |session: Session| session.owner().unwrap_or("guest".to_owned())))
        .route("/sign-in", post(sign_in))
        .layer(SessionLayer::new(sessions.clone()))
}

#[derive(serde::Deserialize)]
struct Credentials {
    user: String,
    #[serde(default)]
    remember: bool,
}

async fn sign_in(session: Session, input: Input<Credentials>) -> Result<&'static str, Error> {
    let Credentials { user, remember } = input.valid()?;
    let sign_in = SignIn::of(&user);
    session.sign_in(match (&*user, remember) {
        // Out after ten idle minutes, and at the end of the day in any case.
        ("admin", _) => {
            sign_in.idle_timeout(Duration::from_mins(10)).absolute_timeout(OFFICE_HOURS)
        }
        // Used once in a month it lives on, but not without end. Its cookie outlives the browser.
        (_, true) => sign_in.idle_timeout(REMEMBERED).absolute_timeout(LONGEST),
        (_, false) => sign_in,
    })?;
    Ok("signed in")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cloakroom::{
        AppKeys, MemoryStore,
        axum::testing::{FakeClock, client},
        cookie::CookieSettings,
    };

    use super::*;

    /// Who is there after a pause, signed in with this form.
    async fn after(form: &[(&str, &str)], pauses: &[Duration]) -> String {
        let clock = Arc::new(FakeClock::default());
        let settings = CookieSettings { browser_session: true, ..CookieSettings::development() };
        let store = MemoryStore::with_clock(clock.clone());
        let sessions = Sessions::builder(store, AppKeys::random()).clock(clock.clone());
        let sessions = sessions.cookie_settings(settings).build().unwrap();
        let mut visitor = client(app(&sessions), &sessions);
        let signed_in = visitor.post("/sign-in").form(form).send().await;
        let stays = signed_in.header("set-cookie").unwrap().contains("Max-Age");
        assert_eq!(stays, form.len() > 1, "only the remembered cookie outlives the browser");
        let mut who = String::new();
        for pause in pauses {
            clock.advance(*pause);
            who = visitor.get("/").send().await.text();
        }
        who
    }

    #[tokio::test]
    async fn the_remembered_stay_the_others_go_and_nobody_stays_for_ever() {
        let day = Duration::from_hours(24);
        assert_eq!(after(&[("user", "virk")], &[day]).await, "guest");
        let remembered = [("user", "virk"), ("remember", "on")];
        assert_eq!(after(&remembered, &[29 * day, 29 * day, 29 * day]).await, "virk");
        assert_eq!(after(&remembered, &[29 * day, 29 * day, 29 * day, 3 * day]).await, "guest");
    }

    #[tokio::test]
    async fn administrators_have_less_time() {
        let minutes = Duration::from_mins(9);
        assert_eq!(after(&[("user", "admin")], &[minutes, minutes]).await, "admin");
        assert_eq!(after(&[("user", "admin")], &[minutes, minutes + minutes]).await, "guest");
        assert_eq!(after(&[("user", "admin")], &[minutes; 54]).await, "guest", "8 hours are over");
    }
}
