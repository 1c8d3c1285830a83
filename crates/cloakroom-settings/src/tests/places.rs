//! Where settings come from, and what errors say about it.

use std::path::Path;

use crate::{DriverKind, Settings, Variables};

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
