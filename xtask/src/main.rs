//! The project's own commands. `cargo xtask help` lists them.

mod bench;
mod commands;
#[cfg(test)]
mod excerpts;
#[cfg(test)]
mod floors;
mod fuzz;
mod licenses;
mod stages;
#[cfg(test)]
mod threats;
mod tools;
mod workspaces;

use std::{process::ExitCode, time::Duration};

const HELP: &str = "\
cargo xtask test [STAGE…]       everything that has to hold, or the named stages:
                                tools fmt clippy features test docs golden licenses package
                                semver fuzz frameworks migrations; the last two download many crates, so
                                a run of everything leaves them out until they are there
cargo xtask soak [--seconds N]  long fuzz runs, N seconds for each target (default 600), the long
                                versions of tests, a build of each package from its files alone,
                                and the stages frameworks and migrations
cargo xtask bench               what one request costs, in process (divan)
cargo xtask bench http          the probe beside the bare service, over loopback
cargo xtask bench peers [--rounds N] [--seconds S] [--only NAME]…
                                every driver and other session crates beside bare servers, over
                                loopback; compiles the servers first, which takes minutes
cargo xtask bench instructions [--only NAME]…
                                the instructions of a request on each of these servers
cargo xtask bench crowd [--seconds S] [--processes N] [--connections N] [--only DRIVER]…
                                several processes with one store, which write one session
";

/// The reason of a failure, in one line.
type Failure = String;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test", chosen @ ..] => stages::run(chosen),
        ["soak"] => soak(Duration::from_mins(10)),
        ["soak", "--seconds", seconds] => match seconds.parse() {
            Ok(seconds) => soak(Duration::from_secs(seconds)),
            Err(_) => Err(format!("--seconds {seconds}: a whole number is accepted")),
        },
        ["bench"] => bench::in_process(),
        ["bench", "http"] => bench::http(),
        ["bench", task @ ("peers" | "instructions" | "crowd"), arguments @ ..] => {
            bench::compare(task, arguments)
        }
        ["help"] | [] => {
            print!("{HELP}");
            Ok(())
        }
        _ => Err(format!("`{}` is no command\n{HELP}", words.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn soak(each: Duration) -> Result<(), Failure> {
    tools::install()?;
    commands::cargo(&[
        "test",
        "--release",
        "--workspace",
        "--all-features",
        "--",
        "--ignored",
        "--nocapture",
        // Some measure time, and a long statement of another test keeps PostgreSQL from cleaning up rows.
        "--test-threads=1",
    ])?;
    stages::build_packages()?;
    stages::run(&stages::WORKSPACES.map(|(name, _)| name))?;
    fuzz::run(each)
}
