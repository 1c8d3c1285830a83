//! `list`, `show`, `destroy`, `sweep` and `stats`, beside an application that uses the same store.

use std::time::Duration;

use cloakroom::{
    FileStore,
    clock::{Clock, SystemClock},
    redis::RedisStore,
    store::{Commit, Draft, RecordKey, Store},
};
use cloakroom_tests::redis::RedisServer;
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};

use super::{Project, sessions, visit};

/// An application with one signed-in visitor and one guest; it lives as long as the test.
async fn walk(project: Project, store: impl Store) {
    let application = sessions(store);
    let virk = visit(&application, "", |session| {
        session.set_owner("virk").unwrap();
        session.set_label("Firefox\u{1b}[31m").unwrap();
        session.put("card", "4111").unwrap();
        session.put("items", [1, 2]).unwrap();
        session.flash(json!({ "notice": "saved" })).unwrap();
    })
    .await;
    visit(&application, "", |session| session.put("cart", 1).unwrap()).await;
    listed_and_shown(&project);
    counted(&project);
    destroyed(&project);
    visit(&application, &virk, |session| assert!(session.is_new(), "ended beside it")).await;
}

fn listed_and_shown(project: &Project) {
    let shown = project.run(&["list", "--owner", "virk"]).good();
    assert_data_eq!(
        shown,
        str![[r#"
 HANDLE [..] OWNER  LABEL         LAST SEEN             ENDS                  BYTES[..]
 [..]  virk   Firefox�[31m  [..]Z  [..]Z  [..]

"#]]
    );
    let lines = project.run(&["list", "--json"]).good();
    let all: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.len(), 2);
    let limited = project.run(&["list", "--limit", "1"]);
    assert!(limited.err().contains("there are more"), "{}", limited.err());
    let virk = all.iter().find(|it| it["owner"] == "virk").unwrap();
    let handle = virk["handle"].as_str().unwrap();
    let hidden = project.run(&["show", handle]).good();
    let hidden: Value = serde_json::from_str(&hidden).unwrap();
    assert_eq!(hidden["values"], json!({ "card": "(string)", "items": "(list)" }));
    let revealed = project.run(&["show", handle, "--reveal", "--json"]).good();
    let revealed: Value = serde_json::from_str(&revealed).unwrap();
    assert_eq!(revealed["values"], json!({ "card": "4111", "items": [1, 2] }));
    assert_eq!(revealed["messages"], json!({ "notice": "saved" }));
}

fn counted(project: &Project) {
    let shown = project.run(&["stats"]).good();
    assert_data_eq!(
        shown,
        str![[r#"
driver               [..]
live sessions        2
with an owner        1
owners               1
used within an hour  2
records              [..] bytes, the largest [..]
the oldest began     [..]Z

"#]]
    );
    let stats: Value = serde_json::from_str(&project.run(&["stats", "--json"]).good()).unwrap();
    assert_eq!((&stats["live"], &stats["owners"]), (&json!(2), &json!(1)));
}

fn destroyed(project: &Project) {
    assert_eq!(project.run(&["destroy", "--owner", "nobody"]).good(), "0 sessions ended\n");
    assert_eq!(project.run(&["destroy", "--owner", "virk"]).good(), "1 session ended\n");
    let line = project.run(&["list", "--json"]).good();
    let left: Value = serde_json::from_str(&line).unwrap();
    let handle = left["handle"].as_str().unwrap();
    assert_eq!(project.run(&["destroy", handle, "--json"]).good(), "{\"ended\":1}\n");
    for command in ["destroy", "show"] {
        let ran = project.run(&[command, handle]);
        assert_eq!(ran.code(), 1, "{command}");
        assert!(ran.err().contains("there is no live session"), "{}", ran.err());
    }
    assert_eq!(project.run(&["list"]).good(), "no live sessions\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_files() {
    let project = Project::on_files();
    let store = FileStore::open(project.path().join("tmp/sessions")).unwrap();
    walk(project, store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_redis() {
    let server = RedisServer::start();
    let project = Project::new().with("SESSION_DRIVER", "redis");
    let project = project.with("SESSION_REDIS_URL", &server.url());
    walk(project, RedisStore::open(&server.url()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_is_swept() {
    let project = Project::on_files();
    assert!(project.run(&["sweep"]).err().contains("does not exist"));
    let store = FileStore::open(project.path().join("tmp/sessions")).unwrap();
    for number in 0..100 {
        let record = Draft::new("expired", SystemClock.now(), Duration::from_millis(1));
        let key = RecordKey::from_bytes([number; 32]);
        store.commit(Commit::create(key, record)).await.unwrap();
    }
    visit(&sessions(store), "", |session| session.put("k", 1).unwrap()).await;
    assert_eq!(project.run(&["sweep"]).good(), "100 deleted\n");
    assert!(project.run(&["stats"]).good().contains("live sessions        1\n"));
}
