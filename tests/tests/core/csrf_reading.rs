//! Bodies that a CSRF layer reads to find a token, and those that it leaves unread.

use bytes::Bytes;
use cloakroom::{
    adapter::{AdapterError, BodyError, ContextStack},
    csrf::{CsrfPolicy, CsrfRejection},
    form::DEFAULT_BODY_LIMIT,
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser},
    log::Log,
};

const URLENCODED: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A browser with a session, and the session's token.
struct Visitor {
    browser: LocalBrowser,
    token: String,
}

impl Visitor {
    async fn new() -> Self {
        let mut token = String::new();
        let page = |session: &cloakroom::Session| token = session.csrf_token();
        let browser = LocalApp::new().browser_with(page).await;
        Self { browser, token }
    }

    /// Posts with the cookie of the session. Returns whether the body was read, and the outcome.
    async fn post(
        &self,
        policy: &CsrfPolicy,
        headers: &[(&'static str, &str)],
    ) -> (bool, Result<(), AdapterError>) {
        let cookie = self.browser.jar.header().unwrap();
        self.send(policy, &[headers, &[("cookie", &cookie)]].concat()).await
    }

    async fn send(
        &self,
        policy: &CsrfPolicy,
        headers: &[(&'static str, &str)],
    ) -> (bool, Result<(), AdapterError>) {
        let (contexts, _) = ContextStack::begin(&self.browser.sessions, "POST", None);
        let mut was_read = false;
        let body = async {
            was_read = true;
            Ok(Bytes::from(format!("_csrf={}", self.token)))
        };
        let admitted = policy.verify_request("POST", headers, None, &contexts, body).await;
        (was_read, admitted)
    }
}

#[tokio::test]
async fn a_form_of_a_session_is_read_and_nothing_else() {
    let (visitor, policy) = (Visitor::new().await, CsrfPolicy::default());
    for length in ["10", "2097152"] {
        let (was_read, admitted) =
            visitor.post(&policy, &[URLENCODED, ("content-length", length)]).await;
        assert!(was_read && admitted.is_ok(), "{length}: {admitted:?}");
    }
    let (was_read, admitted) = visitor.post(&policy, &[URLENCODED]).await;
    assert!(was_read && admitted.is_ok(), "a length that is not known: {admitted:?}");
    let not_read: [&[(&str, &str)]; 5] = [
        &[],
        &[("content-length", "10")],
        &[("content-type", "application/octet-stream")],
        &[("content-type", "text/plain"), ("content-length", "10")],
        &[URLENCODED, ("upgrade", "h2c, WebSocket")],
    ];
    for headers in not_read {
        let (was_read, admitted) = visitor.post(&policy, headers).await;
        assert!(!was_read, "{headers:?}");
        let refusal = matches!(admitted, Err(AdapterError::Forged(CsrfRejection::MissingToken)));
        assert!(refusal, "{headers:?}: {admitted:?}");
    }
}

#[tokio::test]
async fn a_compressed_form_is_refused_unread() {
    let (visitor, policy) = (Visitor::new().await, CsrfPolicy::default());
    for codings in [&["br"][..], &["identity", "gzip"], &[""]] {
        let codings = codings.iter().map(|coding| ("content-encoding", *coding));
        let headers: Vec<_> = codings.chain([URLENCODED]).collect();
        let (was_read, admitted) = visitor.post(&policy, &headers).await;
        let refusal = matches!(&admitted, Err(AdapterError::NotAForm(error)) if error.is_encoded());
        assert!(!was_read && refusal, "{headers:?}: {admitted:?}");
        let (was_read, admitted) = visitor.post(&policy.clone().log_only(), &headers).await;
        assert!(!was_read && admitted.is_ok(), "{headers:?}: {admitted:?}");
    }
}

/// The handler's extractor says the same of it.
#[tokio::test]
async fn a_form_that_cannot_be_read_is_refused_as_one() {
    let (visitor, policy) = (Visitor::new().await, CsrfPolicy::default());
    let headers = [("content-type", "application/json"), ("content-length", "10")];
    let (was_read, admitted) = visitor.post(&policy, &headers).await;
    assert!(was_read && matches!(&admitted, Err(AdapterError::NotAForm(_))), "{admitted:?}");
    let (was_read, admitted) = visitor.post(&policy.log_only(), &headers).await;
    assert!(was_read && admitted.is_ok(), "{admitted:?}");
}

#[tokio::test]
async fn a_form_without_a_session_is_refused_unread() {
    let (visitor, policy) = (Visitor::new().await, CsrfPolicy::default());
    let unknown = format!("session={}", "A".repeat(43));
    for cookie in [None, Some("session=x"), Some(unknown.as_str())] {
        let headers = [Some(URLENCODED), cookie.map(|cookie| ("cookie", cookie))];
        let headers: Vec<_> = headers.into_iter().flatten().collect();
        let (was_read, admitted) = visitor.send(&policy, &headers).await;
        assert!(!was_read);
        let refusal = matches!(admitted, Err(AdapterError::Forged(CsrfRejection::NoSession)));
        assert!(refusal, "{cookie:?}: {admitted:?}");
    }
}

#[tokio::test]
async fn a_token_in_the_header_counts_whatever_the_body_is() {
    let (visitor, policy) = (Visitor::new().await, CsrfPolicy::default());
    let token = ("x-csrf-token", visitor.token.as_str());
    for headers in [
        &[URLENCODED, ("content-encoding", "br"), token][..],
        &[("content-type", "video/mp4"), ("content-length", "99999999999"), token],
        &[token],
    ] {
        let (was_read, admitted) = visitor.post(&policy, headers).await;
        assert!(!was_read && admitted.is_ok(), "{headers:?}: {admitted:?}");
    }
}

#[tokio::test]
async fn a_form_over_the_limit_is_refused_unread() {
    let visitor = Visitor::new().await;
    for (policy, limit) in
        [(CsrfPolicy::default(), DEFAULT_BODY_LIMIT), (CsrfPolicy::default().limit_form(10), 10)]
    {
        for length in [(limit + 1).to_string(), "9".repeat(40)] {
            let (was_read, admitted) =
                visitor.post(&policy, &[URLENCODED, ("content-length", &length)]).await;
            assert!(!was_read);
            let error = admitted.unwrap_err();
            assert!(
                matches!(error, AdapterError::BodyTooLarge { limit: Some(named) } if named == limit)
            );
            assert!(error.to_string().contains(&limit.to_string()));
        }
    }
}

#[tokio::test]
async fn a_policy_that_only_logs_refuses_nothing() {
    let (visitor, policy) = (Visitor::new().await, CsrfPolicy::default().log_only());
    for (content_type, length, is_read) in [
        ("application/x-www-form-urlencoded", "10", true),
        ("Multipart/form-data; boundary=x", "2097152", true),
        ("multipart/form-data; boundary=x", "2097153", false),
        ("application/octet-stream", "10", false),
        ("", "10", false),
    ] {
        let headers = [("content-type", content_type), ("content-length", length)];
        let (was_read, admitted) = visitor.post(&policy, &headers).await;
        assert_eq!(was_read, is_read, "{content_type} {length}");
        assert!(admitted.is_ok(), "{admitted:?}");
    }
    let (was_read, admitted) = visitor.post(&policy, &[("content-type", "application/json")]).await;
    assert!(!was_read && admitted.is_ok(), "its length is not known");
}

/// The sender is unknown, so this is no sign of a forged request.
#[tokio::test]
async fn a_body_that_breaks_off_is_refused_and_not_counted_as_forged() {
    let visitor = Visitor::new().await;
    let cookie = visitor.browser.jar.header().unwrap();
    let headers = [URLENCODED, ("content-length", "100"), ("cookie", &cookie)];
    for policy in [CsrfPolicy::default(), CsrfPolicy::default().log_only()] {
        for error in [BodyError::Broken, BodyError::TooLarge] {
            let (log, _guard) = Log::of_this_thread();
            let (contexts, _) = ContextStack::begin(&visitor.browser.sessions, "POST", None);
            let body = async { Err(error) };
            let refused = policy.verify_request("POST", &headers[..], None, &contexts, body).await;
            let code = error.into_failure(None).code();
            assert_eq!(refused.unwrap_err().code(), code);
            let warnings = log.lines("WARN");
            assert!(warnings[0].contains("unreadable form") && warnings[0].contains(code));
            assert_eq!(warnings.len(), 1, "{warnings:?}");
        }
    }
}
