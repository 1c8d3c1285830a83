//! The addresses of the servers and the login.

use std::{error::Error as StdError, fmt};

use redis::{ConnectionAddr, RedisConnectionInfo};
use url::Url;

const DEFAULT_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The addresses of the servers, and the login for them.
///
/// ```
/// use cloakroom_redis::Servers;
///
/// let one = Servers::at("redis://:secret@10.0.0.7:6379/2")?;
/// let watched = Servers::sentinels(["10.0.0.1:26379", "10.0.0.2:26379"], "mymaster")?;
/// let cluster = Servers::cluster(["10.0.0.1:6379"])?.user("app").password("secret").tls();
/// # Ok::<(), cloakroom_redis::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Servers {
    pub(crate) topology: Topology,
    pub(crate) login: Login,
    pub(crate) sentinel_password: Option<String>,
    pub(crate) tls: bool,
    pub(crate) certificates: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Topology {
    Standalone(Address),
    Sentinels { nodes: Vec<Address>, master: String },
    Cluster(Vec<Address>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp { host: String, port: u16 },
    Unix(std::path::PathBuf),
}

#[derive(Clone, Default)]
pub(crate) struct Login {
    user: Option<String>,
    password: Option<String>,
    pub(crate) db: i64,
}

/// Settings of Redis that cannot be used. The message names the part and says what is accepted. It never
/// contains a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for ConfigError {}

impl Servers {
    /// Returns the server at a URL: `redis://user:password@host:port/db`, `rediss://…` for TLS, or
    /// `unix:///path` for a socket. Host, port and database default to `127.0.0.1`, `6379` and `0`.
    /// `valkey://` and `valkeys://` mean the same as `redis://` and `rediss://`.
    ///
    /// # Errors
    /// When a part of the URL cannot be used. The error names the part.
    ///
    /// ```
    /// use cloakroom_redis::Servers;
    ///
    /// let servers = Servers::at("rediss://app:secret@sessions.example/1")?;
    /// assert_eq!(servers.to_string(), "sessions.example:6379");
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn at(url: &str) -> Result<Self, ConfigError> {
        let parsed = Url::parse(url).map_err(|error| {
            ConfigError::new(format!(
                "the Redis URL is not a URL ({error}); expected redis://user:password@host:port/db"
            ))
        })?;
        let tls = match parsed.scheme() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            "unix" | "redis+unix" => return Self::at_socket(&parsed),
            other => {
                return Err(ConfigError::new(format!(
                    "the scheme of the Redis URL is `{other}`; expected redis, rediss, valkey, valkeys or \
                     unix"
                )));
            }
        };
        if parsed.query().is_some() || parsed.fragment().is_some() {
            let problem =
                "the Redis URL has a query (?…) or a fragment (#…); expected a URL without them";
            return Err(ConfigError::new(problem));
        }
        let host = parsed.host_str().filter(|host| !host.is_empty()).unwrap_or("127.0.0.1");
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let address = Address::Tcp { host, port: parsed.port().unwrap_or(DEFAULT_PORT) };
        let db = match parsed.path().trim_start_matches('/') {
            "" => 0,
            number => database(number)?,
        };
        Ok(Self { tls, login: Login::of(&parsed, db)?, ..Self::new(Topology::Standalone(address)) })
    }

    fn at_socket(url: &Url) -> Result<Self, ConfigError> {
        let address = Address::Unix(url.path().into());
        let query = url.query_pairs().find(|(key, _)| key == "db");
        let db = query.map_or(Ok(0), |(_, number)| database(&number))?;
        Ok(Self { login: Login::of(url, db)?, ..Self::new(Topology::Standalone(address)) })
    }

    /// Returns the server with this name or address. The port defaults to 6379.
    ///
    /// # Errors
    /// When `host` is anything else, such as a URL or `host:port`.
    ///
    /// ```
    /// use cloakroom_redis::Servers;
    ///
    /// assert_eq!(Servers::host("10.0.0.7", None)?.to_string(), "10.0.0.7:6379");
    /// assert!(Servers::host("redis://10.0.0.7", None).is_err());
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn host(host: &str, port: Option<u16>) -> Result<Self, ConfigError> {
        let port = port.unwrap_or(DEFAULT_PORT);
        let is_ipv6 = host.parse::<std::net::Ipv6Addr>().is_ok();
        let node = if is_ipv6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let address = address(&node, port).map_err(|_| {
            let host = shown(host);
            ConfigError::new(format!(
                "the Redis host is `{host}`; expected a name or an address, and the port by itself"
            ))
        })?;
        Ok(Self::new(Topology::Standalone(address)))
    }

    /// Returns the servers that these Sentinels watch under the name `master`. A Sentinel is `host:port`, and
    /// the port defaults to 26379.
    ///
    /// # Errors
    /// When the list is empty, or an item is not `host:port`.
    ///
    /// ```
    /// use cloakroom_redis::Servers;
    ///
    /// let servers = Servers::sentinels(["10.0.0.1", "10.0.0.2"], "mymaster")?;
    /// assert_eq!(servers.to_string(), "mymaster of 10.0.0.1:26379, 10.0.0.2:26379");
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn sentinels(
        nodes: impl IntoIterator<Item = impl AsRef<str>>,
        master: &str,
    ) -> Result<Self, ConfigError> {
        let nodes = addresses(nodes, SENTINEL_PORT)?;
        Ok(Self::new(Topology::Sentinels { nodes, master: master.to_owned() }))
    }

    /// Returns the cluster that these nodes belong to. The other nodes are found from them. A node is
    /// `host:port`, and the port defaults to 6379.
    ///
    /// # Errors
    /// When the list is empty, or an item is not `host:port`.
    ///
    /// ```
    /// use cloakroom_redis::Servers;
    ///
    /// assert!(Servers::cluster(["10.0.0.1:6379", "10.0.0.2:6379"]).is_ok());
    /// assert!(Servers::cluster(["redis://10.0.0.1"]).is_err());
    /// ```
    pub fn cluster(nodes: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, ConfigError> {
        Ok(Self::new(Topology::Cluster(addresses(nodes, DEFAULT_PORT)?)))
    }

    fn new(topology: Topology) -> Self {
        let login = Login::default();
        Self { topology, login, sentinel_password: None, tls: false, certificates: None }
    }

    /// Sets the user of Redis's access control list. Default: Redis's default user.
    ///
    /// ```
    /// use cloakroom_redis::Servers;
    ///
    /// let servers = Servers::host("10.0.0.7", None)?.user("app").password("secret");
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.login.user = Some(user.to_owned());
        self
    }

    /// Sets the password. Default: none.
    ///
    /// ```
    /// use cloakroom_redis::Servers;
    ///
    /// let servers = Servers::host("10.0.0.7", None)?.password("secret");
    /// assert!(!format!("{servers:?}").contains("secret"));
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.login.password = Some(password.to_owned());
        self
    }

    /// Sets the password of the Sentinels themselves. Default: none.
    ///
    /// ```
    /// use cloakroom_redis::Servers;
    ///
    /// let servers = Servers::sentinels(["10.0.0.1"], "mymaster")?.sentinel_password("secret");
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    #[must_use]
    pub fn sentinel_password(mut self, password: &str) -> Self {
        self.sentinel_password = Some(password.to_owned());
        self
    }

    /// Sets the number of the database. Default: 0, which is the only one in a cluster.
    ///
    /// ```
    /// use cloakroom_redis::Servers;
    ///
    /// let servers = Servers::host("10.0.0.7", None)?.database(2);
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    #[must_use]
    pub fn database(mut self, number: u32) -> Self {
        self.login.db = number.into();
        self
    }

    /// Turns TLS on: connections are encrypted, and the servers' certificates are checked.
    ///
    /// ```
    /// use cloakroom_redis::Servers;
    ///
    /// let servers = Servers::host("sessions.example", None)?.tls();
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Sets the certificates (PEM) that the servers' certificates are checked against. Default: the
    /// operating system's.
    ///
    /// ```no_run
    /// use cloakroom_redis::Servers;
    ///
    /// let pem = std::fs::read("/etc/ssl/redis.pem")?;
    /// let servers = Servers::host("sessions.example", None)?.tls().certificates(pem);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn certificates(mut self, pem: Vec<u8>) -> Self {
        self.certificates = Some(pem);
        self
    }

    /// Returns whether connections use TLS.
    ///
    /// ```
    /// use cloakroom_redis::Servers;
    ///
    /// assert!(Servers::at("rediss://sessions.example")?.uses_tls());
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn uses_tls(&self) -> bool {
        self.tls && !matches!(self.topology, Topology::Standalone(Address::Unix(_)))
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster(_))
    }

    pub(crate) fn address_of(&self, address: &Address) -> ConnectionAddr {
        match address {
            Address::Unix(path) => ConnectionAddr::Unix(path.clone()),
            Address::Tcp { host, port } if self.tls => ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            },
            Address::Tcp { host, port } => ConnectionAddr::Tcp(host.clone(), *port),
        }
    }
}

