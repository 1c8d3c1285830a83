//! Certificates of the tests' own, made by the `openssl` program.

use std::{path::Path, process::Command};

use super::RedisServer;

/// What is wrong with a server's certificate, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Nothing.
    Good,
    /// It was good until yesterday.
    Expired,
    /// It is for another host.
    OfAnotherHost,
}

impl RedisServer {
    /// Starts a server that speaks TLS alone, and returns the certificate (PEM) of the authority
    /// that signed its own.
    pub fn start_tls(kind: Certificate) -> (Self, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}"));
        make(folder.path(), kind);
        let path = |name: &str| folder.path().join(name).display().to_string();
        let server = Self::start_with(&[
            "--tls-port",
            "{tls}",
            "--tls-cert-file",
            &path("server.pem"),
            "--tls-key-file",
            &path("server.key"),
            "--tls-ca-cert-file",
            &path("ca.pem"),
            "--tls-auth-clients",
            "no",
        ]);
        let authority = std::fs::read(path("ca.pem")).unwrap_or_else(|error| panic!("{error}"));
        (server, authority)
    }
}

fn make(folder: &Path, kind: Certificate) {
    let days = if kind == Certificate::Expired { "-1" } else { "30" };
    let names = match kind {
        Certificate::OfAnotherHost => "subjectAltName=DNS:elsewhere.example",
        _ => "subjectAltName=IP:127.0.0.1,DNS:localhost",
    };
    let extensions = format!("{names}\nbasicConstraints=critical,CA:FALSE\n");
    std::fs::write(folder.join("extensions"), extensions).unwrap_or_else(|error| panic!("{error}"));
    for command in [
        "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=authority -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr",
        &format!(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} \
             -extfile extensions -out server.pem"
        ),
    ] {
        let output = Command::new("openssl").current_dir(folder).args(command.split(' ')).output();
        let output = output.unwrap_or_else(|error| {
            panic!("openssl: {error}; apt-get install openssl installs it")
        });
        assert!(output.status.success(), "openssl {command}: {output:?}");
    }
}
