//! Connections for commands that wait for replicas.

use std::sync::Arc;

use crate::{connections::Connections, connector::Timeouts, servers::Servers};

/// The largest number of connections.
const MAX_CONNECTIONS: usize = 8;

/// Separate connections, because a `WAIT` delays all commands behind it on its connection. Each is made
/// when all before it are in use.
pub(crate) struct Replicated {
    pub(crate) replicas: u32,
    connections: [Arc<Connections>; MAX_CONNECTIONS],
}

impl Replicated {
    pub(crate) fn new(servers: &Servers, timeouts: Timeouts, replicas: u32) -> Self {
        let connections = || Arc::new(Connections::new(servers.clone(), timeouts));
        Self { replicas, connections: std::array::from_fn(|_| connections()) }
    }

    /// Returns the first connection that no other command uses, or else the one with the fewest. It is in
    /// use until the returned clone is dropped.
    pub(crate) fn least_used(&self) -> Arc<Connections> {
        let least = self.connections.iter().min_by_key(|connection| Arc::strong_count(connection));
        least.unwrap_or(&self.connections[0]).clone()
    }
}
