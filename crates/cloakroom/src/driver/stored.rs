//! The commit protocol of server-side drivers: compare, swap, and on a lost race rebase.

use std::time::Duration;

use arrayvec::ArrayVec;
use bytes::Bytes;

use super::{Opened, ends_with_browser, issue, only};
use crate::{
    clock::Timestamp,
    cookie::{MOST_CANDIDATES, Presented},
    error::{Error, Kind},
    lifetimes::{end, is_live, tombstone_deadline},
    observe,
    owner::Owner,
    record::Record,
    session::state::{CookieState, Fate, Origin, Saved, Work},
    sessions::Engine,
    store::{Commit, Draft, Found, Outcome, Revision, Store, StoreError, Stored},
    token::Token,
};

/// How often one commit is tried before the request gives up. Each lost race means that another
/// request got on, so this is also how many requests of one session may finish in the meantime.
const ATTEMPTS: u32 = 64;

/// The first retries follow at once; later ones wait a random part of a growing span.
const PROMPT_ATTEMPTS: u32 = 4;
const LONGEST_WAIT: Duration = Duration::from_millis(32);

/// What most steps of a store are for.
const COMMIT: &str = "commit the session";

pub(super) async fn open(
    store: &dyn Store,
    presented: &Presented<'_>,
    engine: &Engine,
) -> Result<Option<Opened>, Error> {
    let mut found = ArrayVec::<_, MOST_CANDIDATES>::new();
    for token in presented.candidates.iter().filter_map(|value| Token::parse(value)) {
        let load = observe::Load::begin(store.name());
        let loaded = store.load(&token.record_key()).await;
        load.answered(&loaded);
        match loaded.map_err(|cause| failed("load the session", cause))? {
            None => (),
            Some(Found::Live(stored)) => found.extend(read(token, &stored, engine)),
            Some(Found::Tombstone { .. }) => {
                found.push(Opened { origin: Origin::Gone, token, record: engine.empty_record() });
            }
        }
    }
    Ok(only(found.into_iter()))
}

fn read(token: Token, stored: &Stored, engine: &Engine) -> Option<Opened> {
    let record = decode(stored)?;
    let origin = live(stored);
    is_live(&record, stored.expires, engine.now()).then_some(Opened { origin, token, record })
}

/// A record that cannot be read is an absence: answering with an error for ever helps nobody.
fn decode(stored: &Stored) -> Option<Record> {
    let record = Record::decode(&stored.record);
    if record.is_none() {
        tracing::warn!(
            bytes = stored.record.len(),
            "a stored session cannot be read; starting anew"
        );
    }
    record
}

fn live(stored: &Stored) -> Origin {
    let Stored { revision, expires, .. } = *stored;
    Origin::Live { revision, expires, cookie: CookieState::Current }
}

/// Commits `work`, rebasing it as often as other requests write first.
pub(crate) async fn commit(
    store: &dyn Store,
    mut work: Work,
    chunks: &[u8],
    engine: &Engine,
) -> Result<Saved, Error> {
    for attempt in 0..ATTEMPTS {
        let now = engine.now();
        if work.origin == Origin::Gone {
            return after_the_end(store, work, chunks, engine).await;
        }
        let Some(step) = plan(&work, now, engine)? else {
            return unchanged(work, chunks, engine, now);
        };
        match send(store, step.commit, COMMIT).await? {
            Outcome::Done(revision) => {
                let origin = step.becomes.origin(revision);
                return done(work, origin, chunks, engine, now);
            }
            Outcome::Gone => work.origin = Origin::Gone,
            Outcome::Exists => redraw(&mut work),
            Outcome::Conflict(stored) => {
                observe::rebased(attempt);
                rebase(&mut work, &stored, engine);
            }
        }
        wait_before(attempt + 1, engine).await;
    }
    Err(Kind::Contention { attempts: ATTEMPTS }.into())
}

/// The session ended under another request. A logout goes after it all the same; everything else goes
/// nowhere.
async fn after_the_end(
    store: &dyn Store,
    mut work: Work,
    chunks: &[u8],
    engine: &Engine,
) -> Result<Saved, Error> {
    if matches!(work.fate, Fate::End(_)) && end_successor(store, &work, engine.now()).await? {
        work.origin = Origin::New;
        ended(store, work, chunks, engine).await
    } else {
        Ok(gone(work, engine))
    }
}

