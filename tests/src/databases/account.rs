//! The user as whom a server runs.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
};

use super::{program, text};

/// A user without privileges.
#[derive(Clone, Copy, Debug)]
pub(super) enum Account {
    /// The user of the test, with this number.
    Own(u32),
    /// The user with this number and group, because the test runs as root.
    Other(u32, u32),
}

impl Account {
    /// Takes the user of the test if that is not root; otherwise the first of these that exists, or
    /// `nobody`. A folder that the test has just made tells who it runs as.
    pub(super) fn find(folder: &Path, names: &[&str]) -> Self {
        let owner = fs::metadata(folder).unwrap_or_else(|error| panic!("{error}")).uid();
        if owner != 0 {
            return Self::Own(owner);
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_else(|error| panic!("{error}"));
        let find = |name: &&str| {
            let mut fields = users.lines().map(|line| line.split(':'));
            let mut fields = fields.find(|fields| fields.clone().next() == Some(name))?.skip(2);
            Some(Self::Other(fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        let found = names.iter().chain(&["nobody"]).find_map(find);
        found.unwrap_or_else(|| panic!("none of the users {names:?} and nobody exists"))
    }

    /// Returns the words before a command that run it as this user.
    pub(super) fn prefix(self) -> Vec<String> {
        let Self::Other(user, group) = self else { return Vec::new() };
        let setpriv = program("setpriv", &[], "util-linux");
        let user = format!("--reuid={user}");
        let group = format!("--regid={group}");
        super::words([text(&setpriv), &user, &group, "--clear-groups"])
    }

    /// Makes a folder this user's.
    pub(super) fn take(self, folder: &Path) {
        if let Self::Other(user, group) = self {
            chown(folder, Some(user), Some(group)).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Returns the user's number.
    pub(super) fn number(self) -> u32 {
        let (Self::Own(number) | Self::Other(number, _)) = self;
        number
    }
}
