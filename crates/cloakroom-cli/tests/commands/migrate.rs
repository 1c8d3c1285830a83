//! `cloakroom migrate`: nobody is signed out, nothing newer is overwritten, no logout is undone.

use cloakroom::{FileStore, Sessions, redis::RedisStore, store::Cursor};
use cloakroom_tests::redis::RedisServer;
use serde_json::{Value, json};

use super::{Project, live, sessions, visit};

/// An application on files, the same on Redis, and the command between them.
struct Move {
    project: Project,
    files: Sessions,
    redis: Sessions,
    store: RedisStore,
    server: RedisServer,
}

impl Move {
    fn new() -> Self {
        let server = RedisServer::start();
        let project = Project::on_files().with("SESSION_REDIS_URL", &server.url());
        let files = FileStore::builder(project.path().join("tmp/sessions"));
        let files = files.durability(cloakroom::file::Durability::Fast).open().unwrap();
        let store = RedisStore::open(&server.url()).unwrap();
        Self { files: sessions(files), redis: sessions(store.clone()), store, project, server }
    }

    fn run(&self) -> Value {
        self.run_with(&[])
    }

    fn run_with(&self, flags: &[&str]) -> Value {
        self.run_from("file", "redis", flags)
    }

    fn run_from(&self, from: &str, to: &str, flags: &[&str]) -> Value {
        let arguments = ["migrate", "--from", from, "--to", to, "--json"];
        let arguments = [&arguments, flags].concat();
        serde_json::from_str(&self.project.run(&arguments).good()).unwrap()
    }

    /// The error of a run that stops before it changes anything.
    async fn stops(&self) -> String {
        stops(&self.project, &self.store).await
    }

    async fn sign_in(&self, visitors: usize) -> Vec<String> {
        let mut cookies = Vec::new();
        for number in 0..visitors {
            let put = |session: &cloakroom::Session| session.put("user", number).unwrap();
            cookies.push(visit(&self.files, "", put).await);
        }
        cookies
    }

    /// What half a minute does: nothing reminds of a session any more.
    fn forget_tombstone(&self, record_key: &str) {
        let keys = self.server.cli(&["KEYS", "*"]);
        let key = keys.lines().find(|key| key.contains(record_key)).unwrap();
        self.server.cli(&["DEL", key]);
    }

    /// The same in either store.
    fn forget_tombstone_in(&self, store: &str, record_key: &str) {
        if store == "redis" {
            return self.forget_tombstone(record_key);
        }
        let key = cloakroom::store::RecordKey::parse(record_key).unwrap();
        let (halves, _) = key.as_bytes().as_chunks().0.split_first_chunk::<2>().unwrap();
        let [high, low] = halves.map(u128::from_be_bytes);
        let name = format!("{high:032x}{low:032x}");
        let path = self.project.path().join("tmp/sessions").join(&name[..2]).join(&name);
        std::fs::remove_file(path).unwrap();
    }

    /// Adds lines to the journal in `store` as a run would have noted them a long time ago.
    fn let_noted_deadlines_pass(&self, store: &str) {
        let passed = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
            [key, from, _, to, _] => Some(format!("{key} {from} 1 {to} 1")),
            _ => None,
        };
        if store == "redis" {
            let journal = self.server.cli(&["KEYS", "session:log:*"]);
            let lines = self.server.cli(&["LRANGE", journal.trim(), "0", "-1"]);
            for line in lines.lines().filter_map(passed) {
                self.server.cli(&["RPUSH", journal.trim(), &line]);
            }
            return;
        }
        let folder = std::fs::read_dir(self.project.path().join("tmp/sessions")).unwrap();
        let mut paths = folder.map(|entry| entry.unwrap().path());
        let path = paths.find(|path| path.to_str().unwrap().contains(".log-")).unwrap();
        let lines = std::fs::read_to_string(&path).unwrap();
        let passed: Vec<_> = lines.lines().filter_map(passed).collect();
        std::fs::write(&path, format!("{lines}{}\n", passed.join("\n"))).unwrap();
    }
}

async fn stops(project: &Project, target: &RedisStore) -> String {
    let before = live(target).await;
    let ran = project.run(&["migrate", "--from", "file", "--to", "redis"]);
    assert_eq!(ran.code(), 1, "{}{}", ran.out(), ran.err());
    assert_eq!(live(target).await, before, "nothing was changed");
    ran.err()
}

