//! The connection that the cluster client uses for one node of a cluster.
//!
//! The cluster client sends a command again by itself, up to sixteen times within its overall
//! timeout, and does not report it:
//! - after `MOVED`, `ASK`, `TRYAGAIN`, `CLUSTERDOWN`, `LOADING`, `MASTERDOWN` and `READONLY`. The
//!   node refused the command, so it was not carried out.
//! - if it finds no connection to a node. Nothing was sent.
//! - if the connection breaks before the reply, or the reply is late. The command may have been carried
//!   out, and the second reply is then about a record that has this write already.
//!
//! [`ClusterNode`] turns errors of the last kind into one that the cluster client passes on, so that
//! [`Connections`](crate::connections::Connections) alone decides which commands are sent twice.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redis::{
    AsyncConnectionConfig, Cmd, IntoConnectionInfo, Pipeline, RedisError, RedisFuture, RedisResult,
    Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::Connect,
    cmd, make_extension_error,
};

use crate::fault::Fault;

#[derive(Clone)]
pub(crate) struct ClusterNode {
    connection: MultiplexedConnection,
    /// Whether the connection is not to be used again. The clones that requests use share it.
    broken: Arc<AtomicBool>,
}

impl Connect for ClusterNode {
    fn connect_with_config<'a, T>(info: T, config: AsyncConnectionConfig) -> RedisFuture<'a, Self>
    where
        T: IntoConnectionInfo + Send + 'a,
    {
        Box::pin(async move {
            let info = info.into_connection_info()?;
            let takes_pushes = info.redis_settings().protocol().supports_resp3();
            let mut connection = MultiplexedConnection::connect_with_config(info, config).await?;
            if takes_pushes {
                // For the looks of `ending_link`, also after the cluster client has connected again.
                cmd("CLIENT").arg("TRACKING").arg("ON").exec_async(&mut connection).await?;
            }
            Ok(Self { connection, broken: Arc::default() })
        })
    }
}

impl ConnectionLike for ClusterNode {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            self.check()?;
            let reply = self.connection.req_packed_command(command).await;
            reply.map_err(|error| self.passed_on(error))
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            self.check()?;
            let replies = self.connection.req_packed_commands(commands, offset, count).await;
            replies.map_err(|error| self.passed_on(error))
        })
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

impl ClusterNode {
    /// Fails before anything is sent if the connection is not to be used again. The cluster client
    /// then connects again and sends the command over the new connection.
    fn check(&self) -> RedisResult<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        Ok(())
    }

    /// Returns the error for the cluster client.
    fn passed_on(&self, error: RedisError) -> RedisError {
        if !matches!(Fault::of(&error), Fault::Lost | Fault::Late) {
            return error;
        }
        // After a late reply as well, because the node may have failed without closing the connection. The
        // cluster client then asks another node who has the slots.
        self.broken.store(true, Ordering::SeqCst);
        under_way(&error)
    }
}

/// The codes of errors that occurred while a command waited for its reply. No server sends them.
const BROKEN: &str = "CLOAKROOM-BROKEN";
const LATE: &str = "CLOAKROOM-LATE";

/// Returns an error that the cluster client passes on as if a server had sent it.
fn under_way(error: &RedisError) -> RedisError {
    let code = if error.is_timeout() { LATE } else { BROKEN };
    make_extension_error(code.to_owned(), Some(error.to_string()))
}

/// Restores the kind of an error that [`ClusterNode`] disguised.
pub(crate) fn undisguised(error: RedisError) -> RedisError {
    let kind = match error.code() {
        Some(BROKEN) => io::ErrorKind::ConnectionAborted,
        Some(LATE) => io::ErrorKind::TimedOut,
        _ => return error,
    };
    let detail = error.detail().unwrap_or_default().to_owned();
    io::Error::new(kind, detail).into()
}

#[cfg(test)]
mod tests {
    use redis::RetryMethod;

    use super::*;

    #[test]
    fn the_cluster_client_does_not_resend_what_was_under_way() {
        for kind in [
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::TimedOut,
            io::ErrorKind::UnexpectedEof,
        ] {
            let error = RedisError::from(io::Error::from(kind));
            assert!(!matches!(error.retry_method(), RetryMethod::NoRetry), "{kind}");
            let disguised = under_way(&error);
            assert!(matches!(disguised.retry_method(), RetryMethod::NoRetry), "{kind}");
            let undisguised = undisguised(disguised);
            assert_eq!(undisguised.is_timeout(), error.is_timeout(), "{kind}");
            assert_eq!(undisguised.is_connection_dropped(), error.is_connection_dropped());
        }
    }
}
