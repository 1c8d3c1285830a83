//! Logs and metrics: spans and events of `tracing`, and counters and histograms of the `metrics` facade
//! with the feature of that name.
//!
//! They contain no secrets. Sessions appear by their
//! [`correlation_id`](crate::Session::correlation_id), never by token, key or value.
//!
//! # Spans and events (target `cloakroom`)
//! | name or message | level | fields |
//! |---|---|---|
//! | span `open`, around loading the session of a cookie or a bearer token | debug | `driver` |
//! | event "load", for one read of the store or one decryption | debug | `outcome` |
//! | span `commit`, around a whole commit | debug | `driver`, `session` |
//! | event "commit", for one step of the store or one sealing | debug | `step`, `outcome` |
//! | event "rebase", before the next attempt of a commit that lost a race | debug | `attempt` |
//! | event "changes dropped: …", because the session ended before or during the request | info | `session`, `changes` |
//! | event "regenerate dropped: …", for the same in a request that called `regenerate`: probably a sign-in that the visitor has to repeat | warn | `session`, `changes` |
//! | event "old input left out: …", for a form that does not fit into the session | warn | `fields`: their number |
//! | event "errors left out: …", for errors that do not fit, or more than a session keeps | warn | `fields`: their number; `limit` |
//! | event "device", for a request about a device, or one without the bound cookie of its session's device | info | `event` as in the metrics, `session` |
//! | event "commit failed" | warn | `reason` |
//! | event "forged request" | warn | `reason`, `enforced`, and the [`explanation`](crate::csrf::CsrfRejection::explanation) unless the body is the reason |
//! | event "unreadable form", for a body that breaks off or exceeds its limit while a CSRF layer reads it | warn | `reason` |
//! | event "a session cookie without `Secure` was issued …", once for each process, if the request's `Host` is not a loopback host or a proxy says that the request came by https | warn | |
//! | event "redirecting to `/`: …", for a fallback that is not a path of this site | warn | |
//! | event "`Settings::load_for_development` was called in a build without debug assertions …" | warn | |
//! | event "session layer ignored", once for a layer inside of another one that has the same cookie and other settings | warn | |
//! | event with the reason, once for each response of the library with status 500 or 503 | error | `method`, `path`; neither if no session layer has seen the response |
//!
//! The table below lists the values of `outcome` and `step`. An application that has a logger for `log`
//! instead of `tracing` receives the events there. Without either, [`print_without_logger`] prints errors
//! and warnings about insecure settings.
//! Drivers log their own warnings, for example about an unreadable file or a Redis that may evict
//! sessions. The targets of these are the names of their modules, which begin with `cloakroom` as well.
//!
//! # Metrics
//! | name | kind | labels |
//! |---|---|---|
//! | `cloakroom_loads_total` | counter | `driver`; `outcome`: `live` (in a store also an unreadable record), `absent` (also a cookie that cannot be decrypted), `gone` (ended or regenerated a short time ago), `error` |
//! | `cloakroom_commits_total` | counter | `driver`; `step`: `create`, `replace`, `touch`, `rotate`, `destroy`, `seal`; `outcome`: `done`, `conflict`, `gone`, `exists`, `error` |
//! | `cloakroom_refusals_total` | counter | `reason`: an [`Error::code`](crate::Error::code), a [`CsrfRejection::reason`](crate::csrf::CsrfRejection::reason), or, for a form without the token in a header, `body_too_large`, `body_broken` or `not_a_form` |
//! | `cloakroom_device_events_total` | counter | `event`: `proven` (a device was registered, or has proved its key), `challenged`, `unknown` (the session has no such device any more), `moved` (the browser repeats it), `missing` (a request of a bound session without its bound cookie), or the reason of a refused proof: `device_challenge`, `device_signature`, `device_key`, `device_proof`, `device_algorithm`, `device_bound_to_other`, `device_not_signed_in` |
//! | `cloakroom_record_bytes`, the size of each written record | histogram | `driver` |
//! | `cloakroom_load_seconds`, `cloakroom_commit_seconds`, the duration of one load or one step | histograms | `driver` |

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

/// The target of all spans and events.
pub(crate) const TARGET: &str = "cloakroom";

/// Measures a load.
pub(crate) struct Load {
    driver: &'static str,
    began: Began,
}

impl Load {
    pub(crate) fn begin(driver: &'static str) -> Self {
        Self { driver, began: Began::now() }
    }

    /// Logs the result of a store.
    pub(crate) fn finish(self, found: &Result<Option<Entry>, StoreError>) {
        self.log(match found {
            Ok(None) => "absent",
            Ok(Some(Entry::Live(_))) => "live",
            Ok(Some(Entry::Tombstone { .. })) => "gone",
            Err(_) => "error",
        });
    }

