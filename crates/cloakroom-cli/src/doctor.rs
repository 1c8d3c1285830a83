//! `cloakroom doctor`: finds problems in production, one line for each finding.

use std::{
    fmt,
    path::Path,
    time::{Duration, SystemTime},
};

use anstyle::Style;
use cloakroom::{
    DeviceBinding, WithCauses,
    clock::Timestamp,
    cookie::SameSite,
    redis,
    settings::{DriverKind, Settings},
};
use serde_json::json;

use crate::{
    arguments::{CommonOptions, SqlDriver},
    database,
    failure::Failure,
    output::{BAD, GOOD, Output, WARNING, styled},
    setup,
};

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// Right for some applications and wrong for others.
    Warning,
    Wrong,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warn",
            Self::Wrong => "wrong",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Good => GOOD,
            Self::Warning => WARNING,
            Self::Wrong => BAD,
        }
    }
}

struct Finding {
    about: &'static str,
    verdict: Verdict,
    text: String,
}

fn finding(about: &'static str, verdict: Verdict, text: impl fmt::Display) -> Finding {
    Finding { about, verdict, text: text.to_string() }
}

pub(crate) async fn run(common: &CommonOptions, output: Output) -> Result<(), Failure> {
    let findings = match setup::settings(common) {
        Ok(settings) => check(&settings, common).await,
        // The application would not start with these settings.
        Err(refused) => vec![finding("settings", Verdict::Wrong, refused)],
    };
    for Finding { about, verdict, text } in &findings {
        let word = styled(verdict.style(), format_args!("{:5}", verdict.word()));
        output.line(format!("{word} {about}: {text}"));
        output.record(&json!({ "about": about, "verdict": verdict.word(), "text": text }));
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Wrong).count() {
        0 => Ok(()),
        1 => Err(Failure::failed("1 problem was found")),
        wrong => Err(Failure::failed(format!("{wrong} problems were found"))),
    }
}

async fn check(settings: &Settings, common: &CommonOptions) -> Vec<Finding> {
    let mut findings = misspelt();
    findings.push(key(settings));
    if setup::key_is_only_in_file(common) {
        let file = common.variables().display();
        let text = format!(
            "only {file} has it, and `Settings::load` does not read that file; in production set \
             APP_KEY in the environment"
        );
        findings.push(finding("application key", Verdict::Warning, text));
    }
    findings.extend(cookie(settings));
    findings.push(devices(settings));
    findings.extend(timeouts(settings));
    findings.extend(old_cookie(settings));
    if settings.seal_records && settings.driver != DriverKind::Cookie {
        let text = "sealed by the first application key at their next use";
        findings.push(finding("records", Verdict::Good, text));
    }
    findings.extend(driver(settings).await);
    findings
}

/// Finds an old name of the cookie that is no longer read.
fn old_cookie(settings: &Settings) -> Option<Finding> {
    let until = settings.old_cookie_until.filter(|until| *until <= SystemTime::now())?;
    let text = format!(
        "`old_cookie_name`: cookies of this name are ignored since {}; remove it and `old_cookie_until`",
        Timestamp::from(until)
    );
    Some(finding("cookie", Verdict::Warning, text))
}

/// Finds variables that look like settings and are none. `SESSION_MANAGER` is a variable of the X Window
/// System.
fn misspelt() -> Vec<Finding> {
    let known = Settings::variables();
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let wrong = set.filter(|name| {
        name.starts_with("SESSION_") && name != "SESSION_MANAGER" && !known.contains(&name.as_str())
    });
    let text = |name| format!("{name} is not a setting");
    wrong.map(|name| finding("environment", Verdict::Warning, text(name))).collect()
}

fn key(settings: &Settings) -> Finding {
    match settings.app_keys() {
        Ok(_) => {
            let count = settings.app_key.as_ref().map(|key| key.expose().split(',').count());
            finding(
                "application key",
                Verdict::Good,
                match count {
                    Some(1) | None => "one key, long enough".to_owned(),
                    Some(keys) => format!("{keys} keys, long enough; the first one encrypts"),
                },
            )
        }
        Err(error) => finding("application key", Verdict::Wrong, error),
    }
}

