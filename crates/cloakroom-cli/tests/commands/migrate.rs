//! `cloakroom migrate`: nobody is signed out, nothing newer is overwritten, no logout is undone.

use behaviour::redis::RedisServer;
use cloakroom::{FileStore, Sessions};
use cloakroom_redis::RedisStore;
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
        self.run_from("file", "redis")
    }

    fn run_from(&self, from: &str, to: &str) -> Value {
        let arguments = ["migrate", "--from", from, "--to", to, "--json"];
        serde_json::from_str(&self.project.run(&arguments).good()).unwrap()
    }

    /// What half a minute does: nothing reminds of a session any more.
    fn forget_tombstone(&self, handle: &str) {
        let keys = self.server.cli(&["KEYS", "*"]);
        let key = keys.lines().find(|key| key.contains(handle)).unwrap();
        self.server.cli(&["DEL", key]);
    }
}

async fn handle(sessions: &Sessions, cookie: &str) -> String {
    let mut handle = None;
    visit(sessions, cookie, |session| handle = session.handle()).await;
    handle.unwrap()
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
    let directory = it.redis.directory().unwrap();
    assert_eq!(directory.sessions_of("user-7").await.unwrap().len(), 1, "found by its owner");
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
    let report = it.run();
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
    let handles = [handle(&it.files, &leaving).await, handle(&it.files, &rotated).await];
    visit(&it.redis, &leaving, |session| session.destroy().unwrap()).await;
    let fresh = visit(&it.redis, &rotated, |session| session.regenerate().unwrap()).await;
    for handle in &handles {
        it.forget_tombstone(handle);
    }
    let report = it.run();
    assert_eq!((&report["ended"], &report["copied"]), (&json!(2), &json!(0)), "{report}");
    assert_eq!(user(&it.redis, &leaving).await, None);
    assert_eq!(user(&it.redis, &rotated).await, None);
    assert_eq!(user(&it.redis, &fresh).await.as_deref(), Some("rotated"));
    println!("logouts undone 0, tokens of before revived 0");
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
    let report = it.run_from("redis", "file");
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
    std::fs::remove_file(it.project.path().join(".cloakroom-migration")).unwrap();
    assert_eq!(it.run()["different"], 1, "and does not pretend to know which is the newer");
    assert_eq!(user(&it.redis, &cookie).await.as_deref(), Some("new"));
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
