//! Settings of databases that have no effect, or contradict each other.

use super::for_development;
use crate::{DatabaseTable, Secret, Settings, Variables};

fn read(driver: &str, table: &str, url: Option<&str>) -> Result<Settings, String> {
    let text = format!("driver = '{driver}'\n[database]\n{table}");
    let variables = Variables::from_iter(url.map(|url| ("DATABASE_URL", url)));
    Settings::read(&text, &variables).map_err(|error| error.to_string())
}

#[test]
fn the_url_is_the_drivers_or_that_of_the_application() {
    let own = read("postgres", "url = 'postgres://own/shop'", Some("postgres://other/shop"));
    let url =
        |settings: Settings| settings.database.url.as_ref().map(|url| url.expose().to_owned());
    assert_eq!(url(own.unwrap()).as_deref(), Some("postgres://own/shop"));
    let shared = read("mysql", "", Some("mysql://db/shop")).unwrap();
    assert_eq!(url(shared).as_deref(), Some("mysql://db/shop"));
    let missing = read("postgres", "", None).unwrap_err();
    assert!(missing.contains("`database.url`: the driver `postgres` needs a URL"), "{missing}");
    assert!(read("sqlite", "", None).is_ok(), "{}", DatabaseTable::DEFAULT_SQLITE);
    let other = read("sqlite", "", Some("postgres://:hunter2@db/shop")).unwrap_err();
    assert!(other.starts_with("environment: DATABASE_URL: the driver `sqlite` needs"), "{other}");
    assert!(!other.contains("hunter2"));
    assert!(read("redis", "", Some("postgres://db/shop")).is_ok(), "another driver is in use");
}

#[test]
fn a_setting_without_effect_or_that_needs_escaping_is_refused() {
    for (driver, table, said) in [
        ("sqlite", "schema = 'web'", "toml:3: `database.schema` is 'web': it has no effect"),
        ("sqlite", "statements = 'simple'", "toml:3: `database.statements` is 'simple': it has an"),
        ("sqlite", "url = 'sqlite::memory:'", "toml:3: `database.url`: the database is in memory"),
        ("postgres", "durability = 'fast'", "toml:3: `database.durability` is 'fast': it has an"),
        ("mysql", "statements = 'simple'", "toml:3: `database.statements` is 'simple': it has an"),
        ("mysql", "table = 'a b'", "toml:3: `database.table` is 'a b': table: `a b` is not"),
        ("postgres", "schema = 'a.b'", "toml:3: `database.schema` is 'a.b': schema: `a.b` is not"),
        ("postgres", "pool_size = 0", "toml:3: `database.pool_size` is 0: expected a number of"),
    ] {
        let url = (driver != "sqlite").then(|| format!("{driver}://db/shop"));
        let error = read(driver, table, url.as_deref()).unwrap_err();
        assert!(error.starts_with(&format!("config/session.{said}")), "{table}: {error}");
    }
}

#[test]
fn tables_are_made_in_development_alone() {
    assert!(!read("sqlite", "", None).unwrap().database.migrate);
    assert!(for_development("driver = 'sqlite'").unwrap().database.migrate);
    assert!(!for_development("[database]\nmigrate = false").unwrap().database.migrate);
    let url: Option<Secret> = for_development("").unwrap().database.url;
    assert!(url.is_none());
}
