//! What can be seen of sessions at work: spans and events of `tracing`, and with the feature `metrics`
//! counters and histograms of the facade of that name.
//!
//! Nothing secret is among it: sessions appear by [`correlation_id`](crate::Session::correlation_id),
//! never by token, key or value.
//!
//! # Spans and events (target `cloakroom`)
//! | what | level | fields |
//! |---|---|---|
//! | span `open`, around the search for the session that a cookie or a bearer token leads to | debug | `driver` |
//! | event "load", one read of the store or one decryption | debug | `outcome` |
//! | span `commit`, around everything that a commit does | debug | `driver`, `session` |
//! | event "commit", one step of the store or one sealing | debug | `step`, `outcome` |
//! | event "rebase", before a commit that lost a race is tried again | debug | `attempt` |
//! | event "gone", the session ended before or during the request, whose changes are dropped | info | `session`, `changes` |
//! | event "regenerate dropped", the same of a request that called `regenerate`: a sign-in, probably, that the visitor has to repeat | warn | `session`, `changes` |
//! | event "old input left out", a form that does not fit into the session | warn | `fields`: how many |
//! | event "errors left out", errors that do not fit, or more than a session keeps | warn | `fields`: how many; `limit` |
//! | event "refuse", a commit that failed | warn | `reason` |
//! | event "forged request" | warn | `reason`, `enforced` |
//! | event "a session cookie without `Secure` was issued …", once a process, where the request's `Host` is not a loopback one, or a proxy says that it came by https | warn | |
//! | event "`Settings::load_for_development` was called in a build without debug assertions …" | warn | |
//! | event "session layer ignored", once for a layer inside another for the same cookie that has other settings | warn | |
//! | event with the reason, once for each response of the library with status 500 or 503 | error | `method`, `path`; neither if no session layer has seen the response |
//!
//! `outcome` and `step` are the words of the table below. Where the application listens to `log` instead
//! of `tracing`, the events go there. [`print_without_logger`] prints errors and warnings of insecure settings
//! where it listens to neither.
//! Drivers warn of their own troubles, such as a file that cannot be read or a Redis that may evict
//! sessions, under the targets of their modules, which begin with `cloakroom` as well.
//!
//! # Metrics
//! | name | kind | labels |
//! |---|---|---|
//! | `cloakroom_loads_total` | counter | `driver`; `outcome`: `live` (in a store also what cannot be read any more), `absent` (also a cookie that does not open), `gone` (ended or regenerated a moment ago), `error` |
//! | `cloakroom_commits_total` | counter | `driver`; `step`: `create`, `replace`, `touch`, `rotate`, `destroy`, `seal`; `outcome`: `done`, `conflict`, `gone`, `exists`, `error` |
//! | `cloakroom_refusals_total` | counter | `reason`: an [`Error::code`](crate::Error::code), a [`CsrfRejection::reason`](crate::csrf::CsrfRejection::reason), or, for a form without the token in a header, `body_too_large` or `not_a_form` |
//! | `cloakroom_record_bytes` | histogram | `driver`: what was written |
//! | `cloakroom_load_seconds`, `cloakroom_commit_seconds` | histograms | `driver`: one step |

use std::sync::{
    Once,
    atomic::{AtomicBool, Ordering},
};

use meter::Began;

use crate::{
    error::{Error, WithCauses},
    http::request_line::RequestLine,
};
use cloakroom_store::{Commit, Entry, Outcome, StoreError};

/// The name under which it is all filed.
pub(crate) const TARGET: &str = "cloakroom";

/// A load under way.
pub(crate) struct Load {
    driver: &'static str,
    began: Began,
}

impl Load {
    pub(crate) fn begin(driver: &'static str) -> Self {
        Self { driver, began: Began::now() }
    }

    /// The answer of a store.
    pub(crate) fn answered(self, found: &Result<Option<Entry>, StoreError>) {
        self.ended(match found {
            Ok(None) => "absent",
            Ok(Some(Entry::Live(_))) => "live",
            Ok(Some(Entry::Tombstone { .. })) => "gone",
            Err(_) => "error",
        });
    }

    /// What a cookie came to that was opened.
    pub(crate) fn opened(self, live: bool) {
        self.ended(if live { "live" } else { "absent" });
    }

