//! The guide's excerpts from examples: they are lines of the example as it is.

use std::{fs, path::Path};

const MARK: &str = "<!-- from ";

/// Returns the files that a page quotes, each with the lines.
fn excerpts(page: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for part in page.split(MARK).skip(1) {
        let (file, rest) = part.split_once(" -->").unwrap_or_default();
        let block =
            rest.trim_start().strip_prefix("```text\n").and_then(|rest| rest.split_once("\n```"));
        found.push((file, block.map_or("a block of text follows", |(block, _)| block)));
    }
    found
}

#[test]
fn excerpts_of_the_guide_are_lines_of_the_examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut count = 0;
    for page in fs::read_dir(root.join("crates/cloakroom/src/guide")).unwrap().flatten() {
        if page.path().extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(page.path()).unwrap();
        for (file, lines) in excerpts(&text) {
            let example = fs::read_to_string(root.join(file))
                .unwrap_or_else(|error| panic!("{}: {file}: {error}", page.path().display()));
            assert!(example.contains(lines), "{}: not in {file}:\n{lines}", page.path().display());
            count += 1;
        }
    }
    assert!(count >= 3, "the guide quotes {count} examples");
}
