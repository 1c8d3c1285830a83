//! The command line of a probe server.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use cloakroom::{Sessions, settings::Settings};
use tokio::net::TcpListener;

const USAGE: &str = "usage: --listen 127.0.0.1:PORT [--config FILE] [--workers N]";

/// The options of the command line.
#[derive(Debug)]
pub struct Options {
    /// Where to listen; loopback only.
    pub listen: SocketAddr,
    /// The settings file, if not `config/session.toml`.
    pub config: Option<PathBuf>,
    /// How many threads serve requests; the default is the runtime's.
    pub workers: Option<usize>,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// When it is not as the usage line says, or the address is not a loopback one.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options =
            Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), config: None, workers: None };
        let mut arguments = arguments.skip(1);
        while let Some(flag) = arguments.next() {
            let value = arguments.next().ok_or(format!("{flag} needs a value; {USAGE}"))?;
            let bad = |why: &dyn std::fmt::Display| format!("{flag} {value}: {why}; {USAGE}");
            match flag.as_str() {
                "--listen" => options.listen = value.parse().map_err(|error| bad(&error))?,
                "--config" => options.config = Some(value.into()),
                "--workers" => options.workers = Some(value.parse().map_err(|error| bad(&error))?),
                _ => return Err(format!("unknown flag {flag}; {USAGE}")),
            }
        }
        if options.listen.ip().is_loopback() {
            Ok(options)
        } else {
            Err(format!("{} is not a loopback address; {USAGE}", options.listen))
        }
    }

    /// The session system of the settings. The probe speaks plain http, so cookies are not
    /// `Secure` unless the settings say so.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub fn sessions(&self) -> Result<Sessions, String> {
        let settings = Settings::load_for_development(self.config.as_deref().map(Path::new));
        let settings = settings.map_err(|error| error.to_string())?;
        settings.sessions().map_err(|error| error.to_string())
    }
}

/// Runs a server: `prepare` makes the application, `serve` serves it until the process ends.
/// Anything that is wrong is one line and exit code 2.
pub fn main<A>(
    prepare: impl FnOnce(&Options) -> Result<A, String>,
    serve: impl AsyncFnOnce(TcpListener, A) -> std::io::Result<()>,
) -> ExitCode {
    match start(prepare, serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}

fn start<A>(
    prepare: impl FnOnce(&Options) -> Result<A, String>,
    serve: impl AsyncFnOnce(TcpListener, A) -> std::io::Result<()>,
) -> Result<(), String> {
    let options = Options::parse(std::env::args())?;
    let app = prepare(&options)?;
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = options.workers {
        runtime.worker_threads(workers);
    }
    let runtime = runtime.enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let listener = TcpListener::bind(options.listen).await;
        let listener =
            listener.map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        println!("listening on http://{address}");
        serve(listener, app).await.map_err(|error| error.to_string())
    })
}
