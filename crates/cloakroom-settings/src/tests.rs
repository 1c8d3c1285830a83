//! Every key by file and by environment, and every way to get one wrong.

use std::path::Path;

use super::*;
use cloakroom_core::AppKeys;
use cloakroom_core::adapter::RequestContext;
use cloakroom_core::store::{Commit, Entry, Outcome, RecordKey, Store, StoreError};

fn file(text: &str) -> Result<Settings, SettingsError> {
    Settings::read(text, &Variables::default())
}

fn variable(name: &str, value: &str) -> Result<Settings, SettingsError> {
    Settings::read("", &Variables::from_iter([(name, value)]))
}

/// Reads the text of a file, with a key.
fn with_key(text: &str) -> Settings {
    Settings::read(text, &Variables::from_iter([("APP_KEY", AppKeys::generate())])).unwrap()
}

/// Key, variable, a value as the file has it, and what both come to.
type Row = (&'static str, &'static str, &'static str, &'static str, fn(&Settings) -> String);

const ROWS: [Row; 37] = [
    ("driver", "SESSION_DRIVER", "'memory'", "Memory", |s| format!("{:?}", s.driver)),
    ("cookie_name", "SESSION_COOKIE_NAME", "'sid'", "sid", |s| s.cookie_settings().name),
    ("browser_session", "SESSION_BROWSER_SESSION", "true", "true", |s| {
        s.browser_session.to_string()
    }),
    ("idle_timeout", "SESSION_IDLE_TIMEOUT", "'10d'", "864000s", |s| {
        format!("{:?}", s.idle_timeout)
    }),
    ("absolute_timeout", "SESSION_ABSOLUTE_TIMEOUT", "90", "Some(90s)", |s| {
        format!("{:?}", s.absolute_timeout)
    }),
    ("max_bytes", "SESSION_MAX_BYTES", "1000", "1000", |s| s.max_bytes.to_string()),
    ("max_sessions", "SESSION_MAX_SESSIONS", "3", "Some(3)", |s| {
        format!("{:?}", s.max_sessions.limit())
    }),
    ("commit_deadline", "SESSION_COMMIT_DEADLINE", "'2s'", "2s", |s| {
        format!("{:?}", s.commit_deadline)
    }),
    ("secret_fields", "SESSION_SECRET_FIELDS", "'iban, *passw*'", "true false", |s| {
        format!("{} {}", s.secret_fields.has("my_iban"), s.secret_fields.has("pin"))
    }),
    ("show_errors", "SESSION_SHOW_ERRORS", "true", "true", |s| s.show_errors.to_string()),
    ("print_errors", "SESSION_PRINT_ERRORS", "true", "true", |s| s.print_errors.to_string()),
    ("cookie.secure", "SESSION_COOKIE_SECURE", "false", "session", |s| s.cookie_settings().name),
    ("cookie.http_only", "SESSION_COOKIE_HTTP_ONLY", "false", "false", |s| {
        s.cookie.http_only.to_string()
    }),
    ("cookie.same_site", "SESSION_COOKIE_SAME_SITE", "'strict'", "Strict", |s| {
        format!("{:?}", s.cookie.same_site)
    }),
    ("cookie.path", "SESSION_COOKIE_PATH", "'/'", "/", |s| s.cookie.path.clone()),
    ("cookie.domain", "SESSION_COOKIE_DOMAIN", "'example.org'", "example.org", |s| {
        s.cookie.domain.clone().unwrap_or_default()
    }),
    ("cookie.max_chunks", "SESSION_COOKIE_MAX_CHUNKS", "2", "2", |s| {
        s.cookie.max_chunks.to_string()
    }),
    ("file.location", "SESSION_FILE_LOCATION", "'/var/s'", "/var/s", |s| {
        s.file.location.display().to_string()
    }),
    ("redis.url", "SESSION_REDIS_URL", "'redis://h/1'", "redis://h/1", |s| {
        s.redis.url.as_ref().unwrap().expose().to_owned()
    }),
    ("file.durability", "SESSION_FILE_DURABILITY", "'fast'", "Fast", |s| {
        format!("{:?}", s.file.durability)
    }),
    ("redis.user", "SESSION_REDIS_USER", "'app'", "app", |s| text(s.redis.user.as_deref())),
    ("redis.password", "SESSION_REDIS_PASSWORD", "'12345'", "12345", |s| {
        text(s.redis.password.as_ref().map(Secret::expose))
    }),
    ("redis.tls", "SESSION_REDIS_TLS", "true", "true", |s| s.redis.tls.to_string()),
    ("redis.ca_file", "SESSION_REDIS_CA_FILE", "'/ca.pem'", "/ca.pem", |s| {
        text(s.redis.ca_file.as_ref().and_then(|path| path.to_str()))
    }),
    ("redis.mode", "SESSION_REDIS_MODE", "'cluster'", "Cluster", |s| format!("{:?}", s.redis.mode)),
    ("redis.nodes", "SESSION_REDIS_NODES", "'a:1,b:2'", "a:1 b:2", |s| {
        s.redis.nodes.clone().unwrap_or_default().join(" ")
    }),
    ("redis.host", "SESSION_REDIS_HOST", "'db.example'", "db.example", |s| {
        text(s.redis.host.as_deref())
    }),
    ("redis.port", "SESSION_REDIS_PORT", "6380", "Some(6380)", |s| format!("{:?}", s.redis.port)),
    ("redis.db", "SESSION_REDIS_DB", "2", "Some(2)", |s| format!("{:?}", s.redis.db)),
    ("redis.master", "SESSION_REDIS_MASTER", "'main'", "main", |s| s.redis.master.clone()),
    ("redis.sentinel_password", "SESSION_REDIS_SENTINEL_PASSWORD", "'x'", "x", |s| {
        text(s.redis.sentinel_password.as_ref().map(Secret::expose))
    }),
    ("redis.connect_timeout", "SESSION_REDIS_CONNECT_TIMEOUT", "'2s'", "2s", |s| {
        format!("{:?}", s.redis.connect_timeout)
    }),
    ("redis.command_timeout", "SESSION_REDIS_COMMAND_TIMEOUT", "'90ms'", "90ms", |s| {
        format!("{:?}", s.redis.command_timeout)
    }),
    ("redis.near_cache", "SESSION_REDIS_NEAR_CACHE", "true", "true", |s| {
        s.redis.near_cache.to_string()
    }),
    ("redis.near_cache_bytes", "SESSION_REDIS_NEAR_CACHE_BYTES", "1048576", "1048576", |s| {
        s.redis.near_cache_bytes.to_string()
    }),
    ("redis.wait_replicas", "SESSION_REDIS_WAIT_REPLICAS", "1", "1", |s| {
        s.redis.wait_replicas.to_string()
    }),
    ("redis.key_prefix", "SESSION_REDIS_KEY_PREFIX", "'1'", "1", |s| s.redis.key_prefix.clone()),
];

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

