//! As much of HTTP as the load generator needs.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use cloakroom_bench::Failure;

/// The size of a connection's buffer. A reply has to fit into it.
pub(crate) const BUFFER: usize = 16 * 1024;

/// Returns the bytes of a request.
pub(crate) fn request(path: &str, cookie: &str) -> Vec<u8> {
    let cookie = if cookie.is_empty() { String::new() } else { format!("cookie: {cookie}\r\n") };
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{cookie}\r\n").into_bytes()
}

/// The parts of a reply that the load generator reads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The status code is 2xx.
    pub(crate) succeeded: bool,
    /// The length of status line and headers.
    pub(crate) head: usize,
    /// The length of everything.
    pub(crate) length: usize,
}

impl Reply {
    /// Parses a reply. Returns `None` if more bytes are needed.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (mut at, mut body) = (0, 0);
        loop {
            let end = at + memchr::memchr(b'\n', &bytes[at..])?;
            let line = &bytes[at..end];
            at = end + 1;
            if line.len() <= 1 {
                break;
            }
            if let Some(value) = value_of(line, b"content-length:") {
                body = value.parse().unwrap_or(0);
            }
        }
        let succeeded = bytes.get(9) == Some(&b'2');
        (bytes.len() >= at + body).then_some(Self { succeeded, head: at, length: at + body })
    }
}

/// Returns the value of a header line if it has this name.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(())?;
    std::str::from_utf8(value).ok().map(str::trim)
}

/// One connection for requests that are not measured.
#[derive(Debug)]
pub(crate) struct Client(TcpStream);

impl Client {
    /// Connects to a server.
    pub(crate) fn connect(server: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(server).map_err(|error| format!("{server}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Self(stream))
    }

    /// Signs in and returns the `Cookie` header of the new session.
    pub(crate) fn sign_in(&mut self) -> Result<String, Failure> {
        let (head, _) = self.ask("/login", "")?;
        let line = |line: &str| value_of(line.as_bytes(), b"set-cookie:").map(str::to_owned);
        let pair = |value: String| value.split(';').next().map(str::to_owned);
        let cookies: Vec<_> = head.lines().filter_map(line).filter_map(pair).collect();
        if cookies.is_empty() {
            Err(format!("no cookie in {head}"))
        } else {
            Ok(cookies.join("; "))
        }
    }

    /// Increments the counter of a session and returns its new value.
    pub(crate) fn increment(&mut self, cookie: &str) -> Result<u64, Failure> {
        let (head, body) = self.ask("/write", cookie)?;
        body.parse().map_err(|_| format!("no counter in {head}{body}"))
    }

    /// Sends a request that has to succeed.
    pub(crate) fn send(&mut self, path: &str, cookie: &str) -> Result<(), Failure> {
        self.ask(path, cookie).map(drop)
    }

    /// Sends a request and returns head and body of the reply.
    fn ask(&mut self, path: &str, cookie: &str) -> Result<(String, String), Failure> {
        let failed = |error| format!("GET {path}: {error}");
        self.0.write_all(&request(path, cookie)).map_err(failed)?;
        let (mut buffer, mut filled) = (vec![0; BUFFER], 0);
        loop {
            let read = self.0.read(&mut buffer[filled..]).map_err(failed)?;
            if read == 0 {
                return Err(format!("GET {path}: the server closed the connection"));
            }
            filled += read;
            let Some(reply) = Reply::parse(&buffer[..filled]) else { continue };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (head, body) = (text(&buffer[..reply.head]), text(&buffer[reply.head..filled]));
            let failure = format!("GET {path}: {head}{body}");
            return if reply.succeeded { Ok((head, body)) } else { Err(failure) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_complete_with_the_last_byte_of_its_body() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nvary: cookie\r\n\r\nvirk";
        for end in 0..bytes.len() {
            assert_eq!(Reply::parse(&bytes[..end]), None, "{end}");
        }
        let whole = Reply { succeeded: true, head: bytes.len() - 4, length: bytes.len() };
        assert_eq!(Reply::parse(bytes), Some(whole));
    }

    #[test]
    fn only_2xx_is_a_success() {
        let reply = Reply::parse(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
        assert!(reply.is_some_and(|reply| !reply.succeeded));
    }
}
