//! The steps of a commit. Each one calls a script.
//!
//! A script replies with a word: `done`, `gone`, `exists` or `conflict`. The last three promise that
//! the step changed nothing. If the connection broke and the script was sent a second time, it
//! replies for both copies:
//! - `done` if the record or tombstone under the key, or its [history](crate::wire), has the
//!   revision that the step was to write.
//! - Another word if the history shows that it was not written.
//! - A word with a question mark if the history does not reach back far enough, or if nothing is
//!   left under the key. After a second copy this is [`StepError::Unknown`]. A step that was sent
//!   once has not been carried out before, so there the word holds without the mark.
//!
//! A touch has no such words. It may be carried out twice, and a deadline that another touch has
//! moved in between is then early by the time between the two copies.

use bytes::Bytes;
use cloakroom_store::{
    Commit, Draft, Entry, Outcome, OwnerKey, RecordKey, Revision, clock::Timestamp,
};
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, cmd, from_redis_value};

use crate::{
    delivery::{Delivery, Sent},
    error::unexpected,
    inner::Inner,
    script::{Call, Script},
    wire::{self, Parsed},
};

/// The reason why a step has no outcome.
#[derive(Debug)]
pub(crate) enum StepError {
    Redis(RedisError),
    /// The step was sent twice, and nothing shows whether the first copy was carried out.
    Unknown,
}

impl<E: Into<RedisError>> From<E> for StepError {
    fn from(error: E) -> Self {
        Self::Redis(error.into())
    }
}

/// The reply of a script.
struct Reply {
    words: Vec<Bytes>,
    delivery: Delivery,
}

impl Inner {
    async fn eval(&self, script: &Script, call: &Call) -> RedisResult<Reply> {
        let mut sent = self.connections.execute(&script.by_hash(call)).await;
        if sent.reply.as_ref().is_err_and(is_unknown_script) {
            // A server that knew the script may have carried out the first copy all the same.
            let in_full = self.connections.execute(&script.in_full(call)).await;
            sent = Sent { delivery: sent.delivery.and(in_full.delivery), ..in_full };
        }
        Ok(Reply { words: from_redis_value(sent.reply?)?, delivery: sent.delivery })
    }

