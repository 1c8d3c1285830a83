//! The instructions of a request, counted by callgrind. Unlike times they are the same on a busy
//! machine, so they show what a change of the code saves. They leave out what the kernel does.

use std::{fs, path::Path};

use cloakroom_bench::Failure;
use tempfile::TempDir;

use crate::{
    arguments::Arguments,
    http::Client,
    report::table,
    servers::{ALL, Framework, Server, Stores},
};

/// How many requests the shorter of two runs sends, and how many more the longer one.
const REQUESTS: u64 = 500;
const ROUTES: [&str; 3] = ["/none", "/read", "/write"];

/// Counts the chosen servers and returns the table.
pub(crate) fn run(arguments: &Arguments) -> Result<String, Failure> {
    let stores = Stores::start()?;
    let bare = [Framework::Axum, Framework::Actix].map(Server::bare);
    let mut rows = Vec::new();
    for server in bare.into_iter().chain(ALL).filter(|server| arguments.includes(server.name)) {
        eprintln!("counting {}", server.name);
        let [none, read, write] = ROUTES.map(|route| of_request(&stores, server, route));
        rows.push(format!("| {} | {} | {} | {} |", server.name, none?, read?, write?));
    }
    let head = "| instructions of a request | none | read | write |\n|---|---|---|---|";
    Ok(table(head, rows.into_iter()))
}

/// Returns the instructions of one request: the difference of two runs leaves out the server's start.
fn of_request(stores: &Stores, server: Server, route: &str) -> Result<u64, Failure> {
    let shorter = of_run(stores, server, route, REQUESTS)?;
    let longer = of_run(stores, server, route, 2 * REQUESTS)?;
    Ok(longer.saturating_sub(shorter) / REQUESTS)
}

/// Returns the instructions of a server that gets so many requests of one session, one after the other.
fn of_run(stores: &Stores, server: Server, route: &str, requests: u64) -> Result<u64, Failure> {
    let folder = TempDir::new().map_err(|error| format!("no folder: {error}"))?;
    let counts = folder.path().join("counts");
    let file = format!("--callgrind-out-file={}", counts.display());
    let (mut process, address) =
        stores.open_under(&["valgrind", "--quiet", "--tool=callgrind", &file], server)?;
    let mut client = Client::connect(address)?;
    let cookie = if server.has_sessions() { client.sign_in()? } else { "session=none".to_owned() };
    for _ in 0..requests {
        client.send(route, &cookie)?;
    }
    process.end("TERM")?;
    read_total(&counts)
}

/// Reads the total from the file that callgrind writes when its program ends.
fn read_total(counts: &Path) -> Result<u64, Failure> {
    let text = fs::read_to_string(counts)
        .map_err(|error| format!("callgrind has counted nothing, {}: {error}", counts.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.ok_or_else(|| format!("{}: no line `totals:`", counts.display()))
}
