//! The progress of long work: a bar on a terminal, and elsewhere a line every five seconds. Ctrl-C ends
//! the work between two steps.

use std::{
    fmt,
    io::{IsTerminal, stderr},
    sync::{
        Arc, Mutex, Once, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// The exit code of a process that SIGINT has ended, as shells report it.
const INTERRUPTED: i32 = 130;
/// The pause between two lines.
const PAUSE: Duration = Duration::from_secs(5);

/// Whether the work that is under way was stopped.
static WORK: Mutex<Weak<AtomicBool>> = Mutex::new(Weak::new());
static LISTENER: Once = Once::new();

/// The progress of one piece of work.
pub(crate) struct Progress {
    what: &'static str,
    /// The number of pieces, if it is known.
    total: Option<u64>,
    done: u64,
    began: Instant,
    printed: Instant,
    bar: Option<ProgressBar>,
    stopped: Arc<AtomicBool>,
}

impl Progress {
    /// Begins work on `total` pieces, if their number is known. The first Ctrl-C stops the work. The second
    /// one, or one after the work, ends the process.
    pub(crate) fn begin(what: &'static str, total: impl Into<Option<u64>>) -> Self {
        let total = total.into();
        let bar = stderr().is_terminal().then(|| {
            let style = match total {
                Some(_) => "{msg} {wide_bar} {pos}/{len} {rate} {eta} left",
                None => "{msg} {spinner} {pos} {rate}",
            };
            let style = ProgressStyle::with_template(style).map(|style| {
                let rate = |state: &ProgressState, line: &mut dyn fmt::Write| {
                    // A key of the template cannot report an error.
                    let _ = write!(line, "{:.0}/s", state.per_sec());
                };
                style.with_key("rate", rate)
            });
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let bar = bar.with_message(what);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let stopped = Arc::new(AtomicBool::new(false));
        *WORK.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&stopped);
        // In a task that outlives the work, because Ctrl-C never has its default effect again.
        LISTENER.call_once(|| drop(tokio::spawn(listen())));
        let now = Instant::now();
        Self { what, total, done: 0, began: now, printed: now, bar, stopped }
    }

    /// Counts more pieces. Returns `false` if someone pressed Ctrl-C.
    pub(crate) fn advance(&mut self, by: u64) -> bool {
        self.done += by;
        match &self.bar {
            // Pages may be empty. The bar needs no redraw for them.
            Some(_) if by == 0 => (),
            Some(bar) => bar.set_position(self.done),
            None if self.printed.elapsed() > PAUSE => {
                self.printed = Instant::now();
                eprintln!("{}", self.line(self.began.elapsed()));
            }
            None => (),
        }
        !self.stopped()
    }

    /// Returns `true` if someone pressed Ctrl-C.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Returns the line that shows the progress after this time.
    #[expect(clippy::cast_precision_loss, reason = "the line is an estimate")]
    fn line(&self, elapsed: Duration) -> String {
        let Self { what, total, done, .. } = self;
        let rate = *done as f64 / elapsed.as_secs_f64();
        let Some(total) = total else { return format!("{what} {done}, {rate:.0}/s") };
        let left = total.saturating_sub(*done) as f64 / rate.max(f64::MIN_POSITIVE);
        format!("{what} {done}/{total}, {rate:.0}/s, {left:.0} s left")
    }
}

/// Passes Ctrl-C to the work that is under way. Ends the process if there is none, or it was stopped before.
async fn listen() {
    while tokio::signal::ctrl_c().await.is_ok() {
        let work = WORK.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if work.is_none_or(|stopped| stopped.swap(true, Ordering::Relaxed)) {
            std::process::exit(INTERRUPTED);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_shows_the_time_left_if_the_total_is_known() {
        let line = |total: Option<u64>| {
            let mut progress = Progress::begin("counting", total);
            assert!(progress.advance(100));
            progress.line(Duration::from_secs(10))
        };
        assert_eq!(line(Some(400)), "counting 100/400, 10/s, 30 s left");
        assert_eq!(line(None), "counting 100, 10/s");
    }
}
