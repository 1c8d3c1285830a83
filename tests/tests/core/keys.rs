//! A literal key names one member in every method, and a bad key is refused by every method.

use cloakroom::{Error, Key};
use cloakroom_tests::local::LocalApp;
use serde_json::{Value, json};
use std::time::Duration;

/// Dots at the places where splitting goes wrong first.
const NAME: &str = "..shop.example.org.";

#[tokio::test]
async fn a_literal_key_names_one_member_in_every_method() {
    let app = LocalApp::new();
    let session = app.browser().open().await;
    let key = Key::literal(NAME);
    session.put(key, 1).unwrap();
    assert_eq!(session.increment(key).unwrap(), 2);
    assert_eq!(session.increment_by(key, 3).unwrap(), 5);
    assert_eq!(session.decrement(key).unwrap(), 4);
    assert_eq!(session.update(key, |n: &mut i64| *n += 1).unwrap(), 5);
    assert_eq!(session.all().keys().collect::<Vec<_>>(), [NAME]);
    session.commit().await.unwrap();
    assert_eq!(session.increment_now(key).await.unwrap(), 6);

    let handle = session.handle().unwrap();
    let seen = app.sessions.edit(&handle, |session| {
        let key = Key::literal(NAME);
        session.increment_by(key, 1)?;
        assert!(session.has(key));
        session.put(Key::literal("a.b"), 1)?;
        session.forget(Key::literal("a.b"))?;
        session.get::<i64>(key)
    });
    assert_eq!(seen.await.unwrap(), Some(Some(7)));

    let reader = session.read_only();
    reader.refresh().await.unwrap();
    assert!(reader.has(key) && !reader.has(NAME));
    assert_eq!(reader.get(key).unwrap(), Some(7));
    assert_eq!(reader.all().keys().collect::<Vec<_>>(), [NAME]);

    assert_eq!(session.take(key).await.unwrap(), Some(7));
    session.put(key, 1).unwrap();
    assert_eq!(session.pull(key).unwrap(), Some(1));
    session.put(key, 1).unwrap();
    session.forget(key).unwrap();
    assert!(!session.has(key));
}

#[tokio::test]
async fn brackets_name_members_of_objects_in_every_method() {
    let app = LocalApp::new();
    let mut browser = app.browser();
    browser
        .visit(|session| {
            session.put("user[address][city]", "Paris").unwrap();
            session.put_for("user[code]", 7, Duration::from_mins(1)).unwrap();
            session.put_for(Key::literal("a[b]"), 7, Duration::from_mins(1)).unwrap();
            assert_eq!(session.increment("user[visits]").unwrap(), 1);
            session.push("user[tags]", "a").unwrap();
            assert_eq!(session.put("user[visits][x]", 1).unwrap_err().code(), "not_an_object");
            assert_eq!(session.pull::<u8>("user[missing]").unwrap(), None);
        })
        .await;
    let user = json!({ "address": { "city": "Paris" }, "code": 7, "tags": ["a"], "visits": 1 });
    let session = browser.open().await;
    assert_eq!(json!(session.all()), json!({ "user": user, "a[b]": 7 }));
    assert_eq!(session.get("user.tags[0]").unwrap(), Some("a".to_owned()));
    assert!(session.has("user[address].city") && session.missing("a[b]"));
    app.clock.advance(Duration::from_mins(1));
    browser.visit(|session| session.forget("user[address][city]").unwrap()).await;
    let session = browser.open().await;
    assert_eq!(
        json!(session.all()),
        json!({ "user": { "address": {}, "tags": ["a"], "visits": 1 } })
    );
}

