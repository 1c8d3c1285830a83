//! A MariaDB server.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    DATABASE, USER, output, program,
    server::{Port, Server},
    template, text, words,
};

const PACKAGE: &str = "mariadb-server";
/// A value that the data has been made with.
const LOG_SIZE: &str = "--innodb-log-file-size=8M";

/// A running MariaDB server. Dropping it ends it and removes its data.
///
/// Its user `cloakroom` may do everything, without a password.
#[derive(Debug)]
pub struct MariaDbServer {
    server: Server,
    settings: Vec<String>,
    databases: AtomicUsize,
}

impl MariaDbServer {
    /// Starts a server that leaves writing to disk to the system. It loses nothing when it is
    /// killed, and everything may be lost when the machine crashes.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server that waits for the disk at each commit, as in production.
    pub fn start_durable() -> Self {
        Self::start_with(&[
            "innodb-flush-log-at-trx-commit=1",
            "innodb-flush-method=fsync",
            "innodb-doublewrite=1",
            "debug-no-sync=0",
        ])
    }

    /// Starts a server with these settings, each a `name=value`.
    ///
    /// # Panics
    /// When it does not come up; where the program is missing, saying what to install.
    pub fn start_with(settings: &[&str]) -> Self {
        let server = Server::new("MariaDB", &["mysql"], "KILL");
        template::copy(template(&server), server.folder());
        let settings = settings.iter().map(|setting| format!("--{setting}")).collect();
        let mut started = Self { server, settings, databases: AtomicUsize::new(0) };
        started.run(Port::Free);
        started
    }

    /// Returns the server that all tests of a process share. It ends with the process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<MariaDbServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn run(&mut self, port: Port) {
        let settings = &self.settings;
        self.server.start(port, |server| command(server, settings), is_ready);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the URL of its first database.
    pub fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// Creates an empty database and returns its URL.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.sql(&format!("create database {name}"));
        self.url_of(&name)
    }

    fn url_of(&self, database: &str) -> String {
        format!("mysql://{USER}@{}/{database}", self.address())
    }

    /// Returns the rows of statements in the first database, as [`mariadb`] does.
    pub fn sql(&self, statements: &str) -> String {
        mariadb(&self.url(), statements)
    }

    /// Stops it cleanly: open transactions are rolled back and the data is written to disk.
    pub fn stop(&mut self) {
        self.server.stop("TERM");
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Freezes all its processes, until [`resume`](Self::resume): connections are accepted, and nothing
    /// replies.
    pub fn pause(&self) {
        self.server.pause();
    }

    /// Lets its processes go on.
    pub fn resume(&self) {
        self.server.resume();
    }

    /// Starts it again on the same port, with the same data. Kills it first if it still runs.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.kill();
        self.run(Port::Same);
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }

    /// Returns the ids of its process, and of the shell that ends it with the test.
    pub fn processes(&self) -> Vec<u32> {
        self.server.processes()
    }

    /// Returns its log since the last start.
    pub fn log(&self) -> String {
        self.server.log()
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
    [program, places.into(), words(fixed), settings.to_vec()].concat()
}

fn daemon() -> PathBuf {
    program("mariadbd", &[], PACKAGE)
}

fn is_ready(server: &Server, _: u32) -> bool {
    server.log().contains("ready for connections") && server.accepts()
}
