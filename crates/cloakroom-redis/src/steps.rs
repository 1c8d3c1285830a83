//! The steps of a commit, as calls of scripts.

use bytes::Bytes;
use cloakroom::{
    clock::Timestamp,
    store::{Commit, Draft, Found, Outcome, OwnerKey, RecordKey, Revision},
};
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, from_redis_value};

use crate::{
    script::{Call, Script},
    store::Inner,
    wire::{self, Parsed},
};

impl Inner {
    pub(crate) async fn eval(&self, script: &Script, call: &Call) -> RedisResult<Vec<Bytes>> {
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
            && let Some(Parsed { owner: Some(owner), .. }) = wire::parse(value)
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
        let before = answer.get(1).and_then(wire::parse);
        let revision = match before {
            Some(Parsed { found: Found::Live(stored), .. }) => stored.revision,
            _ => Revision::default(),
        };
        outcome(&answer, revision)
    }

    pub(crate) async fn carry_out(&self, commit: &Commit) -> RedisResult<Outcome> {
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
        (b"conflict", Some(value)) => match wire::parse(value).map(|it| it.found) {
            Some(Found::Live(stored)) => Ok(Outcome::Conflict(stored)),
            _ => Err(unexpected("the record as it is")),
        },
        _ => Err(unexpected("done, gone, exists or conflict")),
    }
}

pub(crate) fn unexpected(instead_of: &'static str) -> RedisError {
    (ErrorKind::UnexpectedReturnType, "the answer of a script is not", instead_of.to_owned()).into()
}

pub(crate) fn number(at: Timestamp) -> Vec<u8> {
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
