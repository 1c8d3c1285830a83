//! A PostgreSQL server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use super::{
    DATABASE, USER,
    kind::{DatabaseServer, Kind},
    output, program,
    server::Server,
    template, text, words,
};

const PACKAGE: &str = "postgresql";

/// A running PostgreSQL server.
pub type PostgresServer = DatabaseServer<Postgres>;

/// PostgreSQL.
#[derive(Debug)]
pub struct Postgres;

impl Kind for Postgres {
    const DURABLE: &'static [&'static str] = &["fsync=on", "full_page_writes=on"];
    const SCHEME: &'static str = "postgres";
    const STOP: &'static str = "INT";

    fn install() -> Server {
        let server = Server::new("PostgreSQL", &["postgres"], "QUIT");
        template::copy(template(&server), server.folder());
        server
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

    fn run(url: &str, statements: &str) -> String {
        psql(url, statements)
    }

    fn clean_up(server: &Server) {
        // The system keeps a segment of shared memory that only the server would remove.
        let file = fs::read_to_string(lock_file(server)).unwrap_or_default();
        if let Some(segment) = file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            drop(Command::new("ipcrm").args(["-m", segment]).stderr(Stdio::null()).status());
        }
    }

    fn shared() -> &'static OnceLock<PostgresServer> {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        &SHARED
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

fn lock_file(server: &Server) -> PathBuf {
    data(server).join("postmaster.pid")
}

fn data(server: &Server) -> PathBuf {
    server.folder().join("data")
}
