//! The cost of sessions: the probe beside the bare axum service, in one run.
//!
//! `cargo xtask bench http` builds everything and runs it. Both servers have one worker thread on
//! one core; this client has the other. It alternates short slices of load between the two and
//! reports the median of the paired ratios, so that what slows the machine down slows both.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use cloakroom::AppKeys;
use cloakroom_tests::running::Running;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

const CONNECTIONS: usize = 16;
const SLICE: Duration = Duration::from_millis(500);

/// The measured cases: a path, whether the session's cookie is sent, and the least ratio.
const ROWS: [(&str, bool, f64); 4] =
    [("/none", false, 0.97), ("/none", true, 0.97), ("/read", true, 0.88), ("/write", true, 0.78)];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let rounds: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(10);
    let (_bare, bare) = start("bare-axum");
    let (_probe, probe) = start("probe-axum");
    let cookie = sign_in(probe).await;
    println!("{CONNECTIONS} connections, {rounds} rounds of {SLICE:?} for each server");
    println!("path     cookie   bare/s   probe/s   ratio (min..max)   wanted");
    let mut kept = true;
    for (path, with_cookie, wanted) in ROWS {
        let cookie = with_cookie.then_some(cookie.as_str());
        let row = measure(bare, probe, path, cookie, rounds).await;
        let Row { bare, probe, ratio, spread: (least, most) } = row;
        println!(
            "{path:<8} {:<6} {bare:>8.0} {probe:>9.0}   {ratio:.3} ({least:.3}..{most:.3})   {wanted:.2}",
            if with_cookie { "yes" } else { "no" },
        );
        kept &= ratio >= wanted;
    }
    // Returning, unlike `exit`, ends the servers.
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Starts a server that was built beside this program, on the first core.
fn start(name: &str) -> (Running, SocketAddr) {
    let mut program = std::env::current_exe().unwrap_or_else(|error| panic!("{error}"));
    program.set_file_name(name);
    let mut command = pinned(program);
    command.args(["--listen", "127.0.0.1:0", "--workers", "1"]).stderr(Stdio::inherit());
    command.env("APP_KEY", AppKeys::generate()).env("SESSION_DRIVER", "cookie");
    Running::start(command)
}

/// `taskset` is part of util-linux; where it is missing the scheduler decides.
fn pinned(program: PathBuf) -> Command {
    let there = Command::new("taskset").arg("--version").stdout(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

struct Row {
    bare: f64,
    probe: f64,
    ratio: f64,
    spread: (f64, f64),
}

async fn measure(
    bare: SocketAddr,
    probe: SocketAddr,
    path: &str,
    cookie: Option<&str>,
    rounds: usize,
) -> Row {
    let request = request(path, cookie);
    let (mut of_bare, mut of_probe, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    load(bare, &request).await;
    load(probe, &request).await;
    for round in 0..rounds {
        // The order changes, so that neither profits from coming second.
        let (one, two) = if round % 2 == 0 { (bare, probe) } else { (probe, bare) };
        let (first, second) = (load(one, &request).await, load(two, &request).await);
        let (bare, probe) = if round % 2 == 0 { (first, second) } else { (second, first) };
        of_bare.push(bare);
        of_probe.push(probe);
        ratios.push(probe / bare);
    }
    ratios.sort_by(f64::total_cmp);
    let spread = (ratios[0], ratios[ratios.len() - 1]);
    Row { bare: median(of_bare), probe: median(of_probe), ratio: median(ratios), spread }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn request(path: &str, cookie: Option<&str>) -> Vec<u8> {
    let cookie = cookie.map(|cookie| format!("cookie: {cookie}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{cookie}\r\n").into_bytes()
}

/// Requests per second over one slice.
async fn load(server: SocketAddr, request: &[u8]) -> f64 {
    let started = Instant::now();
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        connections.spawn(keep_asking(server, request.to_vec(), started + SLICE));
    }
    let answered: u32 = connections.join_all().await.into_iter().sum();
    f64::from(answered) / started.elapsed().as_secs_f64()
}

/// Sends the next request over one connection after each reply.
async fn keep_asking(server: SocketAddr, request: Vec<u8>, until: Instant) -> u32 {
    let mut stream = connect(server).await;
    let mut buffer = vec![0; 4096];
    let mut answered = 0;
    while Instant::now() < until {
        exchange(&mut stream, &request, &mut buffer).await;
        answered += 1;
    }
    answered
}

async fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).await.unwrap_or_else(|error| panic!("{error}"));
    stream.set_nodelay(true).unwrap_or_else(|error| panic!("{error}"));
    stream
}

/// Sends a request and reads its whole response. Returns its length in `buffer`.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> usize {
    stream.write_all(request).await.unwrap_or_else(|error| panic!("{error}"));
    let mut read = 0;
    loop {
        let more = stream.read(&mut buffer[read..]).await.unwrap_or_else(|error| panic!("{error}"));
        assert!(more > 0, "the server closed the connection");
        read += more;
        if let Some(end) = buffer[..read].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let length = content_length(&buffer[..end]);
            if read >= end + 4 + length {
                return read;
            }
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no length in {head}"))
}

/// Signs in at the probe and returns the `Cookie` header.
async fn sign_in(probe: SocketAddr) -> String {
    let mut stream = connect(probe).await;
    let mut buffer = vec![0; 4096];
    let length = exchange(&mut stream, &request("/login", None), &mut buffer).await;
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let line = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let pair = line.and_then(|line| line.split(';').next());
    pair.unwrap_or_else(|| panic!("no cookie in {answer}")).to_owned()
}
