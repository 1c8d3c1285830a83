//! The store.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{
    clock::{Clock, SystemClock, Timestamp},
    store::{
        Commit, Directory, Draft, Found, Outcome, OwnerKey, RecordKey, Revision, Store, StoreError,
        touch_is_due,
    },
};
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, cmd, from_redis_value};

use crate::{
    ConfigError, Servers, health,
    link::{Link, Timeouts},
    near_cache::{Answer, NearCache},
    script::{Call, Script, Scripts},
    tracking,
    wire::{self, Parsed},
};

/// Keeps records in Redis or Valkey, 6.2 or newer: one server, Sentinel or Cluster, with or without
/// TLS. For applications on several machines.
///
/// Nothing is connected until the first request needs it, and one connection serves all. While
/// Redis cannot be reached every request that needs its session fails with an error that
/// [says so](cloakroom::Error::is_unavailable), within the timeouts; nobody is signed out by it.
///
/// Cheap to clone.
///
/// # What a fail-over can lose
/// Redis replicates behind its own back: a write is acknowledged by the master alone. When a master
/// dies before its replicas have the last writes, those are lost, though they were acknowledged: the
/// session is then as it was before them. Where such a write was a logout or a new token, the old
/// session is live again until its deadline. [`wait_replicas`](RedisStoreBuilder::wait_replicas) has
/// these two acknowledged by replicas first, which makes it unlikely and not impossible: Redis does
/// not promise that the replica that has the write becomes the master.
///
/// ```
/// use cloakroom::{AppKeys, Sessions};
/// use cloakroom_redis::RedisStore;
///
/// let store = RedisStore::open("redis://127.0.0.1:6379/0")?;
/// let sessions = Sessions::store(store, AppKeys::random()).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    link: Arc<Link>,
    /// A connection of its own for what waits for replicas: the server makes everything behind a
    /// `WAIT` on a connection wait as well.
    careful: Option<(Link, u32)>,
    scripts: Scripts,
    prefix: String,
    clock: Arc<dyn Clock>,
    near_cache: Option<Arc<NearCache>>,
    started: AtomicBool,
}

impl RedisStore {
    /// The store at a URL, with the default settings.
    ///
    /// # Errors
    /// When a part of the URL cannot be used; the error names the part.
    pub fn open(url: &str) -> Result<Self, ConfigError> {
        Self::builder(Servers::at(url)?).build()
    }

    /// The store on these servers, with settings.
    pub fn builder(servers: Servers) -> RedisStoreBuilder {
        RedisStoreBuilder {
            servers,
            prefix: "session:".to_owned(),
            timeouts: Timeouts {
                connect: Duration::from_secs(1),
                command: Duration::from_millis(500),
            },
            wait_replicas: 0,
            near_cache: false,
            clock: Arc::new(SystemClock),
        }
    }

    /// How many reads the near cache has answered.
    pub fn near_cache_hits(&self) -> u64 {
        self.0.near_cache.as_ref().map_or(0, |cache| cache.hits())
    }
}

impl Inner {
    /// What happens once, at the first use: only then a runtime is sure to be there.
    fn start(self: &Arc<Self>) {
        if self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(cache) = &self.near_cache {
            tracking::keep_up(cache, self.link.clone(), self.prefix.clone());
        }
        let link = self.link.clone();
        tokio::spawn(async move {
            if let Err(error) = health::look(&link).await {
                tracing::debug!(%error, "could not look at the settings of Redis");
            }
        });
    }

    fn key(&self, key: &RecordKey) -> String {
        wire::key(&self.prefix, key)
    }