/// Returns the text of the record key of a session without an owner. It follows the first letter of
/// the handle.
async fn record_key(sessions: &Sessions, cookie: &str) -> String {
    let mut handle = None;
    visit(sessions, cookie, |session| handle = session.handle()).await;
    handle.unwrap().to_string().split_off(1)
}

async fn user(sessions: &Sessions, cookie: &str) -> Option<String> {
    let mut user = None;
    visit(sessions, cookie, |session| user = session.get("user").unwrap()).await;
    user
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_signed_in_on_the_other_driver_with_the_cookie_they_have() {
    let it = Move::new();
    let mut cookies = Vec::new();
    for number in 0..200 {
        let sign_in = |session: &cloakroom::Session| {
            session.put("user", format!("user-{number}")).unwrap();
            session.set_owner(&format!("user-{number}")).unwrap();
        };
        cookies.push(visit(&it.files, "", sign_in).await);
    }
    let report = it.run();
    assert_eq!((&report["copied"], &report["verified"]), (&json!(200), &json!(200)), "{report}");
    for (number, cookie) in cookies.iter().enumerate() {
        assert_eq!(user(&it.redis, cookie).await, Some(format!("user-{number}")));
    }
    let admin = it.redis.admin().unwrap();
    assert_eq!(
        admin.sessions_of("user-7", Cursor::default()).await.unwrap().sessions.len(),
        1,
        "found by its owner"
    );
    assert_eq!(it.run()["same"], 200, "run again it has nothing to do");
    println!("sessions moved 200, signed out 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_brings_over_what_only_the_source_has_changed() {
    let it = Move::new();
    let put =
        |name: &'static str| move |session: &cloakroom::Session| session.put("user", name).unwrap();
    let quiet = visit(&it.files, "", put("quiet")).await;
    let busy = visit(&it.files, "", put("busy")).await;
    let ahead = visit(&it.files, "", put("ahead")).await;
    let leaving = visit(&it.files, "", put("leaving")).await;
    let rotated = visit(&it.files, "", put("rotated")).await;
    assert_eq!(it.run()["copied"], 5);
    // Meanwhile some go on in files, and some are on Redis already.
    visit(&it.files, &busy, put("busy on files")).await;
    visit(&it.redis, &ahead, put("ahead on redis")).await;
    visit(&it.files, &leaving, |session| session.destroy().unwrap()).await;
    let fresh = visit(&it.files, &rotated, |session| session.regenerate().unwrap()).await;
    let late = visit(&it.files, "", put("late")).await;
    let report = it.run_with(&["--allow-removals"]);
    assert_eq!(
        (&report["copied"], &report["updated"], &report["newer_in_target"], &report["removed"]),
        (&json!(2), &json!(1), &json!(1), &json!(2)),
        "{report}"
    );
    for (cookie, expected) in [
        (&quiet, Some("quiet")),
        (&busy, Some("busy on files")),
        (&ahead, Some("ahead on redis")),
        (&leaving, None),
        (&rotated, None),
        (&fresh, Some("rotated")),
        (&late, Some("late")),
    ] {
        assert_eq!(user(&it.redis, cookie).await.as_deref(), expected);
    }
    println!("lost writes 0, undone logouts 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_in_the_target_does_not_come_back() {
    let it = Move::new();
    let put =
        |name: &'static str| move |session: &cloakroom::Session| session.put("user", name).unwrap();
    let leaving = visit(&it.files, "", put("leaving")).await;
    let rotated = visit(&it.files, "", put("rotated")).await;
    it.run();
    let keys = [record_key(&it.files, &leaving).await, record_key(&it.files, &rotated).await];
    visit(&it.redis, &leaving, |session| session.destroy().unwrap()).await;
    let fresh = visit(&it.redis, &rotated, |session| session.regenerate().unwrap()).await;
    for key in &keys {
        it.forget_tombstone(key);
    }
    let report = it.run();
    assert_eq!((&report["ended"], &report["copied"]), (&json!(2), &json!(0)), "{report}");
    assert_eq!(user(&it.redis, &leaving).await, None);
    assert_eq!(user(&it.redis, &rotated).await, None);
    assert_eq!(user(&it.redis, &fresh).await.as_deref(), Some("rotated"));
    println!("logouts undone 0, tokens of before revived 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_in_the_target_and_ended_later_than_noted_does_not_come_back() {
    for [from, to] in [["file", "redis"], ["redis", "file"]] {
        let it = Move::new();
        let (source, target) =
            if from == "file" { (&it.files, &it.redis) } else { (&it.redis, &it.files) };
        let cookie = visit(source, "", |session| session.put("user", "old").unwrap()).await;
        assert_eq!(it.run_from(from, to, &[])["copied"], 1);
        // The deadline that the run noted passes. The visitor uses both stores beyond it, and signs out.
        let key = record_key(source, &cookie).await;
        it.let_noted_deadlines_pass(to);
        for sessions in [source, target] {
            visit(sessions, &cookie, |session| session.put("user", "used").unwrap()).await;
        }
        visit(target, &cookie, |session| session.destroy().unwrap()).await;
        it.forget_tombstone_in(to, &key);
        let report = it.run_from(from, to, &[]);
        assert_eq!((&report["expired"], &report["copied"]), (&json!(1), &json!(0)), "{report}");
        assert_eq!(user(target, &cookie).await, None, "{from} to {to}");
        let report = it.run_from(from, to, &["--copy-expired"]);
        assert_eq!((&report["expired"], &report["copied"]), (&json!(0), &json!(1)), "{report}");
        assert_eq!(user(target, &cookie).await.as_deref(), Some("used"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_source_that_was_emptied_or_has_another_prefix_removes_nothing() {
    let it = Move::new();
    let put = |session: &cloakroom::Session| session.put("user", "any").unwrap();
    let mut cookies = Vec::new();
    for _ in 0..5 {
        cookies.push(visit(&it.redis, "", put).await);
    }
    assert_eq!(it.run_from("redis", "file", &[])["copied"], 5);
    let migrate = ["migrate", "--from", "redis", "--to", "file"];
    let elsewhere = ["SESSION_REDIS_KEY_PREFIX", "other:"];
    let ran = it.project.run_with(&migrate, &[elsewhere]);
    assert_eq!(ran.code(), 1, "{}{}", ran.out(), ran.err());
    assert!(ran.err().contains("5 live sessions"), "{}", ran.err());
    assert!(ran.err().contains("--onto-live-sessions"), "{}", ran.err());
    it.server.cli(&["FLUSHALL"]);
    let ran = it.project.run(&migrate);
    assert_eq!(ran.code(), 1, "{}{}", ran.out(), ran.err());
    assert!(
        ran.err().contains("5 of 5") && ran.err().contains("--allow-removals"),
        "{}",
        ran.err()
    );
    for cookie in &cookies {
        assert_eq!(user(&it.files, cookie).await.as_deref(), Some("any"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_brings_what_was_written_and_ends_what_ended() {
    let it = Move::new();
    let put =
        |name: &'static str| move |session: &cloakroom::Session| session.put("user", name).unwrap();
    let quiet = visit(&it.files, "", put("quiet")).await;
    let busy = visit(&it.files, "", put("busy")).await;
    let leaving = visit(&it.files, "", put("leaving")).await;
    let both = visit(&it.files, "", put("both")).await;
    it.run();
    visit(&it.redis, &busy, put("busy on redis")).await;
    visit(&it.redis, &leaving, |session| session.destroy().unwrap()).await;
    visit(&it.redis, &both, put("both on redis")).await;
    visit(&it.files, &both, put("both on files")).await;
    let late = visit(&it.redis, "", put("late")).await;
    let report = it.run_from("redis", "file", &["--allow-removals"]);
    let counted = ["copied", "updated", "same", "different", "removed"].map(|it| &report[it]);
    assert_eq!(counted, [1, 1, 1, 1, 1].map(|it| json!(it)).each_ref(), "{report}");
    for (cookie, expected) in [
        (&quiet, Some("quiet")),
        (&busy, Some("busy on redis")),
        (&leaving, None),
        (&both, Some("both on files")),
        (&late, Some("late")),
    ] {
        assert_eq!(user(&it.files, cookie).await.as_deref(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_journal_it_overwrites_nothing() {
    let it = Move::new();
    let cookie = visit(&it.files, "", |session| session.put("user", "old").unwrap()).await;
    it.run();
    visit(&it.redis, &cookie, |session| session.put("user", "new").unwrap()).await;
    it.server.cli(&["DEL", it.server.cli(&["KEYS", "session:log:*"]).trim()]);
    let told = it.stops().await;
    assert!(told.contains("1 live session") && told.contains("--onto-live-sessions"), "{told}");
    let report = it.run_with(&["--onto-live-sessions"]);
    assert_eq!(report["different"], 1, "and does not pretend to know which is the newer");
    assert_eq!(user(&it.redis, &cookie).await.as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_emptied_removes_nothing_until_asked_to() {
    let it = Move::new();
    it.sign_in(20).await;
    it.run();
    let location = it.project.path().join("tmp/sessions");
    for entry in std::fs::read_dir(&location).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    let told = it.stops().await;
    assert!(told.contains("20 of 20") && told.contains("--allow-removals"), "{told}");
    assert!(told.contains("file") && told.contains("redis"), "it names both stores: {told}");
    assert_eq!(it.run_with(&["--allow-removals"])["removed"], 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_source_is_another_store_whose_sessions_never_were_here() {
    let it = Move::new();
    it.sign_in(20).await;
    it.run();
    let elsewhere = it.project.path().join("elsewhere");
    FileStore::open(&elsewhere).unwrap();
    let project = Project::on_files()
        .with("SESSION_REDIS_URL", &it.server.url())
        .with("SESSION_FILE_LOCATION", elsewhere.to_str().unwrap());
    let told = stops(&project, &it.store).await;
    assert!(told.contains("20 live sessions") && told.contains("--onto-live-sessions"), "{told}");
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0, "nor was the folder changed");
    let flags = ["migrate", "--from", "file", "--to", "redis", "--json", "--onto-live-sessions"];
    let report: Value = serde_json::from_str(&project.run(&flags).good()).unwrap();
    assert_eq!((&report["copied"], &report["removed"]), (&json!(0), &json!(0)), "{report}");
    assert_eq!(live(&it.store).await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_end_as_usual_are_removed_without_a_question() {
    let it = Move::new();
    let cookies = it.sign_in(20).await;
    it.run();
    for cookie in &cookies[..2] {
        visit(&it.files, cookie, |session| session.destroy().unwrap()).await;
    }
    assert_eq!(it.run()["removed"], 2);
    assert_eq!(it.run()["removed"], 0);
    for cookie in &cookies[2..5] {
        visit(&it.files, cookie, |session| session.destroy().unwrap()).await;
    }
    let told = it.stops().await;
    assert!(told.contains("3 of 18"), "a tenth is the most: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_is_in_the_target_whatever_folder_the_command_runs_in() {
    let it = Move::new();
    let leaving = it.sign_in(2).await.remove(0);
    it.run();
    let name = record_key(&it.files, &leaving).await;
    visit(&it.redis, &leaving, |session| session.destroy().unwrap()).await;
    it.forget_tombstone(&name);
    let location = it.project.path().join("tmp/sessions");
    let project = Project::on_files()
        .with("SESSION_REDIS_URL", &it.server.url())
        .with("SESSION_FILE_LOCATION", location.to_str().unwrap());
    let arguments = ["migrate", "--from", "file", "--to", "redis", "--json"];
    let report: Value = serde_json::from_str(&project.run(&arguments).good()).unwrap();
    assert_eq!((&report["ended"], &report["copied"]), (&json!(1), &json!(0)), "{report}");
    assert_eq!(live(&it.store).await, 1, "nobody who signed out is back");
    let key = it.server.cli(&["KEYS", "session:log:*"]);
    assert!(it.server.cli(&["TTL", key.trim()]).trim().parse::<u64>().unwrap() > 24 * 60 * 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_by_ctrl_c_it_ends_cleanly_and_goes_on_later() {
    let it = Move::new();
    for number in 0..3_000 {
        visit(&it.files, "", |session| session.put("n", number).unwrap()).await;
    }
    let arguments = ["migrate", "--from", "file", "--to", "redis"];
    let mut command = it.project.command(&arguments);
    let command = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    while live(&it.store).await < 100 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let ran = super::Ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code(), 1, "{}", ran.out());
    assert!(ran.err().contains("run it again to go on where it stopped"), "{}", ran.err());
    let there = live(&it.store).await;
    assert!(there < 3_000, "it stopped before the end");
    let report = it.run();
    assert_eq!(report["same"].as_u64().unwrap(), there as u64, "{report}");
    assert_eq!(live(&it.store).await, 3_000);
    println!("stopped at {there}, complete after the second run");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let project = Project::on_files();
    let ran = project.run(&["migrate", "--from", "file", "--to", "file"]);
    assert_eq!(ran.code(), 2);
    let ran = project.run(&["migrate", "--from", "cookie", "--to", "redis"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.err().contains("possible values: file, redis"), "{}", ran.err());
    let ran = project.run(&["migrate", "--from", "file", "--to", "redis"]);
    assert_eq!(ran.code(), 1, "{}", ran.err());
}
