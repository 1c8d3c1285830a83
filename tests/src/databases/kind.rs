//! A database server of any kind.

use std::{
    fmt,
    marker::PhantomData,
    net::SocketAddr,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    DATABASE, USER,
    server::{Port, Server},
};

/// The differences between database servers.
pub trait Kind: fmt::Debug + Sized + 'static {
    /// The settings with which a commit waits for the disk, as in production.
    const DURABLE: &'static [&'static str];
    /// The scheme of URLs.
    const SCHEME: &'static str;
    /// The signal that stops the server cleanly.
    const STOP: &'static str;

    /// Makes a server whose folder has the data of a new installation.
    fn install() -> Server;

    /// Returns the command line that starts a server with these settings, each a `name=value`.
    fn command(server: &Server, settings: &[String]) -> Vec<String>;

    /// Returns whether the server accepts connections, by its process id.
    fn is_ready(server: &Server, id: u32) -> bool;

    /// Runs statements through the client program. Returns a row a line.
    fn run(url: &str, statements: &str) -> String;

    /// Removes what a killed server leaves outside of its folder.
    fn clean_up(server: &Server) {
        let _ = server;
    }

    /// Returns the place of the server that all tests of a process share.
    fn shared() -> &'static OnceLock<DatabaseServer<Self>>;
}

/// A running database server. Dropping it ends it and removes its data.
///
/// Its user `cloakroom` may do everything, without a password.
#[derive(Debug)]
pub struct DatabaseServer<K> {
    server: Server,
    settings: Vec<String>,
    databases: AtomicUsize,
    kind: PhantomData<K>,
}

impl<K: Kind> DatabaseServer<K> {
    /// Starts a server that leaves writing to disk to the system. It loses nothing when it is
    /// killed, and everything may be lost when the machine crashes.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server that waits for the disk at each commit, as in production.
    pub fn start_durable() -> Self {
        Self::start_with(K::DURABLE)
    }

    /// Starts a server with these settings, each a `name=value`.
    ///
    /// # Panics
    /// When it does not come up; where the program is missing, saying what to install.
    pub fn start_with(settings: &[&str]) -> Self {
        let settings = settings.iter().copied().map(ToOwned::to_owned).collect();
        let (server, databases) = (K::install(), AtomicUsize::new(0));
        let mut started = Self { server, settings, databases, kind: PhantomData };
        started.run(Port::Free);
        started
    }

    /// Returns the server that all tests of a process share. It ends with the process.
    pub fn shared() -> &'static Self {
        K::shared().get_or_init(Self::start)
    }

    fn run(&mut self, port: Port) {
        let settings = &self.settings;
        self.server.start(port, |server| K::command(server, settings), K::is_ready);
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
        format!("{}://{USER}@{}/{database}", K::SCHEME, self.address())
    }

    /// Returns the rows of statements in the first database, as [`psql`](super::psql) and
    /// [`mariadb`](super::mariadb) do.
    pub fn sql(&self, statements: &str) -> String {
        K::run(&self.url(), statements)
    }

    /// Stops it cleanly: open transactions are rolled back and the data is written to disk.
    pub fn stop(&mut self) {
        self.server.stop(K::STOP);
    }

    /// Ends all its processes at once, as a crash would.
    pub fn kill(&mut self) {
        self.server.kill();
        K::clean_up(&self.server);
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
