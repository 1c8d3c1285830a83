//! The guide's tables of threats and the comparison name tests. These checks keep the names true.

use std::{
    fs,
    path::{Path, PathBuf},
};

const GUIDE: &str = include_str!("../../crates/cloakroom/src/guide/security.md");
const COMPARISON: &str = include_str!("../../COMPARE.md");

/// A row of a table: its first cell, and the tests in its last.
#[derive(Debug)]
struct Row<'t> {
    name: &'t str,
    tests: Vec<&'t str>,
}

/// Returns the rows of the section on threats.
fn threats(guide: &str) -> Vec<Row<'_>> {
    let section = guide.split("\n# ").find(|section| section.starts_with("Threats"));
    rows(section.unwrap_or_default())
}

/// Returns the rows of the tables whose last column is named `tests`.
fn rows(text: &str) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    let mut names_tests = false;
    for line in text.lines() {
        if !line.starts_with('|') {
            names_tests = false;
            continue;
        }
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (name, last) = (cells[0], cells[cells.len() - 1]);
        if last == "tests" {
            names_tests = true;
        } else if names_tests && name != "---" {
            // Every second part is between backticks.
            rows.push(Row { name, tests: last.split('`').skip(1).step_by(2).collect() });
        }
    }
    rows
}

/// The Rust files below the crates' sources and tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Whether `module` names this file: `owners.rs`, or `file/tests.rs`, `processes/main.rs`.
fn is_named(path: &Path, module: &str) -> bool {
    let is = |part: Option<&std::ffi::OsStr>, name: &str| part.is_some_and(|part| part == name);
    let folder = path.parent().and_then(Path::file_name);
    let holds_folder = ["tests", "main", "mod"].iter().any(|name| is(path.file_stem(), name));
    is(path.file_stem(), module) || (holds_folder && is(folder, module))
}

/// The beginnings of lists of scenarios.
const LISTS: [&str; 3] = ["every_driver! {", "server_side! {", "on_drivers! {"];

/// Whether a source has a test of this name: a function behind a test's attribute, or one that is
/// named in a list of scenarios as well.
fn has_test(source: &str, name: &str) -> bool {
    let Some((before, _)) = source.split_once(&format!("fn {name}(")) else { return false };
    let above = &before[..before.rfind('\n').unwrap_or_default()];
    let mut attributes =
        above.lines().rev().map(str::trim).take_while(|line| line.starts_with("#["));
    let is_word =
        |list: &str| list.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == name);
    let is_listed = LISTS.iter().any(|list| {
        source.split(list).skip(1).any(|after| is_word(after.split('}').next().unwrap_or_default()))
    });
    is_listed || attributes.any(|line| line.contains("test"))
}

/// Returns the problem with `named`, if there is one.
fn problem(named: &str) -> Option<String> {
    let Some((module, name)) = named.split_once("::") else {
        return Some(format!("`{named}` is no `file::function`"));
    };
    let files: Vec<_> = all_sources().into_iter().filter(|path| is_named(path, module)).collect();
    let found = files
        .iter()
        .any(|path| fs::read_to_string(path).is_ok_and(|source| has_test(&source, name)));
    (!found).then(|| format!("there is no test `{name}` in a file `{module}`"))
}

fn all_sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    ["crates", "demo", "examples", "tests"].map(|folder| sources(&root.join(folder))).concat()
}

/// Returns the problems of the tests that the rows name.
fn problems(rows: &[Row<'_>]) -> Vec<String> {
    let missing = rows.iter().flat_map(|Row { name, tests }| {
        tests.iter().filter_map(move |named| Some(format!("{name}: {}", problem(named)?)))
    });
    missing.collect()
}

#[test]
fn every_threat_names_tests_that_exist() {
    let rows = threats(GUIDE);
    assert!(rows.len() > 40, "{} rows", rows.len());
    for Row { name, tests } in &rows {
        assert!(!tests.is_empty(), "{name}: no test");
    }
    let problems = problems(&rows);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// A row about the libraries alone names no test.
#[test]
fn the_comparison_names_tests_that_exist() {
    let rows = rows(COMPARISON);
    let naming = rows.iter().filter(|row| !row.tests.is_empty()).count();
    assert!(naming > 25, "{naming} rows with tests");
    let problems = problems(&rows);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_name_without_a_test_is_reported() {
    let helper = "owners::signed_in_from_nowhere";
    for named in [helper, "no_such_file::a_form_of_the_page_passes", "csrf_bodies.rs"] {
        assert!(problem(named).is_some(), "{named}");
    }
    assert_eq!(problem("csrf::a_form_of_the_page_passes"), None);
    assert!(!has_test("fn helper() {} fn other() { helper() }", "helper"));
    assert!(has_test(
        "server_side! { listed, other }\nasync fn listed(server: Server) {}",
        "listed"
    ));
    assert!(has_test("#[test]\nfn alone() {}", "alone"));
    for mention in ["use super::helper;", "let run = helper;", "on_drivers! { File; helper_of }"] {
        assert!(!has_test(&format!("fn helper() {{}}\n{mention}"), "helper"), "{mention}");
    }
    let guide = "x\n# Threats\n| threat | tests |\n|---|---|\n| a | `b::c`, `d::e` |\n| f | |\n# End\n| g | |";
    let rows: Vec<_> = threats(guide).into_iter().map(|row| (row.name, row.tests)).collect();
    assert_eq!(rows, [("a", vec!["b::c", "d::e"]), ("f", vec![])]);
}
