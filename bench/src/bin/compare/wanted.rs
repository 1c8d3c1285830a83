//! The figures that are wanted, and whether they are met.

use std::fmt;

use crate::{
    counter::Counter,
    peers::{Duel, Row},
};

/// The least ratio of requests that do not use the session.
const NONE: f64 = 0.97;
/// The longest p99 of the load *hot*, as a multiple of the load *own*.
const HOT_P99: f64 = 10.0;

/// One wanted figure.
#[derive(Debug)]
pub(crate) struct Wanted {
    what: String,
    limit: String,
    measured: String,
    is_met: bool,
}

impl Wanted {
    fn at_least(what: String, limit: f64, measured: f64) -> Self {
        let is_met = measured >= limit;
        Self { what, limit: format!("≥ {limit:.2}"), measured: format!("{measured:.2}"), is_met }
    }

    pub(crate) fn at_most(what: String, limit: f64, measured: f64) -> Self {
        let is_met = measured <= limit;
        let [limit, measured] = [limit, measured].map(|ms| format!("{ms:.1} ms"));
        Self { what, limit: format!("≤ {limit}"), measured, is_met }
    }

    pub(crate) fn no_failure(what: String, failed: u64) -> Self {
        Self { what, limit: "0".to_owned(), measured: failed.to_string(), is_met: failed == 0 }
    }

    pub(crate) fn exact(what: String, counter: Counter) -> Self {
        let [limit, measured] = [Counter::Exact, counter].map(|counter| counter.to_string());
        Self { what, limit, measured, is_met: counter == Counter::Exact }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, limit, measured, is_met } = self;
        let verdict = if *is_met { "met" } else { "**missed**" };
        write!(f, "| {what} | {limit} | {measured} | {verdict} |")
    }
}

/// Returns the least ratios of reads and of writes for a driver.
fn ratios(driver: &str) -> (Option<f64>, Option<f64>) {
    match driver {
        "memory" => (Some(0.90), Some(0.80)),
        "cookie" => (Some(0.88), Some(0.72)),
        "file" => (Some(0.35), None),
        "redis" => (Some(0.50), None),
        "redis-near-cache" => (Some(0.88), None),
        _ => (None, None),
    }
}

/// Returns what is wanted of a server. Nothing is wanted of peers.
pub(crate) fn of_row(row: &Row) -> Vec<Wanted> {
    if !row.server.is_own() {
        return Vec::new();
    }
    let what = |figure| format!("{}: {figure}", row.server.name);
    let (read, write) = ratios(row.server.driver);
    let mut wanted = vec![Wanted::at_least(what("none"), NONE, row.none.ratio())];
    wanted.extend(read.map(|ratio| Wanted::at_least(what("read own"), ratio, row.read.ratio())));
    wanted.extend(write.map(|ratio| Wanted::at_least(what("write own"), ratio, row.write.ratio())));
    if let Some((hot, counter)) = &row.hot {
        let ratio = hot.ratio() / row.write.ratio();
        wanted.push(Wanted::at_least(what("write hot, × write own"), 1.0, ratio));
        let limit = HOT_P99 * row.write.p99();
        wanted.push(Wanted::at_most(what("write hot, p99"), limit, hot.p99()));
        wanted.push(Wanted::no_failure(what("write hot, failures"), hot.failed));
        wanted.push(Wanted::exact(what("write hot, counter"), *counter));
    }
    wanted
}

/// Returns what is wanted of a server beside another.
pub(crate) fn of_duel(duel: &Duel) -> Vec<Wanted> {
    let Some((read, write)) = duel.pair.wanted else { return Vec::new() };
    let what = |load| format!("{}: {load}, × {}", duel.pair.server.name, duel.pair.base.name);
    vec![
        Wanted::at_least(what("read own"), read, duel.read.ratio()),
        Wanted::at_least(what("write own"), write, duel.write.ratio()),
    ]
}
