//! `list`, `show`, `destroy`, `sweep` and `stats`, beside an application on the same store.

use std::time::Duration;

use cloakroom::{
    AppKeys, FileStore, Sessions,
    clock::{Clock, SystemClock},
    cookie::CookieSettings,
    redis::RedisStore,
    store::{Commit, Draft, Entry, RecordKey, Store},
};
use cloakroom_tests::redis::RedisServer;
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};

use super::{Project, sessions, visit};

/// Runs the commands beside an application with one signed-in visitor and one guest.
pub(super) async fn commands_work_beside_an_application(project: Project, store: impl Store) {
    let application = sessions(store);
    let virk = visit(&application, "", |session| {
        session.set_owner("virk").unwrap();
        session.set_label("Firefox\u{1b}[31m").unwrap();
        session.put("card", "4111").unwrap();
        session.put("items", [1, 2]).unwrap();
        session.flash(json!({ "notice": "saved" })).unwrap();
        session.flash_push("info", "Row 7 is empty").unwrap();
    })
    .await;
    visit(&application, "", |session| session.put("cart", 1).unwrap()).await;
    listed(&project);
    shown(&project);
    counted(&project);
    destroyed(&project);
    visit(&application, &virk, |session| assert!(session.is_new(), "it has ended")).await;
}

