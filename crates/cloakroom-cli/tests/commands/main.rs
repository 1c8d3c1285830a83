//! The command as people and programs run it: its output, its changes and its exit codes.
#![expect(
    clippy::unwrap_used,
    clippy::needless_raw_string_hashes,
    reason = "a test reports by panicking; snapshots are written by the library"
)]

mod databases;
mod install;
mod migrate;
mod sessions;
mod terminal;

use cloakroom::adapter::RequestContext;
use std::{
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, Output},
    sync::LazyLock,
};

use cloakroom::{
    AppKeys, Session, Sessions,
    cookie::CookieSettings,
    store::{Entry, Store},
};
use snapbox::{assert_data_eq, str};
use tempfile::TempDir;

/// A folder in which the command runs.
struct Project {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Project {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// Makes a project whose sessions are in files.
    fn on_files() -> Self {
        let key = AppKeys::generate();
        Self::new().with("APP_KEY", &key).with("SESSION_DRIVER", "file")
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
        command.current_dir(self.path()).args(arguments).env_remove("APP_KEY");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[])
    }

    /// Runs the command with more variables.
    fn run_with(&self, arguments: &[&str], variables: &[[&str; 2]]) -> Ran {
        let variables = variables.iter().map(|[name, value]| (name, value));
        Ran(self.command(arguments).envs(variables).output().unwrap())
    }
}

/// The result of a command.
struct Ran(Output);

impl Ran {
    fn code(&self) -> i32 {
        self.0.status.code().unwrap()
    }

    fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    /// Returns the output of a command that has to succeed.
    #[track_caller]
    fn good(&self) -> String {
        assert_eq!(self.code(), 0, "{}{}", self.out(), self.err());
        self.out()
    }
}

/// The key of the applications, which is the same on every store.
static KEYS: LazyLock<AppKeys> = LazyLock::new(AppKeys::random);

/// Makes the session system of an application, with a cookie that any client keeps.
fn sessions(store: impl Store) -> Sessions {
    let sessions = Sessions::builder(store, KEYS.clone());
    sessions.cookie_settings(CookieSettings::development()).build().unwrap()
}

/// Makes a request. Returns the cookie that the visitor has afterwards.
async fn visit(sessions: &Sessions, cookie: &str, handle: impl FnOnce(&Session)) -> String {
    let visit = RequestContext::new(sessions);
    let session = visit.session([("cookie", cookie)].as_slice()).await.unwrap();
    handle(&session);
    let headers = visit.finish(200).await.unwrap();
    let line = headers.set_cookie.first().map(|line| line.split(';').next().unwrap().to_owned());
    line.unwrap_or_else(|| cookie.to_owned())
}

/// Counts the live records of a store.
async fn live(store: &impl Store) -> usize {
    let (mut live, mut next) = (0, Some(cloakroom::store::Cursor::default()));
    while let Some(cursor) = next {
        let page = store.as_scan().unwrap().scan(cursor).await.unwrap();
        for key in page.keys {
            live += usize::from(matches!(store.load(&key).await.unwrap(), Some(Entry::Live(_))));
        }
        next = page.next;
    }
    live
}

