//! A PgBouncer before a PostgreSQL server.

use std::{fs, net::SocketAddr};

use super::{
    PostgresServer, program,
    server::{Port, Server},
    text, words,
};

/// A running PgBouncer that gives a client a connection for each transaction. Dropping it ends it.
#[derive(Debug)]
pub struct PgBouncer {
    server: Server,
    upstream: SocketAddr,
    settings: Vec<String>,
}

impl PgBouncer {
    /// Starts one before the databases of a server.
    ///
    /// # Panics
    /// When it does not come up; where the program is missing, saying what to install.
    pub fn start(upstream: &PostgresServer) -> Self {
        Self::start_with(upstream, &[])
    }

    /// Starts one with these settings, each a `name = value`.
    ///
    /// # Panics
    /// When it does not come up; where the program is missing, saying what to install.
    pub fn start_with(upstream: &PostgresServer, settings: &[&str]) -> Self {
        let server = Server::new("PgBouncer", &["postgres"], "KILL");
        let settings = settings.iter().copied().map(ToOwned::to_owned).collect();
        let mut started = Self { server, upstream: upstream.address(), settings };
        started.run(Port::Free);
        started
    }

    fn run(&mut self, port: Port) {
        let (upstream, settings) = (self.upstream, &self.settings);
        self.server.start(port, |server| command(server, upstream, settings), is_ready);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the URL of the first database.
    pub fn url(&self) -> String {
        self.url_of(&format!("/{}", super::DATABASE))
    }

    /// Returns the URL through which it offers the database that has this URL on the server.
    pub fn url_of(&self, database: &str) -> String {
        let name = database.rsplit('/').next().unwrap_or_default();
        format!("postgres://{}@{}/{name}", super::USER, self.address())
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again on the same port. Kills it first if it still runs.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.kill();
        self.run(Port::Same);
    }

    /// Returns the ids of its process, and of the shell that ends it with the test.
    pub fn processes(&self) -> Vec<u32> {
        self.server.processes()
    }
}

fn command(server: &Server, upstream: SocketAddr, more: &[String]) -> Vec<String> {
    let [settings, users] = ["settings", "users"].map(|name| server.folder().join(name));
    let content = format!(
        "[databases]\n* = host={} port={}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n\
         auth_type = trust\nauth_file = {}\npool_mode = transaction\n\
         max_client_conn = 1000\ndefault_pool_size = 10\n{}\n",
        upstream.ip(),
        upstream.port(),
        server.address().port(),
        text(&users),
        more.join("\n")
    );
    let write = |file, content: &str| {
        fs::write(file, content).unwrap_or_else(|error| panic!("{error}"));
    };
    write(&settings, &content);
    write(&users, &format!("\"{}\" \"\"\n", super::USER));
    words([text(&program("pgbouncer", &[], "pgbouncer")), text(&settings)])
}

fn is_ready(server: &Server, _: u32) -> bool {
    server.log().contains("process up") && server.accepts()
}