    /// Evaluates a script and waits for replicas to acknowledge it if the settings say so.
    async fn eval_replicated(&self, script: &Script, call: &Call, slot: u16) -> RedisResult<Reply> {
        let Some(replicated) = &self.replicated else {
            return self.eval(script, call).await;
        };
        let (connections, replicas) = (replicated.least_used(), replicated.replicas);
        let limit = connections.timeouts().command * 4 / 5;
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
        let sent = connections.execute_all(&script.then_wait(call, replicas, millis), slot).await;
        let [reply, acknowledged] =
            sent.reply?.try_into().map_err(|_| unexpected("two replies"))?;
        let words: Vec<Bytes> = from_redis_value(reply)?;
        let acknowledged: u32 = from_redis_value(acknowledged)?;
        if words.first().is_some_and(|word| word == "done") && acknowledged < replicas {
            let problem = format!("{acknowledged} of {replicas} replicas have the change");
            return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, problem).into());
        }
        Ok(Reply { words, delivery: sent.delivery })
    }

    async fn index(&self, owner: &OwnerKey, key: &RecordKey, value: &[u8]) -> RedisResult<()> {
        let keys = wire::index(&self.prefix, owner).into();
        let arguments = vec![number(self.clock.now()), name(key), value.to_vec()];
        self.eval(&self.scripts.index, &Call { keys, arguments }).await.map(drop)
    }

    /// Makes sure that the index has an entry before its record is live. In a cluster the index is on
    /// another node, so this adds the entry. On one server the record's own script does it, and this
    /// returns the keys to add to its call.
    async fn index_first(
        &self,
        owner: Option<OwnerKey>,
        key: &RecordKey,
        value: &[u8],
    ) -> RedisResult<Vec<String>> {
        match owner {
            Some(owner) if self.connections.servers().is_cluster() => {
                self.index(&owner, key, value).await?;
                Ok(Vec::new())
            }
            Some(owner) => Ok(wire::index(&self.prefix, &owner).into()),
            None => Ok(Vec::new()),
        }
    }

    async fn create(&self, key: &RecordKey, draft: &Draft) -> Result<Outcome, StepError> {
        let revision = draw_revision();
        let value = wire::record(draft, revision);
        let index = self.index_first(draft.owner, key, &value).await?;
        let arguments = vec![number(self.clock.now()), name(key), value];
        let keys = std::iter::once(self.key(key)).chain(index).collect();
        self.eval(&self.scripts.create, &Call { keys, arguments }).await?.outcome(revision)
    }

    async fn replace(
        &self,
        key: &RecordKey,
        expected: Revision,
        draft: &Draft,
    ) -> Result<Outcome, StepError> {
        let revision = draw_revision();
        let [before, behind] = wire::replacement(draft, revision);
        let index = self.index_first(draft.owner, key, &before).await?;
        let expected = wire::revision(expected).to_vec();
        let arguments = vec![number(self.clock.now()), name(key), before, expected, behind];
        let keys = std::iter::once(self.key(key)).chain(index).collect();
        self.eval(&self.scripts.replace, &Call { keys, arguments }).await?.outcome(revision)
    }

    async fn touch(
        &self,
        key: &RecordKey,
        expected: Revision,
        expires: Timestamp,
    ) -> Result<Outcome, StepError> {
        let arguments = vec![
            number(self.clock.now()),
            name(key),
            wire::deadline(expires).to_vec(),
            wire::revision(expected).to_vec(),
        ];
        let call = Call { keys: vec![self.key(key)], arguments };
        let reply = self.eval(&self.scripts.touch, &call).await?;
        if let [word, value] = reply.words.as_slice()
            && word == "done"
            && let Some(Parsed { owner: Some(owner), .. }) = wire::parse(value)
        {
            self.index(&owner, key, value).await?;
        }
        reply.outcome(expected)
    }

    async fn rotate(
        &self,
        from: &RecordKey,
        expected: Option<Revision>,
        to: &RecordKey,
        draft: &Draft,
        until: Timestamp,
    ) -> Result<Outcome, StepError> {
        let revision = draw_revision();
        let value = wire::record(draft, revision);
        let index = self.index_first(draft.owner, to, &value).await?;
        let tombstone = wire::tombstone(until, expected.map(|_| *to), draw_revision());
        let expected = expected.map(|revision| wire::revision(revision).to_vec());
        let arguments = vec![
            number(self.clock.now()),
            name(to),
            value,
            expected.unwrap_or_default(),
            tombstone,
        ];
        let keys = [self.key(from), self.key(to)].into_iter().chain(index).collect();
        let call = Call { keys, arguments };
        let reply = self.eval_replicated(&self.scripts.rotate, &call, wire::slot(from)).await?;
        self.remove_from_index(from, reply.ended());
        reply.outcome(revision)
    }

    async fn destroy(&self, key: &RecordKey, until: Timestamp) -> Result<Outcome, StepError> {
        let tombstone = wire::tombstone(until, None, draw_revision());
        let arguments = vec![number(self.clock.now()), name(key), tombstone];
        let call = Call { keys: vec![self.key(key)], arguments };
        let reply = self.eval_replicated(&self.scripts.destroy, &call, wire::slot(key)).await?;
        let ended = reply.ended();
        let before = match &ended {
            Some(Parsed { found: Entry::Live(stored), .. }) => Some(stored.revision),
            _ => reply.words.get(1).and_then(|text| wire::parse_revision(text)),
        };
        self.remove_from_index(key, ended);
        reply.outcome(before.unwrap_or_default())
    }

    /// Removes the entry of a record that has ended from the index of its owner, in the background. If that
    /// fails, lookups skip the entry until it expires.
    fn remove_from_index(&self, key: &RecordKey, ended: Option<Parsed>) {
        let Some(owner) = ended.and_then(|record| record.owner) else { return };
        let [by_deadline, by_name] = wire::index(&self.prefix, &owner);
        let name = name(key);
        let connections = self.connections.clone();
        self.connections.spawn(async move {
            // The set by deadline comes last, because expired names are removed by way of it. A name
            // that only the other set has would stay forever.
            for set in [by_name, by_deadline] {
                if let Err(error) = connections.run(cmd("ZREM").arg(set).arg(&name)).await {
                    tracing::debug!(%error, "could not remove an entry of an owner's sessions; it stays until it expires");
                    return;
                }
            }
        });
    }

    pub(crate) async fn carry_out(&self, commit: &Commit) -> Result<Outcome, StepError> {
        match commit {
            Commit::Create { key, draft, .. } => self.create(key, draft).await,
            Commit::Replace { key, expected, draft, .. } => {
                self.replace(key, *expected, draft).await
            }
            Commit::Touch { key, expected, expires, .. } => {
                self.touch(key, *expected, *expires).await
            }
            Commit::Rotate { from, expected, to, draft, tombstone, .. } => {
                self.rotate(from, *expected, to, draft, *tombstone).await
            }
            Commit::Destroy { key, tombstone, .. } => self.destroy(key, *tombstone).await,
        }
    }
}

