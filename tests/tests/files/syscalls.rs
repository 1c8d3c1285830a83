//! A fault at every system call of a commit, with `strace`.

use std::{collections::BTreeMap, path::Path, time::Duration};

use cloakroom::{
    FileStore,
    clock::{Clock, SystemClock},
    store::{Commit, Draft, Outcome, RecordKey, Store},
};

use super::{Process, ask};

/// The system calls of a commit that may fail.
const CALLS: &str = "openat,openat2,mkdirat,write,fsync,renameat,unlinkat,flock,fstat,newfstatat,\
                     statx,read,pread64,preadv2,close";

/// A command for session `ka`, and the possible states of it and of `kb` afterwards, as it was and
/// as it was to become.
type Case = (&'static str, [(&'static str, &'static str); 2]);

const CASES: [Case; 4] = [
    ("create ka new", [("absent", "absent"), ("live new", "absent")]),
    ("replace ka new", [("live old", "absent"), ("live new", "absent")]),
    ("rotate ka kb new", [("live old", "absent"), ("tombstone", "live new")]),
    ("destroy ka", [("live old", "absent"), ("tombstone", "absent")]),
];

/// A store with a session, and another in the same shard for the folder to be there.
fn prepared(command: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(&[], folder.path(), "full");
    process.tell("create kz other").unwrap();
    if !command.starts_with("create") {
        assert_eq!(process.tell("create ka old").as_deref(), Some("done"));
    }
    folder
}

/// Which calls of each system call belong to the command, counted from the process's start. The
/// conversation with the test does not count.
fn calls_of(command: &str) -> BTreeMap<String, Vec<usize>> {
    let folder = prepared(command);
    let log = folder.path().join("trace");
    let before = ["strace", "-f", "-qq", "-e", &format!("trace={CALLS}"), "-o"];
    let before: Vec<&str> = before.into_iter().chain([log.to_str().unwrap()]).collect();
    let mut process = Process::start(&before, folder.path(), "full");
    assert_eq!(process.tell(command).as_deref(), Some("done"));
    drop(process);
    let trace = std::fs::read_to_string(log).unwrap();
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    let mut calls: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let (mut ready, mut done) = (false, false);
    for line in trace.lines().filter(|line| !line.contains("resumed>")) {
        let Some(name) = line.split_whitespace().nth(1).and_then(|word| word.split('(').next())
        else {
            continue;
        };
        done |= ready && line.contains("write(1, \"done");
        let count = made.entry(name.to_owned()).or_default();
        *count += 1;
        let conversation = line.contains("read(0,") || line.contains("write(1,");
        if ready && !done && !conversation {
            calls.entry(name.to_owned()).or_default().push(*count);
        }
        ready |= line.contains("write(1, \"ready");
    }
    assert!(ready && done, "{trace}");
    calls
}

/// As the trace shows it.
#[test]
fn a_commit_is_a_private_file_that_is_flushed_and_renamed() {
    let folder = prepared("replace");
    let log = folder.path().join("trace");
    let calls = "trace=openat,write,fsync,renameat";
    let before = ["strace", "-f", "-qq", "-e", calls, "-o", log.to_str().unwrap()];
    let mut process = Process::start(&before, folder.path(), "full");
    process.tell("replace ka new").unwrap();
    drop(process);
    let trace = std::fs::read_to_string(log).unwrap();
    let from = trace.find("O_CREAT|O_EXCL").unwrap();
    let start = trace[..from].rfind("openat").unwrap();
    let shown: Vec<_> = trace[start..].lines().collect();
    assert!(
        shown[0].contains(".tmp-") && shown[0].contains("O_NOFOLLOW|O_CLOEXEC, 0600"),
        "{shown:#?}"
    );
    let names: Vec<_> = shown[1..5]
        .iter()
        .map(|line| line.split('(').next().and_then(|head| head.split_whitespace().last()).unwrap())
        .collect();
    assert_eq!(names, ["write", "fsync", "renameat", "fsync"], "{shown:#?}");
}

/// A folder that is there may have been made by a process that failed to flush it.
#[test]
fn the_folder_of_a_shard_is_flushed_until_that_has_succeeded() {
    let folder = tempfile::tempdir().unwrap();
    let flushes = |fault: &[&str], commands: &[(&str, &str)]| {
        let log = tempfile::NamedTempFile::new().unwrap();
        let log_path = log.path().to_str().unwrap();
        let before = ["strace", "-f", "-qq", "-y", "-e", "trace=fsync", "-o", log_path];
        let before: Vec<_> = before.iter().chain(fault).copied().collect();
        let mut process = Process::start(&before, folder.path(), "full");
        for (command, expected) in commands {
            let answer = process.tell(command).unwrap();
            assert!(answer.starts_with(expected), "{command}: {answer}");
        }
        drop(process);
        let root = format!("<{}/sessions>", folder.path().display());
        let trace = std::fs::read_to_string(log.path()).unwrap();
        trace.lines().filter(|line| line.contains(&root)).count()
    };
    let fault = ["-e", "inject=fsync:error=EIO:when=1"];
    let again = [("create ka new", "error"), ("create ka new", "done"), ("create kb new", "done")];
    assert_eq!(flushes(&fault, &again), 2, "the one that failed, and one more");
    assert_eq!(flushes(&[], &[("create kc new", "done"), ("create kd new", "done")]), 1);
}

const WRITERS: u8 = 16;
const WRITES_EACH: usize = 20;

/// Writes 16 sessions of one shard at once. The next test runs it in a separate process.
#[tokio::test]
#[ignore = "the next test runs it under strace"]
async fn writers_of_one_shard() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::builder(folder.path().join("sessions")).sweep_budget(None);
    let store = store.open().unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            let mut key = [0; 32];
            key[31] = writer + 1;
            let key = RecordKey::from_bytes(key);
            let record = || Draft::new("values", SystemClock.now(), Duration::from_hours(1));
            let mut commit = Commit::create(key, record());
            for _ in 0..WRITES_EACH {
                let Ok(Outcome::Done(expected)) = store.commit(commit).await else { panic!() };
                commit = Commit::replace(key, expected, record());
            }
        });
    }
    writers.join_all().await;
}

