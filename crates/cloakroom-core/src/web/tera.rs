//! The view helpers as [Tera](tera) functions, with keyword arguments: `old(key=…, default=…)`,
//! `has_error_for(field=…)`, `get_error_for(field=…)`, `get_error_in(form=…, field=…)`, `errors()`,
//! `errors_in(form=…)`, `has_errors()`, `flash_message(key=…, default=…)`, `messages()`,
//! `session(key=…, default=…)`, `owner()`, `csrf_token()`, `csrf_field()` and `csrf_meta()`.
//!
//! Register them once. Render with [`View::render_tera`], which gives them the request's view:
//!
//! ```
//! # use cloakroom_core as cloakroom;
//! let mut templates = tera::Tera::default();
//! cloakroom::tera::add_helpers(&mut templates);
//! templates.add_raw_template(
//!     "form.html",
//!     r#"<input name="username" value="{{ old(key="username", default="guest") }}">"#,
//! )?;
//!
//! # let session = cloakroom::testing::session();
//! let page = session.view().render_tera(&templates, "form.html", &tera::Context::new())?;
//! assert_eq!(page, r#"<input name="username" value="guest">"#);
//! # Ok::<(), tera::Error>(())
//! ```
//!
//! # Security
//! `old`, `flash_message`, `messages`, `get_error_for`, `get_error_in`, `errors`, `errors_in`, `session` and
//! `owner` return text that a visitor may have chosen.
//! They fail in a template that does not escape it, because the text could be a script. Tera escapes in
//! templates whose names end in `.html`, `.htm` or `.xml`, or in a suffix that was set with
//! [`Tera::autoescape_on`]. An included template is escaped like the one that includes it. For a plain
//! text template, insert the texts into the context instead.

use std::cell::RefCell;

use tera::{Context, Error, Kwargs, State, Tera, TeraResult, Value};

use crate::session::view::View;

thread_local! {
    /// The views of the pages that this thread is rendering, the innermost last. Rendering stays on one
    /// thread, because it does not await anything.
    static RENDERING: RefCell<Vec<Rendering>> = const { RefCell::new(Vec::new()) };
}

/// A page that is being rendered.
#[derive(Clone)]
struct Rendering {
    view: View,
    template: String,
}

/// Adds the view helpers to `templates`.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// let mut templates = tera::Tera::default();
/// cloakroom::tera::add_helpers(&mut templates);
/// ```
pub fn add_helpers(templates: &mut Tera) {
    templates.register_function("old", |arguments: Kwargs, state: &State| {
        let value = escaped_view(state)?.old_value(arguments.must_get("key")?);
        Ok::<_, Error>(present(value, arguments.get("default")?))
    });
    templates.register_function("flash_message", |arguments: Kwargs, state: &State| {
        let value = escaped_view(state)?.flash_value(arguments.must_get("key")?);
        Ok::<_, Error>(present(value, arguments.get("default")?))
    });
    templates.register_function("messages", |_: Kwargs, state: &State| {
        Ok::<_, Error>(Value::from_serializable(&escaped_view(state)?.messages()))
    });
    templates.register_function("session", |arguments: Kwargs, state: &State| {
        let value = escaped_view(state)?.session_value(arguments.must_get("key")?);
        Ok::<_, Error>(present(value, arguments.get("default")?))
    });
    templates.register_function("owner", |_: Kwargs, state: &State| {
        Ok::<_, Error>(Value::from_serializable(&escaped_view(state)?.owner()))
    });
    add_errors(templates);
    templates.register_function("csrf_token", |_: Kwargs, _: &State| {
        Ok::<_, Error>(view()?.csrf_token())
    });
    templates.register_function("csrf_field", |_: Kwargs, _: &State| {
        Ok::<_, Error>(Value::safe_string(&view()?.csrf_field()))
    });
    templates.register_function("csrf_meta", |_: Kwargs, _: &State| {
        Ok::<_, Error>(Value::safe_string(&view()?.csrf_meta()))
    });
}

