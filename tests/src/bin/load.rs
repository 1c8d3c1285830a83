//! The cost of sessions over loopback: the probe beside the bare axum service, and sessions that are bound to
//! a device beside sessions that are not.
//!
//! `cargo xtask bench http` builds everything and runs it. All servers have one worker thread on
//! one core; this client has the other. It alternates short slices of load between two servers and
//! reports the median of the paired ratios, so that what slows the machine down slows both.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use cloakroom::{AppKeys, testing::TestDevice};
use cloakroom_tests::{redis::RedisServer, running::Running};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

const CONNECTIONS: usize = 16;
const SLICE: Duration = Duration::from_millis(500);

/// The probe beside the bare service: a path, whether the session's cookie is sent, and the least ratio.
const BARE: [(&str, bool, f64); 4] =
    [("/none", false, 0.97), ("/none", true, 0.97), ("/read", true, 0.88), ("/write", true, 0.78)];

/// Bound sessions beside others: the drivers, the paths, and the least ratio of all of them.
const BOUND: ([&str; 2], [&str; 3], f64) =
    (["redis", "cookie"], ["/none", "/read", "/write"], 0.97);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let rounds: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(10);
    println!("{CONNECTIONS} connections, {rounds} rounds of {SLICE:?} for each server");
    let kept = [beside_bare(rounds).await, bound_beside_others(rounds).await];
    // Returning, unlike `exit`, ends the servers.
    if kept == [true; 2] { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns whether the wanted ratios were reached.
async fn beside_bare(rounds: usize) -> bool {
    let (_bare, bare) = start("bare-axum", &[]);
    let (_probe, probe) = start("probe-axum", &[("SESSION_DRIVER", "cookie")]);
    let cookie = cookie_of(&ask(probe, &request("/login", "")).await);
    println!("path     cookie   bare/s   probe/s   ratio (min..max)   wanted");
    let mut kept = true;
    for (path, with_cookie, wanted) in BARE {
        let request = request(path, if with_cookie { &cookie } else { "" });
        let row = measure((bare, &request), (probe, &request), rounds).await;
        println!("{path:<8} {:<6} {}", if with_cookie { "yes" } else { "no" }, row.beside(wanted));
        kept &= row.ratio >= wanted;
    }
    kept
}

/// Returns whether the wanted ratios were reached.
async fn bound_beside_others(rounds: usize) -> bool {
    let redis = RedisServer::start();
    let url = redis.url();
    println!("driver   path    unbound/s  bound/s   ratio (min..max)   wanted");
    let (drivers, paths, wanted) = BOUND;
    let mut kept = true;
    for driver in drivers {
        let settings = [("SESSION_DRIVER", driver), ("SESSION_REDIS_URL", &url)];
        let binding = [&settings[..], &[("SESSION_DEVICE_BINDING", "require")]].concat();
        let (_unbound, unbound) = start("probe-axum", &settings);
        let (_bound, bound) = start("probe-axum", &binding);
        let (cookie, bound_cookies) = (sign_in(unbound).await, sign_in(bound).await);
        for path in paths {
            let (one, other) = (request(path, &cookie), request(path, &bound_cookies));
            let row = measure((unbound, &one), (bound, &other), rounds).await;
            println!("{driver:<8} {path:<7} {}", row.beside(wanted));
            kept &= row.ratio >= wanted;
        }
    }
    kept
}

/// Starts a server that was built beside this program, on the first core.
fn start(name: &str, settings: &[(&str, &str)]) -> (Running, SocketAddr) {
    let mut program = std::env::current_exe().unwrap_or_else(|error| panic!("{error}"));
    program.set_file_name(name);
    let mut command = pinned(program);
    command.args(["--listen", "127.0.0.1:0", "--workers", "1"]).stderr(Stdio::inherit());
    command.env("APP_KEY", AppKeys::generate()).envs(settings.iter().copied());
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

/// Requests per second of two servers, and the ratio of the second to the first.
struct Row {
    first: f64,
    second: f64,
    ratio: f64,
    spread: (f64, f64),
}

impl Row {
    fn beside(&self, wanted: f64) -> String {
        let Self { first, second, ratio, spread: (least, most) } = self;
        format!("{first:>8.0} {second:>9.0}   {ratio:.3} ({least:.3}..{most:.3})   {wanted:.2}")
    }
}

/// A server, and the request that it gets.
type Side<'r> = (SocketAddr, &'r [u8]);

async fn measure(first: Side<'_>, second: Side<'_>, rounds: usize) -> Row {
    let (mut of_first, mut of_second, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    load(first).await;
    load(second).await;
    for round in 0..rounds {
        // The order changes, so that neither profits from coming second.
        let (one, two) = if round % 2 == 0 { (first, second) } else { (second, first) };
        let (one, two) = (load(one).await, load(two).await);
        let (first, second) = if round % 2 == 0 { (one, two) } else { (two, one) };
        of_first.push(first);
        of_second.push(second);
        ratios.push(second / first);
    }
    ratios.sort_by(f64::total_cmp);
    let spread = (ratios[0], ratios[ratios.len() - 1]);
    Row { first: median(of_first), second: median(of_second), ratio: median(ratios), spread }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn request(path: &str, cookies: &str) -> Vec<u8> {
    with_headers("GET", path, &[("cookie", cookies)])
}

/// Headers without a value are left out.
fn with_headers(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let headers = headers.iter().filter(|(_, value)| !value.is_empty());
    let lines: Vec<_> = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{}\r\n", lines.concat()).into_bytes()
}

/// Requests per second over one slice.
async fn load((server, request): Side<'_>) -> f64 {
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

/// Sends one request and returns the response.
async fn ask(server: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(server).await;
    let mut buffer = vec![0; 4096];
    let length = exchange(&mut stream, request, &mut buffer).await;
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// Signs in, registers a device if the server asks for one, and returns the value of `Cookie`.
async fn sign_in(server: SocketAddr) -> String {
    const SCRIPT: &str =
        r#"[{"do":"sign_in","owner":"virk"},{"do":"put","key":"username","value":"virk"}]"#;
    let response = ask(server, &with_headers("GET", "/script", &[("x-script", SCRIPT)])).await;
    let cookie = cookie_of(&response);
    let Some(field) = field(&response, "secure-session-registration") else { return cookie };
    // The path and the challenge are quoted.
    let parts: Vec<_> = field.split('"').collect();
    let proof = TestDevice::new().register(parts[3]);
    let headers = [("cookie", &*cookie), ("secure-session-response", &proof)];
    let registered = ask(server, &with_headers("POST", parts[1], &headers)).await;
    format!("{cookie}; {}", cookie_of(&registered))
}

fn field<'r>(response: &'r str, name: &str) -> Option<&'r str> {
    response.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Returns the name and value of the first cookie that a response sets.
fn cookie_of(response: &str) -> String {
    let pair = field(response, "set-cookie").and_then(|line| line.split(';').next());
    pair.unwrap_or_else(|| panic!("no cookie in {response}")).to_owned()
}
