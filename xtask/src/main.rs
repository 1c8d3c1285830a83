//! The project's own commands. `cargo xtask help` lists them.

mod commands;
mod fuzz;
mod licenses;
mod stages;
mod tools;

use std::{process::ExitCode, time::Duration};

const HELP: &str = "\
cargo xtask test [STAGE…]       everything that has to hold, or the named stages:
                                tools fmt clippy features test docs golden licenses fuzz
cargo xtask soak [--seconds N]  long fuzz runs, N seconds for each target (default 600), and the
                                long versions of tests
cargo xtask bench               what one request costs, in process (divan)
cargo xtask bench http          the probe beside the bare service, over loopback
";

/// What went wrong, in one line.
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
        ["bench"] => commands::cargo(&["bench", "--package", "behaviour"]),
        ["bench", "http"] => bench_http(),
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
    ])?;
    fuzz::run(each)
}

fn bench_http() -> Result<(), Failure> {
    commands::cargo(&["build", "--profile", "bench", "--package", "behaviour", "--bins"])?;
    // The servers have the first core; the client takes the second.
    if commands::exists("taskset") {
        commands::run("taskset", &["-c", "1", "target/release/load"])
    } else {
        commands::run("target/release/load", &[])
    }
}
