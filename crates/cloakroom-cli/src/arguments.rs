//! The command line.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use cloakroom::settings::DriverKind;

/// The heading of the options that every command has.
const COMMON: &str = "Common options";

/// Sets up sessions in a project, checks their settings, lists, ends and migrates them.
///
/// Reads the settings as the application does: config/session.toml and the environment, and .env for
/// variables that are not set in the environment. Exit codes: 0 success; 1 the command failed or found
/// a problem; 2 the command line or the settings are invalid.
#[derive(Debug, Parser)]
#[command(name = "cloakroom", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: CommonOptions,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options that every command has.
#[derive(Args, Debug)]
pub(crate) struct CommonOptions {
    /// Prints JSON to standard output: one object, or one object a line for a list (JSON Lines)
    #[arg(long, global = true, help_heading = COMMON)]
    pub(crate) json: bool,

    /// Reads the settings from this file [default: config/session.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    pub(crate) config: Option<PathBuf>,

    /// Reads variables that are not in the environment from this file [default: .env, if it exists]
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    pub(crate) env_file: Option<PathBuf>,
}

impl CommonOptions {
    /// Returns the path of the file of variables.
    pub(crate) fn variables(&self) -> &Path {
        self.env_file.as_deref().unwrap_or(Path::new(".env"))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Adds sessions to the project in this folder: dependency, settings file, application key
    ///
    /// Changes nothing that exists, so that it can be run again. Prints the code that is left to write
    /// when it adds the dependency; `--steps` prints it at any time.
    Install(Install),
    /// Generates and rotates the application key
    #[command(subcommand)]
    Key(Key),
    /// Checks the settings and the driver for problems in production
    ///
    /// Prints a line for each finding: `good`, `warn` or `wrong`. Exits with 1 if a line says `wrong`.
    /// With --json each line is an object (JSON Lines).
    Doctor,
    /// Lists the live sessions, most recently used first
    ///
    /// Reads all sessions of the store, or of the owner, before it prints the first one. Shortens
    /// handles on a terminal: `show` and `destroy` accept them in that form. With --json each line
    /// is an object for one session, with its whole handle (JSON Lines).
    List(List),
    /// Shows one session
    Show(Show),
    /// Ends one session, all sessions of an owner, or all sessions
    Destroy(Destroy),
    /// Deletes expired sessions now
    Sweep,
    /// Counts the live sessions
    Stats,
    /// Prints the statements that make the tables of a database, for a migration tool
    Schema(Schema),
    /// Copies the live sessions from one driver to another; visitors stay signed in
    ///
    /// Keeps a journal in the target, so that a second run copies only what has changed, and a run in
    /// the other direction brings the changes back. In a folder of session files the journal is a file,
    /// and a .gitignore beside it keeps the folder out of git.
    Migrate(Migrate),
    /// Prints a completion script for a shell
    Completions {
        /// The shell to complete in
        shell: Shell,
    },
    /// Prints the manual page of `cloakroom` or of one command: `cloakroom man list | man -l -`
    Man {
        /// The command to describe [default: all of them]
        command: Option<String>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Install {
    /// Sets up this web framework [default: the one in Cargo.toml]
    #[arg(long, value_enum)]
    pub(crate) framework: Option<Framework>,

    /// Stores sessions with this driver [default: the one in the settings file, or cookie]
    #[arg(long, value_enum)]
    pub(crate) driver: Option<Driver>,

    /// Takes the crate `cloakroom` from this checkout instead of the registry
    #[arg(long, value_name = "FOLDER")]
    pub(crate) path: Option<PathBuf>,

    /// Overwrites an existing settings file
    #[arg(long)]
    pub(crate) force: bool,

    /// Shows the changes without making them
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Prints the code that is left to write, and changes nothing
    #[arg(long, conflicts_with_all = ["driver", "path", "force", "dry_run"])]
    pub(crate) steps: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framework {
    Axum,
    Actix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Driver {
    Cookie,
    Memory,
    File,
    Redis,
    Postgres,
    #[value(name = "mysql")]
    MySql,
    Sqlite,
}

impl From<Driver> for DriverKind {
    fn from(driver: Driver) -> Self {
        match driver {
            Driver::Cookie => Self::Cookie,
            Driver::Memory => Self::Memory,
            Driver::File => Self::File,
            Driver::Redis => Self::Redis,
            Driver::Postgres => Self::Postgres,
            Driver::MySql => Self::MySql,
            Driver::Sqlite => Self::Sqlite,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Writes a new `APP_KEY` to .env
    Generate(Generate),
}

#[derive(Args, Debug)]
pub(crate) struct Generate {
    /// Prepends the new key; existing keys remain valid for decryption
    #[arg(long, conflicts_with = "print")]
    pub(crate) rotate: bool,

    /// Prints the key without changing a file
    #[arg(long)]
    pub(crate) print: bool,
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Lists the sessions of this owner only
    #[arg(long)]
    pub(crate) owner: Option<String>,

    /// Prints at most this many sessions; all of them are read
    #[arg(long, default_value = "50", value_name = "N")]
    pub(crate) limit: NonZeroUsize,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// The session's handle, or the first characters of it, at least 4
    pub(crate) handle: String,

    /// Shows the values, which may be private
    #[arg(long)]
    pub(crate) reveal: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Destroy {
    #[command(flatten)]
    pub(crate) target: DestroyTarget,

    /// Shows the sessions that would end, and ends none
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Ends several sessions without asking; necessary where no terminal can be asked
    #[arg(long, conflicts_with = "handle")]
    pub(crate) yes: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct DestroyTarget {
    /// The session's handle, or the first characters of it, at least 4
    pub(crate) handle: Option<String>,

    /// Ends all sessions of this owner
    #[arg(long)]
    pub(crate) owner: Option<String>,

    /// Ends all sessions of the application, signed in or not
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Migrate {
    /// The driver to copy the sessions from
    #[arg(long, value_enum)]
    pub(crate) from: SharedDriver,

    /// The driver to copy the sessions to
    #[arg(long, value_enum)]
    pub(crate) to: SharedDriver,

    /// The database to copy from, if it is not the one in the settings
    #[arg(long, value_name = "URL")]
    pub(crate) from_url: Option<String>,

    /// The database to copy to, if it is not the one in the settings
    #[arg(long, value_name = "URL")]
    pub(crate) to_url: Option<String>,

    /// Copies although the target has live sessions and no journal of an earlier run: visitors who
    /// signed out there are signed in again if the source still has their session
    #[arg(long)]
    pub(crate) onto_live_sessions: bool,

    /// Removes sessions from the target even if more than a tenth of those in the journal have ended
    /// in the source
    #[arg(long)]
    pub(crate) allow_removals: bool,

    /// Copies a session again if its earlier copy in the target has expired: a visitor who used that
    /// copy and signed out is signed in again
    #[arg(long)]
    pub(crate) copy_expired: bool,
}

/// A driver whose sessions another process can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SharedDriver {
    File,
    Redis,
    Postgres,
    #[value(name = "mysql")]
    MySql,
    Sqlite,
}

/// A driver that stores sessions in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SqlDriver {
    Postgres,
    #[value(name = "mysql")]
    MySql,
    Sqlite,
}

#[derive(Args, Debug)]
pub(crate) struct Schema {
    /// Prints the statements for this database [default: the driver in the settings]
    #[arg(long, value_enum)]
    pub(crate) driver: Option<SqlDriver>,
}