    /// Logs whether a cookie held a live session.
    pub(crate) fn finish_cookie(self, live: bool) {
        self.log(if live { "live" } else { "absent" });
    }

    fn log(self, outcome: &'static str) {
        tracing::debug!(target: TARGET, outcome, "load");
        meter::load(self.driver, outcome, self.began);
    }
}

/// Measures one step of a commit.
pub(crate) struct Step {
    driver: &'static str,
    name: &'static str,
    bytes: Option<usize>,
    began: Began,
}

impl Step {
    /// Begins a step of a store.
    pub(crate) fn begin(driver: &'static str, commit: &Commit) -> Self {
        let bytes = commit.draft().map(|draft| draft.bytes.len());
        Self { driver, name: commit.name(), bytes, began: Began::now() }
    }

    /// Begins the sealing of a cookie.
    pub(crate) fn seal(driver: &'static str, bytes: usize) -> Self {
        Self { driver, name: "seal", bytes: Some(bytes), began: Began::now() }
    }

    /// Logs the result of a store.
    pub(crate) fn finish(self, outcome: &Result<Outcome, StoreError>) {
        self.log(match outcome {
            Ok(Outcome::Done(_)) => "done",
            Ok(Outcome::Conflict(_)) => "conflict",
            Ok(Outcome::Gone) => "gone",
            Ok(Outcome::Exists) => "exists",
            Err(_) => "error",
        });
    }

    /// Logs that the cookie was sealed.
    pub(crate) fn finish_sealing(self) {
        self.log("done");
    }

    fn log(self, outcome: &'static str) {
        let Self { driver, name: step, bytes, began } = self;
        tracing::debug!(target: TARGET, step, outcome, "commit");
        meter::step(driver, step, outcome, bytes, began);
    }
}

/// Logs that another request has written the record first.
pub(crate) fn rebased(attempt: u32) {
    tracing::debug!(target: TARGET, attempt, "rebase");
}

/// Logs that a session was taken over from another library.
pub(crate) fn taken_over(session: &str) {
    tracing::info!(target: TARGET, session, "took over a session of another library");
}

/// Counts what browsers do about the devices of sessions.
pub(crate) fn device(event: &'static str, session: impl std::fmt::Display) {
    tracing::info!(target: TARGET, event, %session, "device");
    meter::device(event);
}

/// Logs that a request's changes were dropped, because its session has ended.
pub(crate) fn changes_dropped(session: &str, changes: usize) {
    tracing::info!(
        target: TARGET,
        session,
        changes,
        "changes dropped: the session ended before or during the request"
    );
}

/// Logs that a request's `regenerate` was dropped, because its session has ended. The visitor has no
/// session then.
pub(crate) fn regenerate_dropped(session: &str, changes: usize) {
    tracing::warn!(
        target: TARGET,
        session,
        changes,
        "regenerate dropped: the session ended before or during the request; signing in again works \
         after 30 s"
    );
}

/// Logs that the idle deadline could not be moved.
pub(crate) fn touch_failed(error: &Error) {
    let error = WithCauses(error);
    tracing::warn!(target: TARGET, %error, "touch failed: the session keeps its deadline");
}

/// Logs that old input or errors were left out because they did not fit.
pub(crate) fn left_out(input: usize, errors: usize) {
    if input > 0 {
        tracing::warn!(
            target: TARGET,
            fields = input,
            "old input left out: the session is too large with it, so the next page shows the form with \
             its largest fields empty"
        );
    }
    if errors > 0 {
        tracing::warn!(
            target: TARGET,
            fields = errors,
            "errors left out: the session is too large with them, so the next page shows the form \
             without its longest errors"
        );
    }
}

/// Logs that more fields have errors than a session keeps.
pub(crate) fn errors_over_limit(fields: usize, limit: usize) {
    tracing::warn!(
        target: TARGET,
        fields,
        limit,
        "errors left out: more fields have errors than a session keeps, so the next page shows those of \
         the first fields by name"
    );
}

/// Logs that sessions of an owner were ended for a new one.
pub(crate) fn surplus_ended(ended: usize, max_sessions: usize) {
    tracing::info!(
        target: TARGET,
        ended,
        max_sessions,
        "sessions ended: their owner has more sessions than `max_sessions` allows"
    );
}

/// Logs that the sessions of an owner beyond the limit could not be ended.
pub(crate) fn surplus_stays(error: &Error) {
    let error = WithCauses(error);
    tracing::warn!(
        target: TARGET,
        %error,
        "sessions beyond `max_sessions` not ended: their owner keeps them until the next sign-in"
    );
}

