//! A form, validated and sent back with errors and old input, in one `?`: by hand, with garde and with
//! validator.

use axum::{
    Router,
    response::{Html, Redirect},
    routing::{get, post},
};
use cloakroom::{
    Error, Input, Session, Sessions, View,
    axum::{CsrfLayer, SessionLayer},
    minijinja::add_helpers,
};
use minijinja::{Environment, context};
use serde_json::json;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    cloakroom_examples::serve(app(&cloakroom_examples::sessions())).await
}

fn app(sessions: &Sessions) -> Router {
    Router::new()
        .route("/", get(show))
        .route("/users", post(by_hand))
        .route("/users/garde", post(with_garde))
        .route("/users/validator", post(with_validator))
        .layer(CsrfLayer::default())
        .layer(SessionLayer::new(sessions.clone()))
}

const PAGE: &str = r#"<form method="post" action="/users">
  {{ flash_message("notice") }} {{ csrf_field() }}
  <input name="username" value="{{ old('username', '') }}"> {{ get_error_for("username") }}
  <button>Submit</button>
</form>"#;

async fn show(view: View) -> Html<String> {
    let mut templates = Environment::new();
    add_helpers(&mut templates);
    let page = templates.render_named_str("users.html", PAGE, context! { view => view.to_value() });
    Html(page.unwrap_or_else(|error| error.to_string()))
}

#[derive(serde::Deserialize)]
struct User {
    username: String,
}

async fn by_hand(session: Session, input: Input<User>) -> Result<Redirect, Error> {
    let user = input.check(|user| match user.username.trim() {
        "" => Err([("username", "is required")]),
        _ => Ok(()),
    })?;
    welcome(&session, &user.username)
}

#[derive(serde::Deserialize, garde::Validate)]
struct CheckedByGarde {
    #[garde(length(min = 3))]
    username: String,
}

async fn with_garde(session: Session, input: Input<CheckedByGarde>) -> Result<Redirect, Error> {
    let user = input.check(garde::Validate::validate)?;
    welcome(&session, &user.username)
}

#[derive(serde::Deserialize, validator::Validate)]
struct CheckedByValidator {
    #[validate(length(min = 3))]
    username: String,
}

async fn with_validator(
    session: Session,
    input: Input<CheckedByValidator>,
) -> Result<Redirect, Error> {
    let user = input.check(validator::Validate::validate)?;
    welcome(&session, &user.username)
}

fn welcome(session: &Session, username: &str) -> Result<Redirect, Error> {
    session.flash(json!({ "notice": format!("Welcome, {username}!") }))?;
    Ok(Redirect::to("/"))
}

#[cfg(test)]
mod tests {
    use cloakroom::axum::testing::client;
    use serde_json::Value;

    use super::*;
    use cloakroom_examples::sessions;

    #[tokio::test]
    async fn a_form_comes_back_with_its_errors_and_its_input() {
        for (path, typed, said) in [
            ("/users", " ", "is required"),
            ("/users/garde", "ab", "length is lower than 3"),
            ("/users/validator", "ab", "must have a length of 3 or more"),
        ] {
            let sessions = sessions();
            let mut visitor = client(app(&sessions), &sessions);
            let sent = visitor.post(path).with_csrf_token().form(&[("username", typed)]);
            let refused = sent.header("referer", "http://shop.test/").header("host", "shop.test");
            let refused = refused.send().await;
            refused
                .assert_redirect("/")
                .assert_error_for("username", said)
                .assert_old("username", typed);
            let page = visitor.get("/").send().await;
            assert!(page.text().contains(said), "{}", page.text());
            page.assert_no_error_for("username");
            let sent = visitor.post(path).with_csrf_token().form(&[("username", "virk")]);
            sent.send().await.assert_redirect("/").assert_flash("notice", "Welcome, virk!");
        }
    }

    #[tokio::test]
    async fn who_asks_for_json_gets_422_and_json() {
        let sessions = sessions();
        let mut visitor = client(app(&sessions), &sessions);
        let sent = visitor.post("/users").with_csrf_token().json(json!({ "username": "" }));
        let refused = sent.send().await;
        refused.assert_status(422).assert_no_error_for("username");
        assert_eq!(refused.json::<Value>(), json!({ "errors": { "username": ["is required"] } }));
    }

    #[tokio::test]
    async fn a_form_without_its_token_is_refused() {
        let sessions = sessions();
        let mut visitor = client(app(&sessions), &sessions);
        let sent = visitor.post("/users").form(&[("username", "virk")]).send().await;
        sent.assert_status(403);
    }
}
