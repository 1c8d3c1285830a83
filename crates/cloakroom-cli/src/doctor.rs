//! `cloakroom doctor`: what goes wrong in production, one line each.

use std::{fmt, path::Path, time::Duration};

use cloakroom::{
    cookie::SameSite,
    redis::Health,
    settings::{DriverKind, Settings},
};
use serde_json::json;

use crate::{
    arguments::CommonOptions,
    failure::{Failure, with_causes},
    output::{BAD, DOUBTFUL, GOOD, Output, styled},
    setup,
};

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// Right in some places and wrong in others.
    Warning,
    Wrong,
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
        Ok(settings) => look(&settings, common).await,
        // The application would not start with these, browsers would refuse its cookie, …
        Err(refused) => vec![finding("settings", Verdict::Wrong, refused)],
    };
    for Finding { about, verdict, text } in &findings {
        let word = match verdict {
            Verdict::Good => styled(GOOD, "good "),
            Verdict::Warning => styled(DOUBTFUL, "look "),
            Verdict::Wrong => styled(BAD, "wrong"),
        };
        output.line(format!("{word} {about}: {text}"));
        let word = format!("{verdict:?}").to_lowercase();
        output.record(&json!({ "about": about, "verdict": word, "text": text }));
    }
    match findings.iter().filter(|it| it.verdict == Verdict::Wrong).count() {
        0 => Ok(()),
        1 => Err(Failure::failed("one thing is wrong")),
        wrong => Err(Failure::failed(format!("{wrong} things are wrong"))),
    }
}

async fn look(settings: &Settings, common: &CommonOptions) -> Vec<Finding> {
    let mut findings = misspelt();
    findings.push(key(settings));
    if setup::key_is_in_file_alone(common) {
        let file = common.variables().display();
        let text = format!(
            "it stands in {file}, which `Settings::load` does not read; in production set APP_KEY in \
             the environment"
        );
        findings.push(finding("application key", Verdict::Warning, text));
    }
    findings.extend(cookie(settings));
    findings.extend(lifetimes(settings));
    findings.extend(driver(settings).await);
    findings
}

/// Variables that look like settings and are none. `SESSION_MANAGER` is the X Window System's.
fn misspelt() -> Vec<Finding> {
    let known = Settings::variables();
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let wrong = set.filter(|name| {
        name.starts_with("SESSION_") && name != "SESSION_MANAGER" && !known.contains(&name.as_str())
    });
    let say = |name| finding("environment", Verdict::Warning, format!("{name} is no setting"));
    wrong.map(say).collect()
}

fn key(settings: &Settings) -> Finding {
    match settings.app_keys() {
        Ok(_) => {
            let text = settings.app_key.as_ref().map(|key| key.expose().split(',').count());
            finding(
                "application key",
                Verdict::Good,
                match text {
                    Some(1) | None => "one key, long enough".to_owned(),
                    Some(keys) => format!("{keys} keys, long enough; the first seals"),
                },
            )
        }
        Err(error) => finding("application key", Verdict::Wrong, error),
    }
}

fn cookie(settings: &Settings) -> Vec<Finding> {
    let cookie = settings.cookie_settings();
    let mut findings = Vec::new();
    let mut say = |verdict, text: String| findings.push(finding("cookie", verdict, text));
    if cookie.secure {
        say(Verdict::Good, format!("`{}`, over https alone", cookie.name));
    } else {
        let problem = "browsers send it over plain http, where anyone on the way can take it";
        say(Verdict::Wrong, format!("`cookie.secure` is off: {problem}"));
    }
    // Browsers compare prefixes without regard to case.
    let name = cookie.name.to_ascii_lowercase();
    if !["__host-", "__secure-", "__http-"].iter().any(|prefix| name.starts_with(prefix)) {
        say(
            Verdict::Warning,
            format!(
                "`cookie_name`: other hosts and plain http can set `{}`; a name that begins with \
                 `__Host-`, or `__Secure-` with a domain, is accepted over https alone",
                cookie.name
            ),
        );
    }
    if !cookie.http_only {
        say(Verdict::Wrong, "`cookie.http_only` is off: any script on a page can take it".into());
    }
    if cookie.same_site == SameSite::None {
        let text =
            "`cookie.same_site` is none: other sites' requests carry it; keep the CSRF layer on";
        say(Verdict::Warning, text.into());
    }
    if let Some(domain) = &cookie.domain {
        say(
            Verdict::Warning,
            format!("`cookie.domain`: every host below {domain} gets it and can set it"),
        );
    }
    findings
}

fn lifetimes(settings: &Settings) -> Vec<Finding> {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    let days = settings.idle_timeout.as_secs() / DAY.as_secs();
    let mut findings = Vec::new();
    let mut look = |text| findings.push(finding("lifetime", Verdict::Warning, text));
    if settings.idle_timeout > DAY * 30 && settings.absolute_timeout.is_none() {
        look(format!(
            "`idle_timeout` is {days} days and there is no `absolute_timeout`: a stolen session that is used never ends"
        ));
    }
    if settings.idle_timeout > DAY * 400 {
        look(format!(
            "`idle_timeout` is {days} days, and browsers keep a cookie for 400 days at most"
        ));
    }
    findings
}

