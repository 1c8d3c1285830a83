//! `kill -9` while it writes.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};

use super::Process;

// Every acknowledged write is there, and what is there is whole.
#[test]
fn a_killed_process_leaves_whole_sessions_and_every_write() {
    kill_while_writing(60);
}

#[test]
#[ignore = "long: cargo xtask soak"]
fn a_thousand_kills_tear_nothing() {
    kill_while_writing(1_000);
}

fn kill_while_writing(runs: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut start = Process::start(&[], folder.path(), "full");
    for session in 0..8 {
        assert_eq!(start.tell(&format!("create s{session} 0")).as_deref(), Some("done"));
    }
    drop(start);
    let (mut torn, mut lost, mut acknowledged) = (0, 0, 0);
    let mut written = [0_u64; 8];
    for run in 0..runs {
        let attempted = write_and_die(folder.path(), run, &mut written);
        acknowledged += written.iter().sum::<u64>();
        let mut after = Process::start(&[], folder.path(), "full");
        for (session, last) in written.iter_mut().enumerate() {
            let found = after.tell(&format!("load s{session}")).unwrap();
            let text = found.strip_prefix("live ").map(str::parse::<u64>);
            match text {
                Some(Ok(number)) if number == *last || Some((session, number)) == attempted => {
                    *last = number;
                }
                Some(Ok(_)) => lost += 1,
                _ => torn += 1,
            }
        }
        assert!(after.tell("sweep").unwrap().starts_with("swept"));
    }
    let left = walk(folder.path()).into_iter().filter(|name| name.starts_with(".tmp-")).count();
    assert_eq!((torn, lost, left), (0, 0, 0));
    assert!(acknowledged > 0);
}

/// Writes until it is killed. Returns the write that was in progress.
fn write_and_die(
    folder: &std::path::Path,
    run: u64,
    written: &mut [u64; 8],
) -> Option<(usize, u64)> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_file-store"))
        .args([folder.join("sessions").to_str().unwrap(), "full"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    output.next();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20 + run * 7 % 60));
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let mut attempted = None;
    for round in 0_usize.. {
        let session = round % written.len();
        let next = written[session] + 1;
        attempted = Some((session, next));
        if writeln!(input, "replace s{session} {next}").is_err() {
            break;
        }
        match output.next() {
            Some(Ok(answer)) if answer == "done" => written[session] = next,
            Some(Ok(answer)) => panic!("{answer}"),
            _ => break,
        }
    }
    killer.join().unwrap();
    attempted
}

/// The names of all files below a folder.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(walk(&path));
        }
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    names
}
