//! Writes the settings file from the description of the settings.

use std::fmt::Write;

use confique::{
    Config,
    meta::{Expr, FieldKind, LeafKind, Meta},
};

use crate::{
    Settings,
    names::{APP_KEY, dotted},
};
use cloakroom_core::form::SecretFields;

impl Settings {
    /// Returns the text of a settings file that has every setting, commented out, with its meaning, its
    /// environment variable and its default.
    ///
    /// ```
    /// use cloakroom_settings::Settings;
    ///
    /// assert!(Settings::template().contains("#driver = \"cookie\"  # SESSION_DRIVER"));
    /// ```
    pub fn template() -> String {
        let mut text = "# The settings of the sessions. A line that is commented out shows the default; \"…\" means not\n\
                        # set. The environment variable named behind a setting overrides it. APP_KEY is set in the\n\
                        # environment only.\n"
            .to_owned();
        write_table(&Settings::META, "", &mut text);
        text
    }
}

fn write_table(meta: &'static Meta, path: &str, text: &mut String) {
    for field in meta.fields {
        match field.kind {
            // The file must not have the key.
            FieldKind::Leaf { env: Some(APP_KEY), .. } => (),
            FieldKind::Leaf { env, kind } => {
                text.push('\n');
                write_comment(field.doc, text);
                let value = match kind {
                    LeafKind::Required { default: Some(default) } => shown(&default),
                    // The one default that is in the code, because the core has it.
                    LeafKind::Required { default: None } => format!("{:?}", SecretFields::DEFAULT),
                    LeafKind::Optional => "\"…\"".to_owned(),
                };
                let variable = env.map(|name| format!("  # {name}")).unwrap_or_default();
                // Writing to a string does not fail.
                let _ = writeln!(text, "#{} = {value}{variable}", field.name);
            }
            FieldKind::Nested { meta } => {
                let path = dotted(path, field.name);
                text.push('\n');
                write_comment(meta.doc, text);
                let _ = writeln!(text, "[{path}]");
                write_table(meta, &path, text);
            }
        }
    }
}

fn write_comment(lines: &[&str], text: &mut String) {
    for line in lines {
        let _ = writeln!(text, "#{line}");
    }
}

fn shown(default: &Expr) -> String {
    match default {
        Expr::Str(text) => format!("{text:?}"),
        Expr::Bool(on) => on.to_string(),
        Expr::Integer(number) => number.to_string(),
        Expr::Array([]) => "[]".to_owned(),
        other => format!("{other:?}"),
    }
}
