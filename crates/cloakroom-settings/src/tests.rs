//! Every key by file and by environment, and every way to get one wrong.

use super::*;
use cloakroom_core::AppKeys;
use cloakroom_core::adapter::RequestContext;
use cloakroom_core::store::{Commit, Entry, Outcome, RecordKey, Store, StoreError};

fn none(_: &str) -> Option<String> {
    None
}

fn file(text: &str) -> Result<Settings, SettingsError> {
    Settings::read(text, &none)
}

fn variable(name: &'static str, value: &'static str) -> Result<Settings, SettingsError> {
    Settings::read("", &|asked| (asked == name).then(|| value.to_owned()))
}

/// Key, variable, a value as the file has it, and what both come to.
type Row = (&'static str, &'static str, &'static str, &'static str, fn(&Settings) -> String);

const ROWS: [Row; 35] = [
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
        let environment = |asked: &str| (asked == name).then(|| bare.clone());
        let settings = Settings::read("", &environment).unwrap();
        assert_eq!(read(&settings), expected, "{name}");
        let other = Settings::read(&format!("{key} = {value}"), &environment);
        assert!(other.is_ok(), "{key} in both");
    }
}

#[test]
fn the_table_above_has_every_variable_there_is() {
    let known = load::variables(&Settings::META, "");
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
    let settings =
        Settings::read(text, &|name| (name == "SESSION_IDLE_TIMEOUT").then(|| "2d".to_owned()));
    assert_eq!(settings.unwrap().idle_timeout, Duration::from_hours(48));
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_what_is_accepted() {
    for (text, said) in [
        ("drvier = 'file'", &["config/session.toml", "drvier", "expected one of", "driver"][..]),
        ("[cookie]\nsamesite = 'lax'", &["`cookie", "samesite", "same_site"]),
        ("driver = 'disk'", &["`driver`", "disk", "cookie", "redis"]),
        ("driver = 3", &["`driver`"]),
        ("idle_timeout = '2 lightyears'", &["`idle_timeout`", "\"2h\"", "accepted"]),
        ("idle_timeout = 0", &["`idle_timeout`", "at least one second"]),
        ("idle_timeout = '999ms'", &["`idle_timeout`", "at least one second"]),
        ("absolute_timeout = '999ms'", &["`absolute_timeout`", "at least one second"]),
        ("idle_timeout = true", &["`idle_timeout`", "accepted"]),
        ("max_bytes = 0", &["`max_bytes`", "bytes, more than 0"]),
        ("max_bytes = -1", &["`max_bytes`", "bytes, more than 0"]),
        ("max_bytes = '1 MB'", &["`max_bytes`", "bytes, more than 0"]),
        ("max_sessions = 0", &["`max_sessions`", "more than 0, or \"none\""]),
        ("max_sessions = -1", &["`max_sessions`", "more than 0, or \"none\""]),
        ("max_sessions = '100'", &["`max_sessions`", "more than 0, or \"none\""]),
        (
            "secret_fields = ['pin', 'card[number']",
            &["`secret_fields", "`card[number`", "accepted"],
        ),
        ("secret_fields = 3", &["`secret_fields`", "a list of strings"]),
        ("commit_deadline = 0", &["`commit_deadline`", "more than 0"]),
        ("commit_deadline = '0s'", &["`commit_deadline`", "more than 0"]),
        ("commit_deadline = []", &["`commit_deadline`", "accepted"]),
        ("[cookie]\nsame_site = 'loose'", &["`cookie.same_site`", "strict", "accepted"]),
        ("[cookie]\nsecure = 'true'", &["`cookie.secure`", "boolean"]),
        ("[cookie]\nmax_chunks = 99", &["max_chunks", "1 to 16"]),
        (
            "cookie_name = '__Host-x'\n[cookie]\ndomain = 'example.org'",
            &["__Host-", "no cookie.domain"],
        ),
        (
            "cookie_name = '__Http-x'\n[cookie]\nhttp_only = false",
            &["`__Http-`", "http_only = true"],
        ),
        ("app_key = 'base64:AAAA'", &["never in the file", "APP_KEY"]),
        ("driver = ", &["config/session.toml"]),
        ("[redis]\nurl = 'redis://h'\nhost = 'h'", &["redis.url", "one of the two"]),
        ("[redis]\nmode = 'galaxy'", &["`redis.mode`", "sentinel", "cluster"]),
        ("[redis]\nnodes = 3", &["`redis.nodes`", "accepted"]),
        ("[redis]\ncommand_timeout = 'soon'", &["`redis.command_timeout`", "accepted"]),
        ("[file]\ndurability = 'maybe'", &["`file.durability`", "full", "fast"]),
        ("[redis]\nnear_cache_bytes = 0", &["`redis.near_cache_bytes`", "more than 0"]),
        ("[redis]\npassword = 12345", &["redis.password", "a string"]),
    ] {
        let error = file(text).unwrap_err().to_string();
        assert!(said.iter().all(|part| error.contains(part)), "{text:?}: {error}");
        assert!(
            !error.contains('\n') && !error.contains("AAAA") && !error.contains("12345"),
            "{error}"
        );
    }
    for (name, value, said) in [
        ("SESSION_COOKIE_SECURE", "perhaps", "boolean"),
        ("SESSION_IDLE_TIMEOUT", "soon", "\"2h\""),
        ("SESSION_IDLE_TIMEOUT", "1us", "at least one second"),
        ("SESSION_ABSOLUTE_TIMEOUT", "0", "at least one second"),
        ("SESSION_COOKIE_MAX_CHUNKS", "many", "u8"),
        ("SESSION_MAX_BYTES", "0", "more than 0"),
        ("SESSION_MAX_BYTES", "many", "a number of bytes"),
        ("SESSION_MAX_SESSIONS", "0", "more than 0, or \"none\""),
        ("SESSION_MAX_SESSIONS", "many", "a number of sessions"),
        ("SESSION_COMMIT_DEADLINE", "0", "more than 0"),
        ("SESSION_COMMIT_DEADLINE", "later", "a number of seconds"),
        ("SESSION_DRIVER", "disk", "cookie"),
    ] {
        let error = variable(name, value).unwrap_err().to_string();
        assert!(error.starts_with(name) && error.contains(said), "{error}");
    }
}

#[test]
fn the_application_key_comes_from_the_environment_and_is_never_shown() {
    let error = file("").unwrap().sessions().unwrap_err().to_string();
    assert!(error.contains("APP_KEY") && error.contains("openssl"), "{error}");
    let key = AppKeys::generate();
    let settings = Settings::read("", &|name| (name == "APP_KEY").then(|| key.clone())).unwrap();
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
    let key = AppKeys::generate();
    let settings =
        Settings::read("driver = 'redis'", &|name| (name == "APP_KEY").then(|| key.clone()));
    let error = settings.unwrap().sessions().unwrap_err().to_string();
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
    for (name, _) in super::load::variables(&<Settings as confique::Config>::META, "") {
        assert_eq!(template.contains(&format!("# {name}\n")), name != "APP_KEY", "{name}");
    }
}

#[test]
fn the_default_list_of_secret_fields_is_that_of_the_code() {
    assert_eq!(file("").unwrap().secret_fields, SecretFields::default());
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
    assert_eq!(DotEnv::read(&path).unwrap().variable("APP_KEY"), None);
    std::fs::write(&path, "# ours\nAPP_KEY='base64:abc'\nSESSION_AGE=\n").unwrap();
    let read = DotEnv::read(&path).unwrap();
    assert_eq!(read.variable("APP_KEY").as_deref(), Some("base64:abc"));
    assert_eq!(read.variable("SESSION_IDLE_TIMEOUT"), None);
    assert!(!format!("{read:?}").contains("abc"));
    std::fs::write(&path, "APP KEY hunter2").unwrap();
    let error = DotEnv::read(&path).unwrap_err().to_string();
    assert!(error.contains("NAME=value") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn the_limit_of_a_record_reaches_the_session_system() {
    let key = AppKeys::generate();
    let settings = Settings::read("driver = 'memory'\nmax_bytes = 1000", &|name| {
        (name == "APP_KEY").then(|| key.clone())
    });
    let sessions = settings.unwrap().sessions().unwrap();
    let no_headers: &[(&str, &str)] = &[];
    for (length, fits) in [(500, true), (1001, false)] {
        let session = RequestContext::new(&sessions).session(no_headers).await.unwrap();
        session.put("k", "x".repeat(length)).unwrap();
        let committed = session.commit().await;
        assert_eq!(committed.is_ok(), fits, "{length}");
        assert!(committed.err().is_none_or(|error| error.is_too_large()), "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_commit_deadline_reaches_the_session_system() {
    /// Never answers a commit.
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

    let key = AppKeys::generate();
    let settings =
        Settings::read("commit_deadline = '90s'", &|name| (name == "APP_KEY").then(|| key.clone()));
    let sessions = settings.unwrap().builder_on(Hanging).unwrap().build().unwrap();
    let no_headers: &[(&str, &str)] = &[];
    let session = RequestContext::new(&sessions).session(no_headers).await.unwrap();
    session.put("k", 1).unwrap();
    let begun = tokio::time::Instant::now();
    assert!(session.commit().await.unwrap_err().is_unavailable());
    assert_eq!(begun.elapsed().as_secs(), 90);
}
