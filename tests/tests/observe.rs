//! Spans, events and metrics of the guide's page `observe`. Alone in its process, because what is
//! logged is decided once for all threads.

use std::time::Duration;

use axum::{Router, routing::get};
use cloakroom::{
    AppKeys, DeviceBinding, Driver, FileStore, Session, Sessions,
    adapter::{AdapterError, ContextStack},
    axum::{SessionLayer, testing::client},
    csrf::CsrfPolicy,
    form::FormInput,
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser, build},
    log::Log,
};
use metrics_util::{
    CompositeKey,
    debugging::{DebugValue, DebuggingRecorder},
};

/// Causes every event: creation, use, a lost race, a touch, a login, an end under a request, a logout,
/// a session that is too large, a form that does not fit, a forged request, a request without the device of its
/// session.
async fn live_a_life() {
    let app = LocalApp::new();
    let put = |session: &Session| session.put("secret-key", "secret-value").unwrap();
    let increment = |session: &Session| _ = session.increment("n").unwrap();
    let mut browser = app.browser_with(put).await;
    let (racing, session) = browser.begin().await;
    increment(&session);
    browser.visit(increment).await;
    browser.finish(racing).await;
    app.clock.advance(Duration::from_mins(30));
    browser.visit(|session| assert_eq!(session.get("n").unwrap(), Some(2))).await;
    let mut old = browser.clone();
    browser.visit(|session| session.regenerate().unwrap()).await;
    old.visit(|session| assert!(session.is_new())).await;
    let mut ended = browser.clone();
    let (late, session) = ended.begin().await;
    session.put("late", 1).unwrap();
    browser.visit(|session| session.destroy().unwrap()).await;
    ended.finish(late).await;
    ended.visit(|session| session.regenerate().unwrap()).await;
    let mut stranger = app.browser();
    stranger.jar.put("session", &"A".repeat(43));
    stranger.visit(put).await;

    let sealed = build(Sessions::builder(Driver::Cookie, AppKeys::random()), &app.clock);
    let mut browser = LocalBrowser::new(&sealed);
    browser.visit(put).await;
    let overfill = |session: &Session| session.put("big", "x".repeat(20_000));
    assert!(browser.try_visit(overfill).await.unwrap_err().is_too_large());

    let (form, session) = LocalBrowser::new(&sealed).begin().await;
    let sent = format!("name=v&bio=secret-{}", "x".repeat(14_000));
    form.capture(FormInput::from_query(&sent).unwrap());
    session.flash_all().unwrap();
    assert_eq!(form.finish(200).await.unwrap().set_cookie.len(), 1);

    let (contexts, _) = ContextStack::begin(&sealed, "POST", None);
    let headers = [("origin", "https://evil.example"), ("host", "example.org")];
    let policy = CsrfPolicy::default();
    let admitted =
        policy.verify_request("POST", &headers[..], None, &contexts, async { unreachable!() });
    assert!(matches!(admitted.await, Err(AdapterError::Forged(_))));

    // Another driver, because the test client loads sessions for its assertions.
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::builder(folder.path()).clock(app.clock.clone()).open().unwrap();
    let bound = Sessions::builder(store, AppKeys::random());
    let bound = build(bound.device_binding(DeviceBinding::Report), &app.clock);
    let page = get(async |session: Session| session.owner().unwrap_or_default());
    let pages = Router::new().route("/", page).layer(SessionLayer::new(bound.clone()));
    let mut virk = client(pages, &bound).with_device().signed_in_as("virk");
    virk.get("/").send().await.assert_device_bound();
    let mut thief = LocalBrowser::new(&bound);
    virk.cookies().for_each(|(name, value)| thief.jar.put(name, value));
    app.clock.advance(Duration::from_mins(11));
    let is_missing = |session: &Session| assert!(!session.device().unwrap().is_present);
    thief.visit(is_missing).await;
}

