//! One connection, to a server or to a cluster.

use redis::{
    Cmd, Pipeline, RedisResult, Value,
    aio::MultiplexedConnection,
    cluster_async::ClusterConnection,
    cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr},
};

use crate::cluster_node::{self, ClusterNode};

/// A connection. Clones share it.
#[derive(Clone)]
pub(crate) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection<ClusterNode>),
}

/// One command, or several in a row.
pub(crate) enum Request<'a> {
    One(&'a Cmd),
    /// Commands for the server of this slot.
    All(&'a Pipeline, u16),
}

impl Connection {
    /// Sends a request and waits for the replies.
    pub(crate) async fn send(&mut self, request: &Request<'_>) -> RedisResult<Vec<Value>> {
        self.request(request).await.map_err(cluster_node::undisguised)
    }

    /// Sends one command to one node of a cluster.
    pub(crate) async fn send_to(
        self,
        command: &Cmd,
        host: String,
        port: u16,
    ) -> RedisResult<Value> {
        match self {
            Self::Single(mut single) => command.query_async(&mut single).await,
            Self::Cluster(mut cluster) => {
                let node = SingleNodeRoutingInfo::ByAddress { host, port };
                let reply = cluster.route_command(command.clone(), RoutingInfo::SingleNode(node));
                Box::pin(reply).await.map_err(cluster_node::undisguised)
            }
        }
    }

    async fn request(&mut self, request: &Request<'_>) -> RedisResult<Vec<Value>> {
        match (self, request) {
            (Self::Single(single), Request::One(command)) => {
                Ok(vec![command.query_async(single).await?])
            }
            (Self::Cluster(cluster), Request::One(command)) => {
                Ok(vec![Box::pin(command.query_async(cluster)).await?])
            }
            (Self::Single(single), Request::All(commands, _)) => {
                succeeded(single.send_packed_commands(commands, 0, commands.len()).await?)
            }
            (Self::Cluster(cluster), Request::All(commands, slot)) => {
                let route = Route::new(*slot, SlotAddr::Master);
                let route = SingleNodeRoutingInfo::SpecificNode(route);
                let count = commands.len();
                // In boxes, because futures of the cluster client are large.
                let replies = cluster.route_pipeline((*commands).clone(), 0, count, route);
                succeeded(Box::pin(replies).await?)
            }
        }
    }
}

/// Returns the first error among the replies to several commands as an error.
fn succeeded(replies: Vec<Value>) -> RedisResult<Vec<Value>> {
    replies.into_iter().map(Value::extract_error).collect()
}
