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
            "{} has {count} keys now: the first seals, the others still open. Applications take \
             them when they are restarted. Drop the last one once the longest session that it \
             sealed has ended.",
            path.display()
        )
    };
    output.result(&json!({ "file": path, "keys": count }), text);
    Ok(())
}

/// The keys that the file has afterwards, or why it keeps those that it has.
fn next(file: &EnvFile, key: String, rotate: bool) -> Result<String, &'static str> {
    match (file.keys(), rotate) {
        (None, false) => Ok(key),
        (Some(old), true) if file.keys_are_good() => Ok(format!("{key},{old}")),
        (Some(_), true) => Err("its APP_KEY cannot be used: `cloakroom doctor` says why"),
        (None, true) => Err("it has no APP_KEY to put a new one before; leave `--rotate` out"),
        (Some(_), false) => Err(
            "it has an APP_KEY already; `--rotate` puts a new key before it, `--print` only prints one",
        ),
    }
}