fn add_errors(templates: &mut Tera) {
    templates.register_function("has_error_for", |arguments: Kwargs, _: &State| {
        Ok::<_, Error>(view()?.has_error_for(arguments.must_get("field")?))
    });
    templates.register_function("get_error_for", |arguments: Kwargs, state: &State| {
        Ok::<_, Error>(
            escaped_view(state)?.get_error_for(arguments.must_get("field")?).unwrap_or_default(),
        )
    });
    templates.register_function("get_error_in", |arguments: Kwargs, state: &State| {
        let (form, field) = (arguments.must_get("form")?, arguments.must_get("field")?);
        Ok::<_, Error>(escaped_view(state)?.get_error_in(form, field).unwrap_or_default())
    });
    templates.register_function("errors", |_: Kwargs, state: &State| {
        Ok::<_, Error>(Value::from_serializable(&escaped_view(state)?.errors()))
    });
    templates.register_function("errors_in", |arguments: Kwargs, state: &State| {
        let errors = escaped_view(state)?.errors_in(arguments.must_get("form")?);
        Ok::<_, Error>(Value::from_serializable(&errors))
    });
    templates.register_function("has_errors", |_: Kwargs, _: &State| {
        Ok::<_, Error>(view()?.has_errors())
    });
}

impl View {
    /// Renders a template. Its helpers use this view.
    ///
    /// # Errors
    /// As [`Tera::render`].
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// let mut templates = tera::Tera::default();
    /// cloakroom::tera::add_helpers(&mut templates);
    /// templates.add_raw_template("form.html", "{% if has_errors() %}Try again{% endif %}")?;
    /// let page = session.view().render_tera(&templates, "form.html", &tera::Context::new())?;
    /// assert_eq!(page, "");
    /// # Ok::<(), tera::Error>(())
    /// ```
    pub fn render_tera(
        &self,
        templates: &Tera,
        name: &str,
        context: &Context,
    ) -> TeraResult<String> {
        self.render_tera_with(name, || templates.render(name, context))
    }

    /// Calls `render`, which renders the template `name`. Its helpers use this view.
    ///
    /// Use it if a framework owns the templates, such as the view engine of Loco. Otherwise use
    /// [`render_tera`](Self::render_tera). The closure has to render on the thread that calls it.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// # let mut templates = tera::Tera::default();
    /// # cloakroom::tera::add_helpers(&mut templates);
    /// # templates.add_raw_template("form.html", "{% if has_errors() %}Try again{% endif %}")?;
    /// let engine = |name| templates.render(name, &tera::Context::new());
    /// let page = session.view().render_tera_with("form.html", || engine("form.html"))?;
    /// assert_eq!(page, "");
    /// # Ok::<(), tera::Error>(())
    /// ```
    pub fn render_tera_with<T>(&self, name: &str, render: impl FnOnce() -> T) -> T {
        let _lent = Lent::to_helpers(Rendering { view: self.clone(), template: name.to_owned() });
        render()
    }
}

/// Removes the view after rendering, also after a panic.
struct Lent;

impl Lent {
    fn to_helpers(page: Rendering) -> Self {
        RENDERING.with_borrow_mut(|pages| pages.push(page));
        Self
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        RENDERING.with_borrow_mut(Vec::pop);
    }
}

/// Returns the view for a helper that returns the visitor's text. Fails if the template does not escape
/// it.
fn escaped_view(state: &State) -> TeraResult<View> {
    let Rendering { view, template } = rendering()?;
    if state.autoescaping_enabled() {
        return Ok(view);
    }
    Err(Error::message(format!(
        "the template `{template}` does not escape what the visitor sent: end its name in `.html`, or \
         add its ending to those of `Tera::autoescape_on`"
    )))
}

fn view() -> TeraResult<View> {
    rendering().map(|page| page.view)
}