#[test]
fn every_key_is_set_by_the_file_and_by_its_variable() {
    for (key, name, value, expected, read) in ROWS {
        let settings = file(&format!("{key} = {value}")).unwrap();
        assert_eq!(read(&settings), expected, "{key} in the file");
        let bare = value.trim_matches('\'').to_owned();
        let environment = Variables::from_iter([(name, bare)]);
        let settings = Settings::read("", &environment).unwrap();
        assert_eq!(read(&settings), expected, "{name}");
        let other = Settings::read(&format!("{key} = {value}"), &environment);
        assert!(other.is_ok(), "{key} in both");
    }
}

#[test]
fn the_table_above_has_every_variable_there_is() {
    let known = names::variables();
    let mut rows: Vec<_> = ROWS.iter().map(|(key, name, ..)| (*name, (*key).to_owned())).collect();
    rows.push(("APP_KEY", "app_key".to_owned()));
    rows.sort();
    let mut known = known;
    known.sort();
    assert_eq!(known, rows);
}

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

#[test]
fn a_wrong_value_is_quoted_with_its_line_and_what_is_accepted() {
    for (text, expected) in [
        (
            "driver = 'disk'",
            "1: `driver` is 'disk': expected `cookie`, `memory`, `file` or `redis`",
        ),
        ("driver = 3", "1: `driver` is 3: expected `cookie`"),
        (
            "\n\nidle_timeout = '2 lightyears'",
            "3: `idle_timeout` is '2 lightyears': expected a span such as \"90s\"",
        ),
        (
            "idle_timeout = 0",
            "1: `idle_timeout` is 0: expected a span such as \"90s\", \"2h\" or \"10d\", or a number of seconds, at least one second",
        ),
        ("idle_timeout = '999ms'", "1: `idle_timeout` is '999ms': expected"),
        ("absolute_timeout = '999ms'", "1: `absolute_timeout` is '999ms': expected"),
        ("idle_timeout = true", "1: `idle_timeout` is true: expected"),
        ("max_bytes = 0", "1: `max_bytes` is 0: expected a number of bytes, more than 0"),
        ("max_bytes = -1", "1: `max_bytes` is -1: expected a number of bytes"),
        ("max_bytes = '1 MB'", "1: `max_bytes` is '1 MB': expected a number of bytes"),
        (
            "max_sessions = 0",
            "1: `max_sessions` is 0: expected a number of sessions, more than 0, or \"none\"",
        ),
        ("max_sessions = -1", "1: `max_sessions` is -1: expected"),
        ("max_sessions = '100'", "1: `max_sessions` is '100': expected"),
        (
            "secret_fields = ['pin', 'card[number']",
            "1: `secret_fields` is ['pin', 'card[number']: `card[number` is no pattern for field names: letters",
        ),
        ("secret_fields = 3", "1: `secret_fields` is 3: expected a list of strings"),
        (
            "commit_deadline = 0",
            "1: `commit_deadline` is 0: expected a span such as \"90s\", \"2h\" or \"10d\", or a number of seconds, more than 0",
        ),
        ("commit_deadline = '0s'", "1: `commit_deadline` is '0s': expected"),
        ("commit_deadline = []", "1: `commit_deadline` is []: expected"),
        ("browser_session = 'yes'", "1: `browser_session` is 'yes': expected true or false"),
        (
            "[cookie]\nsame_site = 'loose'",
            "2: `cookie.same_site` is 'loose': expected `lax`, `strict` or `none`",
        ),
        ("cookie.secure = 'true'", "1: `cookie.secure` is 'true': expected true or false"),
        (
            "[cookie]\n\nmax_chunks = 99",
            "3: `cookie.max_chunks` is 99: expected a number from 1 to 16",
        ),
        (
            "[redis]\nmode = 'galaxy'",
            "2: `redis.mode` is 'galaxy': expected `standalone`, `sentinel` or `cluster`",
        ),
        ("[redis]\nport = 0", "2: `redis.port` is 0: expected a port, 1 to 65535"),
        ("[redis]\nnodes = 3", "2: `redis.nodes`: expected a list of strings"),
        ("[redis]\nurl = 12345", "2: `redis.url`: expected a string"),
        ("[redis]\npassword = 12345", "2: `redis.password`: expected a string"),
        (
            "[redis]\ncommand_timeout = 'soon'",
            "2: `redis.command_timeout` is 'soon': expected a span",
        ),
        (
            "[redis]\nnear_cache_bytes = 0",
            "2: `redis.near_cache_bytes` is 0: expected a number of bytes",
        ),
        (
            "[redis]\nwait_replicas = -1",
            "2: `redis.wait_replicas` is -1: expected a whole number, 0 or more",
        ),
        (
            "[file]\ndurability = 'maybe'",
            "2: `file.durability` is 'maybe': expected `full` or `fast`",
        ),
        ("driver = ", "1: "),
        ("max_bytes = 1\nmax_bytes = 1", "2: duplicate key"),
    ] {
        let error = file(text).unwrap_err().to_string();
        let expected = format!("config/session.toml:{expected}");
        assert!(error.starts_with(&expected), "{text:?}: {error}");
        assert!(!error.contains('\n') && !error.contains("12345"), "{error}");
    }
}

