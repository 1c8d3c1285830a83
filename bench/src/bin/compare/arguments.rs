//! The command line of the comparison.

use std::{str::FromStr, time::Duration};

use cloakroom_bench::Failure;

const USAGE: &str = "usage: peers [--rounds N] [--seconds S] [--only NAME]…
       instructions [--only NAME]…
       crowd [--seconds S] [--processes N] [--connections N] [--only DRIVER]…";

/// The comparison to run.
#[derive(Debug)]
pub(crate) enum Task {
    /// Servers beside bare ones.
    Peers,
    /// The instructions of a request.
    Instructions,
    /// Several processes that write one session.
    Crowd,
}

/// The options of a run.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// The comparison to run.
    pub(crate) task: Task,
    /// How many pairs of slices there are for each figure.
    pub(crate) rounds: usize,
    /// How long a slice takes, or the load of the crowd.
    pub(crate) span: Duration,
    /// How many server processes the crowd has.
    pub(crate) processes: usize,
    /// How many connections each process of the crowd has.
    pub(crate) connections: usize,
    /// Parts of names, one of which has to match. Empty: everything is run.
    pub(crate) only: Vec<String>,
}

impl Arguments {
    /// Reads the command line of this process.
    pub(crate) fn read() -> Result<Self, Failure> {
        let mut words = std::env::args().skip(1).peekable();
        let task = match words.next_if(|word| !word.starts_with("--")).as_deref() {
            None | Some("peers") => Task::Peers,
            Some("instructions") => Task::Instructions,
            Some("crowd") => Task::Crowd,
            Some(word) => return Err(format!("unknown task {word}\n{USAGE}")),
        };
        let seconds = if matches!(task, Task::Crowd) { 30 } else { 1 };
        let span = Duration::from_secs(seconds);
        let (processes, connections) = (8, 16);
        let only = Vec::new();
        let mut read = Self { task, rounds: 5, span, processes, connections, only };
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word} needs a value\n{USAGE}"))?;
            read.set(&word, value)?;
        }
        Ok(read)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Failure> {
        match (name, &self.task) {
            ("--rounds", Task::Peers) => self.rounds = number(name, &value, 1..=1000)?,
            ("--seconds", Task::Peers | Task::Crowd) => {
                self.span = Duration::from_secs_f64(number(name, &value, 0.05..=3600.0)?);
            }
            ("--processes", Task::Crowd) => self.processes = number(name, &value, 1..=100)?,
            ("--connections", Task::Crowd) => self.connections = number(name, &value, 1..=1000)?,
            ("--only", _) => self.only.push(value),
            _ => return Err(format!("unknown argument {name}\n{USAGE}")),
        }
        Ok(())
    }

    /// Returns whether something of this name is to be run.
    pub(crate) fn includes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

fn number<T>(name: &str, value: &str, range: std::ops::RangeInclusive<T>) -> Result<T, Failure>
where
    T: FromStr + PartialOrd + std::fmt::Debug,
{
    let number = value.parse().ok().filter(|number| range.contains(number));
    number.ok_or(format!("{name} {value}: a number in {range:?} is accepted\n{USAGE}"))
}
