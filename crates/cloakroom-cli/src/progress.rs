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
    total: u64,
    done: u64,
    began: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
    stopped: Arc<AtomicBool>,
}

impl Progress {
    /// Begins work on `total` pieces. From here on Ctrl-C does not end the process but the work,
    /// between two pieces; a second one ends the process.
    pub(crate) fn begin(what: &'static str, total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = "{msg} {wide_bar} {pos}/{len} {per_sec} {eta} left";
            let style = ProgressStyle::with_template(style);
            let bar = ProgressBar::new(total).with_message(what);
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

    /// Counts more pieces. Answers whether to go on.
    pub(crate) fn advance(&mut self, by: u64) -> bool {
        self.done += by;
        match &self.bar {
            Some(bar) => bar.set_position(self.done),
            None if self.said.elapsed() > PAUSE => self.say(),
            None => (),
        }
        !self.stopped()
    }

    /// Whether someone pressed Ctrl-C.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    fn say(&mut self) {
        self.said = Instant::now();
        let rate = self.done as f64 / self.began.elapsed().as_secs_f64();
        let left = self.total.saturating_sub(self.done) as f64 / rate.max(f64::MIN_POSITIVE);
        let Self { what, total, done, .. } = self;
        eprintln!("{what} {done}/{total}, {rate:.0}/s, {left:.0} s left");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
