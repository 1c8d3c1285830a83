//! A MariaDB server.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::{
    DATABASE, USER,
    kind::{DatabaseServer, Kind},
    output, program,
    server::Server,
    template, text, words,
};

const PACKAGE: &str = "mariadb-server";
/// A value that the data has been made with.
const LOG_SIZE: &str = "--innodb-log-file-size=8M";

/// A running MariaDB server.
pub type MariaDbServer = DatabaseServer<MariaDb>;

/// MariaDB.
#[derive(Debug)]
pub struct MariaDb;

impl Kind for MariaDb {
    const DURABLE: &'static [&'static str] = &[
        "innodb-flush-log-at-trx-commit=1",
        "innodb-flush-method=fsync",
        "innodb-doublewrite=1",
        "debug-no-sync=0",
    ];
    const SCHEME: &'static str = "mysql";
    const STOP: &'static str = "TERM";

    fn install() -> Server {
        let server = Server::new("MariaDB", &["mysql"], "KILL");
        template::copy(template(&server), server.folder());
        server
    }

    fn command(server: &Server, settings: &[String]) -> Vec<String> {
        let folder = text(server.folder());
        let places = [
            format!("--datadir={folder}/data"),
            format!("--tmpdir={folder}"),
            format!("--socket={folder}/socket"),
            format!("--pid-file={folder}/id"),
            format!("--port={}", server.address().port()),
        ];
        let fixed = [
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--max-connections=200",
            "--character-set-server=utf8mb4",
            "--innodb-buffer-pool-size=32M",
            // Of this the system has little to give, for all servers together.
            "--innodb-use-native-aio=0",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-flush-method=nosync",
            "--innodb-doublewrite=0",
            "--debug-no-sync=1",
            LOG_SIZE,
        ];
        let program = words([text(&daemon()), "--no-defaults"]);
        let settings = settings.iter().map(|setting| format!("--{setting}")).collect();
        [program, places.into(), words(fixed), settings].concat()
    }

    fn is_ready(server: &Server, _: u32) -> bool {
        server.log().contains("ready for connections") && server.accepts()
    }

    fn run(url: &str, statements: &str) -> String {
        mariadb(url, statements)
    }

    fn shared() -> &'static OnceLock<MariaDbServer> {
        static SHARED: OnceLock<MariaDbServer> = OnceLock::new();
        &SHARED
    }
}

/// Runs statements through the client program. Returns a row a line, the columns separated by tabs.
///
/// # Panics
/// When a statement fails.
pub fn mariadb(url: &str, statements: &str) -> String {
    let parts = url.rsplit_once('/').and_then(|(server, database)| {
        Some((server.split_once('@')?.1.split_once(':')?, database))
    });
    let ((host, port), database) = parts.unwrap_or_else(|| panic!("{url} is not a URL"));
    let client = program("mariadb", &[], PACKAGE);
    let command = [text(&client), "--no-defaults", "-BN", "-u", USER, "-h", host, "-P", port];
    let rest = ["-D", database, "-e", statements];
    output(&[words(command), words(rest)].concat(), Path::new("/"))
}

fn template(server: &Server) -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let install = program("mariadb-install-db", &[], PACKAGE);
        let version = output(&words([text(&daemon()), "--version"]), Path::new("/"));
        // The installer takes a statement a line, and runs them without users until the flush.
        let create = format!(
            "create database {DATABASE};\n\
             flush privileges;\n\
             create user '{USER}'@'%';\n\
             grant all on *.* to '{USER}'@'%' with grant option;\n"
        );
        let commands = [
            words(["sh", "-c", "printf %s \"$1\" >{folder}/create", "sh", &create]),
            words([
                text(&install),
                "--no-defaults",
                "--datadir={folder}/data",
                "--extra-file={folder}/create",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--innodb-flush-method=nosync",
                LOG_SIZE,
            ]),
        ];
        template::find("mariadb", &version, server.account(), &commands)
    })
}

fn daemon() -> PathBuf {
    program("mariadbd", &[], PACKAGE)
}