    async fn eval(&self, script: &Script, call: &Call) -> RedisResult<Vec<Bytes>> {
        let answer = match self.link.run(&script.by_hash(call)).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.link.run(&script.in_full(call)).await?
            }
            answer => answer?,
        };
        Ok(from_redis_value(answer)?)
    }

    /// The same, acknowledged by replicas where that was asked for.
    async fn eval_carefully(
        &self,
        script: &Script,
        call: &Call,
        slot: u16,
    ) -> RedisResult<Vec<Bytes>> {
        let Some((link, replicas)) = &self.careful else { return self.eval(script, call).await };
        let patience = link.timeouts().command * 4 / 5;
        let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).max(1);
        let answers = link.run_all(&script.then_wait(call, *replicas, millis), slot).await?;
        let [answer, acknowledged] = answers.try_into().map_err(|_| unexpected("two answers"))?;
        let answer: Vec<Bytes> = from_redis_value(answer)?;
        let acknowledged: u32 = from_redis_value(acknowledged)?;
        if answer.first().is_some_and(|word| word == "done") && acknowledged < *replicas {
            let problem = format!("{acknowledged} of {replicas} replicas have the change");
            return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, problem).into());
        }
        Ok(answer)
    }

    /// One record's value, without touching it.
    async fn get(&self, key: &RecordKey) -> RedisResult<Option<Parsed>> {
        let answer = self.link.run(cmd("GET").arg(self.key(key))).await;
        let value: Option<Bytes> = match answer {
            Err(error) if error.code() == Some("WRONGTYPE") => {
                unreadable(key);
                return Ok(None);
            }
            answer => from_redis_value(answer?)?,
        };
        let Some(value) = value else { return Ok(None) };
        let live = wire::expires(&value).is_some_and(|expires| expires > self.clock.now());
        let parsed = wire::parse(&value, false);
        if parsed.is_none() {
            unreadable(key);
        }
        Ok(parsed.filter(|_| live))
    }

    /// One record's value; a due touch is done with it.
    async fn get_and_touch(self: &Arc<Self>, key: &RecordKey) -> RedisResult<Option<Parsed>> {
        let now = self.clock.now();
        let call = Call { keys: vec![self.key(key)], arguments: vec![number(now)] };
        let answer = self.eval(&self.scripts.load, &call).await?;
        let [kind, value, rest @ ..] = answer.as_slice() else {
            return Err(unexpected("kind and value"));
        };
        if kind.is_empty() {
            return Ok(None);
        }
        let touched = !rest.is_empty();
        let parsed = wire::parse(value, touched);
        match &parsed {
            None => unreadable(key),
            Some(Parsed { owner: Some(owner), .. }) if touched => {
                self.index_later(*owner, *key, value);
            }
            Some(_) => (),
        }
        Ok(parsed)
    }

    /// Has the owner's index keep up with a touch. It can wait: entries outlive their records by an
    /// idle time.
    fn index_later(self: &Arc<Self>, owner: OwnerKey, key: RecordKey, value: &Bytes) {
        let (inner, value) = (self.clone(), value.clone());
        tokio::spawn(async move {
            if let Err(error) = inner.index(&owner, &key, &value).await {
                tracing::warn!(?owner, %error, "could not prolong an entry of an owner's sessions");
            }
        });
    }

    async fn index(&self, owner: &OwnerKey, key: &RecordKey, value: &[u8]) -> RedisResult<()> {
        let keys = vec![wire::index(&self.prefix, owner)];
        let arguments = vec![number(self.clock.now()), name(key), value.to_vec()];
        self.eval(&self.scripts.index, &Call { keys, arguments }).await.map(drop)
    }

    /// The index has to know of a record before it is live: on one server in one step with it, in a
    /// cluster, where the index is elsewhere, in a step before. Answers the keys that are to be
    /// added to the call.
    async fn index_first(
        &self,
        owner: Option<OwnerKey>,
        key: &RecordKey,
        value: &[u8],
    ) -> RedisResult<Option<String>> {
        match owner {
            Some(owner) if self.link.servers().is_cluster() => {
                self.index(&owner, key, value).await?;
                Ok(None)
            }
            owner => Ok(owner.map(|owner| wire::index(&self.prefix, &owner))),
        }
    }

    async fn write(
        &self,
        script: &Script,
        key: &RecordKey,
        draft: &Draft,
        expected: Option<Revision>,
    ) -> RedisResult<(Vec<Bytes>, Revision)> {
        let revision = draw_revision();
        let value = wire::record(draft, revision);
        let index = self.index_first(draft.owner, key, &value).await?;
        let mut arguments = vec![number(self.clock.now()), name(key), value];
        arguments.extend(expected.map(|revision| wire::revision(revision).into_bytes()));
        let keys = std::iter::once(self.key(key)).chain(index).collect();
        Ok((self.eval(script, &Call { keys, arguments }).await?, revision))
    }

    async fn touch(
        &self,
        key: &RecordKey,
        expected: Revision,
        expires: Timestamp,
    ) -> RedisResult<Outcome> {
        let arguments = vec![
            number(self.clock.now()),
            name(key),
            wire::deadline(expires).into_bytes(),
            wire::revision(expected).into_bytes(),
        ];
        let call = Call { keys: vec![self.key(key)], arguments };
        let answer = self.eval(&self.scripts.touch, &call).await?;
        if let [word, value] = answer.as_slice()
            && word == "done"
            && let Some(Parsed { owner: Some(owner), .. }) = wire::parse(value, false)
        {
            self.index(&owner, key, value).await?;
        }
        outcome(&answer, expected)
    }

    async fn rotate(
        &self,
        from: &RecordKey,
        expected: Option<Revision>,
        to: &RecordKey,
        draft: &Draft,
        until: Timestamp,
    ) -> RedisResult<Outcome> {
        let revision = draw_revision();
        let value = wire::record(draft, revision);
        let index = self.index_first(draft.owner, to, &value).await?;
        let expected = expected.map(|revision| wire::revision(revision).into_bytes());
        let arguments = vec![
            number(self.clock.now()),
            name(to),
            value,
            expected.unwrap_or_default(),
            wire::tombstone(until, Some(*to), draw_revision()),
        ];
        let keys = [self.key(from), self.key(to)].into_iter().chain(index).collect();
        let call = Call { keys, arguments };
        outcome(
            &self.eval_carefully(&self.scripts.rotate, &call, wire::slot(from)).await?,
            revision,
        )
    }

    async fn destroy(&self, key: &RecordKey, until: Timestamp) -> RedisResult<Outcome> {
        let tombstone = wire::tombstone(until, None, draw_revision());
        let arguments = vec![number(self.clock.now()), name(key), tombstone];
        let call = Call { keys: vec![self.key(key)], arguments };
        let answer = self.eval_carefully(&self.scripts.destroy, &call, wire::slot(key)).await?;
        let before = answer.get(1).and_then(|value| wire::parse(value, false));
        let revision = match before {
            Some(Parsed { found: Found::Live(stored), .. }) => stored.revision,
            _ => Revision::default(),
        };
        outcome(&answer, revision)
    }

    async fn carry_out(&self, commit: &Commit) -> RedisResult<Outcome> {
        match commit {
            Commit::Create { key, record } => {
                let (answer, revision) =
                    self.write(&self.scripts.create, key, record, None).await?;
                outcome(&answer, revision)
            }
            Commit::Replace { key, expected, record } => {
                let (answer, revision) =
                    self.write(&self.scripts.replace, key, record, Some(*expected)).await?;
                outcome(&answer, revision)
            }
            Commit::Touch { key, expected, expires } => self.touch(key, *expected, *expires).await,
            Commit::Rotate { from, expected, to, record, tombstone } => {
                self.rotate(from, *expected, to, record, *tombstone).await
            }
            Commit::Destroy { key, tombstone } => self.destroy(key, *tombstone).await,
        }
    }

    fn evict(&self, commit: &Commit) {
        let Some(cache) = &self.near_cache else { return };
        match commit {
            Commit::Create { key, .. }
            | Commit::Replace { key, .. }
            | Commit::Touch { key, .. }
            | Commit::Destroy { key, .. } => cache.evict(&self.key(key)),
            Commit::Rotate { from, to, .. } => {
                cache.evict(&self.key(from));
                cache.evict(&self.key(to));
            }
        }
    }

    /// A read through the near cache. What is due to be touched is not answered from memory.
    async fn read_nearby(
        self: &Arc<Self>,
        cache: &NearCache,
        key: &RecordKey,
    ) -> RedisResult<Option<Parsed>> {
        let name = self.key(key);
        let asked = match cache.look_up(&name) {
            Answer::Known(parsed) if self.is_fresh(&parsed) => return Ok(Some(parsed)),
            Answer::Known(_) => {
                cache.evict(&name);
                return self.get_and_touch(key).await;
            }
            Answer::Ask(asked) => asked,
        };
        let at = Instant::now();
        let parsed = self.get_and_touch(key).await?;
        if let Some(parsed) = &parsed
            && self.is_fresh(parsed)
        {
            cache.keep(&name, parsed.clone(), asked, at);
        }
        Ok(parsed)
    }

    fn is_fresh(&self, parsed: &Parsed) -> bool {
        let Found::Live(stored) = &parsed.found else { return false };
        let now = self.clock.now();
        stored.expires > now && !touch_is_due(stored.expires, parsed.idle, now)
    }

    fn failed(&self, attempted: &str, error: RedisError) -> StoreError {
        let attempted = format!("{attempted} Redis at {}", self.link.servers());
        if is_passing(&error) {
            StoreError::unavailable(attempted, error)
        } else {
            StoreError::failed(attempted, error)
        }
    }
}

