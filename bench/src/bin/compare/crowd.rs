//! Several processes with one store, all of which write one session.

use std::net::SocketAddr;

use cloakroom_bench::Failure;

use crate::{
    arguments::Arguments,
    counter::Counter,
    http::{Client, request},
    load::Load,
    pairs::p99,
    process::Process,
    report,
    servers::{Server, Stores},
    wanted::Wanted,
};

/// The drivers that several processes can share.
const DRIVERS: [&str; 4] = ["redis", "file", "postgres", "sqlite"];
/// The longest p99, in milliseconds.
const P99: f64 = 250.0;

/// The figures of a crowd on one store.
struct Crowd {
    driver: &'static str,
    per_second: f64,
    p99: f64,
    failed: u64,
    counter: Counter,
}

/// Measures the chosen drivers and returns the tables of the report.
pub(crate) fn run(arguments: &Arguments) -> Result<String, Failure> {
    let stores = Stores::start()?;
    let mut rows =
        "| store | requests/s | p99 ms | failures | counter |\n|---|---|---|---|---|\n".to_owned();
    let mut wanted = Vec::new();
    for driver in DRIVERS.into_iter().filter(|driver| arguments.includes(driver)) {
        eprintln!("measuring {} processes on {driver}", arguments.processes);
        let crowd = Crowd::measure(driver, &stores, arguments)?;
        rows += &crowd.row();
        wanted.extend(crowd.wanted());
    }
    Ok(format!("{rows}\n{}", report::table_of(&wanted)))
}

impl Crowd {
    fn measure(
        driver: &'static str,
        stores: &Stores,
        arguments: &Arguments,
    ) -> Result<Self, Failure> {
        let open = |_| stores.open(Server::of_crowd(driver));
        let opened: Result<Vec<_>, _> = (0..arguments.processes).map(open).collect();
        let (_processes, servers): (Vec<Process>, Vec<SocketAddr>) = opened?.into_iter().unzip();
        let mut client = Client::connect(servers[0])?;
        let cookie = client.sign_in()?;
        let connections = arguments.processes * arguments.connections;
        let requests = &[request("/write", &cookie)];
        let load = Load { servers: &servers, connections, requests, span: arguments.span };
        let mut outcome = load.run()?;
        outcome.latencies.sort_unstable();
        let counter = Counter::compare(client.increment(&cookie)? - 1, outcome.answered);
        let (per_second, p99) = (outcome.per_second, p99(&outcome.latencies));
        Ok(Self { driver, per_second, p99, failed: outcome.failed, counter })
    }

    fn row(&self) -> String {
        let Self { driver, per_second, p99, failed, counter } = self;
        format!("| {driver} | {per_second:.0} | {p99:.1} | {failed} | {counter} |\n")
    }

    /// Returns what is wanted. The p99 of files is left out: with full durability every commit
    /// waits for the disk, whose speed is another on each machine.
    fn wanted(&self) -> Vec<Wanted> {
        let what = |figure| format!("{}: {figure}", self.driver);
        let mut wanted = vec![
            Wanted::no_failure(what("failures"), self.failed),
            Wanted::exact(what("counter"), self.counter),
        ];
        if self.driver != "file" {
            wanted.push(Wanted::at_most(what("p99"), P99, self.p99));
        }
        wanted
    }
}
