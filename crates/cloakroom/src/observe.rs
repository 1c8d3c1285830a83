//! What can be seen of sessions at work: spans and events of `tracing`, and with the feature `metrics`
//! counters and histograms of the [`metrics`](https://docs.rs/metrics) facade.
//!
//! Nothing secret is among it: sessions appear by [`correlation_id`](crate::Session::correlation_id),
//! never by token, key or value.
//!
//! # Spans and events (target `cloakroom`)
//! | what | level | fields |
//! |---|---|---|
//! | span `load`, around one read of the store or one decryption | debug | `driver` |
//! | event "loaded" | debug | `outcome` |
//! | span `commit`, around everything a commit does | debug | `driver`, `session` |
//! | event "stored", one step of a store or one sealing | debug | `step`, `outcome` |
//! | event "lost a race; rebasing" | debug | `attempt` |
//! | event "refused" | warn | `reason` |
//! | event "the session ended during the request; its changes are dropped" | info | `session`, `changes` |
//! | event "forged request" | warn | `reason`, `enforced` |
//!
//! # Metrics
//! | name | kind | labels |
//! |---|---|---|
//! | `cloakroom_loads_total` | counter | `driver`; `outcome`: `live`, `absent`, `gone`, `error` |
//! | `cloakroom_commits_total` | counter | `driver`; `step`: `create`, `replace`, `touch`, `rotate`, `destroy`, `seal`; `outcome`: `done`, `conflict`, `gone`, `exists`, `error` |
//! | `cloakroom_touches_total` | counter | `driver`: loads that moved a deadline; touches of their own are commits |
//! | `cloakroom_refusals_total` | counter | `reason`: an [`Error::code`](crate::Error::code), or a [`Refusal::reason`](crate::csrf::Refusal::reason) |
//! | `cloakroom_record_bytes` | histogram | `driver`: what was written |
//! | `cloakroom_load_seconds`, `cloakroom_commit_seconds` | histograms | `driver`: one step |

use std::time::Instant;

use crate::store::{Commit, Found, Outcome, StoreError};

/// The name under which it is all filed.
pub(crate) const TARGET: &str = "cloakroom";

/// A load under way.
pub(crate) struct Load {
    driver: &'static str,
    began: Instant,
}

impl Load {
    pub(crate) fn begin(driver: &'static str) -> Self {
        Self { driver, began: Instant::now() }
    }

    /// The answer of a store.
    pub(crate) fn answered(self, found: &Result<Option<Found>, StoreError>) {
        let (outcome, touched) = match found {
            Ok(None) => ("absent", false),
            Ok(Some(Found::Live(stored))) => ("live", stored.touched),
            Ok(Some(Found::Tombstone { .. })) => ("gone", false),
            Err(_) => ("error", false),
        };
        self.ended(outcome, touched);
    }

    /// What a cookie came to that was opened.
    pub(crate) fn opened(self, live: bool) {
        self.ended(if live { "live" } else { "absent" }, false);
    }

    fn ended(self, outcome: &'static str, touched: bool) {
        tracing::debug!(target: TARGET, outcome, touched, "loaded");
        meter::load(self.driver, outcome, touched, self.began);
    }
}

/// One step of a commit under way.
pub(crate) struct Step {
    driver: &'static str,
    name: &'static str,
    bytes: Option<usize>,
    began: Instant,
}

impl Step {
    /// A step of a store.
    pub(crate) fn begin(driver: &'static str, commit: &Commit) -> Self {
        let (name, bytes) = match commit {
            Commit::Create { record, .. } => ("create", Some(record.record.len())),
            Commit::Replace { record, .. } => ("replace", Some(record.record.len())),
            Commit::Touch { .. } => ("touch", None),
            Commit::Rotate { record, .. } => ("rotate", Some(record.record.len())),
            Commit::Destroy { .. } => ("destroy", None),
        };
        Self { driver, name, bytes, began: Instant::now() }
    }

    /// The sealing of a cookie.
    pub(crate) fn seal(driver: &'static str, bytes: usize) -> Self {
        Self { driver, name: "seal", bytes: Some(bytes), began: Instant::now() }
    }

    /// The answer of a store.
    pub(crate) fn answered(self, outcome: &Result<Outcome, StoreError>) {
        self.ended(match outcome {
            Ok(Outcome::Done(_)) => "done",
            Ok(Outcome::Conflict(_)) => "conflict",
            Ok(Outcome::Gone) => "gone",
            Ok(Outcome::Exists) => "exists",
            Err(_) => "error",
        });
    }

    pub(crate) fn ended(self, outcome: &'static str) {
        let Self { driver, name: step, bytes, began } = self;
        tracing::debug!(target: TARGET, step, outcome, "stored");
        meter::step(driver, step, outcome, bytes, began);
    }
}

/// Something was not done that was asked for.
pub(crate) fn refused(reason: &'static str) {
    tracing::warn!(target: TARGET, reason, "refused");
    meter::refusal(reason);
}

/// A request that may be forged.
pub(crate) fn forged(reason: &'static str, enforced: bool) {
    tracing::warn!(target: TARGET, reason, enforced, "forged request");
    meter::refusal(reason);
}

#[cfg(feature = "metrics")]
mod meter {
    use std::time::Instant;

    use metrics::{counter, histogram};

    #[expect(clippy::cast_precision_loss, reason = "a record has far less than 2^52 bytes")]
    pub(super) fn step(
        driver: &'static str,
        step: &'static str,
        outcome: &'static str,
        bytes: Option<usize>,
        began: Instant,
    ) {
        histogram!("cloakroom_commit_seconds", "driver" => driver).record(began.elapsed());
        counter!("cloakroom_commits_total", "driver" => driver, "step" => step, "outcome" => outcome)
            .increment(1);
        if let Some(bytes) = bytes {
            histogram!("cloakroom_record_bytes", "driver" => driver).record(bytes as f64);
        }
    }

    pub(super) fn load(driver: &'static str, outcome: &'static str, touched: bool, began: Instant) {
        histogram!("cloakroom_load_seconds", "driver" => driver).record(began.elapsed());
        counter!("cloakroom_loads_total", "driver" => driver, "outcome" => outcome).increment(1);
        if touched {
            counter!("cloakroom_touches_total", "driver" => driver).increment(1);
        }
    }

    pub(super) fn refusal(reason: &'static str) {
        counter!("cloakroom_refusals_total", "reason" => reason).increment(1);
    }
}

/// Without the feature nobody counts.
#[cfg(not(feature = "metrics"))]
mod meter {
    use std::time::Instant;

    pub(super) fn step(_: &str, _: &str, _: &str, _: Option<usize>, _: Instant) {}
    pub(super) fn load(_: &str, _: &str, _: bool, _: Instant) {}
    pub(super) fn refusal(_: &str) {}
}