/// Whether the same command may succeed later.
fn is_passing(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
    let server = [BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain];
    let words = ["OOM", "BUSY", "NOREPLICAS", "MISCONF"];
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_cluster_error()
        || matches!(error.kind(), ErrorKind::Server(kind) if server.contains(&kind))
        || error.code().is_some_and(|code| words.contains(&code))
        || matches!(
            error.kind(),
            ErrorKind::ClusterConnectionNotFound
                | ErrorKind::MasterNameNotFoundBySentinel
                | ErrorKind::Io
                | ErrorKind::Parse
        )
        // What a script ran into is told in its own error's text.
        || error.detail().is_some_and(|detail| words.iter().any(|word| detail.contains(word)))
}

/// The outcome that a script told, for a commit that wrote `revision`.
fn outcome(answer: &[Bytes], revision: Revision) -> RedisResult<Outcome> {
    let (word, value) = match answer {
        [word] => (word, None),
        [word, value] => (word, Some(value)),
        _ => return Err(unexpected("an outcome")),
    };
    match (word.as_ref(), value) {
        (b"done", _) => Ok(Outcome::Done(revision)),
        (b"gone", _) => Ok(Outcome::Gone),
        (b"exists", _) => Ok(Outcome::Exists),
        (b"conflict", Some(value)) => match wire::parse(value, false).map(|it| it.found) {
            Some(Found::Live(stored)) => Ok(Outcome::Conflict(stored)),
            _ => Err(unexpected("the record as it is")),
        },
        _ => Err(unexpected("done, gone, exists or conflict")),
    }
}

