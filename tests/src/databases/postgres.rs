//! A PostgreSQL server.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
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

const PACKAGE: &str = "postgresql";

/// A running PostgreSQL server. Dropping it ends it and removes its data.
///
/// Its user `cloakroom` may do everything, without a password.
#[derive(Debug)]
pub struct PostgresServer {
    server: Server,
    settings: Vec<String>,
    databases: AtomicUsize,
}

impl PostgresServer {
    /// Starts a server that leaves writing to disk to the system. It loses nothing when it is
    /// killed, and everything may be lost when the machine crashes.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server that waits for the disk at each commit, as in production.
    pub fn start_durable() -> Self {
        Self::start_with(&["fsync=on", "full_page_writes=on"])
    }

    /// Starts a server with these settings, each a `name=value`.
    ///
    /// # Panics
    /// When it does not come up; where the program is missing, saying what to install.
    pub fn start_with(settings: &[&str]) -> Self {
        let server = Server::new("PostgreSQL", &["postgres"], "QUIT");
        template::copy(template(&server), server.folder());
        let settings = settings.iter().copied().map(ToOwned::to_owned).collect();
        let mut started = Self { server, settings, databases: AtomicUsize::new(0) };
        started.run(Port::Free);
        started
    }

    /// Returns the server that all tests of a process share. It ends with the process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
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
        format!("postgres://{USER}@{}/{database}", self.address())
    }

    /// Returns the rows of statements in the first database, as [`psql`] does.
    pub fn sql(&self, statements: &str) -> String {
        psql(&self.url(), statements)
    }

    /// Stops it cleanly: open transactions are rolled back and the data is written to disk.
    pub fn stop(&mut self) {
        self.server.stop("INT");
    }

    /// Ends all its processes at once, as a crash would.
    pub fn kill(&mut self) {
        self.server.kill();
        // The system keeps a segment of shared memory that only the server would remove.
        let file = fs::read_to_string(lock_file(&self.server)).unwrap_or_default();
        if let Some(segment) = file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            drop(Command::new("ipcrm").args(["-m", segment]).stderr(Stdio::null()).status());
        }
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

    /// Returns the ids of its processes, and of the shell that ends it with the test.
    pub fn processes(&self) -> Vec<u32> {
        self.server.processes()
    }

    /// Returns its log since the last start.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

/// Runs statements through the client program, in one transaction. Returns a row a line, the columns
/// separated by `|`.
///
/// # Panics
/// When a statement fails.
pub fn psql(url: &str, statements: &str) -> String {
    let psql = postgres("psql");
    let command = [text(&psql), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statements, url];
    output(&words(command), Path::new("/"))
}

/// Finds a program of the newest version that Debian has installed.
fn postgres(name: &str) -> PathBuf {
    let version = |folder: &PathBuf| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|entry| entry.path()).max_by_key(version);
    let folders: Vec<_> = newest.into_iter().map(|folder| folder.join("bin")).collect();
    program(name, &folders, PACKAGE)
}

fn template(server: &Server) -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let [initdb, postgres] = ["initdb", "postgres"].map(postgres);
        let version = output(&words([text(&initdb), "--version"]), Path::new("/"));
        // A copy takes as long as there are files, of which each database has three hundred.
        let adapt = format!(
            "alter database postgres rename to {DATABASE}\n\
             alter database template0 is_template false\n\
             drop database template0\n"
        );
        let pipe = "printf %s \"$3\" | \"$1\" --single -F -D \"$2\" template1";
        let options = "-A trust -E UTF8 --locale=C --wal-segsize=1 --no-sync -D {folder}/data -U";
        let initialize = [text(&initdb)].into_iter().chain(options.split(' ')).chain([USER]);
        let commands = [
            initialize.map(ToOwned::to_owned).collect(),
            words(["sh", "-c", pipe, "sh", text(&postgres), "{folder}/data", &adapt]),
        ];
        template::find("postgres", &version, server.account(), &commands)
    })
}

fn command(server: &Server, settings: &[String]) -> Vec<String> {
    let defaults = [
        "listen_addresses=127.0.0.1",
        "max_connections=100",
        "shared_buffers=16MB",
        // Nothing outside the folder that stays after a crash.
        "dynamic_shared_memory_type=mmap",
        "fsync=off",
        "full_page_writes=off",
    ]
    .map(ToOwned::to_owned);
    let places = [
        format!("port={}", server.address().port()),
        format!("unix_socket_directories={}", text(server.folder())),
    ];
    let mut command = words([text(&postgres("postgres")), "-D", text(&data(server))]);
    for setting in defaults.iter().chain(&places).chain(settings) {
        command.extend(words(["-c", setting]));
    }
    command
}

/// The server writes its process id and its state into its lock file.
fn is_ready(server: &Server, id: u32) -> bool {
    let file = fs::read_to_string(lock_file(server)).unwrap_or_default();
    let is_its_own = file.lines().next() == Some(&id.to_string());
    is_its_own && file.lines().nth(7).is_some_and(|it| it.trim() == "ready") && server.accepts()
}

fn lock_file(server: &Server) -> PathBuf {
    data(server).join("postmaster.pid")
}

fn data(server: &Server) -> PathBuf {
    server.folder().join("data")
}
