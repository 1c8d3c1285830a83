//! Many processes, many files, slow disks.
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::time::{Duration, Instant};

use cloakroom::{
    FileStore,
    clock::{Clock, SystemClock},
    file::Durability,
    store::{Commit, Draft, Entry, Outcome, RecordKey, Store, Sweep},
};

use super::{Process, ask};

#[test]
fn eight_processes_write_the_same_sessions_and_tear_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut start = Process::start(&[], folder.path(), "fast");
    for session in 0..4 {
        start.tell(&format!("create s{session} 0")).unwrap();
    }
    let mut counts = [0_u32; 2];
    let writers: Vec<_> = (0..8_u32)
        .map(|writer| {
            let path = folder.path().to_owned();
            std::thread::spawn(move || {
                let mut process = Process::start(&[], &path, "fast");
                let (mut done, mut conflicts) = (0, 0);
                for n in 0..100_u32 {
                    let answer = process.tell(&format!("replace s{} {writer}-{n}", n % 4)).unwrap();
                    match answer.as_str() {
                        "done" => done += 1,
                        "conflict" => conflicts += 1,
                        other => panic!("{other}"),
                    }
                }
                [done, conflicts]
            })
        })
        .collect();
    for writer in writers {
        let [done, conflicts] = writer.join().unwrap();
        counts[0] += done;
        counts[1] += conflicts;
    }
    for session in 0..4 {
        let text = start.tell(&format!("load s{session}")).unwrap();
        let text = text.strip_prefix("live ").unwrap().to_owned();
        assert!(
            text.split_once('-')
                .is_some_and(|(w, n)| w.parse::<u32>().is_ok() && n.parse::<u32>().is_ok()),
            "{text}"
        );
    }
    assert_eq!(counts[0] + counts[1], 800);
}

fn open(folder: &std::path::Path, durability: Durability) -> FileStore {
    let store = FileStore::builder(folder.join("sessions")).durability(durability);
    store.sweep_budget(None).open().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_beside_a_writer_sees_whole_and_newer_sessions() {
    for size in [200, 4_096, 65_536] {
        let folder = tempfile::tempdir().unwrap();
        let (writer, reader) =
            (open(folder.path(), Durability::Fast), open(folder.path(), Durability::Fast));
        let (now, idle, key) = (SystemClock.now(), Duration::from_hours(1), numbered(1));
        let text = move |n: u32| format!("{n:0>8}").repeat(size / 8);
        let record = Draft::new(text(0), now, idle);
        let Ok(Outcome::Done(mut revision)) = writer.commit(Commit::create(key, record)).await
        else {
            panic!("the key was free")
        };
        let writing = tokio::spawn(async move {
            let began = Instant::now();
            let mut n = 0;
            while began.elapsed() < Duration::from_secs(1) {
                n += 1;
                let record = Draft::new(text(n), now, idle);
                let replace = Commit::replace(key, revision, record);
                let Ok(Outcome::Done(next)) = writer.commit(replace).await else { panic!("{n}") };
                revision = next;
            }
        });
        let mut last = String::new();
        while !writing.is_finished() {
            let Ok(Some(Entry::Live(stored))) = reader.load(&key).await else { panic!("torn") };
            let seen = String::from_utf8(stored.bytes[..8].to_vec()).unwrap();
            assert_eq!(stored.bytes, seen.repeat(size / 8), "a mixture of two writes");
            assert!(seen >= last, "{seen} after {last}");
            last = seen;
        }
        writing.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures: cargo xtask soak"]
async fn commits_of_both_durabilities_take_this_long() {
    for durability in [Durability::Full, Durability::Fast] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), durability);
        let mut times = Vec::new();
        let began = Instant::now();
        for number in 0..500 {
            let record = Draft::new("x".repeat(300), SystemClock.now(), Duration::from_hours(1));
            let started = Instant::now();
            store.commit(Commit::create(numbered(number), record)).await.unwrap();
            times.push(started.elapsed());
        }
        let rate = 500.0 / began.elapsed().as_secs_f64();
        times.sort();
        println!(
            "{durability:?}: {rate:.0} commits/s one by one, p50 {:?}, p99 {:?}",
            times[250], times[495]
        );
    }
}

