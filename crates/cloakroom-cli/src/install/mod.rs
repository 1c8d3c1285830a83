//! `cloakroom install`: adds the crate, writes the settings file, makes a key, and says what is left
//! to do by hand. Run twice it changes nothing.

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
    let driver = changes::driver(options)?;
    let dependency = project.missing_dependency(options, driver)?;
    let changes = changes::all(options, driver, &project.name)?;
    for said in project.remarks() {
        remark(said);
    }
    if let Some(arguments) = &dependency {
        project::cargo_add(arguments, options.dry_run)?;
        output.line(format!("{} cargo add {}", mark(options), arguments.join(" ")));
    }
    for change in &changes {
        if options.dry_run {
            output.line(format!("{} {}\n{}", mark(options), change.said(), change.diff()));
        } else {
            change.make()?;
            output.line(format!("{} {}", mark(options), change.said()));
        }
    }
    if dependency.is_none() && changes.is_empty() {
        output.line("Everything is in place already; nothing was changed.");
    }
    let steps = steps::left_to_do(project.framework);
    output.line(&steps);
    output.record(&json!({
        "dry_run": options.dry_run,
        "dependency": dependency.as_ref().map(|arguments| arguments.join(" ")),
        "files": changes.iter().map(Change::path).collect::<Vec<_>>(),
        "steps": steps,
    }));
    Ok(())
}

fn mark(options: &Install) -> String {
    if options.dry_run { "would:".to_owned() } else { styled(GOOD, "did:") }
}
