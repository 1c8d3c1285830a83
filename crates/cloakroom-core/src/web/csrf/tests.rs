//! Checks of policies and tokens without a layer.

use crate::crypto::{app_keys::AppKeys, csrf_token::CsrfKeys, token::Token};
use crate::http::{site_origins::SiteOrigins, site_scheme::SiteScheme};
use crate::web::csrf::{CsrfPolicy, CsrfRejection, Verdict};

const SAFE: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];
const UNSAFE: [&str; 7] = ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get", "FOO"];

fn keys() -> CsrfKeys {
    CsrfKeys::new(AppKeys::random().derive_all("csrf"))
}

fn check(policy: &CsrfPolicy, method: &str, headers: &[(&str, &str)]) -> Verdict {
    let headers: Vec<_> = headers.iter().copied().chain([("host", "example.org")]).collect();
    policy.check(method, headers.as_slice(), None, &SiteOrigins::default())
}

#[test]
fn only_safe_methods_pass_and_overrides_are_ignored() {
    let overrides = [
        [("x-http-method-override", "GET")],
        [("x-http-method", "GET")],
        [("x-method-override", "GET")],
    ];
    for headers in &overrides {
        for method in SAFE {
            assert_eq!(check(&CsrfPolicy::default(), method, headers), Verdict::Pass);
        }
        for method in UNSAFE {
            let verdict = check(&CsrfPolicy::default(), method, headers);
            assert_eq!(verdict, Verdict::NeedsToken(None), "{method}");
        }
    }
}

#[test]
fn a_websocket_handshake_needs_a_valid_origin_and_no_token() {
    let policy = CsrfPolicy::default().trust_origin("https://admin.example.org").unwrap();
    let websocket = [("upgrade", "websocket")];
    let lists = [("upgrade", "h2c"), ("upgrade", "foo/2 , WebSocket")];
    let version = [("upgrade", "websocket/13")];
    let handshakes: [(&str, &[_]); 4] =
        [("GET", &websocket), ("GET", &lists), ("GET", &version), ("CONNECT", &[])];
    for (method, handshake) in handshakes {
        for (sender, expected) in [
            (None, Verdict::Pass),
            (Some(("sec-fetch-site", "same-origin")), Verdict::Pass),
            (Some(("origin", "https://example.org")), Verdict::Pass),
            (Some(("origin", "https://admin.example.org")), Verdict::Pass),
            (Some(("sec-fetch-site", "cross-site")), Verdict::Refused(CsrfRejection::CrossSite)),
            (Some(("sec-fetch-site", "same-site")), Verdict::Refused(CsrfRejection::SameSite)),
            (
                Some(("origin", "https://evil.example")),
                Verdict::Refused(CsrfRejection::ForeignOrigin),
            ),
            (Some(("origin", "null")), Verdict::Refused(CsrfRejection::ForeignOrigin)),
        ] {
            let headers: Vec<_> = handshake.iter().copied().chain(sender).collect();
            assert_eq!(check(&policy, method, &headers), expected, "{method} {headers:?}");
        }
    }
}

/// Pages cannot send `Upgrade`, so it must neither bypass the token nor refuse a page.
#[test]
fn other_uses_of_upgrade_are_checked_as_any_request() {
    let policy = CsrfPolicy::default();
    let verdict = |method, protocol| check(&policy, method, &[("upgrade", protocol)]);
    assert_eq!(verdict("POST", "websocket"), Verdict::NeedsToken(None));
    for protocol in ["h2c", "web socket", "TLS/1.0", ""] {
        let headers = [("upgrade", protocol), ("sec-fetch-site", "cross-site")];
        assert_eq!(check(&policy, "GET", &headers), Verdict::Pass, "{protocol}");
    }
}

#[test]
fn a_referer_refuses_a_request_and_proves_none() {
    let foreign = Verdict::Refused(CsrfRejection::ForeignOrigin);
    for policy in [CsrfPolicy::default(), CsrfPolicy::fetch_metadata(), CsrfPolicy::strict()] {
        for (referer, expected) in [
            ("https://example.org/form?x=//evil.example", &Verdict::NeedsToken(None)),
            ("https://evil.example/https://example.org/", &foreign),
            ("https://example.org@evil.example/", &foreign),
            ("http://example.org/", &foreign),
            ("nonsense", &foreign),
        ] {
            let json = ("content-type", "application/json");
            let verdict = check(&policy, "POST", &[("referer", referer), json]);
            assert_eq!(verdict, *expected, "{referer}");
        }
    }
    let twice = [("referer", "https://example.org/"), ("referer", "https://example.org/")];
    let verdict = check(&CsrfPolicy::default(), "POST", &twice);
    assert_eq!(verdict, Verdict::Refused(CsrfRejection::RepeatedHeader));
}

