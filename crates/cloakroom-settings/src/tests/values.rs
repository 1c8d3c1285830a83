//! Values of the wrong type or out of range.

use super::{file, variable};

#[test]
fn a_wrong_value_is_quoted_with_its_line_and_what_is_accepted() {
    for (text, expected) in [
        (
            "driver = 'disk'",
            "1: `driver` is 'disk': expected `cookie`, `memory`, `file`, `redis`, `postgres`, `mysql` or `sqlite`",
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
        (
            "no_touch_header = 'x background'",
            "1: `no_touch_header` is 'x background': expected the name of a header, such as \"x-background\"",
        ),
        ("no_touch_header = true", "1: `no_touch_header` is true: expected a string"),
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
        (
            "public_origin = 'shop.example.org'",
            "1: `public_origin` is 'shop.example.org': `shop.example.org` is not an origin: accepted are http",
        ),
        (
            "public_origin = 'https://shop.example.org/'",
            "1: `public_origin` is 'https://shop.example.org/': `https://shop.example.org/` is not an origin",
        ),
        ("public_origin = 3", "1: `public_origin` is 3: expected an origin such as \"https://"),
        (
            "trusted_origins = ['https://admin.example.org', 'https://*.example.org']",
            "1: `trusted_origins` is ['https://admin.example.org', 'https://*.example.org']: `https://*.example.org` is not an origin",
        ),
        ("trusted_origins = 3", "1: `trusted_origins` is 3: expected a list of strings"),
        ("secret_fields = 3", "1: `secret_fields` is 3: expected a list of strings"),
        (
            "commit_deadline = 0",
            "1: `commit_deadline` is 0: expected a span such as \"90s\", \"2h\" or \"10d\", or a number of seconds, more than 0",
        ),
        ("commit_deadline = '0s'", "1: `commit_deadline` is '0s': expected"),
        ("commit_deadline = []", "1: `commit_deadline` is []: expected"),
        ("browser_session = 'yes'", "1: `browser_session` is 'yes': expected true or false"),
        (
            "device_binding = 'always'",
            "1: `device_binding` is 'always': expected `off`, `report`, `sensitive` or `require`",
        ),
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
        check_error(text, expected);
    }
}

#[test]
fn a_wrong_day_or_word_of_a_list_says_what_is_accepted() {
    for (text, expected) in [
        (
            "old_cookie_until = 'tomorrow'",
            "1: `old_cookie_until` is 'tomorrow': expected a day such as \"2027-03-01\", or a moment such as",
        ),
        ("old_cookie_until = 2027", "1: `old_cookie_until` is 2027: expected a day"),
        ("old_cookie_until = 12:00:00", "1: `old_cookie_until` is 12:00:00: expected a day"),
        ("old_cookie_until = 2027-02-30", "1: "),
        (
            "clear_site_data = ['cache', 'all']",
            "1: `clear_site_data` is ['cache', 'all']: expected a list of `cache`, `storage`, `cookies` or `*`",
        ),
    ] {
        check_error(text, expected);
    }
}

/// Checks the beginning of the error about a file with this text.
fn check_error(text: &str, expected: &str) {
    let error = file(text).unwrap_err().to_string();
    let expected = format!("config/session.toml:{expected}");
    assert!(error.starts_with(&expected), "{text:?}: {error}");
    assert!(!error.contains('\n') && !error.contains("12345"), "{error}");
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
        ("SESSION_NO_TOUCH_HEADER", "x:y", "\"x:y\": expected the name of a header"),
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
        ("SESSION_PUBLIC_ORIGIN", "shop", "\"shop\": `shop` is not an origin"),
        ("SESSION_PUBLIC_ORIGIN", "https://shop.example.org", ""),
        (
            "SESSION_TRUSTED_ORIGINS",
            "https://a.example, null",
            "\"https://a.example, null\": `null` is not an origin",
        ),
        ("SESSION_TRUSTED_ORIGINS", "https://a.example, https://b.example:8443", ""),
        ("SESSION_COMMIT_DEADLINE", "0", "\"0\": expected a span"),
        ("SESSION_REDIS_PORT", "http", "\"http\": expected a port"),
        (
            "SESSION_DRIVER",
            "disk",
            "\"disk\": expected `cookie`, `memory`, `file`, `redis`, `postgres`, `mysql` or `sqlite`",
        ),
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
