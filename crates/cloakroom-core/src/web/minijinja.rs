//! The view helpers as [MiniJinja](minijinja) functions, with positional arguments:
//! `old(key, default)`, `has_error_for(field)`, `get_error_for(field)`, `get_error_in(form, field)`,
//! `errors()`, `errors_in(form)`, `has_errors()`, `flash_message(key, default)`, `messages()`,
//! `session(key, default)`, `owner()`, `csrf_token()`, `csrf_field()` and `csrf_meta()`.
//!
//! Register them once. Pass the request's view to each template under the name `view`:
//!
//! ```
//! # use cloakroom_core as cloakroom;
//! use minijinja::{Environment, context};
//!
//! let mut templates = Environment::new();
//! cloakroom::minijinja::add_helpers(&mut templates);
//!
//! # let session = cloakroom::testing::session();
//! session.with_errors([("username", "is taken")])?;
//! let page = templates.render_named_str(
//!     "form.html",
//!     r#"<input name="username" value="{{ old('username', 'guest') }}">{{ get_error_for('username') }}"#,
//!     context! { view => session.view().to_value() },
//! )?;
//! assert_eq!(page, r#"<input name="username" value="guest">"#, "errors are for the next page");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Security
//! `old`, `flash_message`, `messages`, `get_error_for`, `get_error_in`, `errors`, `errors_in`, `session` and
//! `owner` return text that a visitor may have chosen.
//! They fail in a template that does not escape it, because the text could be a script. MiniJinja
//! escapes in three cases:
//! - the template's name ends in `.html`, `.htm`, `.xml` or `.json`, optionally followed by `.j2`;
//! - [`Environment::set_auto_escape_callback`] turns escaping on for the template;
//! - the call is within `{% autoescape true %}`.
//!
//! For a plain text template, pass the texts as values of the context instead.

use std::sync::Arc;

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, Value,
    value::{Object, Serde},
};

use crate::session::view::View;

/// The name of the [`View`] in templates.
const VARIABLE: &str = "view";

/// Adds the view helpers to `environment`. They also work in included templates and in macros.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// let mut templates = minijinja::Environment::new();
/// cloakroom::minijinja::add_helpers(&mut templates);
/// ```
pub fn add_helpers(environment: &mut Environment<'_>) {
    environment.add_function("old", old);
    environment.add_function("flash_message", flash_message);
    environment.add_function("messages", |state: &State| {
        Ok::<_, Error>(Value::from(Serde(escaped_view(state)?.messages())))
    });
    environment.add_function("session", session);
    environment.add_function("owner", |state: &State| {
        Ok::<_, Error>(Value::from(escaped_view(state)?.owner()))
    });
    add_errors(environment);
    environment
        .add_function("csrf_token", |state: &State| Ok::<_, Error>(view(state)?.csrf_token()));
    environment.add_function("csrf_field", |state: &State| {
        Ok::<_, Error>(Value::from_safe_string(view(state)?.csrf_field()))
    });
    environment.add_function("csrf_meta", |state: &State| {
        Ok::<_, Error>(Value::from_safe_string(view(state)?.csrf_meta()))
    });
}

fn add_errors(environment: &mut Environment<'_>) {
    environment.add_function("has_error_for", |state: &State, field: &str| {
        Ok::<_, Error>(view(state)?.has_error_for(field))
    });
    environment.add_function("get_error_for", |state: &State, field: &str| {
        Ok::<_, Error>(escaped_view(state)?.get_error_for(field).unwrap_or_default())
    });
    environment.add_function("get_error_in", |state: &State, form: &str, field: &str| {
        Ok::<_, Error>(escaped_view(state)?.get_error_in(form, field).unwrap_or_default())
    });
    environment.add_function("errors", |state: &State| {
        Ok::<_, Error>(Value::from(Serde(escaped_view(state)?.errors())))
    });
    environment.add_function("errors_in", |state: &State, form: &str| {
        Ok::<_, Error>(Value::from(Serde(escaped_view(state)?.errors_in(form))))
    });
    environment
        .add_function("has_errors", |state: &State| Ok::<_, Error>(view(state)?.has_errors()));
}

fn old(state: &State, key: &str, default: Option<Value>) -> Result<Value, Error> {
    Ok(present(escaped_view(state)?.old_value(key), default))
}

fn flash_message(state: &State, key: &str, default: Option<Value>) -> Result<Value, Error> {
    Ok(present(escaped_view(state)?.flash_value(key), default))
}

fn session(state: &State, key: &str, default: Option<Value>) -> Result<Value, Error> {
    Ok(present(escaped_view(state)?.session_value(key), default))
}