fn rendering() -> TeraResult<Rendering> {
    let page = RENDERING.with_borrow(|pages| pages.last().cloned());
    page.ok_or_else(|| {
        Error::message(
            "the template needs the session's view: render it with `view.render_tera(…)`",
        )
    })
}

/// Converts a value for a template. An absent value becomes the default, or an empty string.
fn present(value: Option<serde_json::Value>, default: Option<Value>) -> Value {
    match value {
        None | Some(serde_json::Value::Null) => default.unwrap_or_else(|| Value::from("")),
        Some(value) => Value::from_serializable(&value),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    const VISITOR_TEXT: [&str; 9] = [
        "old(key='name')",
        "flash_message(key='note')",
        "messages()",
        "get_error_for(field='name')",
        "get_error_in(form='form', field='name')",
        "errors()",
        "errors_in(form='form')",
        "session(key='name')",
        "owner()",
    ];

    fn render(name: &str, template: &str) -> TeraResult<String> {
        let session = crate::testing::session();
        session.flash_now(serde_json::json!({ "note": "<script>" })).unwrap();
        session.flash_push_now("info", "<b>").flash_push_now("error", "no");
        session.put("user.name", "<virk>").unwrap();
        let mut templates = Tera::default();
        add_helpers(&mut templates);
        templates.add_raw_template("part.html", "{{ flash_message(key='note') }}")?;
        templates.add_raw_template(name, template)?;
        session.view().render_tera(&templates, name, &Context::new())
    }

    fn message(error: &Error) -> String {
        format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default())
    }

    #[test]
    fn unescaped_text_of_the_visitor_is_refused() {
        for call in VISITOR_TEXT {
            for name in ["page.txt", "page"] {
                let error = render(name, &format!("{{{{ {call} }}}}")).unwrap_err();
                let error = message(&error);
                assert!(error.contains(&format!("`{name}` does not escape")), "{call}: {error}");
            }
        }
        let error = message(&render("page.txt", "{% include 'part.html' %}").unwrap_err());
        assert!(error.contains("`page.txt` does not escape"), "{error}");
    }

    #[test]
    fn text_of_the_library_is_allowed_in_any_template() {
        let template = "{{ has_errors() }}{{ has_error_for(field='name') }}{{ csrf_token() }}{{ csrf_field() }}";
        assert!(render("page.txt", template).unwrap().contains("_csrf"));
        assert!(render("page.html", "{{ csrf_meta() }}").unwrap().starts_with("<meta name="));
        let page = render("page.html", "{{ flash_message(key='note') }}").unwrap();
        assert_eq!(page, "&lt;script&gt;");
    }

    #[test]
    fn the_engine_of_a_framework_borrows_the_view_while_it_renders() {
        let session = crate::testing::session();
        session.flash_now(serde_json::json!({ "note": "Saved." })).unwrap();
        let mut templates = Tera::default();
        add_helpers(&mut templates);
        templates.add_raw_template("page.html", "{{ flash_message(key='note') }}").unwrap();
        let engine = || templates.render("page.html", &Context::new());
        assert_eq!(session.view().render_tera_with("page.html", engine).unwrap(), "Saved.");
        let error = message(&engine().unwrap_err());
        assert!(error.contains("needs the session's view"), "{error}");
    }

    #[test]
    fn values_of_the_session_are_shown_with_a_default() {
        let template = "{{ session(key='user[name]') }} {{ session(key='k', default=7) }}\
                        {% if not owner() %} guest{% endif %}{{ errors_in(form='login')|length }}";
        let page = render("page.html", template).unwrap();
        assert_eq!(page, "&lt;virk&gt; 7 guest0");
    }

    #[test]
    fn messages_are_listed_in_order() {
        let template =
            "{% for message in messages() %}{{ message.level }}: {{ message.text }};{% endfor %}";
        let page = render("page.html", template).unwrap();
        assert_eq!(page, "info: &lt;b&gt;;error: no;");
    }
}
