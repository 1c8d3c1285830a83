//! The floors of the core: a folder imports from those below it alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folders and files of the core's sources, from the ground up.
const FLOORS: [&str; 14] = [
    "error", "http", "observe", "crypto", "cookie", "values", "form", "record", "backend",
    "session", "manage", "web", "adapter", "testing",
];

fn core() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cloakroom-core/src")
}

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| *floor == name)
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(sources(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Returns the names that follow `crate::` in a source without its tests and comments: those of modules,
/// and those of items that the crate's front door re-exports.
fn imports(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (_, after) in code.match_indices("crate::").map(|(at, it)| (at, &code[at + it.len()..])) {
        match after.strip_prefix('{') {
            Some(group) => found.extend(members(group)),
            None => found.push(name(after)),
        }
    }
    found
}

/// Returns the names at the top of a group of imports.
fn members(group: &str) -> Vec<String> {
    let (mut depth, mut starts, mut found) = (0, true, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts = true,
            letter if starts && !letter.is_whitespace() => {
                found.push(name(&group[at..]));
                starts = false;
            }
            _ => (),
        }
    }
    found
}

fn name(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

#[test]
fn every_folder_of_the_core_imports_from_below_alone() {
    let root = core();
    let (mut problems, mut empty) = (Vec::new(), FLOORS.to_vec());
    for path in sources(&root) {
        let inside = path.strip_prefix(&root).unwrap();
        let top = inside.components().next().unwrap().as_os_str().to_string_lossy();
        let own = top.trim_end_matches(".rs");
        if own == "lib" || inside.ends_with("tests.rs") {
            continue;
        }
        empty.retain(|floor| *floor != own);
        let own_floor =
            floor(own).unwrap_or_else(|| panic!("`{own}` has no floor: add it to FLOORS"));
        for imported in imports(&fs::read_to_string(&path).unwrap()) {
            let place = inside.display();
            match floor(&imported) {
                None => problems.push(format!("{place}: `crate::{imported}` is not a folder")),
                Some(floor) if floor > own_floor => {
                    problems.push(format!("{place}: `{own}` is below `{imported}`"));
                }
                Some(_) => (),
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(empty.is_empty(), "floors without a file: {}", empty.join(" "));
}

#[test]
#[should_panic(expected = "nowhere")]
fn a_folder_that_cannot_be_read_is_a_problem() {
    sources(Path::new("nowhere"));
}

#[test]
fn imports_are_found_in_groups_and_in_paths() {
    let source = "use crate::{\n    a::{b, c},\n    d,\n};\nuse crate::e::f;\n// crate::g\n\
                  fn x() { crate::h::y() }\n#[cfg(test)]\nmod tests { use crate::z; }";
    assert_eq!(imports(source), ["a", "d", "e", "h"]);
}