async fn driver(settings: &Settings) -> Vec<Finding> {
    match settings.driver {
        DriverKind::Memory => vec![finding(
            "memory",
            Verdict::Warning,
            "sessions end with the process, and no other process has them",
        )],
        DriverKind::File => files(settings),
        DriverKind::Redis => {
            let mut findings = key_prefix(&settings.redis.key_prefix);
            findings.extend(match settings.redis.store() {
                Err(error) => vec![finding("redis", Verdict::Wrong, error)],
                Ok(store) => match store.health().await {
                    Err(error) => vec![finding("redis", Verdict::Wrong, with_causes(&error))],
                    Ok(health) => redis(&health),
                },
            });
            findings
        }
        _ => vec![finding(
            "driver",
            Verdict::Good,
            "cookie; between two tabs the last response wins, and a copied cookie outlives a logout",
        )],
    }
}

/// Whether another application may have the same keys.
fn key_prefix(prefix: &str) -> Vec<Finding> {
    let text = "`redis.key_prefix` is the default `session:`: the sessions of another application on \
                this server and database that has it too lie among those of this one, and `cloakroom \
                list` and `destroy` do not tell them apart; set one of this application's own, such as `shop:session:` (which ends the sessions that there are)";
    if prefix == "session:" { vec![finding("redis", Verdict::Warning, text)] } else { Vec::new() }
}

fn redis(health: &Health) -> Vec<Finding> {
    const SLOW: Duration = Duration::from_millis(5);
    const SKEWED: u64 = 5_000;
    let Health { version, round_trip, clock_ahead, problems, .. } = health;
    let mut findings = vec![finding("redis", Verdict::Good, format!("version {version}"))];
    let pace = if *round_trip > SLOW { Verdict::Warning } else { Verdict::Good };
    findings.push(finding("redis", pace, format!("a round trip takes {round_trip:.0?}")));
    let skewed = clock_ahead.unsigned_abs() > SKEWED;
    let side = if *clock_ahead < 0 { "behind" } else { "ahead of" };
    let skew = if skewed { Verdict::Wrong } else { Verdict::Good };
    findings.push(finding(
        "redis",
        skew,
        format!("its clock is {} ms {side} this one", clock_ahead.unsigned_abs()),
    ));
    findings.extend(problems.iter().map(|problem| finding("redis", Verdict::Wrong, problem)));
    findings
}

#[cfg(not(unix))]
fn files(_: &Settings) -> Vec<Finding> {
    vec![finding("file", Verdict::Wrong, "the driver is there on Linux, macOS and BSD")]
}

/// A look that makes no folder.
#[cfg(unix)]
fn files(settings: &Settings) -> Vec<Finding> {
    use std::os::unix::fs::MetadataExt;

    const TIGHT: u64 = 64 * 1024 * 1024;
    let location = &settings.file.location;
    let shown = location.display();
    let about = match std::fs::metadata(location) {
        Ok(about) => about,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return vec![not_there_yet(location)];
        }
        Err(error) => return vec![finding("file", Verdict::Wrong, format!("{shown}: {error}"))],
    };
    let mut findings = Vec::new();
    match settings.file.store() {
        Ok(_) => findings.push(finding("file", Verdict::Good, format!("{shown} can be used"))),
        Err(error) => findings.push(finding("file", Verdict::Wrong, error)),
    }
    if about.mode() & 0o077 != 0 {
        let text = format!(
            "{shown}: other users may read it; choose a folder that only this application uses, with mode 0700"
        );
        findings.push(finding("file", Verdict::Wrong, text));
    }
    match rustix::fs::statvfs(location) {
        Err(error) => findings.push(finding("file", Verdict::Wrong, format!("{shown}: {error}"))),
        Ok(disk) => {
            let free = disk.f_bavail * disk.f_frsize;
            let verdict = if free < TIGHT { Verdict::Wrong } else { Verdict::Good };
            let text = format!("{} MiB are free, and {} files", free / 1_048_576, disk.f_favail);
            findings.push(finding("file", verdict, text));
        }
    }
    findings
}

/// The application will make the folder, if it may.
#[cfg(unix)]
fn not_there_yet(location: &Path) -> Finding {
    let shown = location.display();
    let location = std::path::absolute(location).unwrap_or_else(|_| location.to_owned());
    let above = location.ancestors().find(|folder| folder.exists()).unwrap_or(&location);
    match rustix::fs::access(above, rustix::fs::Access::WRITE_OK) {
        Ok(()) => {
            let text = format!("{shown} does not exist yet; the application makes it");
            finding("file", Verdict::Warning, text)
        }
        Err(error) => {
            let text =
                format!("{shown} does not exist and cannot be made: {}: {error}", above.display());
            finding("file", Verdict::Wrong, text)
        }
    }
}
