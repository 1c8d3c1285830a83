//! The command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use cloakroom::settings::DriverKind;
use std::num::NonZeroUsize;

/// Sets sessions up, checks them, shows and moves them.
///
/// Reads the settings as the application does: config/session.toml and the environment, and .env for
/// variables that are not set. Exit codes: 0 done; 1 something is wrong; 2 the command or the settings
/// cannot be used.
#[derive(Debug, Parser)]
#[command(name = "cloakroom", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Writes JSON to standard output, for other programs
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) common: CommonOptions,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the settings are.
#[derive(Args, Debug)]
pub(crate) struct CommonOptions {
    /// The settings file [default: config/session.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// A file of variables, for those that are not in the environment [default: .env, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
}

impl CommonOptions {
    /// The file of variables.
    pub(crate) fn variables(&self) -> &Path {
        self.env_file.as_deref().unwrap_or(Path::new(".env"))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Adds sessions to the project in this folder: dependencies, settings file, application key
    Install(Install),
    /// Makes and rotates the application's key
    #[command(subcommand)]
    Key(Key),
    /// Checks the settings, and what stands behind them, for what goes wrong in production
    Doctor,
    /// Lists the live sessions
    List(List),
    /// Shows one session
    Show(Show),
    /// Ends one session, or all of an owner
    Destroy(Destroy),
    /// Deletes what has expired, now
    Sweep,
    /// Counts the live sessions
    Stats,
    /// Moves the live sessions from one driver to another; nobody is signed out
    Migrate(Migrate),
    /// Prints a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints the manual page, or that of a command: `cloakroom man | man -l -`
    Man {
        /// The command
        command: Option<String>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Install {
    /// The web framework [default: the one that Cargo.toml names]
    #[arg(long, value_enum)]
    pub(crate) framework: Option<Framework>,

    /// Where sessions live [default: what the settings file says, or cookie]
    #[arg(long, value_enum)]
    pub(crate) driver: Option<Driver>,

    /// Takes cloakroom's crates from this checkout instead of the registry
    #[arg(long, value_name = "FOLDER")]
    pub(crate) path: Option<PathBuf>,

    /// Overwrites a settings file that is there
    #[arg(long)]
    pub(crate) force: bool,

    /// Shows what would change, and changes nothing
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
}

impl From<Driver> for DriverKind {
    fn from(driver: Driver) -> Self {
        match driver {
            Driver::Cookie => Self::Cookie,
            Driver::Memory => Self::Memory,
            Driver::File => Self::File,
            Driver::Redis => Self::Redis,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Puts a new `APP_KEY` into .env
    Generate(Generate),
}

#[derive(Args, Debug)]
pub(crate) struct Generate {
    /// Puts the new key before those that are there: it seals from now on, the others still open
    #[arg(long, conflicts_with = "print")]
    pub(crate) rotate: bool,

    /// Prints the key and changes no file
    #[arg(long)]
    pub(crate) print: bool,
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Those of one owner
    #[arg(long)]
    pub(crate) owner: Option<String>,

    /// At most so many
    #[arg(long, default_value = "50", value_name = "N")]
    pub(crate) limit: NonZeroUsize,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// What `list` or the application calls the session
    pub(crate) handle: String,

    /// Shows the values too, which may be private
    #[arg(long)]
    pub(crate) reveal: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Destroy {
    /// What `list` or the application calls the session
    pub(crate) handle: Option<String>,

    /// All sessions of this owner
    #[arg(long)]
    pub(crate) owner: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Migrate {
    /// The driver that has the sessions
    #[arg(long, value_enum)]
    pub(crate) from: Kept,

    /// The driver that gets them
    #[arg(long, value_enum)]
    pub(crate) to: Kept,

    /// Begins although the target has live sessions and no journal of earlier runs: who signed out
    /// there is signed in again where the source still has the session
    #[arg(long)]
    pub(crate) onto_live_sessions: bool,

    /// Removes sessions from the target also when more than a tenth of those that the journal knows
    /// have ended in the source
    #[arg(long)]
    pub(crate) allow_removals: bool,

    /// Copies a session again whose earlier copy in the target has expired: who used it there after
    /// the copy and signed out is signed in again
    #[arg(long)]
    pub(crate) copy_expired: bool,
}

/// Drivers whose sessions another process can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kept {
    File,
    Redis,
}
