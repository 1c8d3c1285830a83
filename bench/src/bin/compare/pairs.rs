//! Two servers under the same load, in slices by turns.

use std::net::SocketAddr;

use cloakroom_bench::Failure;

use crate::{
    arguments::Arguments,
    load::{Load, Outcome},
};

/// How many connections there are.
pub(crate) const CONNECTIONS: usize = 32;

/// A server and the requests that it gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side<'a> {
    pub(crate) server: SocketAddr,
    pub(crate) requests: &'a [Vec<u8>],
}

/// The figures of a server beside another.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// The requests per second as a ratio to the other server's, by round, sorted.
    ratios: Vec<f64>,
    /// The requests per second, by round, sorted.
    rates: Vec<f64>,
    /// The latencies of all rounds in microseconds, sorted.
    latencies: Vec<u32>,
    /// Replies with a status of 2xx, with those to the first slice, which is not measured.
    pub(crate) answered: u64,
    /// Replies with another status, and requests without a reply.
    pub(crate) failed: u64,
}

impl Figures {
    /// Measures the server `side` beside the server `base`.
    pub(crate) fn measure(base: Side, side: Side, arguments: &Arguments) -> Result<Self, Failure> {
        let load = |side: Side, divisor| {
            let Side { server, requests } = side;
            let span = arguments.span / divisor;
            Load { servers: &[server], connections: CONNECTIONS, requests, span }.run()
        };
        let mut figures = Self::default();
        load(base, 4)?;
        figures.count(&load(side, 4)?);
        for _ in 0..arguments.rounds {
            let base = load(base, 1)?;
            let outcome = load(side, 1)?;
            figures.count(&outcome);
            figures.add(&base, outcome);
        }
        figures.ratios.sort_by(f64::total_cmp);
        figures.rates.sort_by(f64::total_cmp);
        figures.latencies.sort_unstable();
        Ok(figures)
    }

    fn count(&mut self, outcome: &Outcome) {
        self.answered += outcome.answered;
        self.failed += outcome.failed;
    }

    fn add(&mut self, base: &Outcome, outcome: Outcome) {
        self.ratios.push(outcome.per_second / base.per_second);
        self.rates.push(outcome.per_second);
        self.latencies.extend(outcome.latencies);
    }

    /// Returns the median ratio.
    pub(crate) fn ratio(&self) -> f64 {
        median(&self.ratios)
    }

    /// Returns the least and the greatest ratio.
    pub(crate) fn spread(&self) -> (f64, f64) {
        (self.ratios[0], self.ratios[self.ratios.len() - 1])
    }

    /// Returns the median of the requests per second.
    pub(crate) fn rate(&self) -> f64 {
        median(&self.rates)
    }

    /// Returns the latency that 99 of 100 requests keep, in milliseconds.
    pub(crate) fn p99(&self) -> f64 {
        p99(&self.latencies)
    }
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// Returns the 99th percentile of sorted microseconds in milliseconds.
pub(crate) fn p99(sorted: &[u32]) -> f64 {
    let at = (sorted.len() * 99 / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |&micros| f64::from(micros) / 1000.0)
}