/// Converts a value for a template. An absent value becomes the default, or an empty string.
fn present(value: Option<serde_json::Value>, default: Option<Value>) -> Value {
    match value {
        None | Some(serde_json::Value::Null) => default.unwrap_or_else(|| Value::from("")),
        Some(value) => Value::from(Serde(value)),
    }
}

/// Returns the view for a helper that returns the visitor's text. Fails if the template does not escape
/// it.
fn escaped_view(state: &State) -> Result<View, Error> {
    if *state.auto_escape() != AutoEscape::None {
        return view(state);
    }
    let problem = format!(
        "the template `{}` does not escape what the visitor sent: end its name in `.html`, set an \
         auto-escape callback, or call the function within `{{% autoescape true %}}`",
        state.name()
    );
    Err(Error::new(ErrorKind::InvalidOperation, problem))
}

fn view(state: &State) -> Result<View, Error> {
    let value = state.lookup(VARIABLE);
    let view = value.and_then(|value| value.downcast_object::<InTemplate>());
    view.map(|view| view.0.clone()).ok_or_else(|| {
        let help = "the template needs the session's view: render it with \
                    `context! { view => view.to_value(), … }`";
        Error::new(ErrorKind::InvalidOperation, help)
    })
}

/// The view as an opaque template value. Templates use it through the functions.
#[derive(Debug)]
struct InTemplate(View);

impl Object for InTemplate {}

impl View {
    /// Converts this view to a template value. Pass it to the template under the name `view`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// let context = minijinja::context! { view => session.view().to_value() };
    /// ```
    pub fn to_value(&self) -> Value {
        Value::from_dyn_object(Arc::new(InTemplate(self.clone())))
    }
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    const VISITOR_TEXT: [&str; 9] = [
        "old('name')",
        "flash_message('note')",
        "messages()",
        "get_error_for('name')",
        "get_error_in('form', 'name')",
        "errors()",
        "errors_in('form')",
        "session('name')",
        "owner()",
    ];

    fn render(name: &str, template: &str) -> Result<String, Error> {
        let session = crate::testing::session();
        session.flash_now(serde_json::json!({ "note": "<script>" })).unwrap();
        session.flash_push_now("info", "<b>").flash_push_now("error", "no");
        session.put("user.name", "<virk>").unwrap();
        let mut templates = Environment::new();
        add_helpers(&mut templates);
        let context = context! { view => session.view().to_value() };
        templates.render_named_str(name, template, context)
    }

    #[test]
    fn unescaped_text_of_the_visitor_is_refused() {
        for call in VISITOR_TEXT {
            for (name, template) in [
                ("page.txt", format!("{{{{ {call} }}}}")),
                ("page", format!("{{% if {call} %}}x{{% endif %}}")),
                (
                    "page.html",
                    format!("{{% autoescape false %}}{{{{ {call} }}}}{{% endautoescape %}}"),
                ),
            ] {
                let error = render(name, &template).unwrap_err().to_string();
                assert!(error.contains(&format!("`{name}` does not escape")), "{call}: {error}");
            }
            let escaped = format!("{{% autoescape true %}}{{{{ {call} }}}}{{% endautoescape %}}");
            assert!(render("page.txt", &escaped).is_ok(), "{call}");
        }
    }

    #[test]
    fn text_of_the_library_is_allowed_in_any_template() {
        let template =
            "{{ has_errors() }}{{ has_error_for('name') }}{{ csrf_token() }}{{ csrf_field() }}";
        assert!(render("page.txt", template).unwrap().contains("_csrf"));
        assert!(render("page.html", "{{ csrf_meta() }}").unwrap().starts_with("<meta name="));
        let page = render("page.html", "{{ flash_message('note') }}").unwrap();
        assert_eq!(page, "&lt;script&gt;");
    }

    #[test]
    fn values_of_the_session_are_shown_with_a_default() {
        let template = "{{ session('user.name') }} {{ session('user[name]', 'x') }} {{ session('k', 7) }}\
                        {% if not owner() %} guest{% endif %}{{ errors_in('login')|length }}";
        let page = render("page.html", template).unwrap();
        assert_eq!(page, "&lt;virk&gt; &lt;virk&gt; 7 guest0");
    }

    #[test]
    fn messages_are_listed_in_order() {
        let template =
            "{% for message in messages() %}{{ message.level }}: {{ message.text }};{% endfor %}";
        let page = render("page.html", template).unwrap();
        assert_eq!(page, "info: &lt;b&gt;;error: no;");
    }
}