fn cookie(settings: &Settings) -> Vec<Finding> {
    let cookie = settings.cookie_settings();
    let mut findings = Vec::new();
    let mut add = |verdict, text: String| findings.push(finding("cookie", verdict, text));
    if cookie.secure {
        add(Verdict::Good, format!("`{}`, sent over https only", cookie.name));
    } else {
        let problem = "browsers send it over plain http, where others on the network can read it";
        add(Verdict::Wrong, format!("`cookie.secure` is off: {problem}"));
    }
    // Browsers compare prefixes without regard to case.
    let name = cookie.name.to_ascii_lowercase();
    if !["__host-", "__secure-", "__http-"].iter().any(|prefix| name.starts_with(prefix)) {
        add(
            Verdict::Warning,
            format!(
                "`cookie_name`: other hosts and plain http can set `{}`; browsers accept a name that \
                 begins with `__Host-Http-`, or with `__Secure-` if there is a domain, over https only",
                cookie.name
            ),
        );
    }
    if !cookie.http_only {
        add(Verdict::Wrong, "`cookie.http_only` is off: any script on a page can read it".into());
    }
    if cookie.same_site == SameSite::None {
        let text =
            "`cookie.same_site` is none: requests of other sites send it; keep the CSRF layer";
        add(Verdict::Warning, text.into());
    }
    if let Some(domain) = &cookie.domain {
        add(
            Verdict::Warning,
            format!("`cookie.domain`: every host below {domain} receives it and can set it"),
        );
    }
    findings
}

fn devices(settings: &Settings) -> Finding {
    // The bound cookie counts for one minute more, because the clocks of servers differ.
    let minutes = settings.device_refresh.as_secs().div_ceil(60) + 1;
    let text = match settings.device_binding {
        DeviceBinding::Off => {
            "`device_binding` is off: a copied cookie works until its session ends".to_owned()
        }
        DeviceBinding::Report => {
            "`device_binding` is report: a copied cookie is counted, and works until its session ends"
                .to_owned()
        }
        DeviceBinding::Sensitive => format!(
            "`device_binding` is sensitive: a copied cookie opens no sensitive page after {minutes} \
             minutes, if the browser registers"
        ),
        _ => format!(
            "`device_binding` is require: a copied cookie is worth nothing after {minutes} minutes, if the browser \
             registers"
        ),
    };
    finding("devices", Verdict::Good, text)
}

fn timeouts(settings: &Settings) -> Vec<Finding> {
    const DAY: Duration = Duration::from_hours(24);
    let days = settings.idle_timeout.as_secs() / DAY.as_secs();
    let mut findings = Vec::new();
    let mut warn = |text| findings.push(finding("timeouts", Verdict::Warning, text));
    if settings.idle_timeout > DAY * 30 && settings.absolute_timeout.is_none() {
        warn(format!(
            "`idle_timeout` is {days} days and there is no `absolute_timeout`: a stolen session never ends \
             while it is used"
        ));
    }
    if settings.idle_timeout > DAY * 400 {
        warn(format!(
            "`idle_timeout` is {days} days, and browsers keep a cookie for at most 400 days"
        ));
    }
    findings
}

async fn driver(settings: &Settings) -> Vec<Finding> {
    match settings.driver {
        DriverKind::Memory => vec![finding(
            "memory",
            Verdict::Warning,
            "sessions end with the process, and other processes cannot read them",
        )],
        DriverKind::File => files(settings),
        DriverKind::Redis => {
            let mut findings = key_prefix(&settings.redis.key_prefix);
            findings.extend(match settings.redis.store() {
                Err(error) => vec![finding("redis", Verdict::Wrong, error)],
                Ok(store) => match store.health().await {
                    Err(error) => vec![finding("redis", Verdict::Wrong, WithCauses(&error))],
                    Ok(health) => self::redis(&health),
                },
            });
            findings
        }
        DriverKind::Postgres => database("postgres", SqlDriver::Postgres, settings).await,
        DriverKind::MySql => database("mysql", SqlDriver::MySql, settings).await,
        DriverKind::Sqlite => database("sqlite", SqlDriver::Sqlite, settings).await,
        _ => vec![finding(
            "driver",
            Verdict::Good,
            "cookie; of two concurrent responses the last one wins, and a copied cookie stays valid after \
             a logout",
        )],
    }
}

/// Warns if another application on the server may use the same prefix.
fn key_prefix(prefix: &str) -> Vec<Finding> {
    let text = "`redis.key_prefix` is the default `session:`: if another application in this database \
                uses it too, `cloakroom list` and `destroy` mix the sessions of both; set a prefix \
                for this application, such as `shop:session:` (this ends all current sessions)";
    if prefix == "session:" { vec![finding("redis", Verdict::Warning, text)] } else { Vec::new() }
}

fn redis(health: &redis::Health) -> Vec<Finding> {
    let redis::Health { version, round_trip, clock_ahead, problems, .. } = health;
    let mut findings = server("redis", version, *round_trip, *clock_ahead);
    findings.extend(problems.iter().map(|problem| finding("redis", Verdict::Wrong, problem)));
    findings
}

