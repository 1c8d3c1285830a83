//! Redis settings that have no effect, or contradict each other.

use super::{file, variable};
use crate::Variables;

fn refused(table: &str) -> String {
    file(&format!("driver = 'redis'\n[redis]\n{table}")).unwrap_err().to_string()
}

#[test]
fn a_setting_without_effect_is_refused() {
    for (table, said) in [
        (
            "url = 'redis://h'\nhost = 'h'",
            "toml:4: `redis.host`: it has no effect beside redis.url",
        ),
        ("url = 'redis://h'\nport = 1", "toml:4: `redis.port` is 1: it has no effect"),
        ("url = 'redis://h'\nnodes = ['a:1']", "toml:4: `redis.nodes`: it has no effect"),
        (
            "nodes = ['a:1']",
            "toml:3: `redis.nodes`: it has no effect with `standalone` as redis.mode",
        ),
        ("sentinel_password = 'hunter2'", "toml:3: `redis.sentinel_password`: it has no effect"),
        ("master = 'main'", "toml:3: `redis.master` is 'main': it has no effect"),
        (
            "mode = 'sentinel'\nnodes = ['a:1']\nhost = 'h'",
            "toml:5: `redis.host`: it has no effect",
        ),
        ("mode = 'sentinel'\nnodes = ['a:1']\nport = 1", "toml:5: `redis.port` is 1: it has no"),
        (
            "mode = 'cluster'\nnodes = ['a:1']\nmaster = 'm'",
            "toml:5: `redis.master` is 'm': it has",
        ),
        ("mode = 'cluster'\nnodes = ['a:1']\nurl = 'redis://h'", "toml:5: `redis.url`: it has no"),
        ("mode = 'cluster'", "toml:3: `redis.mode` is 'cluster': it needs redis.nodes"),
        ("mode = 'sentinel'\nurl = 'redis://h'", "toml:3: `redis.mode` is 'sentinel': it needs"),
    ] {
        let error = refused(table);
        assert!(error.starts_with(&format!("config/session.{said}")), "{table:?}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(file("[redis]\nnodes = ['a:1']").is_ok(), "another driver is in use");
}

/// Without TLS, certificates check nothing, and passwords and sessions go over the network in clear.
#[test]
fn certificates_and_tls_that_nothing_uses_are_refused() {
    for (table, said) in [
        (
            "host = 'h'\nca_file = '/ca.pem'",
            "`redis.ca_file` is '/ca.pem': connections do not use TLS",
        ),
        (
            "url = 'redis://h'\nca_file = '/ca.pem'",
            "`redis.ca_file` is '/ca.pem': connections do not",
        ),
        ("url = 'redis://h'\ntls = true", "`redis.tls` is true: redis.url has no TLS"),
        ("url = 'unix:///run/redis.sock'\ntls = true", "`redis.tls` is true: redis.url has no TLS"),
    ] {
        let error = refused(table);
        assert!(error.starts_with(&format!("config/session.toml:4: {said}")), "{table:?}: {error}");
    }
    for table in [
        "host = 'h'\ntls = true\nca_file = '/ca.pem'",
        "url = 'rediss://h'\nca_file = '/ca.pem'",
        "url = 'rediss://h'\ntls = true",
        "mode = 'cluster'\nnodes = ['a:1']\ntls = true\nca_file = '/ca.pem'",
    ] {
        assert!(file(&format!("driver = 'redis'\n[redis]\n{table}")).is_ok(), "{table}");
    }
}

#[test]
fn a_host_is_a_host_and_shows_no_password() {
    for host in ["redis://:hunter2@db", "app:hunter2@db", "db:6380", "db/0", "a b"] {
        let settings = [("SESSION_DRIVER", "redis"), ("SESSION_REDIS_HOST", host)];
        let error = crate::Settings::read("", &Variables::from_iter(settings)).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("environment: SESSION_REDIS_HOST: the Redis host is"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    for host in ["db", "db.example.org", "10.0.0.7", "::1"] {
        assert!(file(&format!("driver = 'redis'\nredis.host = '{host}'")).is_ok(), "{host}");
    }
}

#[test]
fn debug_shows_no_address_that_may_have_a_password() {
    for name in ["SESSION_REDIS_HOST", "SESSION_REDIS_NODES", "SESSION_REDIS_URL"] {
        let settings = variable(name, "redis://:hunter2@db").unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"), "{name}");
    }
}
