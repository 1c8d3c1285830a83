//! The defaults, and the template that shows them.

use std::time::Duration;

use cloakroom_core::form::SecretFields;

use super::{file, variable};
use crate::{DriverKind, Settings, Variables, names};

#[test]
fn the_defaults_are_safe() {
    let settings = file("").unwrap();
    assert_eq!(settings.driver, DriverKind::Cookie);
    assert_eq!(settings.idle_timeout, cloakroom_core::DEFAULT_IDLE_TIMEOUT);
    assert_eq!(settings.absolute_timeout, None);
    assert_eq!(settings.max_bytes, 256 * 1024);
    assert_eq!(settings.max_sessions.limit(), Some(100));
    assert_eq!(settings.commit_deadline, Duration::from_secs(5));
    assert_eq!(settings.cookie_settings(), cloakroom_core::cookie::CookieSettings::default());
}

#[test]
fn the_word_none_lifts_the_limit_of_sessions() {
    assert_eq!(file("max_sessions = 'none'").unwrap().max_sessions.limit(), None);
    let settings = variable("SESSION_MAX_SESSIONS", "none").unwrap();
    assert_eq!(settings.max_sessions.limit(), None);
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = "driver = 'cookie'\nidle_timeout = '1h'";
    let environment = Variables::from_iter([("SESSION_IDLE_TIMEOUT", "2d")]);
    let settings = Settings::read(text, &environment);
    assert_eq!(settings.unwrap().idle_timeout, Duration::from_hours(48));
}

#[test]
fn every_line_of_the_template_is_a_setting_and_together_they_are_the_defaults() {
    let template = Settings::template();
    let defaults = format!("{:?}", file("").unwrap());
    assert_eq!(format!("{:?}", file(&template).unwrap()), defaults);
    let uncommented = |line: &str| {
        let setting = line.strip_prefix('#').filter(|rest| rest.contains(" = "));
        setting.filter(|rest| !rest.starts_with(' ') && !rest.contains('…')).map(ToOwned::to_owned)
    };
    let lines: Vec<_> =
        template.lines().map(|line| uncommented(line).unwrap_or(line.to_owned())).collect();
    assert_eq!(format!("{:?}", file(&lines.join("\n")).unwrap()), defaults);
    for (name, _) in names::variables() {
        assert_eq!(template.contains(&format!("# {name}\n")), name != "APP_KEY", "{name}");
    }
}

#[test]
fn the_default_list_of_secret_fields_is_that_of_the_core() {
    assert_eq!(file("").unwrap().secret_fields, SecretFields::default());
    let line = format!("#secret_fields = {:?}  # SESSION_SECRET_FIELDS\n", SecretFields::DEFAULT);
    assert!(Settings::template().contains(&line), "{line}");
}

#[test]
fn the_default_name_has_the_strongest_prefix_that_browsers_accept() {
    for (cookie, name) in [
        ("", "__Host-Http-session"),
        ("http_only = false", "__Host-session"),
        ("http_only = false\ndomain = 'example.org'", "__Secure-session"),
        ("domain = 'example.org'", "__Secure-session"),
        ("secure = false", "session"),
        ("secure = false\ndomain = 'example.org'", "session"),
    ] {
        let settings = file(&format!("[cookie]\n{cookie}")).unwrap();
        assert_eq!(settings.cookie_settings().name, name, "{cookie}");
    }
}
