//! How far long work has come: a bar on a terminal, a plain line now and then elsewhere; and an end
//! that comes when it is asked for.

use std::{
    io::{IsTerminal, stderr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// As shells have it for a process that SIGINT ended.
const INTERRUPTED: i32 = 130;
/// The pause between two plain lines.
const PAUSE: Duration = Duration::from_secs(5);

/// The progress of one piece of work.
pub(crate) struct Progress {
    what: &'static str,
    /// How many pieces there are, if that is known.
    total: Option<u64>,
    done: u64,
    began: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
    stopped: Arc<AtomicBool>,
}

impl Progress {
    /// Begins work on `total` pieces, if their number is known. From here on Ctrl-C does not end the
    /// process but the work, between two pieces; a second one ends the process.
    pub(crate) fn begin(what: &'static str, total: impl Into<Option<u64>>) -> Self {
        let total = total.into();
        let bar = stderr().is_terminal().then(|| {
            let style = match total {
                Some(_) => "{msg} {wide_bar} {pos}/{len} {per_sec} {eta} left",
                None => "{msg} {spinner} {pos} {per_sec}",
            };
            let style = ProgressStyle::with_template(style);
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let bar = bar.with_message(what);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let stopped = Arc::new(AtomicBool::new(false));
        let asked = stopped.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                asked.store(true, Ordering::Relaxed);
            }
            // Who presses it again does not want to wait.
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(INTERRUPTED);
            }
        });
        let now = Instant::now();
        Self { what, total, done: 0, began: now, said: now, bar, stopped }
    }

    /// Counts more pieces. Returns whether to go on.
    pub(crate) fn advance(&mut self, by: u64) -> bool {
        self.done += by;
        match &self.bar {
            Some(bar) => bar.set_position(self.done),
            None if self.said.elapsed() > PAUSE => {
                self.said = Instant::now();
                eprintln!("{}", self.line(self.began.elapsed()));
            }
            None => (),
        }
        !self.stopped()
    }

    /// Whether someone pressed Ctrl-C.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Returns the line that says how far the work has come after this time.
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    fn line(&self, elapsed: Duration) -> String {
        let Self { what, total, done, .. } = self;
        let rate = *done as f64 / elapsed.as_secs_f64();
        let Some(total) = total else { return format!("{what} {done}, {rate:.0}/s") };
        let left = total.saturating_sub(*done) as f64 / rate.max(f64::MIN_POSITIVE);
        format!("{what} {done}/{total}, {rate:.0}/s, {left:.0} s left")
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
    async fn a_line_says_how_much_is_left_if_the_total_is_known() {
        let line = |total: Option<u64>| {
            let mut progress = Progress::begin("counting", total);
            assert!(progress.advance(100));
            progress.line(Duration::from_secs(10))
        };
        assert_eq!(line(Some(400)), "counting 100/400, 10/s, 30 s left");
        assert_eq!(line(None), "counting 100, 10/s");
    }
}