/// Creates so many sessions, or has them expire.
async fn fill(store: &FileStore, count: u64, expired: bool) {
    let now = SystemClock.now();
    let idle = if expired { Duration::from_millis(1) } else { Duration::from_hours(1) };
    let mut creations = tokio::task::JoinSet::new();
    for number in 0..count {
        let create = Commit::create(numbered(number), Draft::new("x".repeat(300), now, idle));
        let store = store.clone();
        creations.spawn(async move { store.commit(create).await.unwrap() });
        if creations.len() >= 48 {
            creations.join_next().await;
        }
    }
    creations.join_all().await;
}

/// Spread over the shards as keys are.
fn numbered(number: u64) -> RecordKey {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&spread);
    RecordKey::from_bytes(bytes)
}

/// The 99th percentile of loads, one at a time, of sessions anywhere among so many.
async fn load_p99(store: &FileStore, count: u64) -> Duration {
    let mut times = Vec::new();
    for round in 0..20_000_u64 {
        let key = numbered(round.wrapping_mul(7_919) % count);
        let began = Instant::now();
        assert!(store.load(&key).await.unwrap().is_some());
        times.push(began.elapsed());
    }
    times.sort();
    times[times.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn a_million_sessions_load_fast_and_are_swept_in_little_memory() {
    const MANY: u64 = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        let store = FileStore::builder(folder.path().join(name)).durability(Durability::Fast);
        store.sweep_budget(None).open().unwrap()
    };
    let (few, many) = (open("few"), open("many"));
    fill(&few, 1_000, false).await;
    fill(&many, MANY, false).await;
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let (one, other) = (load_p99(&few, 1_000).await, load_p99(&many, MANY).await);
        ratios.push(other.as_secs_f64() / one.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!("load p99 with 1,000,000 sessions beside 1,000: ratios {ratios:.2?}");

    let doomed = open("doomed");
    fill(&doomed, MANY, true).await;
    let before = resident();
    let (began, mut removed, mut peak) = (Instant::now(), 0, before);
    loop {
        let swept = doomed.sweep(10_000).await.unwrap();
        removed += swept.removed;
        peak = peak.max(resident());
        if swept.is_finished() {
            break;
        }
    }
    let rate = MANY as f64 / began.elapsed().as_secs_f64();
    println!("swept {removed} files, {rate:.0} files/s, memory grew by {} KiB", peak - before);
    assert_eq!(removed as u64, MANY);
    assert!(peak - before < 16 * 1_024, "memory grows with the number of files");
    assert!(ratios[2] <= 1.5, "{ratios:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn a_sweep_in_the_background_leaves_requests_their_pace() {
    let folder = tempfile::tempdir().unwrap();
    let quiet = open(folder.path(), Durability::Fast);
    fill(&quiet, 1_000, false).await;
    let dead = SystemClock.now();
    for number in 1_000..30_000 {
        let record = Draft::new("x", dead, Duration::from_millis(1));
        let (key, store) = (numbered(number), &quiet);
        store.commit(Commit::create(key, record)).await.unwrap();
    }
    let swept = FileStore::builder(folder.path().join("sessions"));
    let swept = swept.durability(Durability::Fast).open().unwrap();
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let idle = load_p99(&quiet, 1_000).await;
        // The first use starts the background task, with its default budget.
        let during = load_p99(&swept, 1_000).await;
        ratios.push(during.as_secs_f64() / idle.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!("load p99 during a sweep beside without: ratios {ratios:.2?}");
    assert!(ratios[2] < 2.0, "{ratios:?}");
}

/// This process's resident memory, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_disk_that_stalls_holds_up_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut start = Process::start(&[], folder.path(), "full");
    start.tell("create ka old").unwrap();
    start.tell("create other here").unwrap();
    drop(start);
    let slow = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:delay_exit=1000000"];
    let mut stalled = Process::start(&slow, folder.path(), "full");
    let writer = std::thread::spawn(move || stalled.tell("replace ka new"));
    std::thread::sleep(Duration::from_millis(100));
    let mut reader = Process::start(&[], folder.path(), "full");
    let mut slowest = Duration::ZERO;
    for _ in 0..200 {
        let began = Instant::now();
        assert_eq!(reader.tell("load ka").as_deref(), Some("live old"));
        assert_eq!(reader.tell("load other").as_deref(), Some("live here"));
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_millis(300), "{slowest:?}");
    assert_eq!(writer.join().unwrap().as_deref(), Some("done"));
    assert_eq!(ask(folder.path(), "load ka"), "live new");
}
