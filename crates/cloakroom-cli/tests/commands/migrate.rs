//! `cloakroom migrate`: visitors stay signed in, newer sessions are kept, and no logout is undone.

use cloakroom::{
    AppKeys, FileStore, Sessions, SessionsBuilder, cookie::CookieSettings, redis::RedisStore,
    store::Cursor,
};
use cloakroom_tests::redis::RedisServer;
use serde_json::{Value, json};

use super::{Project, live, sessions, visit};

/// An application on files, the same on Redis, and the command between them.
struct Migration {
    project: Project,
    files: Sessions,
    redis: Sessions,
    store: RedisStore,
    server: RedisServer,
}

impl Migration {
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

    /// Deletes a tombstone, as half a minute does.
    fn forget_tombstone(&self, record_key: &str) {
        let keys = self.server.cli(&["KEYS", "*"]);
        let key = keys.lines().find(|key| key.contains(record_key)).unwrap();
        self.server.cli(&["DEL", key]);
    }

    /// Deletes a tombstone in either store.
    fn forget_tombstone_in(&self, store: &str, record_key: &str) {
        if store == "redis" {
            return self.forget_tombstone(record_key);
        }
        std::fs::remove_file(self.file(record_key)).unwrap();
    }

    /// Returns the path of a session's file.
    fn file(&self, record_key: &str) -> std::path::PathBuf {
        let key = cloakroom::store::RecordKey::parse(record_key).unwrap();
        let (halves, _) = key.as_bytes().as_chunks().0.split_first_chunk::<2>().unwrap();
        let [high, low] = halves.map(u128::from_be_bytes);
        let name = format!("{high:032x}{low:032x}");
        self.project.path().join("tmp/sessions").join(&name[..2]).join(&name)
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
async fn visitors_stay_signed_in_with_the_cookie_that_they_have() {
    let migration = Migration::new();
    let mut cookies = Vec::new();
    for number in 0..200 {
        let sign_in = |session: &cloakroom::Session| {
            session.put("user", format!("user-{number}")).unwrap();
            session.set_owner(&format!("user-{number}")).unwrap();
        };
        cookies.push(visit(&migration.files, "", sign_in).await);
    }
    let report = migration.run();
    assert_eq!((&report["copied"], &report["verified"]), (&json!(200), &json!(200)), "{report}");
    for (number, cookie) in cookies.iter().enumerate() {
        assert_eq!(user(&migration.redis, cookie).await, Some(format!("user-{number}")));
    }
    let admin = migration.redis.admin().unwrap();
    assert_eq!(
        admin.sessions_of("user-7", Cursor::default()).await.unwrap().sessions.len(),
        1,
        "the index of owners has the session"
    );
    assert_eq!(migration.run()["same"], 200, "a second run has nothing to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_copies_what_only_the_source_has_changed() {
    let migration = Migration::new();
    let put =
        |name: &'static str| move |session: &cloakroom::Session| session.put("user", name).unwrap();
    let quiet = visit(&migration.files, "", put("quiet")).await;
    let busy = visit(&migration.files, "", put("busy")).await;
    let ahead = visit(&migration.files, "", put("ahead")).await;
    let leaving = visit(&migration.files, "", put("leaving")).await;
    let rotated = visit(&migration.files, "", put("rotated")).await;
    assert_eq!(migration.run()["copied"], 5);
    // Some visitors are still on files, and some are on Redis already.
    visit(&migration.files, &busy, put("busy on files")).await;
    visit(&migration.redis, &ahead, put("ahead on redis")).await;
    visit(&migration.files, &leaving, |session| session.destroy().unwrap()).await;
    let fresh = visit(&migration.files, &rotated, |session| session.regenerate().unwrap()).await;
    let late = visit(&migration.files, "", put("late")).await;
    let report = migration.run_with(&["--allow-removals"]);
    assert_eq!(
        (&report["copied"], &report["updated"], &report["newer_in_target"]),
        (&json!(2), &json!(1), &json!(1)),
        "{report}"
    );
    let ended = ["ended", "rotated", "removed", "removed_rotated"].map(|name| &report[name]);
    assert_eq!(ended, [1, 1, 1, 1].map(|count| json!(count)).each_ref(), "{report}");
    for (cookie, expected) in [
        (&quiet, Some("quiet")),
        (&busy, Some("busy on files")),
        (&ahead, Some("ahead on redis")),
        (&leaving, None),
        (&rotated, None),
        (&fresh, Some("rotated")),
        (&late, Some("late")),
    ] {
        assert_eq!(user(&migration.redis, cookie).await.as_deref(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_in_the_target_does_not_come_back() {
    let migration = Migration::new();
    let put =
        |name: &'static str| move |session: &cloakroom::Session| session.put("user", name).unwrap();
    let leaving = visit(&migration.files, "", put("leaving")).await;
    let rotated = visit(&migration.files, "", put("rotated")).await;
    migration.run();
    let source = &migration.files;
    let keys = [record_key(source, &leaving).await, record_key(source, &rotated).await];
    visit(&migration.redis, &leaving, |session| session.destroy().unwrap()).await;
    let fresh = visit(&migration.redis, &rotated, |session| session.regenerate().unwrap()).await;
    for key in &keys {
        migration.forget_tombstone(key);
    }
    let report = migration.run();
    assert_eq!((&report["ended"], &report["copied"]), (&json!(2), &json!(0)), "{report}");
    assert_eq!(user(&migration.redis, &leaving).await, None);
    assert_eq!(user(&migration.redis, &rotated).await, None);
    assert_eq!(user(&migration.redis, &fresh).await.as_deref(), Some("rotated"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_after_its_noted_deadline_does_not_come_back() {
    for [from, to] in [["file", "redis"], ["redis", "file"]] {
        let migration = Migration::new();
        let (source, target) = if from == "file" {
            (&migration.files, &migration.redis)
        } else {
            (&migration.redis, &migration.files)
        };
        let cookie = visit(source, "", |session| session.put("user", "old").unwrap()).await;
        assert_eq!(migration.run_from(from, to, &[])["copied"], 1);
        // The deadline in the journal passes. The visitor uses both stores beyond it, and signs out.
        let key = record_key(source, &cookie).await;
        migration.let_noted_deadlines_pass(to);
        for sessions in [source, target] {
            visit(sessions, &cookie, |session| session.put("user", "used").unwrap()).await;
        }
        visit(target, &cookie, |session| session.destroy().unwrap()).await;
        migration.forget_tombstone_in(to, &key);
        let report = migration.run_from(from, to, &[]);
        assert_eq!((&report["expired"], &report["copied"]), (&json!(1), &json!(0)), "{report}");
        assert_eq!(user(target, &cookie).await, None, "{from} to {to}");
        let report = migration.run_from(from, to, &["--copy-expired"]);
        assert_eq!((&report["expired"], &report["copied"]), (&json!(0), &json!(1)), "{report}");
        assert_eq!(user(target, &cookie).await.as_deref(), Some("used"));
    }
}

/// A run that was killed after its write to the target leaves the intent in the journal.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_after_an_interrupted_run_does_not_come_back() {
    let migration = Migration::new();
    let cookie = migration.sign_in(1).await.remove(0);
    migration.run();
    let journal = migration.server.cli(&["KEYS", "session:log:*"]);
    migration.server.cli(&["RPOP", journal.trim()]);
    let last = migration.server.cli(&["LRANGE", journal.trim(), "-1", "-1"]);
    assert!(last.starts_with('?'), "{last}");
    let key = record_key(&migration.files, &cookie).await;
    visit(&migration.redis, &cookie, |session| session.destroy().unwrap()).await;
    migration.forget_tombstone(&key);
    let report = migration.run();
    assert_eq!((&report["expired"], &report["copied"]), (&json!(1), &json!(0)), "{report}");
    assert_eq!(user(&migration.redis, &cookie).await, None);
    let report = migration.run_with(&["--copy-expired"]);
    assert_eq!((&report["expired"], &report["copied"]), (&json!(0), &json!(1)), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_store_cannot_read_is_counted_and_the_run_goes_on() {
    let migration = Migration::new();
    let cookies = migration.sign_in(3).await;
    migration.run();
    // One copy in Redis is damaged. The others and the journal are lost.
    let damaged = record_key(&migration.files, &cookies[0]).await;
    for key in migration.server.cli(&["KEYS", "*"]).lines() {
        let is_damaged = key.contains(&damaged);
        let change = if is_damaged { ["SET", key, "damaged"] } else { ["DEL", key, key] };
        migration.server.cli(&change);
    }
    let ran = migration.project.run(&["migrate", "--from", "file", "--to", "redis", "--json"]);
    let report: Value = serde_json::from_str(&ran.good()).unwrap();
    let counts = ["copied", "unreadable_in_target", "missing"].map(|name| &report[name]);
    assert_eq!(counts, [2, 1, 0].map(|count| json!(count)).each_ref(), "{report}");
    assert!(ran.err().contains("ignoring an unreadable session record"), "{}", ran.err());
    let report = migration.run_from("redis", "file", &[]);
    let counts = ["same", "missing", "ended"].map(|name| &report[name]);
    assert_eq!(counts, [2, 1, 0].map(|count| json!(count)).each_ref(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_changes_keeps_the_journal_for_its_whole_time() {
    let migration = Migration::new();
    migration.sign_in(1).await;
    migration.run();
    let journal = migration.server.cli(&["KEYS", "session:log:*"]);
    migration.server.cli(&["EXPIRE", journal.trim(), "60"]);
    assert_eq!(migration.run()["same"], 1);
    let left = migration.server.cli(&["TTL", journal.trim()]);
    assert!(left.trim().parse::<u64>().unwrap() > 24 * 60 * 60, "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_redis_source_removes_nothing() {
    let migration = Migration::new();
    let put = |session: &cloakroom::Session| session.put("user", "any").unwrap();
    let mut cookies = Vec::new();
    for _ in 0..5 {
        cookies.push(visit(&migration.redis, "", put).await);
    }
    assert_eq!(migration.run_from("redis", "file", &[])["copied"], 5);
    let migrate = ["migrate", "--from", "redis", "--to", "file"];
    let elsewhere = ["SESSION_REDIS_KEY_PREFIX", "other:"];
    let ran = migration.project.run_with(&migrate, &[elsewhere]);
    assert_eq!(ran.code(), 1, "{}{}", ran.out(), ran.err());
    assert!(ran.err().contains("5 live sessions"), "{}", ran.err());
    assert!(ran.err().contains("--onto-live-sessions"), "{}", ran.err());
    migration.server.cli(&["FLUSHALL"]);
    let ran = migration.project.run(&migrate);
    assert_eq!(ran.code(), 1, "{}{}", ran.out(), ran.err());
    assert!(
        ran.err().contains("5 of 5") && ran.err().contains("--allow-removals"),
        "{}",
        ran.err()
    );
    for cookie in &cookies {
        assert_eq!(user(&migration.files, cookie).await.as_deref(), Some("any"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_copies_changes_and_ends_sessions() {
    let migration = Migration::new();
    let put =
        |name: &'static str| move |session: &cloakroom::Session| session.put("user", name).unwrap();
    let quiet = visit(&migration.files, "", put("quiet")).await;
    let busy = visit(&migration.files, "", put("busy")).await;
    let leaving = visit(&migration.files, "", put("leaving")).await;
    let both = visit(&migration.files, "", put("both")).await;
    migration.run();
    visit(&migration.redis, &busy, put("busy on redis")).await;
    visit(&migration.redis, &leaving, |session| session.destroy().unwrap()).await;
    visit(&migration.redis, &both, put("both on redis")).await;
    visit(&migration.files, &both, put("both on files")).await;
    let late = visit(&migration.redis, "", put("late")).await;
    let report = migration.run_from("redis", "file", &["--allow-removals"]);
    let counted = ["copied", "updated", "same", "different", "removed"].map(|name| &report[name]);
    assert_eq!(counted, [1, 1, 1, 1, 1].map(|count| json!(count)).each_ref(), "{report}");
    for (cookie, expected) in [
        (&quiet, Some("quiet")),
        (&busy, Some("busy on redis")),
        (&leaving, None),
        (&both, Some("both on files")),
        (&late, Some("late")),
    ] {
        assert_eq!(user(&migration.files, cookie).await.as_deref(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_journal_nothing_is_overwritten() {
    let migration = Migration::new();
    let cookie = visit(&migration.files, "", |session| session.put("user", "old").unwrap()).await;
    migration.run();
    visit(&migration.redis, &cookie, |session| session.put("user", "new").unwrap()).await;
    migration.server.cli(&["DEL", migration.server.cli(&["KEYS", "session:log:*"]).trim()]);
    let error = migration.stops().await;
    assert!(error.contains("1 live session") && error.contains("--onto-live-sessions"), "{error}");
    let report = migration.run_with(&["--onto-live-sessions"]);
    assert_eq!(report["different"], 1, "no journal tells which is newer");
    assert_eq!(user(&migration.redis, &cookie).await.as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_emptied_removes_nothing_until_asked_to() {
    let migration = Migration::new();
    migration.sign_in(20).await;
    migration.run();
    let location = migration.project.path().join("tmp/sessions");
    for entry in std::fs::read_dir(&location).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    let error = migration.stops().await;
    assert!(error.contains("20 of 20") && error.contains("--allow-removals"), "{error}");
    assert!(error.contains("file") && error.contains("redis"), "it names both stores: {error}");
    assert_eq!(migration.run_with(&["--allow-removals"])["removed"], 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_source_is_another_store() {
    let migration = Migration::new();
    migration.sign_in(20).await;
    migration.run();
    let elsewhere = migration.project.path().join("elsewhere");
    FileStore::open(&elsewhere).unwrap();
    let project = Project::on_files()
        .with("SESSION_REDIS_URL", &migration.server.url())
        .with("SESSION_FILE_LOCATION", elsewhere.to_str().unwrap());
    let error = stops(&project, &migration.store).await;
    assert!(
        error.contains("20 live sessions") && error.contains("--onto-live-sessions"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0, "the folder is as it was");
    let flags = ["migrate", "--from", "file", "--to", "redis", "--json", "--onto-live-sessions"];
    let report: Value = serde_json::from_str(&project.run(&flags).good()).unwrap();
    assert_eq!((&report["copied"], &report["removed"]), (&json!(0), &json!(0)), "{report}");
    assert_eq!(live(&migration.store).await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_ended_sessions_are_removed_without_a_flag() {
    let migration = Migration::new();
    let cookies = migration.sign_in(20).await;
    migration.run();
    for cookie in &cookies[..2] {
        visit(&migration.files, cookie, |session| session.destroy().unwrap()).await;
    }
    assert_eq!(migration.run()["removed"], 2);
    assert_eq!(migration.run()["removed"], 0);
    for cookie in &cookies[2..5] {
        visit(&migration.files, cookie, |session| session.destroy().unwrap()).await;
    }
    let error = migration.stops().await;
    assert!(error.contains("3 of 18"), "more than a tenth: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_is_in_the_target_for_any_working_folder() {
    let migration = Migration::new();
    let leaving = migration.sign_in(2).await.remove(0);
    migration.run();
    let name = record_key(&migration.files, &leaving).await;
    visit(&migration.redis, &leaving, |session| session.destroy().unwrap()).await;
    migration.forget_tombstone(&name);
    let location = migration.project.path().join("tmp/sessions");
    let project = Project::on_files()
        .with("SESSION_REDIS_URL", &migration.server.url())
        .with("SESSION_FILE_LOCATION", location.to_str().unwrap());
    let arguments = ["migrate", "--from", "file", "--to", "redis", "--json"];
    let report: Value = serde_json::from_str(&project.run(&arguments).good()).unwrap();
    assert_eq!((&report["ended"], &report["copied"]), (&json!(1), &json!(0)), "{report}");
    assert_eq!(live(&migration.store).await, 1, "a visitor who signed out stays signed out");
    let key = migration.server.cli(&["KEYS", "session:log:*"]);
    assert!(
        migration.server.cli(&["TTL", key.trim()]).trim().parse::<u64>().unwrap() > 24 * 60 * 60
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_ctrl_c_the_next_run_goes_on() {
    let migration = Migration::new();
    for number in 0..3_000 {
        visit(&migration.files, "", |session| session.put("n", number).unwrap()).await;
    }
    let arguments = ["migrate", "--from", "file", "--to", "redis"];
    let mut command = migration.project.command(&arguments);
    let command = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    while live(&migration.store).await < 100 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let ran = super::Ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code(), 1, "{}", ran.out());
    assert!(ran.err().contains("run it again to go on where it stopped"), "{}", ran.err());
    let there = live(&migration.store).await;
    assert!(there < 3_000, "it stopped before the end");
    let report = migration.run();
    assert_eq!(report["same"].as_u64().unwrap(), there as u64, "{report}");
    assert_eq!(live(&migration.store).await, 3_000);
}

#[test]
fn invalid_drivers_are_refused() {
    let project = Project::on_files();
    let ran = project.run(&["migrate", "--from", "file", "--to", "file"]);
    assert_eq!(ran.code(), 2);
    let ran = project.run(&["migrate", "--from", "cookie", "--to", "redis"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.err().contains("possible values: file, redis"), "{}", ran.err());
    let ran = project.run(&["migrate", "--from", "file", "--to", "redis"]);
    assert_eq!(ran.code(), 1, "{}", ran.err());
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_sessions_are_copied_with_the_key() {
    let key = AppKeys::generate();
    let on = |builder: SessionsBuilder| {
        builder.seal_records(true).cookie_settings(CookieSettings::development()).build().unwrap()
    };
    let mut migration = Migration::new();
    let files = FileStore::open(migration.project.path().join("tmp/sessions")).unwrap();
    let keys = || AppKeys::parse(&key).unwrap();
    let files = on(Sessions::builder(files, keys()));
    let redis = on(Sessions::builder(migration.store.clone(), keys()));
    let visitor = visit(&files, "", |session| session.set_owner("virk").unwrap()).await;
    let ran = migration.project.run(&["migrate", "--from", "file", "--to", "redis"]);
    assert!(ran.good().contains("0 copied") && ran.out().contains("1 unreadable in file"));
    assert!(
        ran.err().contains("sealed by an application key that is not in APP_KEY"),
        "{}",
        ran.err()
    );
    migration.project = migration.project.with("APP_KEY", &key);
    assert_eq!(migration.run()["copied"], 1);
    visit(&redis, &visitor, |session| assert_eq!(session.owner().as_deref(), Some("virk"))).await;
    let theirs = redis.admin().unwrap().sessions_of("virk", Cursor::default()).await.unwrap();
    assert_eq!(theirs.sessions.len(), 1, "the copy is in the index of owners");
}