impl Login {
    fn of(url: &Url, db: i64) -> Result<Self, ConfigError> {
        let decoded = |part: &str, text: &str| {
            let whole = url::form_urlencoded::parse(text.replace('+', "%2B").as_bytes())
                .next()
                .map(|(text, _)| text.into_owned());
            whole.filter(|text| !text.contains('\u{fffd}')).ok_or_else(|| {
                ConfigError::new(format!(
                    "the {part} in the Redis URL is not percent-encoded UTF-8"
                ))
            })
        };
        let user = Some(url.username()).filter(|user| !user.is_empty());
        Ok(Self {
            user: user.map(|user| decoded("user", user)).transpose()?,
            password: url.password().map(|password| decoded("password", password)).transpose()?,
            db,
        })
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(crate) fn secret(&self) -> Option<&str> {
        self.password.as_deref()
    }

    pub(crate) fn info(&self) -> RedisConnectionInfo {
        let mut info = RedisConnectionInfo::default().set_db(self.db);
        if let Some(user) = &self.user {
            info = info.set_username(user);
        }
        if let Some(password) = &self.password {
            info = info.set_password(password);
        }
        info
    }
}

fn database(number: &str) -> Result<i64, ConfigError> {
    number.parse::<u16>().map(i64::from).map_err(|_| {
        ConfigError::new(format!(
            "the database in the Redis URL is `{number}`; expected a number such as 0"
        ))
    })
}

fn addresses(
    nodes: impl IntoIterator<Item = impl AsRef<str>>,
    default_port: u16,
) -> Result<Vec<Address>, ConfigError> {
    let nodes: Vec<_> = nodes
        .into_iter()
        .map(|node| address(node.as_ref(), default_port))
        .collect::<Result<_, _>>()?;
    if nodes.is_empty() {
        return Err(ConfigError::new(
            "the list of Redis nodes is empty; expected at least one host:port",
        ));
    }
    Ok(nodes)
}

/// Returns a node for a message, if it has no password.
fn shown(node: &str) -> &str {
    if node.contains('@') { "(not shown: it has an @)" } else { node }
}

fn address(node: &str, default_port: u16) -> Result<Address, ConfigError> {
    let refused =
        || ConfigError::new(format!("the Redis node is `{}`; expected host:port", shown(node)));
    // Parsed as a URL, which separates host and port, also with IPv6 brackets.
    let url = Url::parse(&format!("redis://{node}")).map_err(|_| refused())?;
    let extra = !matches!(url.path(), "" | "/")
        || url.query().is_some()
        || !url.username().is_empty()
        || url.password().is_some();
    let host = url.host_str().filter(|host| !host.is_empty() && !extra).ok_or_else(refused)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Address::Tcp { host, port: url.port().unwrap_or(default_port) })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Shows the addresses, for messages.
impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &[Address]| {
            nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        match &self.topology {
            Topology::Standalone(address) => write!(f, "{address}"),
            Topology::Sentinels { nodes, master } => write!(f, "{master} of {}", list(nodes)),
            Topology::Cluster(nodes) => write!(f, "the cluster of {}", list(nodes)),
        }
    }
}

