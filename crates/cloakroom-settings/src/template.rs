//! The settings file, written from what reads it.

use std::fmt::Write;

use confique::{
    Config,
    meta::{Expr, FieldKind, LeafKind, Meta},
};

use crate::Settings;

impl Settings {
    /// A file with every setting, its meaning, its environment variable and its default, each
    /// commented out.
    ///
    /// ```
    /// use cloakroom_settings::Settings;
    ///
    /// assert!(Settings::template().contains("#driver = \"cookie\"  # SESSION_DRIVER"));
    /// ```
    pub fn template() -> String {
        let mut text = "# The session's settings. What is commented out is the default; \"…\" stands for not set.\n\
                        # The environment variable named behind a setting wins over it. APP_KEY is never here.\n"
            .to_owned();
        write_table(&Settings::META, "", &mut text);
        text
    }
}

fn write_table(meta: &'static Meta, path: &str, text: &mut String) {
    for field in meta.fields {
        match field.kind {
            // The one setting that the file must not have.
            FieldKind::Leaf { env: Some(super::load::APP_KEY), .. } => (),
            FieldKind::Leaf { env, kind } => {
                text.push('\n');
                write_comment(field.doc, text);
                let value = match kind {
                    LeafKind::Required { default: Some(default) } => shown(&default),
                    LeafKind::Required { default: None } | LeafKind::Optional => "\"…\"".to_owned(),
                };
                let variable = env.map(|name| format!("  # {name}")).unwrap_or_default();
                // Writing to a string does not fail.
                let _ = writeln!(text, "#{} = {value}{variable}", field.name);
            }
            FieldKind::Nested { meta } => {
                let path = if path.is_empty() {
                    field.name.to_owned()
                } else {
                    format!("{path}.{}", field.name)
                };
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
        Expr::Str(it) => format!("{it:?}"),
        Expr::Bool(it) => it.to_string(),
        Expr::Integer(it) => it.to_string(),
        Expr::Array(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}
