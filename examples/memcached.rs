//! Sessions in memcached, by its text protocol. Concurrent requests lose nothing and a logout is final,
//! as on every store. Start a server with `memcached -l 127.0.0.1 -U 0`. The limits are memcached's:
//!
//! - It evicts items when its memory is full, which signs visitors out. If it evicts a tombstone, a late
//!   request of a session that has ended is not recognized and gets a new session.
//! - A restart signs everybody out. Do not use a client that goes on to another server during an outage:
//!   the first server comes back with sessions that have ended.
//! - There is no list of an owner's sessions, so `set_owner` is an error without a `NotBefore`.
//! - An item has 1 MiB at most, and deadlines are whole seconds. Beyond 30 days, a deadline is sent as a
//!   moment, so the clocks of both machines have to agree.
//! - This file has no TLS, no password and no limit of connections.

use std::{io, time::Duration};

use axum::{Router, routing::get};
use cloakroom::clock::{Clock, SystemClock, Timestamp};
use cloakroom::store::cells::{Cell, CellStore, Cells, Swap, Swapped};
use cloakroom::store::{RecordKey, StoreError};
use cloakroom::{AppKeys, Session, Sessions, async_trait};
use cloakroom::{axum::SessionLayer, cookie::CookieSettings};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::{net::TcpStream, sync::Mutex, time::timeout};

/// A server. A connection has one request at a time and comes back after the whole reply, so a request
/// that fails or is dropped cannot leave its reply to another one.
#[derive(Debug, Default)]
struct Memcached {
    address: String,
    idle: Mutex<Vec<BufReader<TcpStream>>>,
}

#[async_trait]
impl Cells for Memcached {
    type Version = u64;

    async fn read(&self, key: &RecordKey) -> Result<Option<Cell<u64>>, StoreError> {
        Ok(self.ask(format!("gets session:{key}\r\n").into()).await?.1)
    }

    async fn swap(&self, key: &RecordKey, swap: Swap<u64>) -> Result<Swapped, StoreError> {
        let (command, bytes, expires, version) = match swap {
            Swap::Insert { bytes, deadline, .. } => {
                ("add", bytes, exptime(deadline), String::new())
            }
            Swap::Replace { version, bytes, deadline, .. } => {
                ("cas", bytes, exptime(deadline), version.to_string())
            }
            // `delete` takes no version, so write an item that has expired.
            Swap::Delete { version, .. } => ("cas", Vec::new().into(), -1, version.to_string()),
        };
        let line = format!("{command} session:{key} 0 {expires} {} {version}\r\n", bytes.len());
        let (line, _) = self.ask([line.as_bytes(), &bytes, b"\r\n"].concat()).await?;
        Ok(if line == "STORED" { Swapped::Done } else { Swapped::Differs })
    }
}

impl Memcached {
    /// Sends a request once. Returns the first line of the reply, and the cell behind it.
    async fn ask(&self, request: Vec<u8>) -> Result<(String, Option<Cell<u64>>), StoreError> {
        let reply = timeout(Duration::from_secs(2), self.exchange(&request)).await;
        let error = match reply.unwrap_or_else(|late| Err(late.into())) {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        let attempted = format!("use memcached at {}", self.address);
        if error.kind() == io::ErrorKind::Other {
            return Err(StoreError::failed(attempted, error));
        }
        self.idle.lock().await.clear(); // A server that has restarted has closed all of them.
        Err(StoreError::unavailable(attempted, error))
    }

    async fn exchange(&self, request: &[u8]) -> io::Result<(String, Option<Cell<u64>>)> {
        let idle = self.idle.lock().await.pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect(&self.address).await?),
        };
        connection.get_ref().set_nodelay(true)?;
        connection.write_all(request).await?;
        let (mut line, mut cell) = (String::new(), None);
        connection.read_line(&mut line).await?;
        match line.trim_end().split(' ').collect::<Vec<_>>()[..] {
            ["VALUE", _, _, length, version] => {
                let length: usize = length.parse().map_err(io::Error::other)?;
                let mut bytes = vec![0; length + "\r\nEND\r\n".len()];
                connection.read_exact(&mut bytes).await?;
                bytes.truncate(length);
                cell = Some(Cell::new(bytes, version.parse().map_err(io::Error::other)?));
            }
            ["END" | "STORED" | "NOT_STORED" | "EXISTS" | "NOT_FOUND"] => (),
            [""] => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => return Err(io::Error::other(line)),
        }
        self.idle.lock().await.push(connection);
        Ok((line.trim_end().to_owned(), cell))
    }
}

/// Rounds up, and adds a second because the server's clock ticks once a second.
fn exptime(deadline: Timestamp) -> i64 {
    let lifetime = SystemClock.now().until(deadline).as_secs() + 2;
    let moment = (deadline.as_millis() / 1_000 + 2).min(i32::MAX.unsigned_abs().into());
    (if lifetime <= 30 * 24 * 3_600 { lifetime } else { moment }).cast_signed()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Memcached { address: "127.0.0.1:11211".to_owned(), ..Memcached::default() };
    let sessions = Sessions::builder(CellStore::new(server), AppKeys::random());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build()?;
    let visits = async |session: Session| session.increment("visits").map(|n| n.to_string());
    let app = Router::new().route("/", get(visits)).layer(SessionLayer::new(sessions));
    Ok(cloakroom_examples::serve(app).await?)
}

#[cfg(test)]
#[path = "memcached/tests.rs"]
mod tests;
