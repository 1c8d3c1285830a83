//! `cloakroom migrate`: sessions go from one driver to another, under the keys that they have, so that
//! every visitor's token goes on leading to theirs.
//!
//! It may run while the application does, and again afterwards: a journal knows what it wrote. What
//! only the source's application has changed since is brought up to date, what has ended there ends
//! here, and what the target's application has written or used stays as it is.

mod journal;

use std::{collections::HashSet, time::Duration};

use cloakroom::{
    clock::{Clock, SystemClock},
    store::{Commit, Draft, Found, Outcome, Place as StorePlace, RecordKey, Store, Stored},
};
use futures_util::future::try_join_all;
use journal::{Journal, Written};
use serde_json::json;

use crate::{
    arguments::{Migrate, Place},
    failure::Failure,
    output::Output,
    progress::Progress,
    sessions::stopped,
    setup::{self, Shared},
};

/// So many sessions are on their way at a time.
const AT_A_TIME: usize = 32;
/// How long the key of a session that ended is remembered as such.
const TOMBSTONE: Duration = Duration::from_secs(30);

/// What became of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Copied(Written),
    Updated(Written),
    Same(Written),
    /// The target has a newer one.
    Newer,
    /// It ended before it could be copied, in either place.
    Ended,
    Unreadable,
}

#[derive(Debug, Default)]
struct Tally {
    copied: u64,
    updated: u64,
    same: u64,
    newer: u64,
    ended: u64,
    unreadable: u64,
}

impl Tally {
    fn add(&mut self, fate: Fate) {
        *match fate {
            Fate::Copied(_) => &mut self.copied,
            Fate::Updated(_) => &mut self.updated,
            Fate::Same(_) => &mut self.same,
            Fate::Newer => &mut self.newer,
            Fate::Ended => &mut self.ended,
            Fate::Unreadable => &mut self.unreadable,
        } += 1;
    }
}

/// One run from a store to another.
struct Run<'a> {
    from: &'a dyn Store,
    to: &'a dyn Store,
    age: Duration,
    journal: Journal,
}

pub(crate) async fn run(options: &Migrate, place: &Place, output: Output) -> Result<(), Failure> {
    if options.from == options.to {
        return Err(Failure::unusable("`--from` and `--to` name the same driver"));
    }
    let settings = setup::settings(place)?;
    let from = Shared::existing(options.from, &settings)?;
    let to = Shared::open(options.to, &settings)?;
    let named = format!(".cloakroom-{}-to-{}", options.from.name(), options.to.name());
    let path = options.journal.clone().unwrap_or_else(|| named.into());
    let journal = Journal::open(path)?;
    let mut run = Run { from: from.store(), to: to.store(), age: settings.age, journal };
    let mut progress = Progress::begin("moving", from.count().await?);
    let mut tally = Tally::default();
    let finished = run.copy(&mut tally, &mut progress).await?;
    let removed = if finished { run.remove_what_ended().await? } else { 0 };
    drop(progress);
    report(&tally, removed, &run, output);
    if finished { Ok(()) } else { Err(stopped("run it again to go on where it stopped")) }
}

fn report(tally: &Tally, removed: u64, run: &Run<'_>, output: Output) {
    let Tally { copied, updated, same, newer, ended, unreadable } = tally;
    let (from, to, journal) = (run.from.name(), run.to.name(), run.journal.path());
    let value = json!({
        "from": from, "to": to, "copied": copied, "updated": updated, "same": same,
        "newer_in_target": newer, "ended": ended, "removed": removed, "unreadable": unreadable,
        "verified": copied + updated, "journal": journal,
    });
    let text = format!(
        "{copied} copied, {updated} brought up to date, {same} there already; {} verified by reading \
         them back\n{newer} newer in {to}, {ended} ended meanwhile, {removed} removed from {to} \
         because they ended in {from}, {unreadable} unreadable\n{} remembers this for the next run; \
         delete it once the application is on {to}",
        copied + updated,
        journal.display(),
    );
    output.result(&value, text);
}

