//! Each key, by the file and by its variable.

use std::time::UNIX_EPOCH;

use super::{file, variable};
use crate::{Secret, Settings, Variables, names};

/// Key, variable, a value as the file has it, and what both come to.
type Row = (&'static str, &'static str, &'static str, &'static str, fn(&Settings) -> String);

const ROWS: [Row; 58] = [
    ("driver", "SESSION_DRIVER", "'memory'", "Memory", |s| format!("{:?}", s.driver)),
    ("cookie_name", "SESSION_COOKIE_NAME", "'sid'", "sid", |s| s.cookie_settings().name),
    ("old_cookie_name", "SESSION_OLD_COOKIE_NAME", "'sid'", "sid", |s| {
        text(s.old_cookie_name.as_deref())
    }),
    ("old_cookie_until", "SESSION_OLD_COOKIE_UNTIL", "'2027-03-01'", "1803859200", |s| {
        let until = s.old_cookie_until.unwrap().duration_since(UNIX_EPOCH).unwrap();
        until.as_secs().to_string()
    }),
    ("browser_session", "SESSION_BROWSER_SESSION", "true", "true", |s| {
        s.browser_session.to_string()
    }),
    (
        "public_origin",
        "SESSION_PUBLIC_ORIGIN",
        "'https://A.example:443'",
        "https://a.example",
        |s| s.public_origin.as_ref().unwrap().to_string(),
    ),
    (
        "trusted_origins",
        "SESSION_TRUSTED_ORIGINS",
        "'https://a.example, http://localhost:5173'",
        "https://a.example http://localhost:5173",
        |s| {
            let origins: Vec<_> = s.trusted_origins.iter().map(ToString::to_string).collect();
            origins.join(" ")
        },
    ),
    ("idle_timeout", "SESSION_IDLE_TIMEOUT", "'10d'", "864000s", |s| {
        format!("{:?}", s.idle_timeout)
    }),
    ("no_touch_header", "SESSION_NO_TOUCH_HEADER", "'x-background'", "x-background", |s| {
        text(s.no_touch_header.as_deref())
    }),
    ("absolute_timeout", "SESSION_ABSOLUTE_TIMEOUT", "90", "Some(90s)", |s| {
        format!("{:?}", s.absolute_timeout)
    }),
    ("max_bytes", "SESSION_MAX_BYTES", "1000", "1000", |s| s.max_bytes.to_string()),
    ("seal_records", "SESSION_SEAL_RECORDS", "true", "true", |s| s.seal_records.to_string()),
    ("max_sessions", "SESSION_MAX_SESSIONS", "3", "Some(3)", |s| {
        format!("{:?}", s.max_sessions.limit())
    }),
    ("commit_deadline", "SESSION_COMMIT_DEADLINE", "'2s'", "2s", |s| {
        format!("{:?}", s.commit_deadline)
    }),
    ("device_binding", "SESSION_DEVICE_BINDING", "'report'", "Report", |s| {
        format!("{:?}", s.device_binding)
    }),
    ("device_refresh", "SESSION_DEVICE_REFRESH", "'5m'", "300s", |s| {
        format!("{:?}", s.device_refresh)
    }),
    ("secret_fields", "SESSION_SECRET_FIELDS", "'iban, *passw*'", "true false", |s| {
        format!("{} {}", s.secret_fields.has("my_iban"), s.secret_fields.has("pin"))
    }),
    ("sign_in_page", "SESSION_SIGN_IN_PAGE", "'/in'", "/in", |s| text(s.sign_in_page.as_deref())),
    ("clear_site_data", "SESSION_CLEAR_SITE_DATA", "'cache, *'", "[Cache, All]", |s| {
        format!("{:?}", s.clear_site_data)
    }),
    ("show_errors", "SESSION_SHOW_ERRORS", "true", "true", |s| s.show_errors.to_string()),
    ("previous_url", "SESSION_PREVIOUS_URL", "true", "true", |s| s.previous_url.to_string()),
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
    ("cookie.partitioned", "SESSION_COOKIE_PARTITIONED", "true", "true", |s| {
        s.cookie.partitioned.to_string()
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
    ("database.url", "SESSION_DATABASE_URL", "'sqlite:a.db'", "sqlite:a.db", |s| {
        text(s.database.url.as_ref().map(Secret::expose))
    }),
    ("database.table", "SESSION_DATABASE_TABLE", "'shop'", "shop", |s| s.database.table.clone()),
    ("database.schema", "SESSION_DATABASE_SCHEMA", "'web'", "web", |s| {
        text(s.database.schema.as_deref())
    }),
    ("database.migrate", "SESSION_DATABASE_MIGRATE", "true", "true", |s| {
        s.database.migrate.to_string()
    }),
    ("database.pool_size", "SESSION_DATABASE_POOL_SIZE", "9", "9", |s| {
        s.database.pool_size.to_string()
    }),
    ("database.connect_timeout", "SESSION_DATABASE_CONNECT_TIMEOUT", "'2s'", "2s", |s| {
        format!("{:?}", s.database.connect_timeout)
    }),
    ("database.query_timeout", "SESSION_DATABASE_QUERY_TIMEOUT", "'3s'", "3s", |s| {
        format!("{:?}", s.database.query_timeout)
    }),
    ("database.statements", "SESSION_DATABASE_STATEMENTS", "'simple'", "Simple", |s| {
        format!("{:?}", s.database.statements)
    }),
    ("database.durability", "SESSION_DATABASE_DURABILITY", "'fast'", "Fast", |s| {
        format!("{:?}", s.database.durability)
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
    ("redis.nodes", "SESSION_REDIS_NODES", "'a:1,b:2'", "a:1 b:2", |s| nodes(s).join(" ")),
    ("redis.host", "SESSION_REDIS_HOST", "'db.example'", "db.example", |s| {
        text(s.redis.host.as_ref().map(Secret::expose))
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

/// Variables that need another variable beside them.
const NEEDS: [(&str, (&str, &str)); 3] = [
    ("SESSION_OLD_COOKIE_NAME", ("SESSION_OLD_COOKIE_UNTIL", "2027-03-01")),
    ("SESSION_OLD_COOKIE_UNTIL", ("SESSION_OLD_COOKIE_NAME", "sid")),
    ("SESSION_COOKIE_PARTITIONED", ("SESSION_COOKIE_SAME_SITE", "none")),
];

fn nodes(settings: &Settings) -> Vec<&str> {
    settings.redis.nodes.iter().flatten().map(Secret::expose).collect()
}

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

#[test]
fn every_key_is_set_by_the_file_and_by_its_variable() {
    for (key, name, value, expected, read) in ROWS {
        let needed = NEEDS.iter().find(|(needs, _)| *needs == name).map(|(_, needed)| *needed);
        let text = format!("{key} = {value}");
        let settings = Settings::read(&text, &Variables::from_iter(needed)).unwrap();
        assert_eq!(read(&settings), expected, "{key} in the file");
        let bare = value.trim_matches('\'');
        let environment: Variables = needed.into_iter().chain([(name, bare)]).collect();
        let settings = Settings::read("", &environment).unwrap();
        assert_eq!(read(&settings), expected, "{name}");
        let other = Settings::read(&text, &environment);
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
fn a_list_is_a_list_or_text_with_commas() {
    let written = file("[redis]\nnodes = ['a:1', 'b:2']").unwrap();
    assert_eq!(nodes(&written), ["a:1", "b:2"]);
    let from_environment = variable("SESSION_REDIS_NODES", "a:1, b:2").unwrap();
    assert_eq!(nodes(&from_environment), ["a:1", "b:2"]);
    let origins = file("trusted_origins = ['https://a.example', 'https://b.example']").unwrap();
    assert_eq!(origins.trusted_origins.len(), 2);
    let data = file("clear_site_data = ['cache', 'storage', 'cookies']").unwrap();
    assert_eq!(data.clear_site_data.len(), 3);
}
