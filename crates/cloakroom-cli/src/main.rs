//! The `cloakroom` command: sets up, checks, lists and migrates sessions.

mod arguments;
mod database;
mod doctor;
mod env_file;
mod failure;
mod install;
mod key;
mod migrate;
mod output;
mod progress;
mod schema;
mod sessions;
mod setup;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::{CommandFactory, Parser};
use failure::Failure;
use output::Output;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

#[tokio::main]
async fn main() -> ExitCode {
    // Stores warn of records that they cannot read.
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into());
    let filter = filter.from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let output = Output::new(arguments.common.json);
    match run(arguments, output).await {
        Ok(()) if output::is_complete() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(arguments: Arguments, output: Output) -> Result<(), Failure> {
    let common = arguments.common;
    match arguments.command {
        Command::Install(options) => install::run(&options, output),
        Command::Key(command) => key::run(&command, &common, output),
        Command::Doctor => doctor::run(&common, output).await,
        Command::List(options) => sessions::list(&options, &common, output).await,
        Command::Show(options) => sessions::show(&options, &common, output).await,
        Command::Destroy(options) => sessions::destroy(&options, &common, output).await,
        Command::Sweep => sessions::sweep(&common, output).await,
        Command::Stats => sessions::stats(&common, output).await,
        Command::Schema(options) => schema::run(&options, &common, output),
        Command::Migrate(options) => migrate::run(&options, &common, output).await,
        Command::Completions { shell } => {
            let (mut command, mut script) = (Arguments::command(), Vec::new());
            clap_complete::generate(shell, &mut command, "cloakroom", &mut script);
            output::print(&String::from_utf8_lossy(&script));
            Ok(())
        }
        Command::Man { command } => man(command.as_deref()),
    }
}

/// Prints the manual page of `cloakroom`, or of one command.
fn man(command: Option<&str>) -> Result<(), Failure> {
    let mut cloakroom = Arguments::command();
    cloakroom.build();
    let command = match command {
        None => cloakroom,
        Some(name) => {
            let found = cloakroom.find_subcommand(name).cloned();
            found.ok_or_else(|| Failure::unusable(format!("there is no command `{name}`")))?
        }
    };
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|error| Failure::new("write the page", error))?;
    output::print(&String::from_utf8_lossy(&page));
    Ok(())
}