/// One step of a store; `attempted` says in an error what it was for.
pub(crate) async fn send(
    store: &dyn Store,
    commit: Commit,
    attempted: &'static str,
) -> Result<Outcome, Error> {
    let step = observe::Step::begin(store.name(), &commit);
    let outcome = store.commit(commit).await;
    step.answered(&outcome);
    outcome.map_err(|cause| failed(attempted, cause))
}

/// A logout whose session another request regenerated ends it under its new key: that the visitor
/// presented the old token must not save the session from its logout. Answers whether it ended one.
async fn end_successor(store: &dyn Store, work: &Work, now: Timestamp) -> Result<bool, Error> {
    let mut key = work.token.record_key();
    for _ in 0..ATTEMPTS {
        let found = store.load(&key).await;
        match found.map_err(|cause| failed("find the session to destroy", cause))? {
            Some(Found::Tombstone { successor: Some(successor), .. }) => key = successor,
            Some(Found::Tombstone { successor: None, .. }) | None => return Ok(false),
            Some(Found::Live(_)) => {
                let destroy = Commit::Destroy { key, tombstone: tombstone_deadline(now) };
                if matches!(send(store, destroy, COMMIT).await?, Outcome::Done(_)) {
                    return Ok(true);
                }
            }
        }
    }
    Err(Kind::Contention { attempts: ATTEMPTS }.into())
}

/// The session was ended under another key; what was put afterwards begins a new one.
async fn ended(
    store: &dyn Store,
    work: Work,
    chunks: &[u8],
    engine: &Engine,
) -> Result<Saved, Error> {
    let now = engine.now();
    let Some(step) = plan(&work, now, engine)? else {
        return done(work, Origin::New, chunks, engine, now);
    };
    match send(store, step.commit, COMMIT).await? {
        Outcome::Done(revision) => done(work, step.becomes.origin(revision), chunks, engine, now),
        _ => done(work, Origin::New, chunks, engine, now),
    }
}

/// One step for the store, and what the session is once it is done.
struct Step {
    commit: Commit,
    becomes: Becomes,
}

enum Becomes {
    Live { expires: Timestamp },
    Ended,
}

impl Becomes {
    fn origin(self, revision: Revision) -> Origin {
        match self {
            Self::Live { expires } => {
                Origin::Live { revision, expires, cookie: CookieState::Current }
            }
            Self::Ended => Origin::New,
        }
    }
}

/// What has to be done for `work`, if anything.
fn plan(work: &Work, now: Timestamp, engine: &Engine) -> Result<Option<Step>, Error> {
    let commit = match (work.origin, &work.fate) {
        (Origin::New, _) => create(work, now, engine)?,
        (Origin::Gone, _) => None,
        (Origin::Live { revision, expires, .. }, Fate::Stay) => {
            let key = work.token.record_key();
            let moved = work.moved(expires, engine.lifetimes(), now);
            if !work.log.is_empty() {
                let record = draft(&work.record, moved, engine)?;
                Some(Commit::Replace { key, expected: revision, record })
            } else if moved > expires {
                Some(Commit::Touch { key, expected: revision, expires: moved })
            } else {
                None
            }
        }
        (Origin::Live { revision, .. }, Fate::Rotate(to)) => {
            Some(rotate(work, Some(revision), to, now, engine)?)
        }
        (Origin::Live { .. }, Fate::End(to)) if work.is_worth_creating() => {
            Some(rotate(work, None, to, now, engine)?)
        }
        (Origin::Live { .. }, Fate::End(_)) => Some(Commit::Destroy {
            key: work.token.record_key(),
            tombstone: tombstone_deadline(now),
        }),
    };
    Ok(commit.map(Step::of))
}

impl Step {
    fn of(commit: Commit) -> Self {
        let becomes = match &commit {
            Commit::Destroy { .. } => Becomes::Ended,
            Commit::Touch { expires, .. } => Becomes::Live { expires: *expires },
            Commit::Create { record, .. }
            | Commit::Replace { record, .. }
            | Commit::Rotate { record, .. } => Becomes::Live { expires: record.expires },
        };
        Self { commit, becomes }
    }
}

fn create(work: &Work, now: Timestamp, engine: &Engine) -> Result<Option<Commit>, Error> {
    if !work.is_worth_creating() {
        return Ok(None);
    }
    let record = draft(&work.record, engine.lifetimes().deadline(&work.record, now), engine)?;
    Ok(Some(Commit::Create { key: work.token_afterwards().record_key(), record }))
}