fn unexpected(instead_of: &'static str) -> RedisError {
    (ErrorKind::UnexpectedReturnType, "the answer of a script is not", instead_of.to_owned()).into()
}

/// A value that cannot be read is an absence: answering with an error for ever helps nobody.
fn unreadable(key: &RecordKey) {
    tracing::warn!(?key, "what stands under a session's key is not a session; starting anew");
}

fn number(at: Timestamp) -> Vec<u8> {
    at.as_millis().to_string().into_bytes()
}

fn name(key: &RecordKey) -> Vec<u8> {
    key.to_string().into_bytes()
}

/// Any number, each as likely as the others.
///
/// # Panics
/// As tokens do: without a working generator nothing could go on.
fn draw_revision() -> Revision {
    #[expect(clippy::expect_used, reason = "see Panics")]
    Revision(getrandom::u64().expect("the operating system's random generator works"))
}

#[async_trait]
impl Store for RedisStore {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Found>, StoreError> {
        self.0.start();
        let loaded = self.0.get(key).await;
        let loaded = loaded.map_err(|error| self.0.failed("read a session from", error))?;
        Ok(loaded.map(|parsed| parsed.found))
    }

    async fn load_and_touch(&self, key: &RecordKey) -> Result<Option<Found>, StoreError> {
        self.0.start();
        let loaded = match &self.0.near_cache {
            Some(cache) => self.0.read_nearby(cache, key).await,
            None => self.0.get_and_touch(key).await,
        };
        let loaded = loaded.map_err(|error| self.0.failed("read a session from", error))?;
        Ok(loaded.map(|parsed| parsed.found))
    }