impl Run<'_> {
    /// Copies everything. Answers whether it came to the end.
    async fn copy(&mut self, tally: &mut Tally, progress: &mut Progress) -> Result<bool, Failure> {
        let (mut seen, mut next) = (HashSet::new(), Some(StorePlace::default()));
        while let Some(place) = next {
            let Some(from) = self.from.enumerate() else { return Ok(true) };
            let mut page = from.keys_from(place).await?;
            page.keys.retain(|key| seen.insert(*key));
            for keys in page.keys.chunks(AT_A_TIME) {
                let fates = try_join_all(keys.iter().map(|key| self.move_one(key))).await?;
                for (key, fate) in keys.iter().zip(fates) {
                    if let Fate::Copied(written) | Fate::Updated(written) | Fate::Same(written) =
                        fate
                    {
                        self.journal.note(key, written)?;
                    }
                    tally.add(fate);
                }
                if !progress.advance(keys.len() as u64) {
                    return Ok(false);
                }
            }
            next = page.next;
        }
        Ok(true)
    }

    async fn move_one(&self, key: &RecordKey) -> Result<Fate, Failure> {
        loop {
            let Some(Found::Live(stored)) = self.from.load(key).await? else {
                return Ok(Fate::Ended);
            };
            let Some(record) = Draft::copy_of(&stored, self.age) else {
                return Ok(Fate::Unreadable);
            };
            let (commit, fate): (_, fn(Written) -> Fate) = match self.to.load(key).await? {
                None => (Commit::Create { key: *key, record }, Fate::Copied),
                Some(Found::Tombstone { .. }) => return Ok(Fate::Ended),
                Some(Found::Live(there)) if is_same(&there, &stored) => {
                    // By the source's deadline: one that was used in the target since has another.
                    let written = Written { revision: there.revision, expires: stored.expires };
                    return Ok(Fate::Same(written));
                }
                Some(Found::Live(there)) if self.journal.wrote(key, &there) => {
                    (Commit::Replace { key: *key, expected: there.revision, record }, Fate::Updated)
                }
                Some(Found::Live(_)) => return Ok(Fate::Newer),
            };
            if let Outcome::Done(revision) = self.to.commit(commit).await? {
                self.verify(key, &stored).await?;
                return Ok(fate(Written { revision, expires: stored.expires }));
            }
            // Another process was faster: look again.
        }
    }

    /// Reads back what was written, unless someone has changed it by then.
    async fn verify(&self, key: &RecordKey, stored: &Stored) -> Result<(), Failure> {
        match self.to.load(key).await? {
            Some(Found::Live(there)) if there.record != stored.record => Err(Failure::failed(
                format!("what {} gives back is not what was written; stopped", self.to.name()),
            )),
            Some(_) => Ok(()),
            None if stored.expires <= SystemClock.now() => Ok(()),
            None => Err(Failure::failed(format!(
                "what was written to {} is not there; stopped",
                self.to.name()
            ))),
        }
    }

    /// A session that was copied and has ended in the source since ends in the target, unless the
    /// target's application has used it.
    async fn remove_what_ended(&mut self) -> Result<u64, Failure> {
        let mut removed = 0;
        for (key, written) in self.journal.all() {
            if let Some(Found::Live(_)) = self.from.load(&key).await? {
                continue;
            }
            if let Some(Found::Live(there)) = self.to.load(&key).await?
                && written.is(&there)
            {
                let destroy = Commit::Destroy { key, tombstone: SystemClock.now() + TOMBSTONE };
                removed += u64::from(matches!(self.to.commit(destroy).await?, Outcome::Done(_)));
            }
        }
        Ok(removed)
    }
}

fn is_same(there: &Stored, here: &Stored) -> bool {
    there.record == here.record && there.expires >= here.expires
}
