//! The settings in the session system that they build.

use cloakroom_core::{
    AppKeys,
    adapter::RequestContext,
    store::{Commit, Entry, Outcome, RecordKey, Store, StoreError},
};

use super::{file, variable, with_key};
use crate::{Settings, Variables};

#[test]
fn the_application_key_comes_from_the_environment_and_is_never_shown() {
    let error = file("").unwrap().sessions().unwrap_err().to_string();
    assert!(error.contains("APP_KEY") && error.contains("openssl"), "{error}");
    let key = AppKeys::generate();
    let settings = variable("APP_KEY", &key).unwrap();
    assert!(settings.sessions().is_ok());
    assert!(!format!("{settings:?}").contains(&key[10..]));
    let settings = variable("SESSION_REDIS_URL", "redis://:hunter2@h/0").unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[cfg(not(feature = "redis"))]
#[test]
fn a_driver_that_is_not_built_in_says_so() {
    let error = with_key("driver = 'redis'").sessions().unwrap_err().to_string();
    assert!(error.contains("`redis`") && error.contains("feature `redis`"), "{error}");
}

#[tokio::test]
async fn the_limit_of_a_record_reaches_the_session_system() {
    let sessions = with_key("driver = 'memory'\nmax_bytes = 1000").sessions().unwrap();
    let no_headers: &[(&str, &str)] = &[];
    for (length, fits) in [(500, true), (1001, false)] {
        let session = RequestContext::new(&sessions).session(no_headers).await.unwrap();
        session.put("k", "x".repeat(length)).unwrap();
        let committed = session.commit().await;
        assert_eq!(committed.is_ok(), fits, "{length}");
        assert!(committed.err().is_none_or(|error| error.is_too_large()), "{length}");
    }
}

#[test]
fn the_setting_that_shows_errors_reaches_the_session_system() {
    for (text, shown) in [("", "show_errors: false"), ("show_errors = true", "show_errors: true")] {
        let sessions = with_key(text).sessions().unwrap();
        assert!(format!("{sessions:?}").contains(shown), "{sessions:?}");
    }
}

#[tokio::test]
async fn the_setting_for_the_previous_url_reaches_the_session_system() {
    for (text, kept) in [("", None), ("previous_url = true", Some("/a"))] {
        let sessions = with_key(text).sessions().unwrap();
        let context = RequestContext::new(&sessions);
        let no_headers: &[(&str, &str)] = &[];
        let session = context.session(no_headers).await.unwrap();
        session.put("k", 1).unwrap();
        context.note_page("GET", "/a", Some("text/html"));
        drop(context.finish(200).await.unwrap());
        assert_eq!(session.previous_url().unwrap().as_deref(), kept);
    }
}

#[test]
fn the_origins_reach_the_session_system() {
    let text =
        "public_origin = 'https://shop.example.org'\ntrusted_origins = ['https://a.example']";
    let sessions = with_key(text).sessions().unwrap();
    for (url, target) in [
        ("https://shop.example.org/cart", Some("/cart")),
        ("https://a.example/b", Some("https://a.example/b")),
        ("https://b.example/", None),
    ] {
        let host = Some("b.example");
        assert_eq!(sessions.origins().redirect_target(url, host).as_deref(), target, "{url}");
    }
    let sessions = with_key("").sessions().unwrap();
    let by_host = sessions.origins().redirect_target("https://b.example/c", Some("b.example"));
    assert_eq!(by_host.as_deref(), Some("/c"));
}

#[tokio::test(start_paused = true)]
async fn the_commit_deadline_reaches_the_session_system() {
    /// Never replies to a commit.
    #[derive(Debug)]
    struct Hanging;

    #[cloakroom_core::async_trait]
    impl Store for Hanging {
        async fn load(&self, _: &RecordKey) -> Result<Option<Entry>, StoreError> {
            Ok(None)
        }

        async fn commit(&self, _: Commit) -> Result<Outcome, StoreError> {
            std::future::pending().await
        }
    }

    let sessions =
        with_key("commit_deadline = '90s'").builder_on(Hanging).unwrap().build().unwrap();
    let no_headers: &[(&str, &str)] = &[];
    let session = RequestContext::new(&sessions).session(no_headers).await.unwrap();
    session.put("k", 1).unwrap();
    let begun = tokio::time::Instant::now();
    assert!(session.commit().await.unwrap_err().is_unavailable());
    assert_eq!(begun.elapsed().as_secs(), 90);
}

#[tokio::test]
async fn the_old_name_of_the_cookie_reaches_the_session_system() {
    let key = AppKeys::generate();
    let read = |text: &str| {
        let settings = Settings::read(text, &Variables::from_iter([("APP_KEY", key.as_str())]));
        settings.unwrap().sessions().unwrap()
    };
    let no_headers: &[(&str, &str)] = &[];
    let context = RequestContext::new(&read("cookie_name = 'sid'"));
    context.session(no_headers).await.unwrap().put("user", "virk").unwrap();
    let lines = context.finish(200).await.unwrap().set_cookie;
    let cookie = lines[0].split(';').next().unwrap();
    for (until, expected) in [("9999-01-01", Some("virk")), ("2020-01-01T12:00:00Z", None)] {
        let sessions = read(&format!("old_cookie_name = 'sid'\nold_cookie_until = '{until}'"));
        let context = RequestContext::new(&sessions);
        let session = context.session([("cookie", cookie)].as_slice()).await.unwrap();
        assert_eq!(session.get::<String>("user").unwrap().as_deref(), expected, "{until}");
    }
}
