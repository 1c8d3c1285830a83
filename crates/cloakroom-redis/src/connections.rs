//! The connection: one, shared by all requests, made when it is first needed and made again when it
//! breaks.
//!
//! Commands of all requests travel over it one behind the other and each answer finds its asker, also
//! when the asker has gone. Nobody waits longer than the timeouts say: while Redis cannot be
//! reached, one request at a time tries to, and after a failure all others are told at once until
//! the pause before the next attempt is over. The pause is random, so that many servers do not
//! come back at the same moment.
//!
//! A command is sent a second time if its connection broke before the reply arrived. Nothing else
//! sends a command twice; see [`ClusterNode`] for the cluster client. [`Sent`] reports whether a
//! command may have been carried out twice.

use std::{
    fmt,
    future::poll_fn,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, IntoConnectionInfo, Pipeline,
    ProtocolVersion, RedisError, RedisResult, ServerErrorKind, TlsCertificates, TlsMode, Value,
    aio::MultiplexedConnection,
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr},
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
    sentinel::{SentinelClientBuilder, SentinelServerType},
};
use tokio::{runtime::Handle, time::timeout};

use crate::{
    cluster_node::{self, ClusterNode},
    servers::{Address, Servers, Topology},
};

const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The pause after a failed attempt is at most this, doubled with each further failure.
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// So many commands may be under way on one connection; more wait, and their timeout runs.
const MAX_COMMANDS: usize = 4_096;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) command: Duration,
}

pub(crate) struct Connections {
    /// The runtime that the connection lives in, if the store was built in one. Frameworks whose
    /// workers have a runtime each, as actix-web, would else hang it on the worker that needed it first,
    /// and a busy handler there would keep the sessions of all others waiting.
    runtime: Option<Handle>,
    servers: Servers,
    timeouts: Timeouts,
    /// The connection that is in use, if one is, with its number.
    current: Mutex<Option<(Connection, u64)>>,
    connecting: tokio::sync::Mutex<Attempts>,
}

#[derive(Clone)]
pub(crate) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection<ClusterNode>),
}

/// One command, or several in a row.
enum Request<'a> {
    One(&'a Cmd),
    /// All to the server of this slot.
    All(&'a Pipeline, u16),
}

/// Says whether a reply may be that to a second copy of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It was sent once, or refused each time but the last.
    Once,
    /// An earlier copy of it was sent, and may have been carried out.
    Repeated,
}

impl Delivery {
    /// Returns the delivery of a command that was sent in two ways, one after the other.
    pub(crate) fn and(self, other: Self) -> Self {
        if self == Self::Once { other } else { self }
    }
}

/// The result of sending a request.
#[derive(Debug)]
pub(crate) struct Sent<T> {
    pub(crate) answer: RedisResult<T>,
    pub(crate) delivery: Delivery,
}

impl<T> Sent<T> {
    fn and_then<U>(self, next: impl FnOnce(T) -> RedisResult<U>) -> Sent<U> {
        Sent { answer: self.answer.and_then(next), delivery: self.delivery }
    }
}

impl Connection {
    async fn send(&mut self, request: &Request<'_>) -> RedisResult<Vec<Value>> {
        self.request(request).await.map_err(cluster_node::undisguised)
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
                single.send_packed_commands(commands, 0, commands.len()).await
            }
            (Self::Cluster(cluster), Request::All(commands, slot)) => {
                let route = Route::new(*slot, SlotAddr::Master);
                let route = SingleNodeRoutingInfo::SpecificNode(route);
                let count = commands.len();
                // In boxes, because futures of the cluster client are large.
                Box::pin(cluster.route_pipeline((*commands).clone(), 0, count, route)).await
            }
        }
    }
}

/// What became of the attempts to connect.
#[derive(Default)]
struct Attempts {
    made: u64,
    failed_in_a_row: u32,
    last_failure: Option<(RedisError, Instant)>,
}

impl Connections {
    pub(crate) fn new(servers: Servers, timeouts: Timeouts) -> Self {
        let (current, connecting) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { runtime: Handle::try_current().ok(), servers, timeouts, current, connecting }
    }

    /// Returns the runtime. If it ended before the store, a connection lives where it is made.
    async fn living_runtime(&self) -> Option<&Handle> {
        let runtime = self.runtime.as_ref()?;
        runtime.spawn(async {}).await.is_ok().then_some(runtime)
    }

