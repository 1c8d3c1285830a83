//! The file store as a separate process, for tests that kill it or have its system calls fail:
//! `file-store LOCATION full|fast`, then one command a line on standard input, one reply a line on
//! standard output.
//!
//! ```text
//! create K TEXT    replace K TEXT    rotate K K2 TEXT    destroy K    load K    sweep
//! ```

use std::{
    io::{BufRead, Write},
    process::ExitCode,
    time::Duration,
};

use cloakroom::{
    FileStore,
    clock::{Clock, SystemClock},
    file::Durability,
    store::{Commit, Draft, Entry, Outcome, RecordKey, Store, StoreError, Sweep},
};

const HOUR: Duration = Duration::from_hours(1);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, location, durability] = arguments.as_slice() else { return ExitCode::from(2) };
    let durability = if durability == "full" { Durability::Full } else { Durability::Fast };
    let store = FileStore::builder(location).durability(durability).sweep_budget(None).open();
    let store = match store {
        Ok(store) => store,
        Err(error) => {
            println!("{}", told(&error));
            return ExitCode::FAILURE;
        }
    };
    // Without input and output of its own, so that all system calls seen are the store's. One
    // thread makes them all: `strace` counts the calls of each thread apart.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build();
    let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
    println!("ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<_> = line.split(' ').collect();
        let answer = runtime.block_on(answer(&store, &words));
        let answer = answer.unwrap_or_else(|error| told(&error));
        let mut output = std::io::stdout().lock();
        if writeln!(output, "{answer}").and_then(|()| output.flush()).is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}

async fn answer(store: &FileStore, words: &[&str]) -> Result<String, StoreError> {
    let tombstone = SystemClock.now() + HOUR;
    Ok(match words {
        ["create", key, text] => {
            outcome(&store.commit(Commit::create(key_of(key), draft(text))).await?)
        }
        ["replace", key, text] => replace(store, key_of(key), text).await?,
        ["rotate", from, to, text] => {
            let (from, to, record) = (key_of(from), key_of(to), draft(text));
            let rotate = Commit::rotate(from, None, to, record, tombstone);
            outcome(&store.commit(rotate).await?)
        }
        ["destroy", key] => outcome(&store.commit(Commit::destroy(key_of(key), tombstone)).await?),
        ["load", key] => match store.load(&key_of(key)).await? {
            Some(Entry::Live(stored)) => {
                format!("live {}", String::from_utf8_lossy(&stored.bytes))
            }
            Some(Entry::Tombstone { .. }) => "tombstone".to_owned(),
            None => "absent".to_owned(),
        },
        ["sweep"] => format!("swept {}", store.sweep(usize::MAX).await?.removed),
        _ => "what?".to_owned(),
    })
}

/// Replaces whatever is there, as a request that loads first.
async fn replace(store: &FileStore, key: RecordKey, text: &str) -> Result<String, StoreError> {
    let Some(Entry::Live(stored)) = store.load(&key).await? else { return Ok("gone".to_owned()) };
    let replace = Commit::replace(key, stored.revision, draft(text));
    Ok(outcome(&store.commit(replace).await?))
}

/// Keys that begin alike lie in one shard and can follow each other.
fn key_of(name: &str) -> RecordKey {
    let mut bytes = [b'-'; 32];
    for (byte, letter) in bytes.iter_mut().zip(name.bytes()) {
        *byte = letter;
    }
    RecordKey::from_bytes(bytes)
}

fn draft(text: &str) -> Draft {
    Draft::new(text.to_owned(), SystemClock.now(), HOUR)
}

fn outcome(outcome: &Outcome) -> String {
    let word = match outcome {
        Outcome::Done(_) => "done",
        Outcome::Conflict(_) => "conflict",
        Outcome::Gone => "gone",
        Outcome::Exists => "exists",
    };
    word.to_owned()
}

fn told(error: &StoreError) -> String {
    let kind = if error.is_unavailable() { "unavailable" } else { "failed" };
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    format!("error {kind} {error}: {cause}")
}