    fn ended(self, outcome: &'static str) {
        tracing::debug!(target: TARGET, outcome, "load");
        meter::load(self.driver, outcome, self.began);
    }
}

/// One step of a commit under way.
pub(crate) struct Step {
    driver: &'static str,
    name: &'static str,
    bytes: Option<usize>,
    began: Began,
}

impl Step {
    /// A step of a store.
    pub(crate) fn begin(driver: &'static str, commit: &Commit) -> Self {
        let bytes = commit.draft().map(|draft| draft.bytes.len());
        Self { driver, name: commit.name(), bytes, began: Began::now() }
    }

    /// The sealing of a cookie.
    pub(crate) fn seal(driver: &'static str, bytes: usize) -> Self {
        Self { driver, name: "seal", bytes: Some(bytes), began: Began::now() }
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
        tracing::debug!(target: TARGET, step, outcome, "commit");
        meter::step(driver, step, outcome, bytes, began);
    }
}

/// Another request wrote first.
pub(crate) fn rebased(attempt: u32) {
    tracing::debug!(target: TARGET, attempt, "rebase");
}

/// The session ended under a request, whose changes go nowhere.
pub(crate) fn gone(session: &str, changes: usize) {
    tracing::info!(
        target: TARGET,
        session,
        changes,
        "changes dropped: the session ended before or during the request"
    );
}

/// The session ended under a request that called `regenerate`, whose visitor finds no session.
pub(crate) fn regenerate_dropped(session: &str, changes: usize) {
    tracing::warn!(
        target: TARGET,
        session,
        changes,
        "regenerate dropped: the session ended before or during the request; starting a new one works \
         after 30 s"
    );
}

/// The idle deadline could not be moved.
pub(crate) fn touch_failed(error: &Error) {
    let error = WithCauses(error);
    tracing::warn!(target: TARGET, %error, "touch failed: the session keeps its deadline");
}

/// Old input, or errors, did not fit.
pub(crate) fn left_out(input: usize, errors: usize) {
    if input > 0 {
        tracing::warn!(
            target: TARGET,
            fields = input,
            "old input left out: the session is too large with it, so the form will be shown with its \
             largest fields empty"
        );
    }
    if errors > 0 {
        tracing::warn!(
            target: TARGET,
            fields = errors,
            "errors left out: the session is too large with them, so the form will be shown without its \
             longest errors"
        );
    }
}

/// More fields have errors than a session keeps.
pub(crate) fn errors_over_limit(fields: usize, limit: usize) {
    tracing::warn!(
        target: TARGET,
        fields,
        limit,
        "errors left out: more fields have errors than a session keeps, so the form will be shown with \
         the first ones by name"
    );
}

/// Sessions of an owner had to go for a new one.
pub(crate) fn surplus_ended(ended: usize, max_sessions: usize) {
    tracing::info!(
        target: TARGET,
        ended,
        max_sessions,
        "sessions ended: their owner has signed in once more than `max_sessions` allows"
    );
}

/// Sessions of an owner that should have gone could not be ended.
pub(crate) fn surplus_stays(error: &Error) {
    let error = WithCauses(error);
    tracing::warn!(
        target: TARGET,
        %error,
        "an owner may have more sessions than `max_sessions` until the next sign-in"
    );
}

/// A session was asked for when the response's head had left.
pub(crate) fn late() {
    tracing::warn!(
        target: TARGET,
        "the session was first asked for after the response's head had left, so it is read-only; \
         preload it (SessionLayer::preload) on routes that need it in a streamed body"
    );
}

/// A commit failed.
pub(crate) fn refused(reason: &'static str) {
    tracing::warn!(target: TARGET, reason, "refuse");
    meter::refusal(reason);
}

/// A cookie that is not `Secure` was given to a visitor who is not on this machine. Once a process,
/// because one mistake in the settings makes all of them.
pub(crate) fn insecure_cookie() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        warn_loudly(
            "a session cookie without `Secure` was issued for a host that is not loopback or a request \
             that came by https: over plain http everyone on the way can read it; in production use \
             Settings::load and leave cookie.secure (SESSION_COOKIE_SECURE) at true",
        );
    });
}