fn rotate(
    work: &Work,
    expected: Option<Revision>,
    to: &Token,
    now: Timestamp,
    engine: &Engine,
) -> Result<Commit, Error> {
    Ok(Commit::Rotate {
        from: work.token.record_key(),
        expected,
        to: to.record_key(),
        record: draft(&work.record, engine.lifetimes().deadline(&work.record, now), engine)?,
        tombstone: tombstone_deadline(now),
    })
}

fn draft(record: &Record, expires: Timestamp, engine: &Engine) -> Result<Draft, Error> {
    Ok(Draft {
        record: Bytes::from(record.encode()?),
        expires,
        idle: engine.lifetimes().idle(record),
        owner: record.owner.as_ref().map(Owner::key),
    })
}

/// The session as it is after a step, with a cookie where the visitor needs a new one.
fn done(
    work: Work,
    origin: Origin,
    chunks: &[u8],
    engine: &Engine,
    now: Timestamp,
) -> Result<Saved, Error> {
    let cookies = match (&work.fate, work.origin, origin) {
        (
            Fate::Stay,
            Origin::Live { expires: before, cookie, .. },
            Origin::Live { expires, .. },
        ) if !work.log.changes_lifetime()
            && (ends_with_browser(engine, &work.record)
                || (cookie == CookieState::Current
                    && is_as_good(&work.record, before, expires))) =>
        {
            None
        }
        (_, _, Origin::Live { expires, .. }) => {
            let value = work.token_afterwards().expose();
            let ends = end(&work.record, expires);
            Some(issue(engine, &work.record, &value, ends, now, chunks)?)
        }
        _ => Some(engine.cookies().remove(chunks)),
    };
    let token = work.token_afterwards().clone();
    Ok(Saved { origin, token, record: Some(work.record), cookies })
}

/// Whether a cookie that was issued for the deadline `before` will do for `now`.
fn is_as_good(record: &Record, before: Timestamp, now: Timestamp) -> bool {
    end(record, before) == end(record, now)
}

/// The outcome when the store has nothing to do. The cookie may have.
fn unchanged(work: Work, chunks: &[u8], engine: &Engine, now: Timestamp) -> Result<Saved, Error> {
    match work.origin {
        Origin::Live { revision, expires, .. } => {
            let origin = Origin::Live { revision, expires, cookie: CookieState::Current };
            done(work, origin, chunks, engine, now)
        }
        Origin::New | Origin::Gone => {
            let Work { origin, token, record, .. } = work;
            Ok(Saved { origin, token, record: Some(record), cookies: None })
        }
    }
}

/// The session was ended by another request: this one's changes go nowhere and no cookie follows.
fn gone(work: Work, engine: &Engine) -> Saved {
    let (session, changes) = (work.token.correlation(), work.log.len());
    match work.fate {
        Fate::Rotate(_) => observe::regenerate_dropped(&session, changes),
        Fate::Stay | Fate::End(_) => observe::gone(&session, changes),
    }
    let record = Some(engine.empty_record());
    Saved { origin: Origin::Gone, token: work.token, record, cookies: None }
}

/// Puts this request's changes on another request's record. One that is not live any more or cannot
/// be read is as good as gone.
fn rebase(work: &mut Work, stored: &Stored, engine: &Engine) {
    let live_record = decode(stored).filter(|it| is_live(it, stored.expires, engine.now()));
    let Some(record) = live_record else {
        work.origin = Origin::Gone;
        return;
    };
    work.record = record;
    work.origin = live(stored);
    work.log.replay(&mut work.record);
}

/// The drawn token's key is taken, which 256 random bits rule out but a faulty store does not.
fn redraw(work: &mut Work) {
    match &mut work.fate {
        Fate::Stay => work.token = Token::draw(),
        Fate::Rotate(next) | Fate::End(next) => *next = work.token.successor(),
    }
}

pub(crate) async fn wait_before(attempt: u32, engine: &Engine) {
    if attempt <= PROMPT_ATTEMPTS {
        return;
    }
    let longest = Duration::from_millis(1 << (attempt - PROMPT_ATTEMPTS).min(5)).min(LONGEST_WAIT);
    let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    tokio::time::sleep(Duration::from_micros(engine.random() % micros)).await;
}

fn failed(attempted: &'static str, cause: StoreError) -> Error {
    Kind::Store { attempted, cause }.into()
}
