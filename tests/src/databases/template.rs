//! The first data of a server, which takes a program a second to make: made once and then copied.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use super::{account::Account, output, text, words};

/// Returns the archive of a template in `tmp` of Cargo's target folder. Makes it with the commands,
/// which run as this user and put the data into `{folder}/data`, if it is not there yet.
///
/// Another version of the program, or other commands, have another template.
pub(super) fn find(name: &str, version: &str, account: Account, make: &[Vec<String>]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (version, make, account.number()).hash(&mut hasher);
    let template = temporary_folder().join(format!("{name}-{:016x}.tar", hasher.finish()));
    let lock = fs::File::create(template.with_extension("lock"));
    let lock = lock.unwrap_or_else(|error| panic!("{}: {error}", template.display()));
    lock.lock().unwrap_or_else(|error| panic!("{error}"));
    if !template.exists() {
        // The user may have no access to the target folder.
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}"));
        account.take(folder.path());
        for command in make {
            let filled = |word: &String| word.replace("{folder}", text(folder.path()));
            let command = account.prefix().into_iter().chain(command.iter().map(filled));
            output(&command.collect::<Vec<_>>(), folder.path());
        }
        let unfinished = template.with_extension("unfinished");
        let archive = ["tar", "--numeric-owner", "-cf", text(&unfinished), "data"];
        output(&words(archive), folder.path());
        fs::rename(&unfinished, &template).unwrap_or_else(|error| panic!("{error}"));
    }
    template
}

/// Puts the data into a folder, with its owners. From an archive this takes half the time that it
/// takes from a folder, because the files are many and small.
pub(super) fn copy(template: &Path, folder: &Path) {
    output(&words(["tar", "--numeric-owner", "-xpf", text(template)]), folder);
}

/// Cargo marks its target folder, wherever that is.
fn temporary_folder() -> PathBuf {
    let program = env::current_exe().unwrap_or_else(|error| panic!("{error}"));
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    let folder = target.map_or_else(env::temp_dir, |target| target.join("tmp"));
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{error}"));
    folder
}
