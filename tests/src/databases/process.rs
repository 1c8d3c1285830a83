//! A server process that cannot outlive the test process.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Runs the server, prints its process id, and waits for its end. When the pipe from the test
/// process closes, which the system does even when that is killed, it sends the server the signal
/// and removes the folder.
const GUARD: &str = r#"
folder=$1 signal=$2
shift 2
exec 3<&0
"$@" </dev/null >>"$folder/log" 2>&1 3<&- &
server=$!
echo "$server"
{
    read -r _ <&3
    trap '' TERM
    kill -s "$signal" "$server"
} &
watcher=$!
exec >/dev/null 3<&-
wait "$server"
kill -s TERM "$watcher"
wait "$watcher" && rm -rf -- "$folder"
"#;

/// A running server. Dropping it ends it and removes its folder.
#[derive(Debug)]
pub(super) struct Process {
    guard: Child,
    pipe: Option<ChildStdin>,
    id: u32,
}

impl Process {
    /// Starts a command whose log is `log` in this folder, and which ends at this signal.
    pub(super) fn start(words: &[String], folder: &Path, signal: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "guard"]).arg(folder).arg(signal).args(words);
        command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        // In a group of its own, so that a Ctrl-C reaches the test process alone.
        command.stderr(Stdio::null()).process_group(0);
        let mut guard = command.spawn().unwrap_or_else(|error| panic!("sh: {error}"));
        let pipe = guard.stdin.take();
        let mut line = String::new();
        let read = guard.stdout.take().map(|output| BufReader::new(output).read_line(&mut line));
        let id = line.trim().parse();
        let id = id.unwrap_or_else(|error| panic!("no process id: {read:?}, {error}"));
        Self { guard, pipe, id }
    }

    /// Returns the process id of the server.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Returns the process ids of the server, of its children, and of the guard.
    pub(super) fn ids(&self) -> Vec<u32> {
        let own = [self.guard.id(), self.id];
        let children = own.into_iter().flat_map(children).filter(|id| *id != self.id);
        own.into_iter().chain(children).collect()
    }

    /// Freezes the server and its children, until [`resume`](Self::resume).
    pub(super) fn pause(&self) {
        // Its parent first, so that it starts no more children.
        send("STOP", &[self.id]);
        within(Duration::from_secs(1), || state(self.id).is_none_or(|(state, _)| state == 'T'));
        send("STOP", &children(self.id));
    }

    /// Lets a frozen server go on.
    pub(super) fn resume(&self) {
        let family: Vec<_> = children(self.id).into_iter().chain([self.id]).collect();
        send("CONT", &family);
    }

    /// Whether the server has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.guard.try_wait(), Ok(None))
    }

    /// Sends the server a signal and waits until it has ended. Returns whether it did so in time.
    pub(super) fn end(&mut self, signal: &str, timeout: Duration) -> bool {
        if !self.has_ended() {
            send(signal, &[self.id]);
        }
        within(timeout, || self.has_ended())
    }

    /// Ends the server and all its children at once. Returns whether all are gone in time.
    pub(super) fn kill(&mut self, timeout: Duration) -> bool {
        if self.has_ended() {
            return true;
        }
        // While it is stopped it starts no more children.
        send("STOP", &[self.id]);
        let stopped = within(timeout, || state(self.id).is_none_or(|(state, _)| state == 'T'));
        let family: Vec<_> = children(self.id).into_iter().chain([self.id]).collect();
        send("KILL", &family);
        stopped && within(timeout, || self.has_ended() && !family.iter().any(|id| is_running(*id)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A frozen process would not see the signal of its end.
        self.resume();
        drop(self.pipe.take());
        drop(self.guard.wait());
    }
}

/// Whether a process exists and has not ended.
pub fn is_running(id: u32) -> bool {
    state(id).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// Polls a condition. Returns whether it came true in time.
pub(super) fn within(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if started.elapsed() > timeout {
            return false;
        }
        sleep(Duration::from_millis(5));
    }
}

fn send(signal: &str, ids: &[u32]) {
    let ids = ids.iter().map(ToString::to_string);
    // A process that has just ended cannot be signalled, and need not be.
    drop(Command::new("kill").args(["-s", signal]).args(ids).stderr(Stdio::null()).status());
}

/// Returns the state of a process and its parent.
fn state(id: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| state(*id).is_some_and(|(_, its)| its == parent)).collect()
}
