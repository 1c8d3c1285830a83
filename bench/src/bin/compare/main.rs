//! Measures servers with sessions beside bare ones. `cargo xtask bench` with `peers`, `instructions`
//! or `crowd` runs it; `docs/benchmarks.md` describes the method.
//!
//! It uses nothing of the crate `cloakroom-tests`: that one turns on features of the measured crates.

mod about;
mod arguments;
mod counter;
mod crowd;
mod http;
mod instructions;
mod load;
mod pairs;
mod peers;
mod postgres;
mod process;
mod redis;
mod report;
mod servers;
mod wanted;

use std::process::ExitCode;

use arguments::{Arguments, Task};
use cloakroom_bench::{Failure, options::finish};

fn main() -> ExitCode {
    // Returning, unlike `exit`, ends the servers.
    finish(run())
}

/// Measures and prints the report. A missed figure is not a failure of the run.
fn run() -> Result<(), Failure> {
    let arguments = Arguments::read()?;
    process::pin_this();
    let report = match arguments.task {
        Task::Peers => {
            let (rows, duels) = peers::measure(&arguments)?;
            report::of_peers(&rows, &duels)
        }
        Task::Instructions => instructions::run(&arguments)?,
        Task::Crowd => crowd::run(&arguments)?,
    };
    println!("{report}\n{}", about::describe(&arguments));
    Ok(())
}