/// A record in the store is another application's.
pub(crate) fn foreign_record() {
    tracing::warn!(
        target: TARGET,
        "ignoring session records of another application, or of a key that APP_KEY no longer has: give \
         each application a folder or a key prefix of its own, and keep a replaced key behind the new \
         one until its sessions have ended"
    );
}

/// Logs why a request gets status 500 or 503. `request` is `None` if no session layer has seen the
/// response.
pub(crate) fn failed(failure: impl std::fmt::Display, request: Option<RequestLine<'_>>) {
    if let Some(request) = request {
        let (method, path) = (request.method(), request.path());
        tracing::error!(target: TARGET, method, path, "{failure}");
        print_if_no_logger(format_args!("{request}: {failure}"));
    } else {
        tracing::error!(target: TARGET, "{failure}");
        print_if_no_logger(failure);
    }
}

/// Warns of insecure settings.
pub fn warn_loudly(warning: &str) {
    tracing::warn!(target: TARGET, "{warning}");
    print_if_no_logger(warning);
}

/// Whether messages that no logger receives are printed.
static PRINTS_WITHOUT_LOGGER: AtomicBool = AtomicBool::new(false);

/// Sets whether errors and warnings about insecure settings are printed to standard error while the
/// application has no logger for `tracing` or `log`. Off by default. The setting `print_errors` of
/// `cloakroom-settings` calls this function, and is on in development, so that a newcomer without a
/// logger sees why a request failed.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// cloakroom::observe::print_without_logger(true);
/// ```
pub fn print_without_logger(on: bool) {
    PRINTS_WITHOUT_LOGGER.store(on, Ordering::Relaxed);
}

fn print_if_no_logger(message: impl std::fmt::Display) {
    let has_logger =
        tracing::dispatcher::has_been_set() || log::max_level() != log::LevelFilter::Off;
    if PRINTS_WITHOUT_LOGGER.load(Ordering::Relaxed) && !has_logger {
        eprintln!("cloakroom: {message}");
    }
}

/// Logs that a header which the session needs cannot be written.
#[cfg(any(feature = "actix", feature = "http"))]
pub(crate) fn bad_header(error: impl std::fmt::Display) {
    tracing::error!(target: TARGET, %error, "a header of the session is not a valid header value");
}

/// A layer is ignored, although its settings differ from those of the layer around it.
pub(crate) fn layer_ignored(warning: std::fmt::Arguments<'_>) {
    tracing::warn!(target: TARGET, "{warning}");
}

/// A policy that only logs could not check a request, which passes.
pub(crate) fn csrf_unchecked(error: &Error) {
    let error = WithCauses(error);
    tracing::warn!(
        target: TARGET,
        %error,
        "request not checked for forgery: its session could not be loaded, and the policy only logs"
    );
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

    /// When something began.
    pub(super) struct Began(Instant);

    impl Began {
        pub(super) fn now() -> Self {
            Self(Instant::now())
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a record has far less than 2^52 bytes")]
    pub(super) fn step(
        driver: &'static str,
        step: &'static str,
        outcome: &'static str,
        bytes: Option<usize>,
        began: Began,
    ) {
        histogram!("cloakroom_commit_seconds", "driver" => driver).record(began.0.elapsed());
        counter!("cloakroom_commits_total", "driver" => driver, "step" => step, "outcome" => outcome)
            .increment(1);
        if let Some(bytes) = bytes {
            histogram!("cloakroom_record_bytes", "driver" => driver).record(bytes as f64);
        }
    }

    pub(super) fn load(driver: &'static str, outcome: &'static str, began: Began) {
        histogram!("cloakroom_load_seconds", "driver" => driver).record(began.0.elapsed());
        counter!("cloakroom_loads_total", "driver" => driver, "outcome" => outcome).increment(1);
    }

    pub(super) fn refusal(reason: &'static str) {
        counter!("cloakroom_refusals_total", "reason" => reason).increment(1);
    }
}

/// Without the feature nobody counts, nor looks at a clock.
#[cfg(not(feature = "metrics"))]
mod meter {
    pub(super) struct Began;

    impl Began {
        pub(super) fn now() -> Self {
            Self
        }
    }

    pub(super) fn step(_: &str, _: &str, _: &str, _: Option<usize>, _: Began) {}
    pub(super) fn load(_: &str, _: &str, _: Began) {}
    pub(super) fn refusal(_: &str) {}
}
