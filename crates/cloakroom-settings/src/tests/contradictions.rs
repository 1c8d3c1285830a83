//! Settings that contradict each other.

use super::{file, for_development, variable};
use crate::{Settings, Variables};

#[test]
fn a_contradiction_names_both_settings() {
    for (text, said) in [
        (
            "cookie_name = '__Host-x'\n[cookie]\ndomain = 'example.org'",
            "config/session.toml:1: `cookie_name` is '__Host-x': a name with the prefix `__Host-`",
        ),
        (
            "cookie_name = '__Host-x'\n[cookie]\ndomain = 'example.org'",
            "; `cookie.domain` is 'example.org' (config/session.toml:3)",
        ),
        (
            "cookie_name = '__Http-x'\n[cookie]\nhttp_only = false",
            "; `cookie.http_only` is false (config/session.toml:3)",
        ),
        (
            "[cookie]\npath = '/admin'",
            "session settings: `cookie_name`: a name with the prefix `__Host-Http-` is accepted by \
             browsers only with cookie.secure = true, cookie.http_only = true, cookie.path = \"/\" and no \
             cookie.domain; change these or take another name; `cookie.path` is '/admin' (config/session.toml:2)",
        ),
        (
            "public_origin = 'http://example.org'\n[cookie]\nsecure = true",
            "config/session.toml:1: `public_origin` is 'http://example.org': an origin of https is accepted \
             with cookie.secure = true, because browsers send the cookie over https only; `cookie.secure` is \
             true (config/session.toml:3)",
        ),
    ] {
        let error = file(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text:?}: {error}");
    }
}

#[test]
fn a_contradiction_with_a_default_of_development_names_that() {
    let error = for_development("cookie_name = '__Host-shop'").unwrap_err().to_string();
    let expected = "; `cookie.secure` is false (the default of `Settings::load_for_development`)";
    assert!(error.ends_with(expected), "{error}");
    let error = for_development("cookie_name = '__Host-shop'\ncookie.secure = false").unwrap_err();
    assert!(error.to_string().ends_with("; `cookie.secure` is false (config/session.toml:2)"));
}

#[test]
fn a_partitioned_cookie_needs_secure_and_same_site_none() {
    let error = file("[cookie]\npartitioned = true\nsame_site = 'strict'").unwrap_err().to_string();
    let expected = "config/session.toml:2: `cookie.partitioned` is true: `true` is accepted only with \
                    cookie.secure = true and cookie.same_site = \"none\"";
    assert!(error.starts_with(expected), "{error}");
    assert!(error.ends_with("; `cookie.same_site` is 'strict' (config/session.toml:3)"), "{error}");
    let settings = file("[cookie]\npartitioned = true\nsame_site = 'none'").unwrap();
    assert!(settings.cookie_settings().partitioned);
    let variables = [("SESSION_COOKIE_PARTITIONED", "yes"), ("SESSION_COOKIE_SAME_SITE", "none")];
    let settings = Settings::read("", &Variables::from_iter(variables)).unwrap();
    assert!(settings.cookie_settings().partitioned);
}

#[test]
fn an_old_cookie_needs_a_date_and_another_name() {
    for (text, said) in [
        ("old_cookie_name = 'sid'", "`old_cookie_name` is 'sid': it needs `old_cookie_until`"),
        (
            "old_cookie_until = '2027-03-01'",
            "`old_cookie_until` is '2027-03-01': it needs `old_cookie_name`",
        ),
        (
            "old_cookie_name = '__Host-Http-session'\nold_cookie_until = '2027-03-01'",
            "is '__Host-Http-session': a name that differs from `cookie_name` is accepted",
        ),
        (
            "old_cookie_name = 'a b'\nold_cookie_until = '2027-03-01'",
            "`old_cookie_name` is 'a b': letters, digits and",
        ),
    ] {
        let error = file(text).unwrap_err().to_string();
        assert!(error.starts_with("config/session.toml:1: ") && error.contains(said), "{error}");
    }
    // One file serves production and development.
    let text = "old_cookie_name = '__Host-session'\nold_cookie_until = 2027-03-01";
    assert!(file(text).is_ok() && for_development(text).is_ok());
    assert!(file(&format!("{text}\n[cookie]\ndomain = 'example.org'")).is_ok());
}

#[test]
fn a_public_origin_may_be_plain_http_in_development() {
    assert!(for_development("public_origin = 'http://localhost:5173'").is_ok());
    assert!(file("public_origin = 'http://localhost:5173'").is_err());
}

#[test]
fn a_variable_that_a_rule_refuses_is_named_with_its_value() {
    for (name, value, said) in [
        ("SESSION_COOKIE_PATH", "admin", "is \"admin\": a path that begins with `/` is accepted"),
        ("SESSION_COOKIE_NAME", "a b", "is \"a b\": letters, digits and"),
        ("SESSION_COOKIE_DOMAIN", ".", "is \".\": a host name is accepted"),
        ("SESSION_COOKIE_DOMAIN", "-", "is \"-\": a host name is accepted"),
        ("SESSION_COOKIE_DOMAIN", "example.org.", "is \"example.org.\": a host name is accepted"),
        ("SESSION_COOKIE_DOMAIN", "a..b", "is \"a..b\": a host name is accepted"),
    ] {
        let error = variable(name, value).unwrap_err().to_string();
        assert!(error.starts_with(&format!("environment: {name} {said}")), "{error}");
    }
    for domain in ["example.org", ".example.org", "localhost", "a-b.xn--bcher-kva.example"] {
        assert!(variable("SESSION_COOKIE_DOMAIN", domain).is_ok(), "{domain}");
    }
}

#[test]
fn a_bad_application_key_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    std::fs::write(&path, "APP_KEY=base64:hunter2").unwrap();
    for (variables, place) in [
        (Variables::from_file(&path).unwrap(), path.display().to_string()),
        (Variables::from_iter([("APP_KEY", "base64:hunter2")]), "environment".to_owned()),
    ] {
        let error = Settings::read("", &variables).unwrap().app_keys().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{place}: ")) && error.contains("APP_KEY"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