#[test]
fn a_wrong_command_is_exit_code_2_and_says_what_is_accepted() {
    let project = Project::new();
    let ran = project.run(&["lst"]);
    assert_eq!((ran.code(), ran.out().as_str()), (2, ""));
    assert!(ran.err().contains("list"), "{}", ran.err());
    let ran = project.run(&["destroy"]);
    assert_eq!(ran.code(), 2);
    let ran = project.with("SESSION_IDLE_TIMEOUT", "soon").run(&["list"]);
    assert_eq!(ran.code(), 2);
    assert_data_eq!(
        ran.err(),
        str![[r#"
error: environment: SESSION_IDLE_TIMEOUT is "soon": expected a span such as "90s", "2h" or "10d", or a number of seconds, at least one second

"#]]
    );
}

#[test]
fn a_driver_that_other_processes_cannot_reach_is_refused() {
    let ran = Project::new().with("SESSION_DRIVER", "cookie").run(&["stats", "--json"]);
    assert_eq!(ran.code(), 2);
    let error: serde_json::Value = serde_json::from_str(&ran.out()).unwrap();
    assert!(
        error["error"].as_str().unwrap().contains("`postgres`, `mysql` and `sqlite` are accepted")
    );
}

#[test]
fn keys_are_made_kept_and_rotated() {
    let project = Project::new();
    let printed = project.run(&["key", "generate", "--print"]).good();
    assert!(AppKeys::parse(printed.trim()).is_ok());
    assert!(!project.path().join(".env").exists());
    project.run(&["key", "generate"]).good();
    let first = project.read(".env");
    let again = project.run(&["key", "generate"]);
    assert_eq!((again.code(), project.read(".env")), (1, first.clone()));
    project.run(&["key", "generate", "--rotate"]).good();
    let rotated = project.read(".env");
    let keys = rotated.trim().strip_prefix("APP_KEY=").unwrap();
    assert!(AppKeys::parse(keys).is_ok());
    assert!(keys.ends_with(first.trim().strip_prefix("APP_KEY=").unwrap()));
    let mode = std::fs::metadata(project.path().join(".env")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let json = project.run(&["key", "generate", "--rotate", "--json"]).good();
    let elsewhere = Project::new();
    let ran = elsewhere.run(&["key", "generate", "--rotate"]);
    assert_eq!(ran.code(), 1, "there is no key to rotate");
    assert!(!elsewhere.path().join(".env").exists(), "{}", ran.err());
    std::fs::write(elsewhere.path().join(".env"), "APP_KEY=mine\n").unwrap();
    assert_eq!(elsewhere.run(&["key", "generate", "--rotate"]).code(), 1);
    assert_eq!(elsewhere.read(".env"), "APP_KEY=mine\n", "an invalid key is kept");
    assert!(json.contains(r#""keys":3"#) && !json.contains("base64"), "{json}");
}

#[test]
fn a_key_that_cannot_be_written_is_refused_and_the_file_stays() {
    let old = AppKeys::generate();
    let rotate = &["key", "generate", "--rotate"][..];
    for (text, arguments) in [
        (format!("OLD={old}\nAPP_KEY=${{OLD}}\n"), rotate),
        (format!("OLD={old}\nAPP_KEY=\"${{OLD}}\"\n"), rotate),
        ("OTHER=\"\nAPP_KEY=\n\"\n".to_owned(), &rotate[..2]),
        ("APP_KEY=${OLD}\n".to_owned(), &rotate[..2]),
    ] {
        let project = Project::new();
        std::fs::write(project.path().join(".env"), &text).unwrap();
        let ran = project.run(arguments);
        assert_eq!(ran.code(), 1, "{text}{}", ran.out());
        assert!(ran.err().contains(".env was not changed: "), "{text}{}", ran.err());
        assert!(ran.err().contains("NAME=value on one line"), "{}", ran.err());
        assert_eq!(project.read(".env"), text);
        assert_eq!(std::fs::read_dir(project.path()).unwrap().count(), 1, "no file is left");
    }
}

#[test]
fn a_file_that_gets_a_key_is_for_its_owner_alone() {
    let project = Project::new();
    let file = project.path().join(".env");
    std::fs::write(&file, "RUST_LOG=info\n").unwrap();
    for arguments in [&["key", "generate"][..], &["key", "generate", "--rotate"]] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        project.run(arguments).good();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{arguments:?}");
    }
}

/// Only root can change the owner of a file.
#[test]
fn a_user_or_group_that_loses_the_file_is_named() {
    let project = Project::new();
    let file = project.path().join(".env");
    std::fs::write(&file, "RUST_LOG=info\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let said = project.run(&["key", "generate"]).err();
    assert!(!said.contains("warning"), "{said}");
    if rustix::process::geteuid().is_root() {
        let rotate = &["key", "generate", "--rotate"];
        let give_away = |user, group, mode| {
            std::os::unix::fs::chown(&file, user, group).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            project.run(rotate).err()
        };
        let said = give_away(Some(12_345), None, 0o600);
        assert!(said.contains("warning:") && said.contains("chown 12345"), "{said}");
        let said = give_away(None, Some(12_345), 0o640);
        assert!(said.contains("chgrp 12345") && !said.contains("chown"), "{said}");
        let said = give_away(Some(0), Some(0), 0o640);
        assert!(said.contains("chmod 640"), "the same group: {said}");
        let said = give_away(None, None, 0o644);
        assert!(said.contains("chmod 644"), "every user: {said}");
        let said = give_away(None, Some(12_345), 0o600);
        assert!(!said.contains("warning"), "the group could not read it before: {said}");
    }
}

#[test]
fn the_doctor_finds_what_goes_wrong() {
    let healthy = Project::new().with("APP_KEY", &AppKeys::generate());
    assert_data_eq!(
        healthy.run(&["doctor"]).good(),
        str![[r#"
good  application key: one key, long enough
good  cookie: `__Host-Http-session`, sent over https only
good  devices: `device_binding` is off: a copied cookie works until its session ends
good  driver: cookie; of two concurrent responses the last one wins, and a copied cookie stays valid after a logout

"#]]
    );
    let ill = Project::new()
        .with("SESSION_COOKIE_SECURE", "false")
        .with("SESSION_COOKIE_HTTP_ONLY", "false")
        .with("SESSION_COOKIE_DOMAIN", "example.org")
        .with("SESSION_IDLE_TIMEOUT", "500d")
        .with("SESSION_DRIVER", "redis")
        .with("SESSION_REDIS_URL", "redis://127.0.0.1:1/0");
    let ran = ill.run(&["doctor"]);
    assert_eq!(ran.code(), 1);
    assert_data_eq!(
        ran.out(),
        str![[r#"
wrong application key: session settings: APP_KEY is not set: [..]
wrong cookie: `cookie.secure` is off: browsers send it over plain http, where others on the network can read it
warn  cookie: `cookie_name`: other hosts and plain http can set `session`; browsers accept a name that begins with `__Host-Http-`, or with `__Secure-` if there is a domain, over https only
wrong cookie: `cookie.http_only` is off: any script on a page can read it
warn  cookie: `cookie.domain`: every host below example.org receives it and can set it
good  devices: `device_binding` is off: a copied cookie works until its session ends
warn  timeouts: `idle_timeout` is 500 days and there is no `absolute_timeout`: a stolen session never ends while it is used
warn  timeouts: `idle_timeout` is 500 days, and browsers keep a cookie for at most 400 days
warn  redis: `redis.key_prefix` is the default `session:`: if another application in this database uses it too, `cloakroom list` and `destroy` mix the sessions of both; set a prefix for this application, such as `shop:session:` (this ends all current sessions)
wrong redis: could not check Redis at 127.0.0.1:1: Connection refused (os error 111)

"#]]
    );
    assert_eq!(ran.err(), "error: 4 problems were found\n");
    let keyed = || Project::new().with("APP_KEY", &AppKeys::generate());
    let foreign = keyed().with("SESSION_FLAVOUR", "x").run(&["doctor"]).good();
    let expected = "warn  environment: SESSION_FLAVOUR is not a setting";
    assert!(foreign.contains(expected), "{foreign}");
    let misspelt = keyed().with("SESSION_DRIVR", "x").run(&["doctor"]);
    assert_eq!(misspelt.code(), 1);
    let expected = "environment: SESSION_DRIVR is not a setting; did you mean SESSION_DRIVER?";
    assert!(misspelt.out().contains(expected), "{}", misspelt.out());
    let refused = Project::new()
        .with("SESSION_COOKIE_SAME_SITE", "none")
        .with("SESSION_COOKIE_SECURE", "false")
        .run(&["doctor"]);
    assert_eq!(refused.code(), 1);
    assert_data_eq!(
        refused.out(),
        str![[r#"
wrong settings: environment: SESSION_COOKIE_SAME_SITE is "none": `none` is accepted by browsers only with cookie.secure = true; SESSION_COOKIE_SECURE is "false" (environment)

"#]]
    );
}

#[test]
fn the_doctor_checks_the_folder_and_creates_none() {
    let project = Project::on_files();
    let ran = project.run(&["doctor", "--json"]);
    assert!(ran.good().contains("does not exist yet"));
    assert!(!project.path().join("tmp").exists());
    let folder = project.path().join("tmp/sessions");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ran = project.run(&["doctor"]);
    assert_eq!(ran.code(), 1);
    assert!(
        ran.out().contains("wrong file: tmp/sessions: other users may read it"),
        "{}",
        ran.out()
    );
    assert!(ran.out().contains("files are free"));
}

/// Runs a command as a user with few rights. Returns `None` if this process is not root.
fn run_unprivileged(project: &Project, arguments: &[&str]) -> Option<Ran> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    std::fs::set_permissions(project.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // The command is in a folder that this user may not be able to reach.
    let copy = project.path().join("cloakroom");
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_cloakroom")).arg(&copy).status();
    assert!(copied.unwrap().success());
    let mut command = Command::new(copy);
    command.current_dir(project.path()).args(arguments).env_remove("APP_KEY");
    command.envs(project.variables.iter().map(|(name, value)| (name, value)));
    Some(Ran(command.uid(NOBODY).gid(NOBODY).output().unwrap()))
}

const NOBODY: u32 = 65_534;

#[test]
fn the_doctor_finds_a_folder_that_cannot_be_written() {
    let project = Project::on_files();
    let folder = project.path().join("tmp/sessions");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let ran = run_unprivileged(&project, &["doctor"]);
    let ran = ran.unwrap_or_else(|| project.run(&["doctor"]));
    assert_eq!(ran.code(), 1, "{}", ran.out());
    assert!(ran.out().contains("wrong file: tmp/sessions: Permission denied"), "{}", ran.out());
    assert!(!ran.out().contains("usable"), "{}", ran.out());
}

#[test]
fn what_cannot_be_reached_is_not_called_missing() {
    let project = Project::on_files();
    std::fs::create_dir_all(project.path().join("tmp/sessions")).unwrap();
    let tmp = project.path().join("tmp");
    std::fs::set_permissions(&tmp, std::fs::Permissions::from_mode(0o600)).unwrap();
    let hidden = ["list", "--env-file", "tmp/hidden"];
    for arguments in [&["list"][..], &hidden] {
        let ran = run_unprivileged(&project, arguments);
        let ran = ran.unwrap_or_else(|| project.run(arguments));
        assert!(ran.err().contains("Permission denied"), "{}", ran.err());
        assert!(!ran.err().contains("does not exist"), "{}", ran.err());
    }
    std::fs::set_permissions(&tmp, std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn the_doctor_checks_redis() {
    let server = cloakroom_tests::redis::RedisServer::start();
    let project = Project::new()
        .with("APP_KEY", &AppKeys::generate())
        .with("SESSION_DRIVER", "redis")
        .with("SESSION_REDIS_URL", &server.url());
    let shown = project.run(&["doctor"]).good();
    assert!(shown.contains("warn  redis: `redis.key_prefix` is the default"), "{shown}");
    let project = project.with("SESSION_REDIS_KEY_PREFIX", "shop:session:");
    let shown = project.run(&["doctor"]).good();
    assert!(!shown.contains("key_prefix"), "{shown}");
    assert!(shown.contains("good  redis: version "), "{shown}");
    assert!(shown.contains("a round trip takes ") && shown.contains("its clock is "));
    server.cli(&["CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru"]);
    let ran = project.run(&["doctor"]);
    assert_eq!(ran.code(), 1);
    assert!(ran.out().contains("wrong redis: maxmemory-policy is `allkeys-lru`"), "{}", ran.out());
}

#[test]
fn the_help_groups_the_options() {
    let help = Project::new().run(&["destroy", "--help"]).good();
    assert_data_eq!(
        help,
        str![[r#"
Ends one session, all sessions of an owner, or all sessions

Usage: cloakroom destroy [OPTIONS] <HANDLE|--owner <OWNER>|--all>

Arguments:
  [HANDLE]  The session's handle, or the first characters of it, at least 4

Options:
      --owner <OWNER>  Ends all sessions of this owner
      --all            Ends all sessions of the application, signed in or not
      --dry-run        Shows the sessions that would end, and ends none
      --yes            Ends several sessions without asking; necessary where no terminal can be
                       asked
  -h, --help           Print help

Common options:
      --json             Prints JSON to standard output: one object, or one object a line for a list
                         (JSON Lines)
      --config <FILE>    Reads the settings from this file [default: config/session.toml, if it
                         exists]
      --env-file <FILE>  Reads variables that are not in the environment from this file [default:
                         .env, if it exists]

"#]]
    );
}

#[test]
fn the_help_of_lists_names_json_lines() {
    for command in ["list", "doctor"] {
        let help = Project::new().run(&[command, "--help"]).good();
        assert!(help.contains("(JSON Lines)"), "{help}");
    }
}

#[test]
fn shells_and_man_get_their_pages() {
    let project = Project::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = project.run(&["completions", shell]).good();
        assert!(script.contains("cloakroom") && script.contains("migrate"), "{shell}");
    }
    let page = project.run(&["man"]).good();
    assert!(page.contains(".TH cloakroom 1") && page.contains("migrate"));
    let page = project.run(&["man", "migrate"]).good();
    assert!(page.contains(".TH cloakroom-migrate 1") && page.contains("journal"), "{page}");
    assert_eq!(project.run(&["man", "nothing"]).code(), 2);
}

#[test]
fn failed_output_is_an_error_unless_the_pipe_is_closed() {
    let project = Project::new().with("APP_KEY", &AppKeys::generate());
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ran = project.command(&["doctor"]).stdout(full).output().unwrap();
    let error = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{error}");
    assert!(error.starts_with("error: could not write to standard output"), "{error}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = project.command(&["man"]).stdout(writer).output().unwrap();
    assert_eq!((ran.status.code(), ran.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_closed_pipe_hides_no_failure() {
    let without_key = Project::new();
    for arguments in [&["doctor"][..], &["doctor", "--json"], &["show", "nothing", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = Ran(without_key.command(arguments).stdout(writer).output().unwrap());
        assert_ne!(ran.code(), 0, "{arguments:?}");
        assert!(ran.err().contains("error: "), "{arguments:?}: {}", ran.err());
    }
}

#[test]
fn a_named_file_of_variables_has_to_exist() {
    let ran = Project::new().run(&["list", "--env-file", "nowhere"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.err().contains("--env-file: nowhere does not exist"), "{}", ran.err());
}

#[test]
fn the_doctor_knows_sealed_records_and_an_old_cookie_that_is_over() {
    let project = Project::on_files()
        .with("APP_KEY", &AppKeys::generate())
        .with("SESSION_SEAL_RECORDS", "true")
        .with("SESSION_OLD_COOKIE_NAME", "__Host-session")
        .with("SESSION_OLD_COOKIE_UNTIL", "2020-03-01");
    let said = project.run(&["doctor"]).out();
    for line in [
        "good  records: sealed by the first application key at their next use\n",
        "warn  cookie: `old_cookie_name`: cookies of this name are ignored since 2020-03-01T00:00:00Z; \
         remove it and `old_cookie_until`\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let said = project.with("SESSION_OLD_COOKIE_UNTIL", "9999-03-01").run(&["doctor"]).out();
    assert!(!said.contains("old_cookie"), "{said}");
}

#[test]
fn the_doctor_says_what_a_copied_cookie_is_worth() {
    let mut project = Project::new().with("APP_KEY", &AppKeys::generate());
    for (policy, worth) in [
        ("off", "a copied cookie works until its session ends"),
        ("report", "a copied cookie is counted, and works until its session ends"),
        (
            "sensitive",
            "a copied cookie opens no sensitive page after 11 minutes, if the browser registers",
        ),
        ("require", "a copied cookie is worth nothing after 11 minutes, if the browser registers"),
    ] {
        project = project.with("SESSION_DEVICE_BINDING", policy);
        let said = project.run(&["doctor"]).out();
        let line = format!("good  devices: `device_binding` is {policy}: {worth}\n");
        assert!(said.contains(&line), "{said}");
    }
}

#[test]
fn the_doctor_warns_of_a_name_without_a_prefix_over_https() {
    let project = Project::new().with("APP_KEY", &AppKeys::generate());
    let warning = "warn  cookie: `cookie_name`: other hosts and plain http can set `sid`;";
    for (name, warned) in [("sid", true), ("__host-http-sid", false), ("__Secure-sid", false)] {
        let said = project.run_with(&["doctor"], &[["SESSION_COOKIE_NAME", name]]).good();
        assert_eq!(said.contains(warning), warned, "{said}");
    }
}
