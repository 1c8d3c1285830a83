//! What sessions tell of themselves in a life: spans, events and metrics of the page `observe`. Alone in its
//! process, because what is logged is decided once for all threads.
#![allow(clippy::incompatible_msrv, reason = "tests run on the newest Rust")]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod log;

use cloakroom_core::adapter::RequestContext;
use std::sync::Arc;

use cloakroom_core::{
    AppKeys, Error, MemoryStore, Session, Sessions, adapter::AdapterError, clock::FakeClock,
    cookie::CookieSettings, csrf::CsrfPolicy, form::FormInput,
};
use metrics_util::{
    CompositeKey,
    debugging::{DebugValue, DebuggingRecorder},
};

use log::Log;

/// One request with this cookie; the cookie that the visitor has afterwards.
async fn visit(
    sessions: &Sessions,
    cookie: &str,
    handle: impl AsyncFnOnce(&Session),
) -> Result<String, Error> {
    let visit = RequestContext::new(sessions);
    let session = visit.session([("cookie", cookie)].as_slice()).await?;
    handle(&session).await;
    let set = visit.finish(200).await?.set_cookie;
    let pair = |line: &String| line.split(';').next().unwrap().to_owned();
    Ok(set.first().map_or_else(|| cookie.to_owned(), pair))
}

/// Everything that is told of: creation, use, a lost race, a touch, a login, an end under a request,
/// a logout, a cookie that holds no more, a form that does not fit, a forged request.
async fn live_a_life() {
    let clock = Arc::new(FakeClock::default());
    let store = MemoryStore::with_clock(clock.clone());
    let sessions = Sessions::store(store, AppKeys::random()).clock(clock.clone());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build().unwrap();
    let put = async |session: &Session| session.put("secret-key", "secret-value").unwrap();
    let cookie = visit(&sessions, "", put).await.unwrap();
    let racing = async |session: &Session| {
        session.increment("n").unwrap();
        let faster = async |session: &Session| _ = session.increment("n").unwrap();
        visit(&sessions, &cookie, faster).await.unwrap();
    };
    visit(&sessions, &cookie, racing).await.unwrap();
    clock.advance(std::time::Duration::from_mins(30));
    let look = async |session: &Session| assert_eq!(session.get("n").unwrap(), Some(2));
    visit(&sessions, &cookie, look).await.unwrap();
    let fresh = visit(&sessions, &cookie, async |session| session.regenerate().unwrap()).await;
    let fresh = fresh.unwrap();
    visit(&sessions, &cookie, async |session| assert!(session.is_new())).await.unwrap();
    let ended_under_way = async |session: &Session| {
        session.put("late", 1).unwrap();
        let sign_out = async |session: &Session| session.destroy().unwrap();
        visit(&sessions, &fresh, sign_out).await.unwrap();
    };
    visit(&sessions, &fresh, ended_under_way).await.unwrap();
    visit(&sessions, &fresh, async |session| session.regenerate().unwrap()).await.unwrap();
    visit(&sessions, &format!("session={}", "A".repeat(43)), put).await.unwrap();

    let sealed = Sessions::cookie(AppKeys::random());
    let sealed = sealed.cookie_settings(CookieSettings::development()).build().unwrap();
    let cookie = visit(&sealed, "", put).await.unwrap();
    let overfill = async |session: &Session| session.put("big", "x".repeat(20_000)).unwrap();
    assert!(visit(&sealed, &cookie, overfill).await.unwrap_err().is_too_large());

    let form = RequestContext::new(&sealed);
    let sent = format!("name=v&bio=secret-{}", "x".repeat(14_000));
    form.capture(FormInput::from_query(&sent).unwrap());
    form.session([("cookie", "")].as_slice()).await.unwrap().flash_all().unwrap();
    assert_eq!(form.finish(200).await.unwrap().set_cookie.len(), 1);

    let (visits, _) = cloakroom_core::adapter::ContextStack::begin(&sealed, "POST", None);
    let headers = [("origin", "https://evil.example"), ("host", "example.org")];
    let policy = CsrfPolicy::default();
    let admitted =
        policy.verify_request("POST", &headers[..], None, &visits, async { unreachable!() });
    assert!(matches!(admitted.await, Err(AdapterError::Forged(_))));
}

#[test]
fn a_life_is_told_in_spans_events_and_metrics_and_nothing_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
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
    ] {
        assert!(text.contains(expected), "no {expected} in:\n{text}");
    }
    assert!(!text.contains("secret-"), "{text}");
}

type Told = (CompositeKey, Option<metrics::Unit>, Option<metrics::SharedString>, DebugValue);

fn counted(told: &[Told]) {
    let count = |line: &str| {
        let found = told.iter().find(|(key, ..)| written(key) == line);
        match found.map(|(.., value)| value) {
            Some(DebugValue::Counter(count)) => *count,
            Some(DebugValue::Histogram(values)) => values.len() as u64,
            _ => panic!(
                "no {line} in {:#?}",
                told.iter().map(|it| written(&it.0)).collect::<Vec<_>>()
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
    ] {
        assert_eq!(count(line), expected, "{line}");
    }
    assert!(told.iter().any(|(key, ..)| {
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
