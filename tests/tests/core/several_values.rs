//! Several values at once, values that may be missing, and values that end.

use cloakroom::{AppKeys, Driver, Error, Key, Session, Sessions};
use cloakroom_tests::local::{LocalApp, LocalBrowser, build};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const MINUTE: Duration = Duration::from_mins(1);

/// Returns all values at the next request after `handler`, in a session with these values.
async fn after(values: Value, handler: impl FnOnce(&Session) -> Result<(), Error>) -> Value {
    let app = LocalApp::new();
    let mut browser = app.browser_with(|session| session.put_all(&values).unwrap()).await;
    browser.try_visit(handler).await.unwrap();
    browser.open().await.all().into()
}

#[tokio::test]
async fn many_values_are_put_and_replaced_at_once() {
    let had = json!({ "a": 1, "b": 2 });
    let put = after(had.clone(), |session| session.put_all(json!({ "b": 3, "c.d": 4 }))).await;
    assert_eq!(put, json!({ "a": 1, "b": 3, "c.d": 4 }));
    let replaced = after(had.clone(), |session| session.replace(json!({ "b": 3 }))).await;
    assert_eq!(replaced, json!({ "b": 3 }));
    let nothing = after(had.clone(), |session| session.replace(json!({}))).await;
    assert_eq!(nothing, json!({}));
    let long = "k".repeat(1025);
    for refused in [json!([1]), json!({ "a": 5, long: 1 })] {
        let kept = after(had.clone(), |session| {
            assert!(session.put_all(&refused).is_err() && session.replace(&refused).is_err());
            Ok(())
        });
        assert_eq!(kept.await, had);
    }
}

#[tokio::test]
async fn a_missing_value_is_put_or_computed_once() {
    let computed = Arc::new(AtomicUsize::new(0));
    let app = LocalApp::new();
    let mut browser = app.browser();
    for _ in 0..2 {
        let (context, session) = browser.begin().await;
        let make = async || {
            computed.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Error>("fr".to_owned())
        };
        assert_eq!(session.remember("country", make).await.unwrap(), "fr");
        assert_eq!(session.get_or_put("user.theme", "dark".to_owned()).unwrap(), "dark");
        browser.finish(context).await;
    }
    assert_eq!(computed.load(Ordering::Relaxed), 1);
    let (_, session) = browser.begin().await;
    let fails = async || Err::<u8, Error>(session.increment("country").unwrap_err());
    assert!(session.remember("count", fails).await.is_err() && session.missing("count"));
}

/// A default that a slow request stores must not undo what the visitor has chosen meanwhile.
#[tokio::test]
async fn a_default_leaves_the_value_of_a_concurrent_request() {
    let app = LocalApp::new();
    let mut browser = app.browser_with(|session| session.put("cart", json!(null)).unwrap()).await;
    let (context, session) = browser.begin().await;
    assert_eq!(session.get_or_put("theme", "light".to_owned()).unwrap(), "light");
    let compute = async || Ok::<_, Error>("fr".to_owned());
    assert_eq!(session.remember("country", compute).await.unwrap(), "fr");
    assert_eq!(session.get_or_put("cart", 0).unwrap(), 0, "null counts as missing");
    browser
        .visit(|session| session.put_all(json!({ "theme": "dark", "country": "de" })).unwrap())
        .await;
    _ = context.finish(200).await.unwrap();
    let values = Value::from(browser.open().await.all());
    assert_eq!(values, json!({ "theme": "dark", "country": "de", "cart": 0 }));
}

