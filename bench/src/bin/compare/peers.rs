//! Every server beside the bare server of its framework.

use std::net::SocketAddr;

use cloakroom_bench::Failure;

use crate::{
    arguments::Arguments,
    counter::Counter,
    http::{Client, request},
    pairs::{Figures, Side},
    servers::{ALL, Framework, PAIRS, Pair, Server, Stores},
};

/// How many sessions the load *own* goes through.
const SESSIONS: usize = 1024;

/// The figures of one server.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) server: Server,
    /// Requests with a cookie that do not use the session.
    pub(crate) none: Figures,
    /// Reads, each of another session.
    pub(crate) read: Figures,
    /// Writes, each of another session.
    pub(crate) write: Figures,
    /// Writes of one session, for servers that keep sessions.
    pub(crate) hot: Option<(Figures, Counter)>,
}

/// The figures of a server beside another on the same database, and not beside the bare server.
#[derive(Debug)]
pub(crate) struct Duel {
    pub(crate) pair: Pair,
    pub(crate) read: Figures,
    pub(crate) write: Figures,
}

/// Measures the chosen servers.
pub(crate) fn measure(arguments: &Arguments) -> Result<(Vec<Row>, Vec<Duel>), Failure> {
    let stores = Stores::start()?;
    let axum = stores.open(Server::bare(Framework::Axum))?;
    let actix = stores.open(Server::bare(Framework::Actix))?;
    let mut rows = Vec::new();
    for server in ALL.into_iter().filter(|server| arguments.includes(server.name)) {
        eprintln!("measuring {}", server.name);
        let base = if server.framework == Framework::Axum { axum.1 } else { actix.1 };
        rows.push(Row::measure(server, base, &stores, arguments)?);
    }
    let mut duels = Vec::new();
    for pair in PAIRS.into_iter().filter(|pair| arguments.includes(pair.server.name)) {
        eprintln!("measuring {} beside {}", pair.server.name, pair.base.name);
        duels.push(Duel::measure(pair, &stores, arguments)?);
    }
    Ok((rows, duels))
}

impl Row {
    fn measure(
        server: Server,
        base: SocketAddr,
        stores: &Stores,
        arguments: &Arguments,
    ) -> Result<Self, Failure> {
        let (_process, address) = stores.open(server)?;
        let cookies = sign_in(address)?;
        let figures = |path| {
            let requests = &own(path, &cookies);
            let side = |server| Side { server, requests };
            Figures::measure(side(base), side(address), arguments)
        };
        let (none, read, write) = (figures("/none")?, figures("/read")?, figures("/write")?);
        let hot = server.keeps_sessions().then(|| hot(base, address, arguments)).transpose()?;
        Ok(Self { server, none, read, write, hot })
    }

    /// Returns how many requests of the server failed.
    pub(crate) fn failed(&self) -> u64 {
        let hot = self.hot.as_ref().map_or(0, |(figures, _)| figures.failed);
        self.none.failed + self.read.failed + self.write.failed + hot
    }
}

impl Duel {
    fn measure(pair: Pair, stores: &Stores, arguments: &Arguments) -> Result<Self, Failure> {
        let (_base, base) = stores.open(pair.base)?;
        let (_server, server) = stores.open(pair.server)?;
        let (of_base, of_server) = (sign_in(base)?, sign_in(server)?);
        let figures = |path| {
            let base = Side { server: base, requests: &own(path, &of_base) };
            let side = Side { server, requests: &own(path, &of_server) };
            Figures::measure(base, side, arguments)
        };
        Ok(Self { pair, read: figures("/read")?, write: figures("/write")? })
    }
}

/// Measures the writes of one session and compares its counter with their number.
fn hot(
    base: SocketAddr,
    server: SocketAddr,
    arguments: &Arguments,
) -> Result<(Figures, Counter), Failure> {
    let cookie = Client::connect(server)?.sign_in()?;
    let requests = &[request("/write", &cookie)];
    let side = |server| Side { server, requests };
    let figures = Figures::measure(side(base), side(server), arguments)?;
    let value = Client::connect(server)?.increment(&cookie)?;
    let counter = Counter::compare(value - 1, figures.answered);
    Ok((figures, counter))
}

/// Makes a session for each request of a round and returns their cookies.
fn sign_in(server: SocketAddr) -> Result<Vec<String>, Failure> {
    let mut client = Client::connect(server)?;
    (0..SESSIONS).map(|_| client.sign_in()).collect()
}

/// Returns a request of each session.
fn own(path: &str, cookies: &[String]) -> Vec<Vec<u8>> {
    cookies.iter().map(|cookie| request(path, cookie)).collect()
}
