//! Settings from serde sources.

use serde_json::json;

use crate::{DriverKind, Settings};

#[test]
fn a_source_has_the_keys_of_the_file() {
    let source = json!({
        "driver": "memory", "idle_timeout": "3d", "max_bytes": 1024, "trusted_origins": ["https://a.example"],
        "cookie": { "secure": false, "same_site": "strict" },
    });
    let settings = Settings::load_from(source).unwrap();
    assert_eq!((settings.driver, settings.max_bytes), (DriverKind::Memory, 1024));
    assert_eq!(settings.idle_timeout.as_secs(), 3 * 86_400);
    assert!(!settings.cookie.secure && settings.cookie_settings().name == "session");
    assert_eq!(settings.trusted_origins.len(), 1);
}

#[test]
fn an_empty_source_gives_the_defaults_of_production() {
    let settings = Settings::load_from(json!({})).unwrap();
    assert_eq!(settings.driver, DriverKind::Cookie);
    assert!(settings.cookie.secure && !settings.show_errors && !settings.database.migrate);
}

#[test]
fn errors_of_a_source_name_the_key_and_what_is_accepted() {
    for (source, said) in [
        (json!({ "drvier": "file" }), "`drvier` is not a setting; did you mean `driver`?"),
        (json!({ "age": "2h" }), "`age` has a new name: `idle_timeout` is accepted"),
        (json!({ "driver": "disk" }), "`driver` is \"disk\": expected `cookie`, `memory`"),
        (json!({ "cookie": "strict" }), "`cookie` is not a table"),
        (
            json!({ "cookie": { "secure": "maybe" } }),
            "`cookie.secure` is \"maybe\": expected true or false",
        ),
        (json!({ "app_key": "base64:AAAA" }), "set the environment variable APP_KEY"),
        (json!({ "redis": { "password": ["hunter2"] } }), "`redis.password`: expected"),
        (json!({ "redis": { "password": 7 } }), "`redis.password`: expected"),
        (json!("memory"), "expected a map"),
    ] {
        let error = Settings::load_from(source).unwrap_err().to_string();
        assert!(error.starts_with("session settings: ") && error.contains(said), "{error}");
        assert!(!error.contains("hunter2") && !error.contains("AAAA"), "{error}");
    }
}