impl Reply {
    /// Returns the header of the record that the step has ended.
    fn ended(&self) -> Option<Parsed> {
        match self.words.as_slice() {
            [word, header] if word == "done" => wire::parse(header),
            _ => None,
        }
    }

    /// Returns the outcome of a commit that was to write `revision`.
    fn outcome(&self, revision: Revision) -> Result<Outcome, StepError> {
        let (word, value) = match self.words.as_slice() {
            [word] => (word.as_ref(), None),
            [word, value] => (word.as_ref(), Some(value)),
            _ => return Err(unexpected("an outcome").into()),
        };
        let word = match (word.strip_suffix(b"?"), self.delivery) {
            (Some(_), Delivery::Repeated) => return Err(StepError::Unknown),
            (Some(word), Delivery::Once) => word,
            (None, _) => word,
        };
        match (word, value) {
            (b"done", _) => Ok(Outcome::Done(revision)),
            (b"gone", _) => Ok(Outcome::Gone),
            (b"exists", _) => Ok(Outcome::Exists),
            (b"conflict", Some(value)) => match wire::parse(value).map(|parsed| parsed.found) {
                Some(Entry::Live(stored)) => Ok(Outcome::Conflict(stored)),
                _ => Err(unexpected("the record as it is").into()),
            },
            _ => Err(unexpected("done, gone, exists or conflict").into()),
        }
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

fn number(at: Timestamp) -> Vec<u8> {
    at.as_millis().to_string().into_bytes()
}

fn name(key: &RecordKey) -> Vec<u8> {
    key.to_string().into_bytes()
}

/// Draws a random revision.
///
/// # Panics
/// When the operating system's random generator does not work. Tokens need it as well.
fn draw_revision() -> Revision {
    #[expect(clippy::expect_used, reason = "described in `Panics`")]
    Revision(getrandom::u64().expect("the operating system's random generator works"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_in_doubt_is_an_outcome_of_what_was_sent_once_only() {
        let outcome = |word: &'static str, delivery| {
            let words = vec![Bytes::from(word)];
            Reply { words, delivery }.outcome(Revision(7))
        };
        for (word, expected) in [("gone", Outcome::Gone), ("exists", Outcome::Exists)] {
            for delivery in [Delivery::Once, Delivery::Repeated] {
                assert_eq!(outcome(word, delivery).unwrap(), expected);
            }
        }
        assert_eq!(outcome("gone?", Delivery::Once).unwrap(), Outcome::Gone);
        assert_eq!(outcome("exists?", Delivery::Once).unwrap(), Outcome::Exists);
        for word in ["gone?", "exists?", "conflict?"] {
            assert!(matches!(outcome(word, Delivery::Repeated), Err(StepError::Unknown)), "{word}");
        }
        assert_eq!(outcome("done", Delivery::Repeated).unwrap(), Outcome::Done(Revision(7)));
    }
}
