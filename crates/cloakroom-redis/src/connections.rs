//! The one connection that all requests share. It is made when a request first needs it and made again
//! after it breaks.
//!
//! Commands of all requests follow each other on the connection, and each caller gets the reply to its own
//! command, even if other callers have stopped waiting. No request waits longer than the timeouts. While
//! Redis cannot be reached, one request at a time tries to connect. After a failure, all requests fail
//! at once until a random [pause](crate::pause) is over.
//!
//! A command is sent a second time if its connection broke before the reply arrived. No other code sends
//! a command twice; see [`ClusterNode`](crate::cluster_node::ClusterNode) for the cluster client. [`Sent`]
//! reports whether a command may have been carried out twice.

use std::{
    fmt,
    future::{pending, poll_fn},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use redis::{Cmd, Pipeline, ProtocolVersion, RedisError, RedisResult, Value};
use tokio::{runtime::Handle, time::timeout};

use crate::{
    connection::{Connection, Request},
    connector::{Connector, Timeouts},
    delivery::{Delivery, Sent},
    fault::Fault,
    pause::pause_after,
    servers::Servers,
};

pub(crate) struct Connections {
    /// The runtime of the connection's task, if the store was built in a runtime. In frameworks with a
    /// runtime per worker, such as actix-web, the task would otherwise run on the worker that needed the
    /// connection first, and a busy handler there would delay the sessions of all workers.
    runtime: Option<Handle>,
    connector: Connector,
    /// The current connection and its number.
    current: Mutex<Option<(Connection, u64)>>,
    connecting: tokio::sync::Mutex<Attempts>,
}

/// The history of the attempts to connect.
#[derive(Default)]
struct Attempts {
    made: u64,
    failed_in_a_row: u32,
    last_failure: Option<(RedisError, Instant)>,
}

impl Connections {
    pub(crate) fn new(servers: Servers, timeouts: Timeouts) -> Self {
        let (current, connecting) = (Mutex::default(), tokio::sync::Mutex::default());
        let connector = Connector { servers, timeouts };
        Self { runtime: Handle::try_current().ok(), connector, current, connecting }
    }

    /// Returns the runtime, or `None` if it has ended. Tasks then run in the caller's runtime.
    fn living_runtime(&self) -> Option<&Handle> {
        let runtime = self.runtime.as_ref()?;
        // A runtime that has ended cancels a task before `spawn` returns.
        let endless = runtime.spawn(pending::<()>());
        let has_ended = endless.is_finished();
        endless.abort();
        (!has_ended).then_some(runtime)
    }

    /// Spawns a task in the connection's runtime.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match self.living_runtime() {
            Some(runtime) => runtime.spawn(task),
            None => tokio::spawn(task),
        };
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(crate) fn servers(&self) -> &Servers {
        &self.connector.servers
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.connector.timeouts
    }

    /// Runs a command that only reads.
    pub(crate) async fn run(&self, command: &Cmd) -> RedisResult<Value> {
        self.execute(command).await.reply
    }

    /// Runs a command that may change something.
    pub(crate) async fn execute(&self, command: &Cmd) -> Sent<Value> {
        let sent = self.send(&Request::One(command)).await;
        sent.and_then(|mut replies| Ok(replies.pop().unwrap_or(Value::Nil)))
    }

    /// Runs commands in a row on the connection to the server of a slot.
    pub(crate) async fn execute_all(&self, commands: &Pipeline, slot: u16) -> Sent<Vec<Value>> {
        self.send(&Request::All(commands, slot)).await
    }

    /// Runs one command on one node of a cluster.
    pub(crate) async fn run_on(
        &self,
        command: &Cmd,
        host: String,
        port: u16,
    ) -> RedisResult<Value> {
        self.connection().await?.0.send_to(command, host, port).await
    }

    async fn send(&self, request: &Request<'_>) -> Sent<Vec<Value>> {
        let connection = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => return Sent { reply: Err(error), delivery: Delivery::Once },
        };
        let reply = self.send_over(connection, request).await;
        let Some(delivery) = reply.as_ref().err().and_then(|error| Fault::of(error).resent())
        else {
            return Sent { reply, delivery: Delivery::Once };
        };
        let reply = match self.connection().await {
            Ok(connection) => self.send_over(connection, request).await,
            Err(error) => Err(error),
        };
        Sent { reply, delivery }
    }

    /// Sends a request once. Drops the connection if it breaks.
    async fn send_over(
        &self,
        (mut connection, number): (Connection, u64),
        request: &Request<'_>,
    ) -> RedisResult<Vec<Value>> {
        let reply = connection.send(request).await;
        // The connection to a cluster repairs itself.
        if reply.as_ref().is_err_and(|error| Fault::of(error).ends_connection())
            && !self.connector.servers.is_cluster()
        {
            self.drop_connection(number);
        }
        reply
    }

    /// Drops the connection of this number, unless a newer one has replaced it.
    fn drop_connection(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|(_, current)| *current == number) {
            *current = None;
        }
    }

    fn current(&self) -> Option<(Connection, u64)> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the current connection, or makes one. One request at a time tries to.
    async fn connection(&self) -> RedisResult<(Connection, u64)> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let mut attempts = self.connecting.lock().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        if let Some((error, retry_at)) = &attempts.last_failure
            && Instant::now() < *retry_at
        {
            return Err(error.clone());
        }
        attempts.made += 1;
        let number = attempts.made;
        let mut connecting = Box::pin(self.connector.connect(number, ProtocolVersion::RESP2, None));
        let runtime = self.living_runtime();
        let in_runtime = poll_fn(|cx| {
            let _entered = runtime.map(Handle::enter);
            connecting.as_mut().poll(cx)
        });
        let made = timeout(self.connector.timeouts.connect, in_runtime);
        match made.await.unwrap_or_else(|_| Err(too_slow())) {
            Ok(connection) => {
                attempts.failed_in_a_row = 0;
                attempts.last_failure = None;
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((connection.clone(), number));
                Ok((connection, number))
            }
            Err(error) => {
                let retry_at = Instant::now() + pause_after(attempts.failed_in_a_row);
                attempts.failed_in_a_row += 1;
                attempts.last_failure = Some((error.clone(), retry_at));
                Err(error)
            }
        }
    }
}

fn too_slow() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// Shows the servers.
impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("servers", &self.connector.servers)
            .finish_non_exhaustive()
    }
}
