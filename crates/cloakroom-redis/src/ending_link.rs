//! The connection over which Redis reports the ends of watched sessions.
//!
//! Redis pushes the name of a key when it changes, to each connection that has read the key since its
//! last change (`CLIENT TRACKING`). So a *look*, which reads the beginning of a watched key over this
//! connection, shows whether the session is live, and asks for a push at its next change. These rules
//! keep an ending from being missed:
//! 1. A new watch leads to a look.
//! 2. A push leads to another look, which is sent after it.
//! 3. Each new connection begins with a look at all watched keys, because pushes may have been lost.
//!
//! A look that finds no live record removes it from the near cache and wakes its watches. So no step of a
//! commit knows of watches, and a key that an operator deletes, that Redis evicts, or that an older version
//! of this crate ends is noticed as well.
//!
//! The connection exists while keys are watched. It is separate from the one of the
//! [near cache](crate::near_cache), which reports the changes of all keys, and so of sessions without
//! watches.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use cloakroom_store::{KeyWatch, RecordKey, WatchedKeys};
use redis::{
    ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisError, RedisResult, Value, cmd,
    from_redis_value,
};
use tokio::{
    sync::{
        Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    time::timeout,
};

use crate::{
    connection::{Connection, Request},
    inner::Inner,
    link_attempts::LinkAttempts,
    wire,
};

/// How often the connection is checked while nothing happens.
const PING_EVERY: Duration = Duration::from_secs(5);
/// The largest number of looks at a time. More would wait within their timeouts.
const MAX_LOOKS: usize = 256;

/// The watched keys, and the way to the task of the connection.
#[derive(Debug, Default)]
pub(crate) struct EndingLink {
    watched: WatchedKeys,
    /// `None` if there is no task. The receiver is gone if the task's runtime has ended.
    events: Mutex<Option<UnboundedSender<Event>>>,
}

/// What the task has to act on.
#[derive(Debug)]
enum Event {
    /// A key was watched or has changed.
    Look(RecordKey),
    /// The database was flushed.
    LookAtAll,
    /// The connection does not work any more.
    Broken(RedisError),
}

impl EndingLink {
    fn events(&self) -> MutexGuard<'_, Option<UnboundedSender<Event>>> {
        // A poisoned lock is safe to use, because each critical section makes one complete change.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the events of a new connection, so that it takes none of a former one for its own.
    fn begin(&self) -> (UnboundedSender<Event>, UnboundedReceiver<Event>) {
        let (sender, receiver) = unbounded_channel();
        *self.events() = Some(sender.clone());
        (sender, receiver)
    }

    /// Lets the task end if nothing is watched. The next watch then starts another.
    fn end_if_idle(&self) -> bool {
        let mut events = self.events();
        // A watch is counted before it takes this lock.
        let is_idle = self.watched.is_empty();
        if is_idle {
            *events = None;
        }
        is_idle
    }
}

impl Inner {
    /// Watches the record under `key`. Starts the task of the connection if there is none.
    pub(crate) fn watch_ending(self: &Arc<Self>, key: &RecordKey) -> KeyWatch {
        let watch = self.endings.watched.watch(*key);
        let mut events = self.endings.events();
        let look = Event::Look(*key);
        if events.as_ref().is_none_or(|events| events.send(look).is_err()) {
            let (sender, receiver) = unbounded_channel();
            *events = Some(sender);
            self.connections.spawn(run(self.clone(), receiver));
        }
        watch
    }
}

/// Keeps the connection open while keys are watched. `events` is open until the first connection has
/// separate events, because a closed channel is the sign of a task that has ended.
async fn run(inner: Arc<Inner>, mut events: UnboundedReceiver<Event>) {
    let mut attempts = LinkAttempts {
        feature: "the push of endings",
        without: "readers notice the end of their sessions at their intervals",
        needs: "+client|tracking, +getrange and +ping",
        made: 0,
        failed_in_a_row: 0,
    };
    while !inner.endings.end_if_idle() {
        attempts.made += 1;
        let (sender, receiver) = inner.endings.begin();
        events = receiver;
        if let Err(error) = serve(&inner, sender, &mut events, &mut attempts).await {
            tokio::time::sleep(attempts.failed(&error)).await;
        }
    }
    drop(events);
}

/// Connects, and looks at keys until the connection breaks or nothing is watched.
async fn serve(
    inner: &Arc<Inner>,
    sender: UnboundedSender<Event>,
    events: &mut UnboundedReceiver<Event>,
    attempts: &mut LinkAttempts,
) -> RedisResult<()> {
    let link = Link::connect(inner, sender, attempts.made).await?;
    let connected = Instant::now();
    let watched = &inner.endings.watched;
    link.look_at_all().await;
    loop {
        match timeout(PING_EVERY, events.recv()).await {
            Ok(Some(Event::Look(key))) => link.look_at(key).await,
            Ok(Some(Event::LookAtAll)) => link.look_at_all().await,
            Ok(Some(Event::Broken(error))) => return Err(error),
            Err(_) if !watched.is_empty() => {
                link.connection.clone().send(&Request::One(&cmd("PING"))).await?;
                attempts.replied(connected);
            }
            Ok(None) | Err(_) => return Ok(()),
        }
    }
}

/// An open connection.
struct Link {
    inner: Arc<Inner>,
    connection: Connection,
    events: UnboundedSender<Event>,
    permits: Arc<Semaphore>,
}

impl Link {
    async fn connect(
        inner: &Arc<Inner>,
        events: UnboundedSender<Event>,
        attempt: u64,
    ) -> RedisResult<Self> {
        let pushed = {
            let (inner, events) = (inner.clone(), events.clone());
            move |push: PushInfo| inner.endings.pushed(&push, &events)
        };
        let connector = inner.connections.connector();
        let connection =
            connector.connect(attempt, ProtocolVersion::RESP3, Some(Box::new(pushed))).await?;
        // The nodes of a cluster do this when they are connected.
        if let Connection::Single(single) = &connection {
            cmd("CLIENT").arg("TRACKING").arg("ON").exec_async(&mut single.clone()).await?;
        }
        let permits = Arc::new(Semaphore::new(MAX_LOOKS));
        Ok(Self { inner: inner.clone(), connection, events, permits })
    }

    async fn look_at_all(&self) {
        for key in self.inner.endings.watched.keys() {
            self.look_at(key).await;
        }
    }

    /// Looks at a key in a task, as soon as there is room for one more.
    async fn look_at(&self, key: RecordKey) {
        let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
        let (inner, events) = (self.inner.clone(), self.events.clone());
        let mut connection = self.connection.clone();
        tokio::spawn(async move {
            let name = inner.key(&key);
            match is_live(&mut connection, &name).await {
                Ok(true) => (),
                Ok(false) => inner.report_ending(&key, &name),
                Err(error) => drop(events.send(Event::Broken(error))),
            }
            drop(permit);
        });
    }
}

/// Reads from Redis whether there is a live record under a key. Its deadline is for the caller to check.
async fn is_live(connection: &mut Connection, name: &str) -> RedisResult<bool> {
    let mut command = cmd("GETRANGE");
    command.arg(name).arg(0).arg(wire::LIVE.len() - 1);
    match connection.send(&Request::One(&command)).await {
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(false),
        replies => {
            let beginning: Vec<u8> = from_redis_value(replies?.pop().unwrap_or(Value::Nil))?;
            Ok(beginning == wire::LIVE)
        }
    }
}

impl Inner {
    /// Wakes the watches of a key. Their readers would otherwise find the ended record in the near cache.
    fn report_ending(&self, key: &RecordKey, name: &str) {
        if let Some(cache) = &self.near_cache {
            cache.evict(name);
        }
        self.endings.watched.wake(key);
    }
}

impl EndingLink {
    /// Turns a push into events.
    fn pushed(&self, push: &PushInfo, events: &UnboundedSender<Event>) {
        let send = |event| drop(events.send(event));
        match (&push.kind, push.data.first()) {
            (PushKind::Invalidate, Some(Value::Array(names))) => {
                let keys = names.iter().filter_map(|name| match name {
                    Value::BulkString(name) => wire::parse_key(str::from_utf8(name).ok()?),
                    _ => None,
                });
                keys.filter(|key| self.watched.contains(key)).map(Event::Look).for_each(send);
            }
            (PushKind::Invalidate, _) => send(Event::LookAtAll),
            (PushKind::Disconnection, _) => {
                let lost = (ErrorKind::Io, "the connection to Redis is lost");
                send(Event::Broken(lost.into()));
            }
            _ => (),
        }
    }
}