#[tokio::test]
async fn items_that_concurrent_requests_push_are_all_kept() {
    let app = LocalApp::new();
    let browser =
        app.browser_with(|session| session.push("list", json!({ "n": 0 })).unwrap()).await;
    let mut open = Vec::new();
    for n in 1..5 {
        let (context, session) = browser.begin().await;
        session.push("list", json!({ "n": n })).unwrap();
        open.push((context, session));
    }
    for (context, _) in open {
        _ = context.finish(200).await.unwrap();
    }
    let list: Vec<Value> = browser.open().await.get("list").unwrap().unwrap();
    assert_eq!(Value::from(list), json!([{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]));
    let kept = after(json!({ "text": "a" }), |session| {
        assert!(session.push("text", 1).unwrap_err().is_decode());
        Ok(())
    });
    assert_eq!(kept.await, json!({ "text": "a" }));
}

#[tokio::test]
async fn null_counts_as_missing() {
    let changed = after(json!({ "user": null, "n": null, "list": null }), |session| {
        session.put("user.theme", "dark")?;
        session.increment("n")?;
        session.push("list", 1)
    });
    assert_eq!(changed.await, json!({ "user": { "theme": "dark" }, "n": 1, "list": [1] }));
}

#[tokio::test]
async fn a_put_of_what_this_request_has_counted_is_a_change() {
    let app = LocalApp::new();
    let browser = app.browser_with(|session| session.put("n", 5).unwrap()).await;
    let (first, session) = browser.begin().await;
    session.increment("n").unwrap();
    session.put("n", 6).unwrap();
    browser.clone().visit(|session| session.put("n", 10).unwrap()).await;
    _ = first.finish(200).await.unwrap();
    assert_eq!(browser.open().await.get("n").unwrap(), Some(6));
}

#[tokio::test]
async fn discarded_changes_leave_the_session_as_it_was() {
    let app = LocalApp::new();
    let mut browser = app.browser_with(|session| session.put("n", 1).unwrap()).await;
    browser
        .visit(|session| {
            session.put("n", 2).unwrap();
            session.flash(json!({ "notice": "saved" })).unwrap();
            session.sign_in("virk").unwrap();
            session.discard_changes().unwrap();
            assert_eq!((session.get("n").unwrap(), session.owner()), (Some(1), None));
        })
        .await;
    // The new token of the sign-in stays, as after `regenerate`.
    assert_eq!(app.store.calls(), ["load", "rotate"]);
    browser
        .visit(|session| session.destroy().and_then(|()| session.discard_changes()).unwrap())
        .await;
    assert!(browser.open().await.is_new());
}

#[tokio::test]
async fn an_idle_timeout_of_a_session_can_be_reset() {
    use std::time::Duration;
    let app = LocalApp::new();
    let month = Duration::from_hours(24 * 30);
    let mut browser = app.browser_with(|session| session.put("k", 1).unwrap()).await;
    browser.visit(|session| session.set_idle_timeout(month).unwrap()).await;
    assert_eq!(browser.open().await.time_left(), Some(month));
    browser.visit(|session| session.reset_idle_timeout().unwrap()).await;
    assert_eq!(browser.open().await.time_left(), Some(Duration::from_hours(2)));
}

#[tokio::test]
async fn a_session_can_end_with_the_browser_or_outlive_it() {
    let ends = LocalApp::new();
    let mut browser = ends.browser_with(|session| session.put("k", 1).unwrap()).await;
    let lines = browser.visit(|session| session.browser_session(true).unwrap()).await;
    assert!(!lines[0].contains("Max-Age"), "{lines:?}");
    let lines = browser.visit(|session| session.regenerate().unwrap()).await;
    assert!(!lines[0].contains("Max-Age"), "{lines:?}");
    let stays = LocalApp::with((), |builder| {
        let cookie = cloakroom::cookie::CookieSettings::development();
        builder
            .cookie_settings(cloakroom::cookie::CookieSettings { browser_session: true, ..cookie })
    });
    let mut browser = stays.browser();
    let lines = browser.visit(|session| session.put("k", 1).unwrap()).await;
    assert!(!lines[0].contains("Max-Age"), "{lines:?}");
    let lines = browser.visit(|session| session.browser_session(false).unwrap()).await;
    assert!(lines[0].contains("Max-Age=7200"), "{lines:?}");
}

/// Puts values that end after a minute: `code`, `user.code` and the literal `a.b`.
async fn with_codes(app: &LocalApp) -> LocalBrowser {
    app.browser_with(|session| {
        session.put_for("code", 7, MINUTE).unwrap();
        session.put("user.name", "virk").unwrap();
        session.put_for("user.code", 8, MINUTE).unwrap();
        session.put_for(Key::literal("a.b"), 9, MINUTE).unwrap();
    })
    .await
}

#[tokio::test]
async fn values_end_at_their_deadlines() {
    let app = LocalApp::new();
    let mut browser = with_codes(&app).await;
    let all = json!({ "code": 7, "user": { "name": "virk", "code": 8 }, "a.b": 9 });
    assert_eq!(Value::from(browser.open().await.all()), all);
    app.clock.advance(std::time::Duration::from_secs(59));
    browser.visit(|session| session.regenerate().unwrap()).await;
    assert_eq!(Value::from(browser.open().await.all()), all, "a new token keeps them");
    app.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(Value::from(browser.open().await.all()), json!({ "user": { "name": "virk" } }));
    assert_eq!(browser.open().await.take::<u8>("code").await.unwrap(), None);
}

#[tokio::test]
async fn a_later_put_has_no_end_and_a_later_change_keeps_it() {
    let app = LocalApp::new();
    let mut browser = with_codes(&app).await;
    browser
        .visit(|session| {
            session.put("code", 7).unwrap();
            session.increment("user.code").unwrap();
            session.forget(Key::literal("a.b")).unwrap();
            session.put(Key::literal("a.b"), 1).unwrap();
        })
        .await;
    app.clock.advance(MINUTE);
    let left = json!({ "code": 7, "user": { "name": "virk" }, "a.b": 1 });
    assert_eq!(Value::from(browser.open().await.all()), left);
    let mut browser = with_codes(&app).await;
    browser.visit(|session| session.put("user", json!({ "code": 1 })).unwrap()).await;
    app.clock.advance(MINUTE);
    assert_eq!(Value::from(browser.open().await.all()), json!({ "user": { "code": 1 } }));
}

#[tokio::test]
async fn a_value_that_ended_stays_away_after_a_merge() {
    let app = LocalApp::new();
    let browser = with_codes(&app).await;
    let (slow, session) = browser.begin().await;
    session.put("slow", true).unwrap();
    app.clock.advance(MINUTE);
    browser.clone().visit(|session| session.put("fast", true).unwrap()).await;
    _ = slow.finish(200).await.unwrap();
    let all = json!({ "user": { "name": "virk" }, "slow": true, "fast": true });
    assert_eq!(Value::from(browser.open().await.all()), all);
    let clock = app.clock.clone();
    let sealed = build(Sessions::builder(Driver::Cookie, AppKeys::random()), &clock);
    let mut browser = LocalBrowser::new(&sealed);
    browser.visit(|session| session.put_for("code", 7, MINUTE).unwrap()).await;
    assert!(browser.open().await.has("code"));
    clock.advance(MINUTE);
    assert!(browser.open().await.missing("code"));
}

#[tokio::test]
async fn a_value_keeps_its_end_over_a_sign_out() {
    let app = LocalApp::new();
    let mut browser = app
        .browser_with(|session| {
            session.sign_in("virk").unwrap();
            session.put_for("code", 1234, MINUTE).unwrap();
            session.put("user", json!({ "name": "virk", "lang": "fr" })).unwrap();
            session.put_for("user.name", "virk", MINUTE).unwrap();
        })
        .await;
    browser.visit(|session| session.sign_out_keeping(["code", "user"]).unwrap()).await;
    let kept = json!({ "code": 1234, "user": { "name": "virk", "lang": "fr" } });
    assert_eq!(Value::from(browser.open().await.all()), kept);
    app.clock.advance(MINUTE);
    assert_eq!(Value::from(browser.open().await.all()), json!({ "user": { "lang": "fr" } }));
}

#[tokio::test]
async fn a_value_that_was_taken_leaves_no_end_behind() {
    let app = LocalApp::new();
    let mut browser = app.browser_with(|session| session.put_for("k", 1, MINUTE).unwrap()).await;
    let (context, session) = browser.begin().await;
    assert_eq!(session.take::<i64>("k").await.unwrap(), Some(1));
    browser.finish(context).await;
    browser.visit(|session| _ = session.increment("k").unwrap()).await;
    app.clock.advance(MINUTE);
    assert_eq!(browser.open().await.get("k").unwrap(), Some(1));
}
