//! `cloakroom install`: adds the crate, writes the settings file, generates a key, and prints the code
//! that is left to write. A second run changes nothing.

mod changes;
mod project;
mod steps;

use std::path::Path;

use changes::Change;
use project::Project;
use serde_json::json;

use crate::{
    arguments::Install,
    failure::Failure,
    output::{GOOD, Output, remark, styled},
};

pub(crate) fn run(options: &Install, output: Output) -> Result<(), Failure> {
    let project = Project::find(Path::new("."), options.framework)?;
    let steps = steps::left_to_do(project.framework);
    if options.steps {
        output.result(&json!({ "steps": steps }), steps.trim_start());
        return Ok(());
    }
    let driver = changes::driver(options)?;
    let dependency = project.missing_dependency(options, driver)?;
    let changes = changes::all(options, driver, &project.name)?;
    for text in project.remarks() {
        remark(text);
    }
    if let Some(arguments) = &dependency {
        project::cargo_add(arguments, options.dry_run)?;
        output.line(format!("{} cargo add {}", mark(options), arguments.join(" ")));
    }
    for change in &changes {
        if options.dry_run {
            output.line(format!("{} {}\n{}", mark(options), change.description(), change.diff()));
        } else {
            change.make()?;
            output.line(format!("{} {}", mark(options), change.description()));
        }
    }
    if dependency.is_none() && changes.is_empty() {
        output.line("Sessions are already set up; nothing was changed.");
    }
    if project.has_cloakroom() {
        output.line("`cloakroom install --steps` prints the code that is left to write.");
    } else {
        output.line(&steps);
    }
    output.record(&json!({
        "dry_run": options.dry_run,
        "dependency": dependency.as_ref().map(|arguments| arguments.join(" ")),
        "files": changes.iter().map(Change::path).collect::<Vec<_>>(),
        "steps": steps,
    }));
    Ok(())
}

/// Returns the word before a change.
fn mark(options: &Install) -> String {
    if options.dry_run { "would:".to_owned() } else { styled(GOOD, "did:") }
}