#[test]
fn a_wrong_variable_is_quoted_with_what_is_accepted() {
    for (name, value, expected) in [
        (
            "SESSION_COOKIE_SECURE",
            "perhaps",
            "\"perhaps\": expected true, 1, yes, on, false, 0, no or off",
        ),
        ("SESSION_IDLE_TIMEOUT", "soon", "\"soon\": expected a span such as \"90s\""),
        ("SESSION_IDLE_TIMEOUT", "1us", "\"1us\": expected a span such as \"90s\""),
        ("SESSION_ABSOLUTE_TIMEOUT", "0", "\"0\": expected a span such as \"90s\""),
        ("SESSION_COOKIE_MAX_CHUNKS", "many", "\"many\": expected a number from 1 to 16"),
        ("SESSION_COOKIE_MAX_CHUNKS", "1", ""),
        ("SESSION_MAX_BYTES", "0", "\"0\": expected a number of bytes, more than 0"),
        ("SESSION_MAX_BYTES", "many", "\"many\": expected a number of bytes"),
        (
            "SESSION_MAX_SESSIONS",
            "0",
            "\"0\": expected a number of sessions, more than 0, or \"none\"",
        ),
        ("SESSION_MAX_SESSIONS", "many", "\"many\": expected a number of sessions"),
        ("SESSION_COMMIT_DEADLINE", "0", "\"0\": expected a span"),
        ("SESSION_REDIS_PORT", "http", "\"http\": expected a port"),
        ("SESSION_DRIVER", "disk", "\"disk\": expected `cookie`, `memory`, `file` or `redis`"),
    ] {
        let read = variable(name, value);
        let said = read.map_err(|error| error.to_string()).err().unwrap_or_default();
        let prefix = format!("environment: {name} is {expected}");
        assert!(
            if expected.is_empty() { said.is_empty() } else { said.starts_with(&prefix) },
            "{said}"
        );
    }
}

