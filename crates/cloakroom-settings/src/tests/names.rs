//! Names that are not settings.

use super::{file, variable};

#[test]
fn an_unknown_key_is_an_error_with_its_line_and_the_nearest_one() {
    for (text, expected) in [
        (
            "\n# comment\ndrvier = 'file'",
            ":3: `drvier` is not a setting; did you mean `driver`? expected",
        ),
        (
            "[cookie]\nsamesite = 'lax'",
            ":2: `cookie.samesite` is not a setting; did you mean `cookie.same_site`?",
        ),
        ("secure = false", ":1: `secure` is not a setting; did you mean `cookie.secure`?"),
        ("[disk]\nx = 1", ":1: `disk` is not a setting; expected one of `driver`, `cookie_name`"),
        ("age = '2h'", ":1: `age` has a new name: `idle_timeout` is accepted"),
        ("lifetime = '2h'", ":1: `lifetime` has a new name: `absolute_timeout` is accepted"),
        ("clear_with_browser = 1", ":1: `clear_with_browser` has a new name: `browser_session` is"),
        ("redis = 'redis://:hunter2@h'", ":1: `redis` is not a table; expected `[redis]`"),
        (
            "app_key = 'base64:hunter2'",
            ":1: the application key is never in the file; set the environment",
        ),
    ] {
        let error = file(text).unwrap_err().to_string();
        let expected = format!("config/session.toml{expected}");
        assert!(error.starts_with(&expected), "{text:?}: {error}");
        assert!(!error.contains("app_key") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn an_unknown_variable_is_an_error_if_it_was_meant_as_a_setting() {
    for (name, said) in [
        ("SESSION_DRVIER", "SESSION_DRVIER is not a setting; did you mean SESSION_DRIVER?"),
        ("SESSION_DRIVE", "did you mean SESSION_DRIVER?"),
        ("SESSION_REDIS_URI", "did you mean SESSION_REDIS_URL?"),
        ("SESSION_COOKIE_COLOUR", "SESSION_COOKIE_ are SESSION_COOKIE_NAME, SESSION_COOKIE_SECURE"),
        ("SESSION_AGE", "SESSION_AGE has a new name: SESSION_IDLE_TIMEOUT is accepted"),
        ("SESSION_LIFETIME", "SESSION_ABSOLUTE_TIMEOUT is accepted"),
        ("SESSION_CLEAR_WITH_BROWSER", "SESSION_BROWSER_SESSION is accepted"),
    ] {
        let error = variable(name, "hunter2").unwrap_err().to_string();
        assert!(error.starts_with("environment: SESSION_") && error.contains(said), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    for name in ["SESSION_MANAGER", "SESSION_FLAVOUR", "MY_SESSION_DRVIER", "session_drvier"] {
        assert!(variable(name, "x").is_ok(), "{name}");
    }
    assert!(variable("SESSION_DRVIER", "").is_ok(), "an empty variable is unset");
}