/// Shows the addresses and no password.
impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers")
            .field("topology", &self.topology)
            .field("user", &self.login.user)
            .field("db", &self.login.db)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_who() {
        for (url, shown, user, password, db, tls) in [
            ("redis://h", "h:6379", None, None, 0, false),
            ("redis://:p%40ss+@h:1/2", "h:1", None, Some("p@ss+"), 2, false),
            ("rediss://app:x@[::1]:7", "[::1]:7", Some("app"), Some("x"), 0, true),
            ("valkeys://h/3", "h:6379", None, None, 3, true),
            ("unix:///run/redis.sock?db=4", "/run/redis.sock", None, None, 4, false),
            ("redis:///5", "127.0.0.1:6379", None, None, 5, false),
        ] {
            let servers = Servers::at(url).unwrap();
            assert_eq!(servers.to_string(), shown, "{url}");
            assert_eq!(servers.login.user(), user, "{url}");
            assert_eq!(servers.login.secret(), password, "{url}");
            assert_eq!((servers.login.db, servers.tls), (db, tls), "{url}");
        }
    }

    #[test]
    fn a_bad_part_is_named_and_no_password_is_shown() {
        for (url, part) in [
            ("", "not a URL"),
            ("hunter2", "not a URL"),
            ("http://:hunter2@h", "scheme"),
            ("redis://:hunter2@h:port/0", "port"),
            ("redis://:hunter2@h/first", "database"),
            ("redis://:hunter2@h/70000", "database"),
            ("redis://:hunter2@h/0?protocol=9", "query"),
            ("redis://:hunter2%ff@h/0", "password"),
        ] {
            let error = Servers::at(url).unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        for node in ["", "h:port", "h/0", "app:hunter2@h:1"] {
            let error = Servers::cluster([node]).unwrap_err().to_string();
            assert!(error.contains("host:port") && !error.contains("hunter2"), "{error}");
        }
        for host in ["", "h:1", "h/0", "redis://:hunter2@h", "app:hunter2@h", "a b"] {
            let error = Servers::host(host, None).unwrap_err().to_string();
            assert!(
                error.contains("a name or an address") && !error.contains("hunter2"),
                "{error}"
            );
        }
        for (host, shown) in [("::1", "[::1]:7"), ("[::1]", "[::1]:7"), ("db", "db:7")] {
            assert_eq!(Servers::host(host, Some(7)).unwrap().to_string(), shown);
        }
        assert!(Servers::cluster([""; 0]).is_err());
        let shown = format!("{:?}", Servers::at("redis://:hunter2@h").unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