#[tokio::test]
async fn a_bad_key_is_refused_by_every_method() {
    let app = LocalApp::new();
    let session = app.browser().open().await;
    session.put("kept", 1).unwrap();
    session.commit().await.unwrap();
    let dots = &".".repeat(64 * 1024);
    let refused = |error: Error| assert!(error.is_bad_key(), "{error}");
    refused(session.put(dots, 1).unwrap_err());
    refused(session.get::<i64>(dots).unwrap_err());
    refused(session.get_or(dots, 1).unwrap_err());
    refused(session.forget(dots).unwrap_err());
    refused(session.pull::<i64>(dots).unwrap_err());
    refused(session.increment(dots).unwrap_err());
    refused(session.decrement_by(dots, 0.5).unwrap_err());
    refused(session.update(dots, |_: &mut i64| panic!("not run")).unwrap_err());
    refused(session.increment_now(dots).await.unwrap_err());
    refused(session.take::<i64>(dots).await.unwrap_err());
    refused(session.read_only().get::<i64>(dots).unwrap_err());
    assert!(!session.has(dots) && !session.read_only().has(dots));
    let handle = session.handle().unwrap();
    let dots = dots.clone();
    let edited = app.sessions.edit(&handle, move |session| {
        assert!(!session.has(&dots));
        assert!(session.get::<i64>(&dots).unwrap_err().is_bad_key());
        assert!(session.forget(&dots).unwrap_err().is_bad_key());
        assert!(session.increment_by(&dots, 1).unwrap_err().is_bad_key());
        session.put(&dots, 1)
    });
    refused(edited.await.unwrap_err());
    assert_eq!(session.all().len(), 1, "nothing but what was there");
}

/// Lists in lists.
fn nested(depth: usize) -> Value {
    (1..depth).fold(Value::Array(Vec::new()), |inner, _| Value::Array(vec![inner]))
}

#[tokio::test]
async fn what_is_put_below_a_long_key_can_be_updated_from_its_root() {
    let session = LocalApp::new().browser().open().await;
    let key = ["s"; 32].join(".");
    for depth in [34, 64] {
        let error = session.put(&key, nested(depth)).unwrap_err();
        assert_eq!(error.code(), "encode", "{error}");
        let error =
            session.update(&key, move |value: &mut Value| *value = nested(depth)).unwrap_err();
        assert_eq!(error.code(), "encode", "{error}");
    }
    session.put(&key, nested(33)).unwrap();
    session.update("s", |_: &mut Value| ()).unwrap();
    session.put(Key::literal(&key), nested(64)).unwrap();
    session.update(Key::literal(&key), |_: &mut Value| ()).unwrap();
}

/// With `put_all`, a visitor may name the values that a form stores.
#[tokio::test]
async fn values_that_only_the_library_writes_cannot_be_forged() {
    let app = LocalApp::new();
    let session = app.browser().open().await;
    for name in ["_authenticated_at", "_intended_url", "_previous_url"] {
        let form = json!({ "name": "virk", name: 4_102_444_800_000_u64 });
        let refused = |error: Error| {
            assert!(error.is_bad_key(), "{error}");
            assert!(error.to_string().contains("only cloakroom writes"), "{error}");
        };
        refused(session.put(name, 1).unwrap_err());
        refused(session.put(Key::literal(name), 1).unwrap_err());
        refused(session.put(format!("{name}.deeper"), 1).unwrap_err());
        refused(session.put_all(&form).unwrap_err());
        refused(session.replace(&form).unwrap_err());
        refused(session.put_for(name, 1, Duration::from_secs(1)).unwrap_err());
        refused(session.get_or_put(name, 1).unwrap_err());
        refused(session.remember(name, async || Ok::<_, Error>(1)).await.unwrap_err());
        refused(session.push(name, 1).unwrap_err());
        refused(session.increment(name).unwrap_err());
        refused(session.decrement(name).unwrap_err());
        refused(session.update(name, |_: &mut u8| ()).unwrap_err());
        refused(session.increment_now(name).await.unwrap_err());
        refused(session.sign_out_keeping([name]).unwrap_err());
    }
    assert!(session.is_empty() && !session.is_modified());
    session.mark_authenticated().unwrap();
    session.commit().await.unwrap();
    let handle = session.handle().unwrap();
    let edited = app.sessions.edit(&handle, |session| session.put("_authenticated_at", 1)).await;
    assert!(edited.unwrap_err().is_bad_key());
    session.forget("_authenticated_at").unwrap();
    assert!(!session.authenticated_within(Duration::from_mins(1)).unwrap());
}