/// Returns the lines of JSON that a command prints.
fn json_lines(project: &Project, arguments: &[&str]) -> Vec<Value> {
    let lines = project.run(&[arguments, &["--json"]].concat()).good();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the handle of the session of an owner, or of a guest.
fn handle_of(project: &Project, owner: Option<&str>) -> String {
    let all = json_lines(project, &["list"]);
    let session = all.iter().find(|session| session["owner"].as_str() == owner).unwrap();
    session["handle"].as_str().unwrap().to_owned()
}

fn listed(project: &Project) {
    let list = project.run(&["list", "--owner", "virk"]).good();
    assert_data_eq!(
        &list,
        str![[r#"
HANDLE [..] OWNER  LABEL         LAST SEEN  ENDS    BYTES[..]
[..]  virk   Firefox�[31m  [..]  in 2 h  [..]

"#]]
    );
    assert!(list.contains(&handle_of(project, Some("virk"))), "the whole handle: {list}");
    assert_eq!(json_lines(project, &["list"]).len(), 2);
    let limited = project.run(&["list", "--limit", "1"]);
    assert_eq!(limited.err(), "1 more; raise --limit to show them\n");
}

fn shown(project: &Project) {
    let handle = handle_of(project, Some("virk"));
    let hidden = project.run(&["show", &handle]);
    assert_data_eq!(
        hidden.good(),
        str![[r#"
handle     [..]
owner      virk
label      Firefox�[31m
created    [..]Z, [..]
last seen  [..]Z, [..]
ends       [..]Z, in 2 h
size       [..] bytes

values
  card   (string)
  items  (list)

"#]]
    );
    assert_eq!(hidden.err(), "values are hidden; --reveal shows them\n");
    let revealed = project.run(&["show", &handle, "--reveal"]);
    assert!(
        revealed.good().ends_with(
            "\nvalues\n  card   \"4111\"\n  items  [1,2]\n\nmessages\n  notice  \"saved\"\n\
             \nmessages in order\n  info  \"Row 7 is empty\"\n"
        ),
        "{}",
        revealed.out()
    );
    let hidden = &json_lines(project, &["show", &handle])[0];
    assert_eq!(hidden["values"], json!({ "card": "(string)", "items": "(list)" }));
    assert_eq!(hidden.get("messages"), None);
    let revealed = &json_lines(project, &["show", &handle, "--reveal"])[0];
    assert_eq!(revealed["values"], json!({ "card": "4111", "items": [1, 2] }));
    assert_eq!(revealed["messages"], json!({ "notice": "saved" }));
    assert_eq!(revealed["pushed"], json!([{ "level": "info", "text": "Row 7 is empty" }]));
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
oldest session       [..]Z

"#]]
    );
    let stats: Value = serde_json::from_str(&project.run(&["stats", "--json"]).good()).unwrap();
    assert_eq!((&stats["live"], &stats["owners"]), (&json!(2), &json!(1)));
}

fn destroyed(project: &Project) {
    assert_eq!(project.run(&["destroy", "--owner", "nobody"]).good(), "0 sessions ended\n");
    assert_eq!(project.run(&["destroy", "--owner", "virk"]).good(), "1 session ended\n");
    let handle = handle_of(project, None);
    let dry_run = project.run(&["destroy", &handle, "--dry-run"]);
    assert!(dry_run.good().contains(&handle), "{}", dry_run.out());
    assert_eq!(dry_run.err(), "1 session would end; none was ended\n");
    assert_eq!(project.run(&["destroy", &handle[..8], "--json"]).good(), "{\"ended\":1}\n");
    for command in ["destroy", "show"] {
        let ran = project.run(&[command, &handle]);
        assert_eq!(ran.code(), 1, "{command}");
        assert!(ran.err().contains("there is no live session"), "{}", ran.err());
    }
    assert_eq!(project.run(&["list"]).good(), "no live sessions\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_files() {
    let project = Project::on_files();
    let store = FileStore::open(project.path().join("tmp/sessions")).unwrap();
    commands_work_beside_an_application(project, store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_redis() {
    let server = RedisServer::start();
    let project = Project::new().with("SESSION_DRIVER", "redis");
    let project = project.with("SESSION_REDIS_URL", &server.url());
    let store = RedisStore::open(&server.url()).unwrap();
    commands_work_beside_an_application(project, store).await;
}

/// A project on files with seven sessions of one owner, and one of a guest.
async fn seven_of_one_owner() -> (Project, Sessions) {
    let project = Project::on_files();
    let store = FileStore::open(project.path().join("tmp/sessions")).unwrap();
    let application = sessions(store);
    for _ in 0..7 {
        visit(&application, "", |session| session.set_owner("virk").unwrap()).await;
    }
    visit(&application, "", |session| session.put("cart", 1).unwrap()).await;
    (project, application)
}

/// Adds seven copies of a guest's session to a store, whose keys and handles begin alike.
async fn add_seven_alike(store: &FileStore, guest: &str) {
    // The record key follows the first letter of the handle.
    let key = RecordKey::parse(&guest[1..]).unwrap();
    let Some(Entry::Live(stored)) = store.load(&key).await.unwrap() else {
        panic!("the guest has a session");
    };
    for number in 0..7 {
        let draft = cloakroom::copy_record(&key, &stored, Duration::from_hours(1), None).unwrap();
        let mut bytes = [7; 32];
        bytes[31] = number;
        let key = RecordKey::from_bytes(bytes);
        store.commit(Commit::create(key, draft)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_of_a_handle_names_a_session() {
    let project = Project::on_files();
    let store = FileStore::open(project.path().join("tmp/sessions")).unwrap();
    let application = sessions(store.clone());
    visit(&application, "", |session| session.set_owner("virk").unwrap()).await;
    let virk = handle_of(&project, Some("virk"));
    visit(&application, "", |session| session.put("cart", 1).unwrap()).await;
    for text in [&virk[..4], &virk[..60], &format!("{}…", &virk[..8])] {
        let shown = project.run(&["show", text]).good();
        assert!(shown.contains(&virk), "{text}: {shown}");
    }
    let guest = handle_of(&project, None);
    assert!(project.run(&["show", &guest[..4]]).good().contains(&guest));
    assert_eq!(project.run(&["destroy", &virk[..8]]).good(), "1 session ended\n");
    add_seven_alike(&store, &guest).await;
    for command in ["show", "destroy"] {
        let ambiguous = project.run(&[command, "kBwcH"]);
        assert_eq!(ambiguous.code(), 1, "{command}");
        assert_data_eq!(
            ambiguous.err(),
            str![[r#"
error: `kBwcH` is the beginning of 7 sessions; add characters of one of them:
  kBwcH[..]  -  [..]
  kBwcH[..]  -  [..]
  kBwcH[..]  -  [..]
  kBwcH[..]  -  [..]
  kBwcH[..]  -  [..]
  and 2 more

"#]]
        );
        let unknown = project.run(&[command, "nothing"]);
        assert_eq!(unknown.code(), 1, "{command}");
        assert_data_eq!(
            unknown.err(),
            str![[r#"
error: there is no live session whose handle begins with `nothing`; `cloakroom list` shows the handles

"#]]
        );
        let short = project.run(&[command, ""]);
        assert_eq!(short.code(), 2, "{command}");
        assert!(short.err().contains("4 characters or more"), "{}", short.err());
    }
    assert_eq!(json_lines(&project, &["list"]).len(), 8, "none was ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_sessions_end_only_after_a_yes() {
    let (project, _application) = seven_of_one_owner().await;
    let destroy = ["destroy", "--owner", "virk"];
    let dry_run = project.run(&[&destroy[..], &["--dry-run"]].concat());
    assert_eq!(dry_run.good().lines().count(), 8, "a header and seven sessions");
    assert_eq!(dry_run.err(), "7 sessions would end; none was ended\n");
    let dry_run = &json_lines(&project, &[&destroy[..], &["--dry-run"]].concat())[0];
    assert_eq!(dry_run["would_end"].as_array().unwrap().len(), 7);
    let unasked = project.run(&destroy);
    assert_eq!(unasked.code(), 2);
    assert_data_eq!(
        unasked.err(),
        str![[r#"
error: no session was ended: 7 sessions of `virk` would end, and there is no terminal to ask on; --yes ends them without a question, --dry-run shows them

"#]]
    );
    assert_eq!(json_lines(&project, &["list"]).len(), 8);
    let ended = project.run(&[&destroy[..], &["--yes"]].concat()).good();
    assert_eq!(ended, "7 sessions ended\n");
    assert_eq!(project.run(&["destroy", "abcd", "--yes"]).code(), 2, "for several only");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_end_with_and_without_an_owner() {
    let (project, application) = seven_of_one_owner().await;
    let dry_run = project.run(&["destroy", "--all", "--dry-run"]);
    assert_eq!(dry_run.err(), "8 sessions would end; none was ended\n");
    let unasked = project.run(&["destroy", "--all"]);
    assert_eq!(unasked.code(), 2);
    assert!(unasked.err().contains("all 8 sessions would end"), "{}", unasked.err());
    assert_eq!(project.run(&["destroy", "--all", "--owner", "virk"]).code(), 2, "one of them");
    let ended = project.run(&["destroy", "--all", "--yes"]).good();
    assert_eq!(ended, "8 sessions ended\n");
    assert_eq!(project.run(&["list"]).good(), "no live sessions\n");
    visit(&application, "", |session| session.put("cart", 1).unwrap()).await;
    assert_eq!(project.run(&["destroy", "--all"]).good(), "1 session ended\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_recently_used_session_is_first_on_every_driver() {
    let server = RedisServer::start();
    let files = Project::on_files();
    let folder = FileStore::open(files.path().join("tmp/sessions")).unwrap();
    let redis = Project::new().with("SESSION_DRIVER", "redis");
    let redis = redis.with("SESSION_REDIS_URL", &server.url());
    let store = RedisStore::open(&server.url()).unwrap();
    for (project, application) in [(files, sessions(folder)), (redis, sessions(store))] {
        for minutes in [30, 10, 50, 20, 40] {
            visit(&application, "", |session| {
                session.put("minutes", minutes).unwrap();
                session.set_idle_timeout(Duration::from_secs(60 * minutes)).unwrap();
            })
            .await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let sessions = json_lines(&project, &["list"]);
        assert_eq!(sessions.len(), 5);
        let shown = sessions.iter().map(|session| {
            let handle = session["handle"].as_str().unwrap();
            json_lines(&project, &["show", handle, "--reveal"])[0]["values"]["minutes"].clone()
        });
        assert_eq!(shown.collect::<Vec<_>>(), [40, 20, 50, 10, 30]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_sessions_are_swept() {
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

#[tokio::test(flavor = "multi_thread")]
async fn sealed_sessions_need_the_key_of_their_application() {
    let key = AppKeys::generate();
    let project = Project::on_files();
    let store = FileStore::open(project.path().join("tmp/sessions")).unwrap();
    let builder = Sessions::builder(store, AppKeys::parse(&key).unwrap()).seal_records(true);
    let application = builder.cookie_settings(CookieSettings::development()).build().unwrap();
    visit(&application, "", |session| session.set_owner("virk").unwrap()).await;
    let ran = project.run(&["list"]);
    assert_eq!(ran.good(), "no live sessions\n");
    let left_out = "1 session left out: sealed by an application key that is not in APP_KEY\n";
    assert_eq!(ran.err(), left_out);
    // The session that can be read is shown and ended, whatever the other one is.
    let store = FileStore::open(project.path().join("tmp/sessions")).unwrap();
    visit(&sessions(store), "", |session| session.set_owner("virk").unwrap()).await;
    let ran = project.run(&["list", "--owner", "virk", "--json"]);
    assert_eq!(ran.good().lines().count(), 1);
    assert_eq!(ran.err(), left_out);
    let ran = project.run(&["destroy", "--owner", "virk"]);
    assert_eq!(ran.code(), 1);
    assert!(
        ran.err().contains("sealed by an application key that is not in APP_KEY"),
        "{}",
        ran.err()
    );
    assert_eq!(project.run(&["list"]).good(), "no live sessions\n");
    let project = project.with("APP_KEY", &key);
    let handle = handle_of(&project, Some("virk"));
    assert!(project.run(&["show", &handle]).good().contains("owner      virk"));
    assert_eq!(project.run(&["destroy", "--owner", "virk"]).good(), "1 session ended\n");
}
