//! `cloakroom key generate`.

use cloakroom::AppKeys;
use serde_json::json;

use crate::{
    arguments::{CommonOptions, Generate, Key},
    env_file::{self, EnvFile},
    failure::Failure,
    output::Output,
};

pub(crate) fn run(command: &Key, common: &CommonOptions, output: Output) -> Result<(), Failure> {
    let Key::Generate(Generate { rotate, print }) = command;
    let key = AppKeys::generate();
    if *print {
        output.result(&json!({ "app_key": key }), &key);
        return Ok(());
    }
    let path = common.variables();
    let file = EnvFile::read(path).map_err(Failure::failed)?;
    let unchanged =
        |reason: String| Failure::failed(format!("{} was not changed: {reason}", path.display()));
    let keys = next(&file, key, *rotate).map_err(|reason| unchanged(reason.to_owned()))?;
    let count = keys.split(',').count();
    env_file::write(path, &file.with_keys(&keys), &keys).map_err(unchanged)?;
    let text = if count == 1 {
        format!("{} has an APP_KEY now.", path.display())
    } else {
        format!(
            "{} has {count} keys now: the first encrypts, the others decrypt older data. Restart the \
             applications to use them. Remove the last key when the longest session from its time \
             has ended.",
            path.display()
        )
    };
    output.result(&json!({ "file": path, "keys": count }), text);
    Ok(())
}

/// Returns the keys that the file has afterwards.
///
/// # Errors
/// If the file has to stay as it is, with the reason.
fn next(file: &EnvFile, key: String, rotate: bool) -> Result<String, &'static str> {
    match (file.keys(), rotate) {
        (None, false) => Ok(key),
        (Some(old), true) if file.keys_are_good() => Ok(format!("{key},{old}")),
        (Some(_), true) => Err("its APP_KEY is invalid; `cloakroom doctor` shows the reason"),
        (None, true) => Err("it has no APP_KEY to rotate; omit `--rotate`"),
        (Some(_), false) => Err(
            "it already has an APP_KEY; `--rotate` prepends a new key, `--print` only prints one",
        ),
    }
}