#[test]
fn spans_events_and_metrics_follow_a_session_without_secrets() {
    let log = Log::default();
    let subscriber = log.subscriber(tracing::Level::TRACE);
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(subscriber, || {
        metrics::with_local_recorder(&recorder, || runtime.block_on(live_a_life()));
    });
    logged(&log.text());
    counted(&snapshotter.snapshot().into_vec());
}

fn logged(text: &str) {
    for expected in [
        r#"open{driver="memory"}: cloakroom: load outcome="live""#,
        r#"load outcome="gone""#,
        r#"load outcome="absent""#,
        r#"commit{driver="memory" session="#,
        r#"commit step="create" outcome="done""#,
        r#"commit step="replace" outcome="conflict""#,
        r"rebase attempt=0",
        r#"commit step="touch" outcome="done""#,
        r#"commit step="rotate" outcome="done""#,
        r#"commit step="destroy" outcome="done""#,
        r#"commit step="replace" outcome="gone""#,
        r"changes dropped: the session ended before or during the request session=",
        "WARN commit{driver",
        "cloakroom: regenerate dropped: the session ended",
        r#"commit step="seal" outcome="done""#,
        r#"WARN cloakroom: commit failed reason="too_large""#,
        "old input left out: the session is too large with it",
        "fields=1",
        "WARN cloakroom: forged request reason=",
        "`Origin`, or `Referer` without it, is neither this site nor in `trusted_origins`",
        r#"INFO cloakroom: device event="proven" session="#,
        r#"device event="missing" session="#,
    ] {
        assert!(text.contains(expected), "no {expected} in:\n{text}");
    }
    assert!(!text.contains("secret-"), "{text}");
}

type Recorded = (CompositeKey, Option<metrics::Unit>, Option<metrics::SharedString>, DebugValue);

fn counted(recorded: &[Recorded]) {
    let count = |line: &str| {
        let found = recorded.iter().find(|(key, ..)| written(key) == line);
        match found.map(|(.., value)| value) {
            Some(DebugValue::Counter(count)) => *count,
            Some(DebugValue::Histogram(values)) => values.len() as u64,
            _ => panic!(
                "no {line} in {:#?}",
                recorded.iter().map(|metric| written(&metric.0)).collect::<Vec<_>>()
            ),
        }
    };
    for (line, expected) in [
        ("cloakroom_loads_total driver=memory outcome=live", 6),
        ("cloakroom_loads_total driver=memory outcome=gone", 2),
        ("cloakroom_loads_total driver=memory outcome=absent", 1),
        ("cloakroom_load_seconds driver=memory", 9),
        ("cloakroom_commits_total driver=memory step=create outcome=done", 2),
        ("cloakroom_commits_total driver=memory step=replace outcome=done", 2),
        ("cloakroom_commits_total driver=memory step=replace outcome=conflict", 1),
        ("cloakroom_commits_total driver=memory step=replace outcome=gone", 1),
        ("cloakroom_commits_total driver=memory step=touch outcome=done", 1),
        ("cloakroom_commits_total driver=memory step=rotate outcome=done", 1),
        ("cloakroom_commits_total driver=memory step=destroy outcome=done", 1),
        ("cloakroom_commit_seconds driver=memory", 9),
        ("cloakroom_record_bytes driver=memory", 7),
        ("cloakroom_loads_total driver=cookie outcome=live", 1),
        ("cloakroom_commits_total driver=cookie step=seal outcome=done", 2),
        ("cloakroom_refusals_total reason=too_large", 1),
        ("cloakroom_device_events_total event=proven", 1),
        ("cloakroom_device_events_total event=missing", 1),
    ] {
        assert_eq!(count(line), expected, "{line}");
    }
    assert!(recorded.iter().any(|(key, ..)| {
        written(key).starts_with("cloakroom_refusals_total reason=")
            && !written(key).contains("large")
    }));
}

/// A metric's name and labels in one line.
fn written(key: &CompositeKey) -> String {
    let (name, labels) = key.key().clone().into_parts();
    let labels = labels.iter().map(|label| format!(" {}={}", label.key(), label.value()));
    labels.fold(name.as_str().to_owned(), |line, label| line + &label)
}
