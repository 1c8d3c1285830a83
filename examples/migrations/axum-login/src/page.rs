//! The sign-in page of both applications.

use std::fmt::Write as _;

use axum::response::Html;

/// Renders the page with messages, and with a name in its field.
pub(crate) fn sign_in_page(messages: impl Iterator<Item = String>, name: &str) -> Html<String> {
    let mut page = String::new();
    for message in messages {
        let _ = writeln!(page, "<p>{}</p>", escape(&message));
    }
    // Without an action, the browser sends the form to the address of the page, query included.
    let _ = write!(
        page,
        r#"<form method="post"><input name="name" value="{}"><input name="password" type="password"><button>Sign in</button></form>"#,
        escape(name)
    );
    Html(page)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
