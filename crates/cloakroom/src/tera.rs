//! The view helpers as [Tera](tera) functions, with keyword arguments: `old(key=…, default=…)`,
//! `has_error_for(field=…)`, `get_error_for(field=…)`, `errors()`, `has_errors()`,
//! `flash_message(key=…, default=…)`, `csrf_token()` and `csrf_field()`.
//!
//! Register them once, and render through [`View::render_tera`], which lends them the request's view:
//!
//! ```
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

use std::cell::RefCell;

use tera::{Context, Error, Kwargs, State, Tera, TeraResult, Value};

use crate::View;

thread_local! {
    /// The views of the pages that are being rendered on this thread, the innermost last. Rendering
    /// waits for nothing, so it stays on its thread.
    static RENDERING: RefCell<Vec<View>> = const { RefCell::new(Vec::new()) };
}

/// Adds the view helpers to `templates`.
pub fn add_helpers(templates: &mut Tera) {
    templates.register_function("old", |arguments: Kwargs, _: &State| {
        let value = view()?.old_value(arguments.must_get("key")?);
        Ok::<_, Error>(present(value, arguments.get("default")?))
    });
    templates.register_function("flash_message", |arguments: Kwargs, _: &State| {
        let value = view()?.flash_value(arguments.must_get("key")?);
        Ok::<_, Error>(present(value, arguments.get("default")?))
    });
    templates.register_function("has_error_for", |arguments: Kwargs, _: &State| {
        Ok::<_, Error>(view()?.has_error_for(arguments.must_get("field")?))
    });
    templates.register_function("get_error_for", |arguments: Kwargs, _: &State| {
        Ok::<_, Error>(view()?.get_error_for(arguments.must_get("field")?).unwrap_or_default())
    });
    templates.register_function("errors", |_: Kwargs, _: &State| {
        Ok::<_, Error>(Value::from_serializable(&view()?.errors()))
    });
    templates.register_function("has_errors", |_: Kwargs, _: &State| {
        Ok::<_, Error>(view()?.has_errors())
    });
    templates.register_function("csrf_token", |_: Kwargs, _: &State| {
        Ok::<_, Error>(view()?.csrf_token())
    });
    templates.register_function("csrf_field", |_: Kwargs, _: &State| {
        Ok::<_, Error>(Value::safe_string(&view()?.csrf_field()))
    });
}

impl View {
    /// Renders a template whose helpers show this view.
    ///
    /// # Errors
    /// As [`Tera::render`].
    pub fn render_tera(
        &self,
        templates: &Tera,
        name: &str,
        context: &Context,
    ) -> TeraResult<String> {
        let _lent = Lent::to_helpers(self.clone());
        templates.render(name, context)
    }
}

/// Takes the view back, also when a template panics.
struct Lent;

impl Lent {
    fn to_helpers(view: View) -> Self {
        RENDERING.with_borrow_mut(|views| views.push(view));
        Self
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        RENDERING.with_borrow_mut(Vec::pop);
    }
}

fn view() -> TeraResult<View> {
    let view = RENDERING.with_borrow(|views| views.last().cloned());
    view.ok_or_else(|| {
        Error::message(
            "this template needs the session's view: render it with `view.render_tera(…)`",
        )
    })
}

/// An absent value prints as nothing and is false.
fn present(value: Option<serde_json::Value>, default: Option<Value>) -> Value {
    match value {
        None | Some(serde_json::Value::Null) => default.unwrap_or_else(|| Value::from("")),
        Some(value) => Value::from_serializable(&value),
    }
}