    fn directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.0.start();
        self.0.evict(&commit);
        let outcome = self.0.carry_out(&commit).await;
        self.0.evict(&commit);
        outcome.map_err(|error| self.0.failed("write a session to", error))
    }
}

#[async_trait]
impl Directory for RedisStore {
    async fn keys_of(&self, owner: &OwnerKey) -> Result<Vec<RecordKey>, StoreError> {
        self.0.start();
        let mut command = cmd("ZRANGEBYSCORE");
        command.arg(wire::index(&self.0.prefix, owner));
        command.arg(format!("({}", self.0.clock.now().as_millis())).arg("+inf");
        let names: RedisResult<Vec<String>> =
            self.0.link.run(&command).await.and_then(|names| Ok(from_redis_value(names)?));
        let names = names.map_err(|error| self.0.failed("list an owner's sessions in", error))?;
        Ok(names.iter().filter_map(|name| RecordKey::parse(name)).collect())
    }
}

/// Shows where the servers are.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("servers", self.0.link.servers())
            .field("prefix", &self.0.prefix)
            .finish_non_exhaustive()
    }
}

/// Settings of a [`RedisStore`].
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until `build`"]
pub struct RedisStoreBuilder {
    servers: Servers,
    prefix: String,
    timeouts: Timeouts,
    wait_replicas: u32,
    near_cache: bool,
    clock: Arc<dyn Clock>,
}

impl RedisStoreBuilder {
    /// What every key begins with, so that applications can share a server. Default: `session:`.
    pub fn key_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// How long connecting may take before a request fails. Default: one second.
    pub fn connect_timeout(mut self, span: Duration) -> Self {
        self.timeouts.connect = span;
        self
    }

    /// How long an answer may take before a request fails. Default: half a second.
    pub fn command_timeout(mut self, span: Duration) -> Self {
        self.timeouts.command = span;
        self
    }

    /// So many replicas have to have a `destroy` or `regenerate` before it counts as done; with
    /// fewer, the request fails although the master has it. Default: 0. Costs a round trip to the
    /// slowest of them, and a second connection.
    pub fn wait_replicas(mut self, replicas: u32) -> Self {
        self.wait_replicas = replicas;
        self
    }

    /// Keeps records that were read in memory until Redis says that they changed. Default: off.
    ///
    /// A read then costs no round trip and a write one. What another process changes is seen here
    /// when Redis's message arrives, commonly within a millisecond, and after 5 seconds in any case:
    /// for as long a session that was ended elsewhere may still be read here. It cannot be written:
    /// commits compare with what is in Redis. Not for clusters.
    pub fn near_cache(mut self, on: bool) -> Self {
        self.near_cache = on;
        self
    }

    /// Where the time comes from. Default: the operating system.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings. Nothing is connected yet.
    ///
    /// # Errors
    /// When settings contradict each other; the error names them.
    pub fn build(self) -> Result<RedisStore, ConfigError> {
        let Self { servers, prefix, timeouts, wait_replicas, near_cache, clock } = self;
        if prefix.contains(['{', '}']) {
            let problem = "the key prefix has a brace; in a cluster braces choose the slot, so a \
                           prefix without them is accepted";
            return Err(ConfigError::new(problem));
        }
        if near_cache && servers.is_cluster() {
            let problem = "a near cache on a cluster; one server or Sentinel is accepted with it";
            return Err(ConfigError::new(problem));
        }
        if servers.is_cluster() && servers.login.db != 0 {
            return Err(ConfigError::new("a cluster has database 0 alone"));
        }
        if timeouts.connect.is_zero() || timeouts.command.is_zero() {
            return Err(ConfigError::new("a timeout of 0; more is accepted"));
        }
        let careful =
            (wait_replicas > 0).then(|| (Link::new(servers.clone(), timeouts), wait_replicas));
        Ok(RedisStore(Arc::new(Inner {
            link: Arc::new(Link::new(servers, timeouts)),
            careful,
            scripts: Scripts::new(),
            prefix,
            clock,
            near_cache: near_cache.then(Arc::default),
            started: AtomicBool::new(false),
        })))
    }
}