#[test]
fn a_token_in_the_header_is_found_whatever_the_policy_is() {
    for policy in [CsrfPolicy::default(), CsrfPolicy::fetch_metadata(), CsrfPolicy::strict()] {
        let verdict = check(&policy, "POST", &[("x-csrf-token", "t")]);
        assert_eq!(verdict, Verdict::NeedsToken(Some("t".to_owned())));
    }
}

#[test]
fn an_origin_that_is_not_text_is_not_a_missing_one() {
    let headers: &[(&str, &[u8])] = &[
        ("host", b"example.org"),
        ("origin", b"https://ex\xe4mple.org"),
        ("referer", b"https://example.org/form"),
    ];
    let verdict = CsrfPolicy::default().check("POST", headers, None, &SiteOrigins::default());
    assert_eq!(verdict, Verdict::Refused(CsrfRejection::ForeignOrigin));
}

#[test]
fn sibling_hosts_pass_only_if_they_are_allowed() {
    let headers = [("sec-fetch-site", "same-site"), ("origin", "https://shop.example.org")];
    let verdict = check(&CsrfPolicy::default(), "POST", &headers);
    assert_eq!(verdict, Verdict::Refused(CsrfRejection::SameSite));
    let verdict = check(&CsrfPolicy::default().allow_same_site(), "POST", &headers);
    assert_eq!(verdict, Verdict::NeedsToken(None));
}

#[test]
fn a_plain_http_origin_is_accepted_in_development_only() {
    let headers: &[_] = &[("host", "localhost:3333"), ("origin", "http://localhost:3333")];
    let policy = CsrfPolicy::default();
    let verdict = |scheme| policy.check("POST", headers, None, &SiteOrigins::new(scheme));
    assert_eq!(verdict(SiteScheme::Any), Verdict::NeedsToken(None));
    assert_eq!(verdict(SiteScheme::Https), Verdict::Refused(CsrfRejection::ForeignOrigin));
}

#[test]
fn text_that_is_not_an_origin_cannot_be_trusted() {
    for text in [
        "example.org",
        "https://",
        "https://a/b",
        "https://a@b",
        "https://*.a",
        "ftp://a",
        "null",
        "https://:443",
        "https://a:port",
        "https://a:0",
        "https://a:65536",
        "https://a:",
        "https://[::1",
        "https://a b",
        "https://a%2e",
    ] {
        let error = CsrfPolicy::default().trust_origin(text).unwrap_err().to_string();
        assert!(error.contains(text) && error.contains("https://admin.example.org"));
    }
}

#[test]
fn a_token_is_valid_for_one_session_only() {
    let (keys, session, other) = (keys(), Token::draw(), Token::draw());
    let token = keys.issue(&session);
    assert!(keys.verify(&session, &token));
    assert!(!keys.verify(&other, &token));
    assert!(!self::keys().verify(&session, &token), "another application's key");
    let half = &token[..token.len() / 2];
    for malformed in ["", " ", "null", "undefined", half, &format!("{token}A"), &"A".repeat(86)] {
        assert!(!keys.verify(&session, malformed), "{malformed:?}");
    }
    for position in 0..token.len() {
        let mut forged = token.clone().into_bytes();
        forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
        assert!(!keys.verify(&session, std::str::from_utf8(&forged).unwrap()), "at {position}");
    }
}

#[test]
fn a_token_looks_different_every_time() {
    let (keys, session) = (keys(), Token::draw());
    let shown: Vec<_> = (0..100).map(|_| keys.issue(&session)).collect();
    assert!(shown.iter().all(|token| keys.verify(&session, token)));
    let mut unique = shown.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), shown.len());
}

#[test]
fn tokens_of_an_older_application_key_stay_valid() {
    let (old, new) = (AppKeys::generate(), AppKeys::generate());
    let ring = |text: &str| CsrfKeys::new(AppKeys::parse(text).unwrap().derive_all("csrf"));
    let session = Token::draw();
    let token = ring(&old).issue(&session);
    assert!(ring(&format!("{new},{old}")).verify(&session, &token));
    assert!(!ring(&new).verify(&session, &token));
}