#[test]
fn a_long_value_is_quoted_in_part() {
    let error = variable("SESSION_IDLE_TIMEOUT", &"é".repeat(500)).unwrap_err().to_string();
    assert!(error.contains("éé…: expected") && error.chars().count() < 250, "{error}");
}

#[test]
fn a_boolean_in_the_environment_is_a_word_or_a_digit_in_any_case() {
    for (words, expected) in [
        (["1", "yes", "true", "on", "YES", "True", "oN"], true),
        (["0", "no", "false", "off", "No", "FALSE", "Off"], false),
    ] {
        for word in words {
            let settings = variable("SESSION_COOKIE_SECURE", word).unwrap();
            assert_eq!(settings.cookie.secure, expected, "{word}");
        }
    }
    assert_eq!(variable("SESSION_COOKIE_NAME", "yes").unwrap().cookie_name.as_deref(), Some("yes"));
    assert_eq!(variable("SESSION_REDIS_WAIT_REPLICAS", "1").unwrap().redis.wait_replicas, 1);
}

#[test]
fn a_contradiction_names_both_settings() {
    for (text, said) in [
        (
            "cookie_name = '__Host-x'\n[cookie]\ndomain = 'example.org'",
            &["__Host-", "no cookie.domain"][..],
        ),
        (
            "cookie_name = '__Http-x'\n[cookie]\nhttp_only = false",
            &["`__Http-`", "http_only = true"],
        ),
        ("[redis]\nurl = 'redis://h'\nhost = 'h'", &["redis.url", "the URL or the parts"]),
    ] {
        let error = file(text).unwrap_err().to_string();
        assert!(said.iter().all(|part| error.contains(part)), "{text:?}: {error}");
    }
}

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

#[test]
fn a_list_is_a_list_or_text_with_commas() {
    let expected = ["a:1", "b:2"].map(ToOwned::to_owned);
    let written = file("[redis]\nnodes = ['a:1', 'b:2']").unwrap();
    assert_eq!(written.redis.nodes.as_deref(), Some(&expected[..]));
    let from_environment = variable("SESSION_REDIS_NODES", "a:1, b:2").unwrap();
    assert_eq!(from_environment.redis.nodes.as_deref(), Some(&expected[..]));
}

#[cfg(not(feature = "redis"))]
#[test]
fn a_driver_that_is_not_built_in_says_so() {
    let error = with_key("driver = 'redis'").sessions().unwrap_err().to_string();
    assert!(error.contains("`redis`") && error.contains("feature `redis`"), "{error}");
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
        ("", "__Host-session"),
        ("domain = 'example.org'", "__Secure-session"),
        ("secure = false", "session"),
        ("secure = false\ndomain = 'example.org'", "session"),
    ] {
        let settings = file(&format!("[cookie]\n{cookie}")).unwrap();
        assert_eq!(settings.cookie_settings().name, name, "{cookie}");
    }
}

#[test]
fn variables_of_a_dot_env_file_are_read_and_a_bad_line_is_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    assert_eq!(Variables::from_file(&path).unwrap().get("APP_KEY"), None);
    std::fs::write(&path, "# ours\nAPP_KEY='base64:abc'\nSESSION_DRIVER=\nHOME=/x\n").unwrap();
    let read = Variables::from_file(&path).unwrap();
    assert_eq!(read.get("APP_KEY"), Some("base64:abc"));
    assert_eq!((read.get("SESSION_DRIVER"), read.get("HOME")), (None, None));
    assert!(!format!("{read:?}").contains("abc"));
    std::fs::write(&path, "APP KEY hunter2").unwrap();
    let error = Variables::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("NAME=value") && !error.contains("hunter2"), "{error}");
}

#[test]
fn the_error_says_that_a_variable_comes_from_the_dot_env_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    for (line, said) in [
        ("SESSION_DRIVER=disk", "SESSION_DRIVER is \"disk\": expected"),
        ("SESSION_DRVIER=file", "SESSION_DRVIER is not a setting; did you mean SESSION_DRIVER?"),
    ] {
        std::fs::write(&path, line).unwrap();
        let variables = Variables::default().or(Variables::from_file(&path).unwrap());
        let error = Settings::read("", &variables).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: {said}", path.display())), "{error}");
    }
    std::fs::write(&path, "SESSION_DRIVER=disk").unwrap();
    let environment = Variables::from_iter([("SESSION_DRIVER", "memory")]);
    let variables = environment.or(Variables::from_file(&path).unwrap());
    assert_eq!(Settings::read("", &variables).unwrap().driver, DriverKind::Memory);
}

#[test]
fn a_file_that_was_named_has_to_exist() {
    let error = Settings::load_with(Some(Path::new("/no/such.toml")), &Variables::default());
    assert!(error.unwrap_err().to_string().starts_with("/no/such.toml: cannot be read"));
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
