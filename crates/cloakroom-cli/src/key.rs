//! `cloakroom key generate`.

use cloakroom::AppKeys;
use serde_json::json;

use crate::{
    arguments::{Generate, Key, Place},
    env_file,
    failure::Failure,
    output::Output,
};

pub(crate) fn run(command: &Key, place: &Place, output: Output) -> Result<(), Failure> {
    let Key::Generate(Generate { rotate, print }) = command;
    let key = AppKeys::generate();
    if *print {
        output.result(&json!({ "app_key": key }), &key);
        return Ok(());
    }
    let path = place.variables();
    let failed = |error| Failure::new(format!("change {}", path.display()), error);
    let text = env_file::read(path).map_err(failed)?;
    let keys = match (env_file::app_key(&text), rotate) {
        (None, _) => key,
        (Some(old), true) => format!("{key},{old}"),
        (Some(_), false) => {
            return Err(Failure::failed(format!(
                "{} has an APP_KEY already, and nothing was changed; `--rotate` puts a new key \
                 before it, `--print` only prints one",
                path.display()
            )));
        }
    };
    let count = keys.split(',').count();
    env_file::write(path, &env_file::with_app_key(&text, &keys)).map_err(failed)?;
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