/// Logs that a session was first used after the response's head was sent.
pub(crate) fn late() {
    tracing::warn!(
        target: TARGET,
        "the session is read-only: it was first used after the response's head was sent; preload it \
         (SessionLayer::preload) on routes that use it in a streamed body"
    );
}

/// Logs that a commit failed.
pub(crate) fn refused(reason: &'static str) {
    tracing::warn!(target: TARGET, reason, "commit failed");
    meter::refusal(reason);
}

/// Warns that a visitor from another machine got a cookie without `Secure`. Warns once for each
/// process, because one wrong setting affects all cookies.
pub(crate) fn insecure_cookie() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        warn_insecure(
            "a session cookie without `Secure` was issued for a host that is not loopback or a request \
             that came by https: anyone on the network path can read it over plain http; in production \
             use Settings::load and leave cookie.secure (SESSION_COOKIE_SECURE) at true",
        );
    });
}

/// Warns that a visitor was signed in under the token that they came with. Warns once for each process,
/// because one handler affects all of its visitors.
pub(crate) fn fixed_session() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            target: TARGET,
            "a session got an owner and kept the token of an anonymous visitor, so an attacker who planted \
             that token is signed in too (session fixation): sign users in with `Session::sign_in`, or call \
             `regenerate` next to `set_owner`"
        );
    });
}

/// Warns that a record in the store belongs to another application.
pub(crate) fn foreign_record() {
    tracing::warn!(
        target: TARGET,
        "ignoring session records of another application, or of a key that is no longer in APP_KEY: \
         give each application its own folder or key prefix, and keep a replaced key after the new one \
         until its sessions have ended"
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

/// Warns about insecure settings. Without a logger, the warning goes to standard error if
/// [`print_without_logger`] is on.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// cloakroom::observe::warn_insecure("the development settings are in use");
/// ```
pub fn warn_insecure(warning: &str) {
    tracing::warn!(target: TARGET, "{warning}");
    print_if_no_logger(warning);
}

/// Whether messages that no logger receives are printed.
static PRINTS_WITHOUT_LOGGER: AtomicBool = AtomicBool::new(false);

/// Sets whether errors and warnings about insecure settings are printed to standard error while the
/// application has no logger for `tracing` or `log`. Default: off.
///
/// The setting `print_errors` of `cloakroom-settings` calls this function. It is on in development,
/// because a newcomer without a logger would otherwise not see why a request failed.
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

/// Logs that a header of the session cannot be written.
#[cfg(any(feature = "actix", feature = "http"))]
pub(crate) fn bad_header(error: impl std::fmt::Display) {
    tracing::error!(target: TARGET, %error, "a header of the session is not a valid header value");
}

/// Warns that a layer is ignored although its settings differ from those of the outer layer.
pub(crate) fn layer_ignored(warning: std::fmt::Arguments<'_>) {
    tracing::warn!(target: TARGET, "{warning}");
}

/// Logs that a policy in log-only mode could not check a request and let it pass.
pub(crate) fn csrf_unchecked(error: &Error) {
    let error = WithCauses(error);
    tracing::warn!(
        target: TARGET,
        %error,
        "request not checked for forgery: its session could not be loaded, and the policy is in \
         log-only mode"
    );
}

/// Logs a request that may be forged.
pub(crate) fn forged(reason: &'static str, explanation: Option<&'static str>, enforced: bool) {
    tracing::warn!(target: TARGET, reason, enforced, explanation, "forged request");
    meter::refusal(reason);
}

/// Logs that a CSRF layer could not read a form to its end.
pub(crate) fn unreadable_form(reason: &'static str) {
    tracing::warn!(target: TARGET, reason, "unreadable form");
    meter::refusal(reason);
}

/// Logs that the application's subscriber of events panicked. The event is lost.
pub(crate) fn subscriber_panicked(kind: impl std::fmt::Debug) {
    tracing::error!(
        target: TARGET,
        event = ?kind,
        "an event of a session is lost: the function of `on_event` panicked"
    );
}

#[cfg(feature = "metrics")]
mod meter {
    use std::time::Instant;

    use metrics::{counter, histogram};

    /// The moment at which a measurement began.
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

    pub(super) fn device(event: &'static str) {
        counter!("cloakroom_device_events_total", "event" => event).increment(1);
    }

    pub(super) fn refusal(reason: &'static str) {
        counter!("cloakroom_refusals_total", "reason" => reason).increment(1);
    }
}

/// Replaces the metrics when the feature is off. Reads no clock.
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
    pub(super) fn device(_: &str) {}
    pub(super) fn refusal(_: &str) {}
}