    /// Runs a task where the connection lives.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.runtime {
            Some(runtime) => runtime.spawn(task),
            None => tokio::spawn(task),
        };
    }

    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// Runs a command that changes nothing.
    pub(crate) async fn run(&self, command: &Cmd) -> RedisResult<Value> {
        self.execute(command).await.answer
    }

    /// Runs a command that may change something.
    pub(crate) async fn execute(&self, command: &Cmd) -> Sent<Value> {
        let sent = self.send(&Request::One(command)).await;
        sent.and_then(|mut answers| Ok(answers.pop().unwrap_or(Value::Nil)))
    }

    /// Runs commands one behind the other on the one connection to the server of a slot.
    pub(crate) async fn execute_all(&self, commands: &Pipeline, slot: u16) -> Sent<Vec<Value>> {
        let refused = |answer| match answer {
            Value::ServerError(error) => Err(error.into()),
            answer => Ok(answer),
        };
        let sent = self.send(&Request::All(commands, slot)).await;
        sent.and_then(|answers| answers.into_iter().map(refused).collect())
    }

    /// Runs one command on one node of a cluster.
    pub(crate) async fn run_on(
        &self,
        command: &Cmd,
        host: String,
        port: u16,
    ) -> RedisResult<Value> {
        match self.connection().await?.0 {
            Connection::Single(mut single) => command.query_async(&mut single).await,
            Connection::Cluster(mut cluster) => {
                let node = SingleNodeRoutingInfo::ByAddress { host, port };
                let answer = cluster.route_command(command.clone(), RoutingInfo::SingleNode(node));
                Box::pin(answer).await.map_err(cluster_node::undisguised)
            }
        }
    }

    async fn send(&self, request: &Request<'_>) -> Sent<Vec<Value>> {
        let connection = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => return Sent { answer: Err(error), delivery: Delivery::Once },
        };
        let answer = self.send_over(connection, request).await;
        let Some(delivery) = answer.as_ref().err().and_then(|error| self.resends_after(error))
        else {
            return Sent { answer, delivery: Delivery::Once };
        };
        let answer = match self.connection().await {
            Ok(connection) => self.send_over(connection, request).await,
            Err(error) => Err(error),
        };
        Sent { answer, delivery }
    }

    /// Sends once, and forgets the connection if it breaks.
    async fn send_over(
        &self,
        (mut connection, number): (Connection, u64),
        request: &Request<'_>,
    ) -> RedisResult<Vec<Value>> {
        let answer = connection.send(request).await;
        // A cluster's mends itself.
        if answer.as_ref().is_err_and(|error| self.is_broken_by(error))
            && !self.servers.is_cluster()
        {
            self.forget(number);
        }
        answer
    }

    /// Returns the delivery of a second copy, if one is to be sent after this error. After a timeout
    /// the request's time is over.
    fn resends_after(&self, error: &RedisError) -> Option<Delivery> {
        if error.is_timeout() || !self.is_broken_by(error) {
            None
        } else if is_demoted(error) {
            Some(Delivery::Once)
        } else {
            Some(Delivery::Repeated)
        }
    }

    /// Returns whether the connection is of no use after this error.
    fn is_broken_by(&self, error: &RedisError) -> bool {
        let lost = error.is_connection_dropped() || error.is_io_error() || error.is_timeout();
        // An answer that was cut short.
        let torn = error.kind() == ErrorKind::Parse;
        let of_no_use = is_demoted(error) || error.is_unrecoverable_error();
        lost || torn || (of_no_use && !self.servers.is_cluster())
    }

    fn forget(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|(_, it)| *it == number) {
            *current = None;
        }
    }

    fn current(&self) -> Option<(Connection, u64)> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

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
        let mut connecting = Box::pin(self.connect(number, ProtocolVersion::RESP2, None));
        let in_runtime = async {
            let runtime = self.living_runtime().await;
            let connecting = poll_fn(|cx| {
                let _entered = runtime.map(Handle::enter);
                connecting.as_mut().poll(cx)
            });
            connecting.await
        };
        let made = timeout(self.timeouts.connect, in_runtime);
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

    /// Makes a connection. `attempt` decides which Sentinel is asked first, so that one that hangs
    /// does not stand in the way of the next attempt.
    pub(crate) async fn connect(
        &self,
        attempt: u64,
        protocol: ProtocolVersion,
        pushes: Option<Box<dyn Fn(redis::PushInfo) + Send + Sync>>,
    ) -> RedisResult<Connection> {
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeouts.connect))
            .set_response_timeout(Some(self.timeouts.command))
            .set_concurrency_limit(MAX_COMMANDS);
        if let Some(pushes) = pushes {
            config = config.set_push_sender(move |push| {
                pushes(push);
                Ok::<(), redis::aio::SendError>(())
            });
        }
        let client = match &self.servers.topology {
            Topology::Cluster(nodes) => {
                let connection =
                    Box::pin(self.cluster(nodes)?.get_async_generic_connection()).await?;
                return Ok(Connection::Cluster(connection));
            }
            Topology::Standalone(address) => self.client(self.info(address, protocol)?)?,
            Topology::Sentinels { nodes, master } => {
                Box::pin(self.ask_sentinels(nodes, master, attempt, protocol)).await?
            }
        };
        client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Single)
    }

    fn info(&self, address: &Address, protocol: ProtocolVersion) -> RedisResult<ConnectionInfo> {
        let info = self.servers.address_of(address).into_connection_info()?;
        let login = self.servers.login.info().set_protocol(protocol);
        Ok(info.set_redis_settings(login).set_tcp_settings(tcp()))
    }

    fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        match &self.servers.certificates {
            Some(pem) if self.servers.tls => Client::build_with_tls(info, certificates(pem)),
            _ => Client::open(info),
        }
    }

    fn cluster(&self, nodes: &[Address]) -> RedisResult<ClusterClient> {
        let nodes: Vec<_> = nodes
            .iter()
            .map(|node| self.info(node, ProtocolVersion::RESP2))
            .collect::<Result<_, _>>()?;
        let Timeouts { connect, command } = self.timeouts;
        let mut builder = ClusterClientBuilder::new(nodes)
            .connection_timeout(connect)
            .response_timeout(command)
            .overall_response_timeout(Some(connect + command))
            .connection_concurrency_limit(MAX_COMMANDS)
            .tcp_settings(tcp());
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

/// Returns whether the server refused a write because it has become a replica.
fn is_demoted(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

fn tcp() -> TcpSettings {
    TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(KEEP_ALIVE))
}

fn certificates(pem: &[u8]) -> TlsCertificates {
    TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) }
}

fn too_slow() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// Returns the pause after a failed attempt, before which so many others failed in a row.
pub(crate) fn pause_after(failed_in_a_row: u32) -> Duration {
    random_part(MAX_PAUSE.min(MIN_PAUSE * 2_u32.pow(failed_in_a_row.min(5))))
}

/// Between half of `span` and all of it.
fn random_part(span: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or_default();
    span / 2 + (span / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// Shows where it leads.
impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("servers", &self.servers).finish_non_exhaustive()
    }
}
