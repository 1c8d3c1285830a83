//! Makes connections to a server, to the master that Sentinels name, or to a cluster.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, PushInfo,
    RedisResult, TlsCertificates, TlsMode,
    aio::{AsyncPushSender, SendError},
    cluster::{ClusterClient, ClusterClientBuilder},
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
    sentinel::{SentinelClientBuilder, SentinelServerType},
};

use crate::{
    connection::Connection,
    servers::{Address, Servers, Topology},
};

const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The largest number of commands on one connection at a time. More commands wait, and their timeout
/// runs.
const MAX_COMMANDS: usize = 4_096;

/// The timeouts of connections and commands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) command: Duration,
}

/// Takes the messages that a server pushes.
pub(crate) type Pushes = Box<dyn Fn(PushInfo) + Send + Sync>;

/// The servers, and the timeouts of connections to them.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) servers: Servers,
    pub(crate) timeouts: Timeouts,
}

impl Connector {
    /// Makes a connection. `attempt` chooses the Sentinel that is asked first, so that a Sentinel that
    /// hangs does not block the next attempt. `pushes` needs RESP3.
    pub(crate) async fn connect(
        &self,
        attempt: u64,
        protocol: ProtocolVersion,
        pushes: Option<Pushes>,
    ) -> RedisResult<Connection> {
        let client = match &self.servers.topology {
            Topology::Cluster(nodes) => {
                let cluster = self.cluster(nodes, protocol, pushes)?;
                let connection = Box::pin(cluster.get_async_generic_connection()).await?;
                return Ok(Connection::Cluster(connection));
            }
            Topology::Standalone(address) => self.client(self.info(address, protocol)?)?,
            Topology::Sentinels { nodes, master } => {
                Box::pin(self.ask_sentinels(nodes, master, attempt, protocol)).await?
            }
        };
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeouts.connect))
            .set_response_timeout(Some(self.timeouts.command))
            .set_concurrency_limit(MAX_COMMANDS);
        if let Some(pushes) = pushes {
            config = config.set_push_sender(push_sender(pushes));
        }
        client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Single)
    }

    fn info(&self, address: &Address, protocol: ProtocolVersion) -> RedisResult<ConnectionInfo> {
        let info = self.servers.address_of(address).into_connection_info()?;
        let login = self.servers.login.info().set_protocol(protocol);
        Ok(info.set_redis_settings(login).set_tcp_settings(tcp()))
    }

    fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        match &self.servers.certificates {
            Some(pem) => Client::build_with_tls(info, certificates(pem)),
            None => Client::open(info),
        }
    }

    fn cluster(
        &self,
        nodes: &[Address],
        protocol: ProtocolVersion,
        pushes: Option<Pushes>,
    ) -> RedisResult<ClusterClient> {
        let nodes: Vec<_> =
            nodes.iter().map(|node| self.info(node, protocol)).collect::<Result<_, _>>()?;
        let Timeouts { connect, command } = self.timeouts;
        let mut builder = ClusterClientBuilder::new(nodes)
            .connection_timeout(connect)
            .response_timeout(command)
            .overall_response_timeout(Some(connect + command))
            .connection_concurrency_limit(MAX_COMMANDS)
            .tcp_settings(tcp());
        if let Some(pushes) = pushes {
            builder = builder.push_sender(push_sender(pushes));
        }
        if let Some(user) = self.servers.login.user() {
            builder = builder.username(user);
        }
        if let Some(password) = self.servers.login.secret() {
            builder = builder.password(password);
        }
        if self.servers.tls {
            builder = builder.tls(TlsMode::Secure);
        }
        if let Some(pem) = &self.servers.certificates {
            builder = builder.certs(certificates(pem));
        }
        builder.build()
    }

    async fn ask_sentinels(
        &self,
        nodes: &[Address],
        master: &str,
        attempt: u64,
        protocol: ProtocolVersion,
    ) -> RedisResult<Client> {
        let first = usize::try_from(attempt).unwrap_or_default() % nodes.len();
        let rotated = nodes.iter().cycle().skip(first).take(nodes.len());
        let addresses = rotated.map(|node| self.servers.address_of(node));
        let mut builder =
            SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
                .set_client_to_redis_db(self.servers.login.db)
                .set_client_to_redis_protocol(protocol)
                .set_client_to_redis_tcp_settings(tcp())
                .set_client_to_sentinel_tcp_settings(tcp());
        if let Some(user) = self.servers.login.user() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = self.servers.login.secret() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(password) = &self.servers.sentinel_password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if self.servers.tls {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        if let Some(pem) = &self.servers.certificates {
            builder = builder
                .set_client_to_redis_certificates(certificates(pem))
                .set_client_to_sentinel_certificates(certificates(pem));
        }
        builder.build()?.async_get_client().await
    }
}

fn push_sender(pushes: Pushes) -> impl AsyncPushSender {
    move |push| {
        pushes(push);
        Ok::<(), SendError>(())
    }
}

fn tcp() -> TcpSettings {
    TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(KEEP_ALIVE))
}

fn certificates(pem: &[u8]) -> TlsCertificates {
    TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) }
}
