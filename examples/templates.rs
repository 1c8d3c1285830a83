//! The same page by four template engines: MiniJinja and Tera call the helpers as functions, Askama
//! and Maud call the methods of the view.

use askama::Template;
use axum::{Router, extract::Path, response::Html, routing::get};
use cloakroom::{Error, Session, Sessions, View, axum::SessionLayer};
use maud::{PreEscaped, html};
use minijinja::{Environment, context};
use serde_json::json;
use tera::Tera;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    cloakroom_examples::serve(app(&cloakroom_examples::sessions())).await
}

fn app(sessions: &Sessions) -> Router {
    Router::new()
        .route("/fill", get(fill))
        .route("/{engine}", get(show))
        .layer(SessionLayer::new(sessions.clone()))
}

/// Flashes the input and the errors of a refused form, and signs in.
async fn fill(session: Session) -> Result<&'static str, Error> {
    session.sign_in("<virk>")?;
    session.put("theme", "dark")?;
    session.with_errors([("username", "is <taken>")])?;
    session.with_errors_in("search", [("words", "are missing")])?;
    session.flash(json!({ "notice": "Try again." }))?;
    Ok("now see /minijinja, /tera, /askama or /maud")
}

async fn show(Path(engine): Path<String>, view: View) -> Html<String> {
    let page = match engine.as_str() {
        "minijinja" => minijinja(&view).map_err(|error| error.to_string()),
        "tera" => tera(&view).map_err(|error| error.to_string()),
        "askama" => askama(&view).map_err(|error| error.to_string()),
        "maud" => Ok(maud(&view)),
        _ => Err("minijinja, tera, askama or maud".to_owned()),
    };
    Html(page.unwrap_or_else(|problem| problem))
}

const MINIJINJA: &str = r#"{{ csrf_meta() }}<p class="{{ session('theme', 'light') }}">{{ owner() }}: {{ flash_message("notice") }} {{ get_error_in("search", "words") }}{{ get_error_in("search", "other") }}</p><form>{{ csrf_field() }}<input name="username" value="{{ old('username', 'guest') }}">{% if has_error_for("username") %}<em>{{ get_error_for("username") }}</em>{% endif %}</form>"#;

fn minijinja(view: &View) -> Result<String, minijinja::Error> {
    let mut templates = Environment::new();
    cloakroom::minijinja::add_helpers(&mut templates);
    templates.render_named_str("page.html", MINIJINJA, context! { view => view.to_value() })
}

const TERA: &str = r#"{{ csrf_meta() }}<p class="{{ session(key='theme', default='light') }}">{{ owner() }}: {{ flash_message(key="notice") }} {{ get_error_in(form="search", field="words") }}{{ get_error_in(form="search", field="other") }}</p><form>{{ csrf_field() }}<input name="username" value="{{ old(key="username", default="guest") }}">{% if has_error_for(field="username") %}<em>{{ get_error_for(field="username") }}</em>{% endif %}</form>"#;

fn tera(view: &View) -> Result<String, tera::Error> {
    let mut templates = Tera::default();
    cloakroom::tera::add_helpers(&mut templates);
    templates.add_raw_template("page.html", TERA)?;
    view.render_tera(&templates, "page.html", &tera::Context::new())
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{{ view.csrf_meta()|safe }}<p class="{{ view.session("theme", "light") }}">{{ view.owner().unwrap_or_default() }}: {{ view.flash_message("notice", "") }} {{ view.get_error_in("search", "words").unwrap_or_default() }}{{ view.get_error_in("search", "other").unwrap_or_default() }}</p><form>{{ view.csrf_field()|safe }}<input name="username" value="{{ view.old("username", "guest") }}">{% if let Some(error) = view.get_error_for("username") %}<em>{{ error }}</em>{% endif %}</form>"#
)]
struct Page<'v> {
    view: &'v View,
}

fn askama(view: &View) -> Result<String, askama::Error> {
    Page { view }.render()
}

fn maud(view: &View) -> String {
    let page = html! {
        (PreEscaped(view.csrf_meta()))
        p class=(view.session("theme", "light")) {
            (view.owner().unwrap_or_default()) ": " (view.flash_message("notice", "")) " "
            (view.get_error_in("search", "words").unwrap_or_default())
            (view.get_error_in("search", "other").unwrap_or_default())
        }
        form {
            (PreEscaped(view.csrf_field()))
            input name="username" value=(view.old("username", "guest"));
            @if let Some(error) = view.get_error_for("username") { em { (error) } }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use cloakroom::axum::testing::client;

    use super::*;
    use cloakroom_examples::sessions;

    /// Replaces the text between the first `name="` and the next quotation mark.
    fn without(name: &str, page: &str) -> String {
        let (before, rest) = page.split_once(&format!("{name}=\"")).unwrap();
        let (_, after) = rest.split_once('"').unwrap();
        format!("{before}{name}=\"…\"{after}")
    }

    /// The engines' names for the same characters, and the tokens that are masked again each time.
    fn plain(page: &str) -> String {
        let page = without("value", &without("content", page));
        [("&#60;", "&lt;"), ("&#62;", "&gt;"), ("&#x27;", "'")]
            .iter()
            .fold(page, |page, (from, to)| page.replace(from, to))
    }

    #[tokio::test]
    async fn four_engines_render_the_same_page() {
        let mut pages = Vec::new();
        for engine in ["minijinja", "tera", "askama", "maud"] {
            let sessions = sessions();
            let mut visitor =
                client(app(&sessions), &sessions).with_old(json!({ "username": "\"v\"" }));
            visitor.get("/fill").header("sec-fetch-mode", "cors").send().await.assert_status(200);
            let page = visitor.get(&format!("/{engine}")).send().await;
            page.assert_no_error_for("username");
            pages.push(plain(&page.text()).replace("&#34;", "&quot;"));
        }
        let expected = "<meta name=\"csrf-token\" content=\"…\"><p class=\"dark\">&lt;virk&gt;: Try \
                        again. are missing</p><form><input type=\"hidden\" name=\"_csrf\" value=\"…\">\
                        <input name=\"username\" value=\"&quot;v&quot;\"><em>is &lt;taken&gt;</em></form>";
        for page in pages {
            assert_eq!(page, expected);
        }
    }
}