#[test]
fn writers_of_one_shard_share_the_flush_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("trace");
    let run = std::process::Command::new("strace")
        .args(["-f", "-qq", "-y", "-e", "trace=fsync", "-o"])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "syscalls::writers_of_one_shard"])
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    let trace = std::fs::read_to_string(log).unwrap();
    let flushes = |what: &str| {
        trace.lines().filter(|line| line.contains("fsync(") && line.contains(what)).count()
    };
    let (files, folders) = (flushes("/.tmp-"), flushes("/sessions/00>"));
    assert_eq!(files, usize::from(WRITERS) * WRITES_EACH, "every file is flushed");
    assert!((1..files / 4).contains(&folders), "{folders} flushes of the folder, {files} writes");
}

#[test]
fn a_kernel_that_cannot_read_without_waiting_reads_all_the_same() {
    let folder = prepared("replace");
    for refused in ["openat2:error=ENOSYS", "preadv2:error=EOPNOTSUPP", "preadv2:error=EAGAIN"] {
        let inject = format!("inject={refused}");
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
        let mut process = Process::start(&strace, folder.path(), "full");
        for _ in 0..2 {
            assert_eq!(process.tell("load ka").as_deref(), Some("live old"), "{refused}");
            assert_eq!(process.tell("load kb").as_deref(), Some("absent"), "{refused}");
        }
    }
}

#[test]
fn a_sweep_passes_over_a_file_that_the_disk_cannot_read() {
    let folder = prepared("replace");
    let shard = folder.path().join("sessions/6b");
    let mut names: Vec<_> =
        std::fs::read_dir(&shard).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| !path.ends_with(".lock"));
    assert_eq!(names.len(), 2, "two sessions in one shard");
    std::fs::write(shard.join(".tmp-0123456789abcdef"), "left by a crash").unwrap();
    let unreadable = names[0].to_str().unwrap();
    let inject = "inject=pread64,preadv2:error=EIO";
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", unreadable, "-e", inject];
    let mut process = Process::start(&strace, folder.path(), "full");
    assert_eq!(process.tell("sweep").as_deref(), Some("swept 1"));
}

fn found(folder: &Path) -> (String, String) {
    (ask(folder, "load ka"), ask(folder, "load kb"))
}

/// Injects `fault` at every system call of every case. Returns the number of points.
fn inject(fault: &str, survives: bool) -> usize {
    let mut points = 0;
    for (command, [old, new]) in CASES {
        for (name, points_of_call) in calls_of(command) {
            for point in points_of_call {
                let folder = prepared(command);
                let injected = format!("inject={name}:{fault}:when={point}");
                let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &injected];
                let answer = Process::start(&strace, folder.path(), "full").tell(command);
                let (a, b) = found(folder.path());
                let now = (a.as_str(), b.as_str());
                let what = format!("{command} with {injected}: {answer:?}, {now:?}");
                // A full disk has a logout delete the record instead of burying it.
                let deleted = command.starts_with("destroy") && now == ("absent", "absent");
                assert!(now == old || now == new || deleted, "{what}");
                if survives {
                    let answer = answer.unwrap_or_else(|| panic!("{what}"));
                    assert!(answer == "done" || answer.starts_with("error"), "{what}");
                    assert!(answer != "done" || now == new || deleted, "{what}");
                    let again = ask(folder.path(), "replace kz more");
                    assert_eq!(again, "done", "{what}: the next request works");
                }
                points += 1;
            }
        }
    }
    points
}

#[test]
fn a_crash_at_any_system_call_leaves_one_whole_session() {
    assert!(inject("signal=KILL", false) > 0);
}

#[test]
fn an_error_at_any_system_call_is_typed_and_loses_nothing() {
    for error in ["ENOSPC", "EIO", "EDQUOT", "EMFILE", "EROFS", "EACCES", "EINTR"] {
        assert!(inject(&format!("error={error}"), true) > 0);
    }
}

// It stays that way.
#[test]
fn a_disk_that_stays_full_lets_visitors_read_and_sign_out() {
    let folder = prepared("replace");
    let trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=ENOSPC"];
    let mut process = Process::start(&trace, folder.path(), "full");
    let refused = process.tell("replace ka new").unwrap();
    assert!(refused.starts_with("error unavailable"), "{refused}");
    drop(process);
    let trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=renameat:error=ENOSPC"];
    let mut process = Process::start(&trace, folder.path(), "full");
    let refused = process.tell("replace kz new").unwrap();
    assert!(refused.starts_with("error unavailable"), "{refused}");
    assert_eq!(process.tell("load kz").as_deref(), Some("live other"), "reading goes on");
    assert_eq!(process.tell("destroy kz").as_deref(), Some("done"), "and so does signing out");
    assert_eq!(process.tell("load kz").as_deref(), Some("absent"));
}
