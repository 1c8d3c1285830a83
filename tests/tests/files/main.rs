//! The file store under kill, under failing system calls, on a full disk, in crowds.

mod crashes;
mod crowds;
mod syscalls;

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A store in a separate process.
struct Process {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts one in a folder; `before` are programs to run it under.
    fn start(before: &[&str], folder: &Path, durability: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_file-store");
        let location = folder.join("sessions");
        let words: Vec<&str> = before
            .iter()
            .copied()
            .chain([program, location.to_str().unwrap(), durability])
            .collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.stderr(Stdio::null()).spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!("{}: {error}; install it with: apt-get install {}", words[0], words[0])
        });
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(output.next().and_then(Result::ok).as_deref(), Some("ready"), "{words:?}");
        Self { child, input, output }
    }

    /// Carries out a command. Returns `None` if the process ended.
    fn tell(&mut self, command: &str) -> Option<String> {
        // In one piece: the process's reads are counted.
        self.input.write_all(format!("{command}\n").as_bytes()).ok()?;
        self.output.next()?.ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns the reply to a command in a healthy process.
fn ask(folder: &Path, command: &str) -> String {
    Process::start(&[], folder, "fast").tell(command).unwrap()
}
