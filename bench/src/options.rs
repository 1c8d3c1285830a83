//! The command line of a server.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::Failure;

const USAGE: &str = "usage: [DRIVER] [--port N] [--redis PORT] [--postgres PORT] [--folder PATH]";

/// The number of connections to an SQL database, which is cloakroom's default.
pub const POOL: u32 = 4;

/// The options of a server.
#[derive(Debug, Default)]
pub struct Options {
    /// The session driver; empty for servers that have only one.
    pub driver: String,
    /// The port on loopback. The default, 0, is a free one.
    pub port: u16,
    /// The port of the Redis server on loopback.
    pub redis: Option<u16>,
    /// The port of the PostgreSQL server on loopback.
    pub postgres: Option<u16>,
    /// The folder of session files and of the SQLite database.
    pub folder: Option<PathBuf>,
}

impl Options {
    /// Reads the command line of this process.
    ///
    /// # Errors
    /// Fails if an argument is unknown or its value cannot be parsed.
    pub fn read() -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            if !argument.starts_with("--") {
                options.driver = argument;
                continue;
            }
            let value = arguments.next().ok_or(format!("{argument} needs a value; {USAGE}"))?;
            let port = || value.parse().map_err(|error| format!("{argument} {value}: {error}"));
            match argument.as_str() {
                "--port" => options.port = port()?,
                "--redis" => options.redis = Some(port()?),
                "--postgres" => options.postgres = Some(port()?),
                "--folder" => options.folder = Some(value.into()),
                _ => return Err(format!("unknown argument {argument}; {USAGE}")),
            }
        }
        Ok(options)
    }

    /// Returns the URL of the Redis server.
    ///
    /// # Errors
    /// Fails if there is no `--redis`.
    pub fn redis_url(&self) -> Result<String, Failure> {
        let port = self.redis.ok_or(format!("this driver needs --redis; {USAGE}"))?;
        Ok(format!("redis://127.0.0.1:{port}"))
    }

    /// Returns the URL of the database on the PostgreSQL server.
    ///
    /// # Errors
    /// Fails if there is no `--postgres`.
    pub fn postgres_url(&self) -> Result<String, Failure> {
        let port = self.postgres.ok_or(format!("this driver needs --postgres; {USAGE}"))?;
        Ok(format!("postgres://cloakroom@127.0.0.1:{port}/postgres"))
    }

    /// Returns the path of the SQLite database.
    ///
    /// # Errors
    /// Fails if there is no `--folder`.
    pub fn sqlite_file(&self) -> Result<PathBuf, Failure> {
        Ok(self.folder()?.join("sqlite.db"))
    }

    /// Returns the folder of session files.
    ///
    /// # Errors
    /// Fails if there is no `--folder`.
    pub fn session_folder(&self) -> Result<PathBuf, Failure> {
        Ok(self.folder()?.join("sessions"))
    }

    fn folder(&self) -> Result<&Path, Failure> {
        self.folder.as_deref().ok_or(format!("this driver needs --folder; {USAGE}"))
    }

    /// Starts to listen, and prints the address for the program that waits for it.
    ///
    /// # Errors
    /// Fails if the port is in use.
    pub fn listen(&self) -> Result<TcpListener, Failure> {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).map_err(|error| {
            format!("cannot listen on 127.0.0.1:{}: {error}; --port chooses another", self.port)
        })?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        println!("listening on http://{address}");
        Ok(listener)
    }
}

/// Ends a server: prints the failure, if there is one, and returns the exit code.
pub fn finish(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(2)
        }
    }
}
