//! The sign-in page of both applications.

use actix_web::web::Html;

/// Renders the page with messages, and with a name in its field.
pub(crate) fn sign_in_page(messages: impl IntoIterator<Item = String>, name: &str) -> Html {
    let paragraph = |message: String| format!("<p>{}</p>\n", escape(&message));
    let messages: String = messages.into_iter().map(paragraph).collect();
    let name = escape(name);
    Html::new(format!(
        r#"{messages}<form method="post"><input name="name" value="{name}"><input name="password" type="password"><button>Sign in</button></form>"#
    ))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