/// Judges what every server has: a version, a distance and a clock.
fn server(
    about: &'static str,
    version: &str,
    round_trip: Duration,
    clock_ahead: i64,
) -> Vec<Finding> {
    const SLOW: Duration = Duration::from_millis(5);
    const SKEWED: u64 = 5_000;
    let speed = if round_trip > SLOW { Verdict::Warning } else { Verdict::Good };
    let side = if clock_ahead < 0 { "behind" } else { "ahead of" };
    let skew = if clock_ahead.unsigned_abs() > SKEWED { Verdict::Wrong } else { Verdict::Good };
    let clock = format!("its clock is {} ms {side} this one", clock_ahead.unsigned_abs());
    vec![
        finding(about, Verdict::Good, format!("version {version}")),
        finding(about, speed, format!("a round trip takes {round_trip:.0?}")),
        finding(about, skew, clock),
    ]
}

/// Checks a database, without creating it.
async fn database(about: &'static str, driver: SqlDriver, settings: &Settings) -> Vec<Finding> {
    let file = database::sqlite_file(&settings.database);
    if let Some(file) = file.filter(|file| driver == SqlDriver::Sqlite && !file.exists()) {
        let text = format!("{} does not exist; the application creates it", file.display());
        return vec![finding(about, Verdict::Warning, text)];
    }
    let mut settings = settings.clone();
    settings.database.migrate = false;
    let store = match database::store(driver, &settings.database) {
        Ok(store) => store,
        Err(error) => return vec![finding(about, Verdict::Wrong, error)],
    };
    let health = match store.health().await {
        Ok(health) => health,
        Err(error) => return vec![finding(about, Verdict::Wrong, WithCauses(&error))],
    };
    let mut findings = server(about, &health.version, health.round_trip, health.clock_ahead);
    let problems = health.problems.iter().map(|text| finding(about, Verdict::Wrong, text));
    let warnings = health.warnings.iter().map(|text| finding(about, Verdict::Warning, text));
    findings.extend(problems.chain(warnings));
    findings
}

#[cfg(not(unix))]
fn files(_: &Settings) -> Vec<Finding> {
    vec![finding("file", Verdict::Wrong, "the driver works on Linux, macOS and BSD")]
}

/// Checks the folder of session files without creating it.
#[cfg(unix)]
fn files(settings: &Settings) -> Vec<Finding> {
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::Access;

    const TIGHT: u64 = 64 * 1024 * 1024;
    let location = &settings.file.location;
    let shown = location.display();
    let about = match std::fs::metadata(location) {
        Ok(about) => about,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return vec![missing_folder(location)];
        }
        Err(error) => return vec![finding("file", Verdict::Wrong, format!("{shown}: {error}"))],
    };
    let mut findings = Vec::new();
    let is_writable = rustix::fs::access(location, Access::WRITE_OK | Access::EXEC_OK);
    findings.push(match (settings.file.store(), is_writable) {
        (Ok(_), Ok(())) => finding("file", Verdict::Good, format!("{shown} is usable")),
        (Ok(_), Err(error)) => finding("file", Verdict::Wrong, format!("{shown}: {error}")),
        (Err(error), _) => finding("file", Verdict::Wrong, error),
    });
    if about.mode() & 0o077 != 0 {
        let text = format!(
            "{shown}: other users may read it; choose a folder that only this application uses, with \
             mode 0700"
        );
        findings.push(finding("file", Verdict::Wrong, text));
    }
    match rustix::fs::statvfs(location) {
        Err(error) => findings.push(finding("file", Verdict::Wrong, format!("{shown}: {error}"))),
        Ok(disk) => {
            let free = disk.f_bavail * disk.f_frsize;
            // A file system without a limit of files reports 0 of 0.
            let has_files = disk.f_favail > 0 || disk.f_files == 0;
            let is_good = free >= TIGHT && has_files;
            let verdict = if is_good { Verdict::Good } else { Verdict::Wrong };
            let text = format!("{} MiB and {} files are free", free / 1_048_576, disk.f_favail);
            findings.push(finding("file", verdict, text));
        }
    }
    findings
}

/// Checks that the application can create the folder.
#[cfg(unix)]
fn missing_folder(location: &Path) -> Finding {
    use rustix::fs::Access;

    let shown = location.display();
    let location = std::path::absolute(location).unwrap_or_else(|_| location.to_owned());
    let above = location.ancestors().find(|folder| folder.exists()).unwrap_or(&location);
    match rustix::fs::access(above, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => {
            let text = format!("{shown} does not exist yet; the application creates it");
            finding("file", Verdict::Warning, text)
        }
        Err(error) => {
            let text = format!(
                "{shown} does not exist and cannot be created: {}: {error}",
                above.display()
            );
            finding("file", Verdict::Wrong, text)
        }
    }
}
