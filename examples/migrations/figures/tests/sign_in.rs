//! COMPARE.md has the size of each sign-in, as it is counted here.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::{collections::BTreeSet, fs, path::Path};

const SESSION_CRATES: [&str; 6] = [
    "actix_identity",
    "actix_session",
    "axum_login",
    "axum_messages",
    "cloakroom",
    "tower_sessions",
];

/// The size of a source file.
struct Size {
    /// Lines that are neither blank nor a comment alone.
    lines: usize,
    /// Distinct names that the file imports from the session libraries: types, traits, macros, modules.
    session_names: usize,
    /// Distinct names that the file imports from the web framework.
    framework_names: usize,
    /// Types and `impl` blocks in the file.
    items: usize,
}

impl Size {
    fn of(file: &str) -> Self {
        let text = fs::read_to_string(migrations().join(file)).unwrap();
        let lines = text.lines().map(str::trim);
        let code: Vec<_> =
            lines.filter(|line| !line.is_empty() && !line.starts_with("//")).collect();
        let text = code.join("\n");
        let mut names = [BTreeSet::new(), BTreeSet::new()];
        for import in text.split("use ").skip(1).filter_map(|rest| rest.split_once(';')) {
            let path: String = import.0.split_whitespace().collect();
            let root = path.split("::").next().unwrap_or_default();
            match root {
                _ if SESSION_CRATES.contains(&root) => collect_names(&path, &mut names[0]),
                "actix_web" | "axum" => collect_names(&path, &mut names[1]),
                _ => {}
            }
        }
        let is_item = |line: &&&str| {
            ["struct ", "enum ", "impl ", "impl<"]
                .iter()
                .any(|start| line.trim_start_matches("pub ").starts_with(start))
        };
        Self {
            lines: code.len(),
            session_names: names[0].len(),
            framework_names: names[1].len(),
            items: code.iter().filter(is_item).count(),
        }
    }
}

/// Collects the last names of an import such as `a::{B,c::{self,D}}`: `B`, `c` and `D`.
fn collect_names(path: &str, names: &mut BTreeSet<String>) {
    let mut module = String::new();
    let mut modules = Vec::new();
    for (at, character) in path.char_indices() {
        match character {
            '{' => modules.push(std::mem::take(&mut module)),
            ',' | '}' => {
                let parent = modules.last().map_or("", String::as_str);
                add(&module, parent, names);
                module.clear();
                if character == '}' {
                    modules.pop();
                }
            }
            _ => module.push(character),
        }
        if at + 1 == path.len() {
            add(&module, "", names);
        }
    }
}

fn add(path: &str, parent: &str, names: &mut BTreeSet<String>) {
    let last = path.rsplit("::").next().unwrap_or_default();
    let last = if last == "self" { parent.trim_end_matches("::") } else { last };
    let last = last.rsplit("::").next().unwrap_or_default();
    if !last.is_empty() {
        names.insert(last.to_owned());
    }
}

fn migrations() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn compare_has_the_figures() {
    let compare = fs::read_to_string(migrations().join("../../COMPARE.md")).unwrap();
    let rows = [
        ("tower-sessions, axum-login, axum-messages", "axum-login/src/before.rs"),
        ("cloakroom on axum", "axum-login/src/after.rs"),
        ("actix-session, actix-identity", "actix-identity/src/before.rs"),
        ("cloakroom on actix-web", "actix-identity/src/after.rs"),
    ];
    for (name, file) in rows {
        let Size { lines, session_names, framework_names, items } = Size::of(file);
        let row = format!(
            "| {name} | [`{file}`](examples/migrations/{file}) | {lines} | {session_names} | \
             {framework_names} | {items} |\n"
        );
        assert!(compare.contains(&row), "COMPARE.md should have this row:\n{row}");
    }
}

#[test]
fn names_are_the_ends_of_imports() {
    let mut names = BTreeSet::new();
    collect_names("a::{B,c::{self,D},e::F}", &mut names);
    collect_names("g::H", &mut names);
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["B", "D", "F", "H", "c"]);
}
