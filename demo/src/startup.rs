//! Settings, key, port: what has to be right before the first request.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::Path,
};

use cloakroom::{
    AppKeys, DeviceBinding, Sessions,
    settings::{Secret, Settings},
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// Where the demo keeps the key that it makes when `APP_KEY` is not set. Git ignores it.
const KEY_FILE: &str = ".app_key";
const DEFAULT_PORT: u16 = 3333;

/// Logs what `RUST_LOG` asks for, and warnings unless it does.
pub(crate) fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// Counts what sessions do, from here on, for `/metrics`.
pub(crate) fn metrics() -> Result<PrometheusHandle, String> {
    PrometheusBuilder::new().install_recorder().map_err(|error| error.to_string())
}

/// The session system that the settings ask for, for plain http on this machine.
pub(crate) fn sessions() -> Result<Sessions, String> {
    let mut settings = Settings::load_for_development(None).map_err(|error| error.to_string())?;
    if settings.app_key.is_none() {
        settings.app_key = Some(own_key(Path::new(KEY_FILE))?);
    }
    // So that the account page has something to show. No request is refused.
    if settings.device_binding == DeviceBinding::Off {
        settings.device_binding = DeviceBinding::Report;
    }
    settings.sessions().map_err(|error| error.to_string())
}

/// The key in the file, or a new one. Only the user who started the demo may read it.
fn own_key(path: &Path) -> Result<Secret, String> {
    let refused = |error| format!("the key file {} cannot be used: {error}", path.display());
    match fs::read_to_string(path) {
        Ok(key) => return Ok(Secret::from(key.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => (),
        Err(error) => return Err(refused(error)),
    }
    let key = AppKeys::generate();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| writeln!(file, "{key}"));
    written.map_err(refused)?;
    println!("APP_KEY is not set: made a key for this machine in {}", path.display());
    Ok(Secret::from(key))
}

/// Listens on this machine alone, at `PORT` or 3333.
pub(crate) async fn listen() -> Result<TcpListener, String> {
    let port = match std::env::var("PORT") {
        Ok(port) => port
            .parse()
            .map_err(|_| format!("PORT: `{port}` is no port; 0 to 65535 are accepted"))?,
        Err(_) => DEFAULT_PORT,
    };
    TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => {
            format!("port {port} is in use; stop what listens there or set PORT to another one")
        }
        _ => format!("cannot listen on port {port}: {error}"),
    })
}

/// Resolves when the demo is asked to stop.
pub(crate) async fn stopped() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
