//! `cloakroom migrate`: sessions go from one driver to another, under the keys that they have, so that
//! every visitor's token goes on leading to theirs.
//!
//! It may run while applications do, again afterwards, and in the other direction. A journal knows how
//! both stores had each session when a run was done with it. What only the source has changed since
//! is brought up to date, what has ended in one of them ends in the other, and what the target has
//! changed stays as it is.
//!
//! Two likely mistakes stop it before it changes anything: a first run onto live sessions, and a source
//! that lacks many of the sessions that the journal knows.

mod checks;
mod journal;
mod side;

use std::{collections::HashSet, time::Duration};

use cloakroom::{
    clock::{Clock, SystemClock, Timestamp},
    store::{Commit, Cursor, Draft, Entry, Outcome, RecordKey, Store, StoredRecord},
};
use futures_util::future::{join_all, try_join_all};
use journal::{Journal, Seen, Synced};
use serde_json::json;
use side::Side;

use crate::{
    arguments::{CommonOptions, Migrate},
    failure::Failure,
    output::{Output, remark},
    progress::Progress,
    setup::{self, SharedStore},
};

/// So many sessions are on their way at a time.
const AT_A_TIME: usize = 32;

/// What became of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Copied,
    Updated,
    Same,
    /// Only the target has changed it.
    Newer,
    /// It is another one in the target, and nothing tells which is the newer.
    Different,
    /// It ended, in either place.
    Ended,
    /// Its copy in the target is not there any more and had a deadline that has passed: it expired, or
    /// was used there and ended later.
    Expired,
    Unreadable,
}

/// What is to be done for a session.
enum Plan {
    /// Nothing; with how both stores have it, where that is worth to be remembered.
    Leave(Fate, Option<Synced>),
    Write {
        commit: Commit,
        source: StoredRecord,
        fate: Fate,
    },
}

#[derive(Debug, Default)]
struct Tally {
    copied: u64,
    updated: u64,
    same: u64,
    newer: u64,
    different: u64,
    ended: u64,
    expired: u64,
    unreadable: u64,
}

impl Tally {
    fn total(&self) -> u64 {
        let Self { copied, updated, same, newer, different, ended, expired, unreadable } = self;
        copied + updated + same + newer + different + ended + expired + unreadable
    }

    fn add(&mut self, fate: Fate) {
        *match fate {
            Fate::Copied => &mut self.copied,
            Fate::Updated => &mut self.updated,
            Fate::Same => &mut self.same,
            Fate::Newer => &mut self.newer,
            Fate::Different => &mut self.different,
            Fate::Ended => &mut self.ended,
            Fate::Expired => &mut self.expired,
            Fate::Unreadable => &mut self.unreadable,
        } += 1;
    }
}

/// One run from a store to another.
struct Run<'a> {
    from: &'a dyn Store,
    to: &'a dyn Store,
    sides: [&'a Side<'a>; 2],
    idle_timeout: Duration,
    /// Whether a session comes again whose copy has expired.
    copy_expired: bool,
    journal: Journal<'a>,
}

pub(crate) async fn run(
    options: &Migrate,
    common: &CommonOptions,
    output: Output,
) -> Result<(), Failure> {
    if options.from == options.to {
        return Err(Failure::unusable("`--from` and `--to` name the same driver"));
    }
    let settings = setup::settings(common)?;
    let from = SharedStore::existing(options.from, &settings)?;
    let to = SharedStore::open(options.to, &settings)?;
    let sides = [Side::of(&from)?, Side::of(&to)?];
    let journal = Journal::open(&sides[0], &sides[1]).await?;
    let mut run = Run {
        from: from.store(),
        to: to.store(),
        sides: sides.each_ref(),
        idle_timeout: settings.idle_timeout,
        copy_expired: options.copy_expired,
        journal,
    };
    run.check_target(options).await?;
    run.check_removals(options).await?;
    let mut progress = Progress::begin("moving", from.count().await?);
    let mut tally = Tally::default();
    let finished = run.copy(&mut tally, &mut progress).await?;
    let removed = if finished { run.remove_what_ended(options, &progress).await? } else { 0 };
    let finished = finished && !progress.stopped();
    drop(progress);
    report(&tally, removed, &run, output);
    if finished { Ok(()) } else { Err(Failure::stopped("run it again to go on where it stopped")) }
}

fn report(tally: &Tally, removed: u64, run: &Run<'_>, output: Output) {
    let Tally { copied, updated, same, newer, different, ended, expired, unreadable } = tally;
    let (from, to, journal) = (run.from.name(), run.to.name(), run.journal.shown());
    let stores = run.sides.map(Side::shown);
    if tally.total() == 0 {
        remark(format!("there are no sessions in {}; is it the store that has them?", stores[0]));
    }
    if *expired > 0 {
        remark(format!(
            "{expired} live in {from}, and their earlier copies in {to} are over. Their visitors have to \
             sign in again, because they may have signed out in {to}. If no application has used {to} \
             since the copy, run it again with --copy-expired"
        ));
    }
    let value = json!({
        "from": from, "to": to, "copied": copied, "updated": updated, "same": same,
        "newer_in_target": newer, "different": different, "ended": ended, "expired": expired,
        "removed": removed, "unreadable": unreadable, "verified": copied + updated,
        "stores": stores, "journal": journal,
    });
    let text = format!(
        "{copied} copied, {updated} brought up to date, {same} there already; {} verified by reading \
         them back\n{newer} newer in {to}, {different} different in both and left alone, {ended} ended \
         meanwhile, {removed} removed from {to} because they ended in {from}, {unreadable} \
         unreadable\n{journal} remembers this for the next run; delete it once the application is on \
         {to} for good",
        copied + updated,
    );
    output.result(&value, text);
}

impl Run<'_> {
    /// Copies everything. Returns whether it came to the end.
    async fn copy(&mut self, tally: &mut Tally, progress: &mut Progress) -> Result<bool, Failure> {
        let (mut seen, mut next) = (HashSet::new(), Some(Cursor::default()));
        while let Some(place) = next {
            let Some(from) = self.from.as_scan() else {
                let problem = format!("{} cannot be gone through", self.from.name());
                return Err(Failure::unusable(problem));
            };
            let mut page = from.scan(place).await?;
            page.keys.retain(|key| seen.insert(*key));
            for keys in page.keys.chunks(AT_A_TIME) {
                self.move_some(keys, tally).await?;
                if !progress.advance(keys.len() as u64) {
                    return Ok(false);
                }
            }
            next = page.next;
        }
        Ok(true)
    }

    /// What is about to be written is noted before, and what was written after, also where another
    /// write has failed: no crash leaves a session in the target that the journal knows nothing of.
    async fn move_some(&mut self, keys: &[RecordKey], tally: &mut Tally) -> Result<(), Failure> {
        let plans = try_join_all(keys.iter().map(|key| self.plan(key))).await?;
        let intents = keys.iter().zip(&plans).filter_map(|(key, plan)| match plan {
            Plan::Leave(..) => None,
            Plan::Write { source, .. } => {
                let to = self.journal.get(key).and_then(|synced| synced.to);
                Some((*key, Synced { from: Some(Seen::of(source)), to, intended: true }))
            }
        });
        let intents: Vec<_> = intents.collect();
        self.journal.note(&intents).await?;
        let moved = keys.iter().zip(plans).map(|(key, plan)| self.carry_out(key, plan));
        let (mut done, mut first_failure) = (Vec::new(), Ok(()));
        for (key, moved) in keys.iter().zip(join_all(moved).await) {
            match moved {
                Ok((fate, synced)) => {
                    done.extend(synced.map(|synced| (*key, synced)));
                    tally.add(fate);
                }
                Err(failure) => first_failure = first_failure.and(Err(failure)),
            }
        }
        self.journal.note(&done).await?;
        first_failure
    }

    async fn plan(&self, key: &RecordKey) -> Result<Plan, Failure> {
        let Some(Entry::Live(source)) = self.from.load(key).await? else {
            return Ok(Plan::Leave(Fate::Ended, None));
        };
        let Some(record) = cloakroom::copy_record(&source, self.idle_timeout) else {
            return Ok(Plan::Leave(Fate::Unreadable, None));
        };
        let known = self.journal.get(key);
        let now = SystemClock.now();
        Ok(match self.to.load(key).await? {
            // It was there. If its time was not up, it ended there; otherwise it expired, or was used
            // there longer than is noted and then ended.
            None if known.is_some_and(|it| it.to.is_some_and(|to| to.expires > now)) => {
                Plan::Leave(Fate::Ended, None)
            }
            None if !self.copy_expired && known.is_some_and(|it| it.to.is_some()) => {
                Plan::Leave(Fate::Expired, None)
            }
            None => {
                Plan::Write { commit: Commit::create(*key, record), source, fate: Fate::Copied }
            }
            Some(Entry::Tombstone { .. }) => Plan::Leave(Fate::Ended, None),
            Some(Entry::Live(target)) => plan_for_both(key, known, source, &target, record),
        })
    }

    async fn carry_out(
        &self,
        key: &RecordKey,
        mut plan: Plan,
    ) -> Result<(Fate, Option<Synced>), Failure> {
        loop {
            let (commit, source, fate) = match plan {
                Plan::Leave(fate, synced) => return Ok((fate, synced)),
                Plan::Write { commit, source, fate } => (commit, source, fate),
            };
            let expires = deadline(&commit).unwrap_or(source.expires);
            if let Outcome::Done(revision) = self.to.commit(commit).await? {
                let written = Seen { revision, expires };
                self.verify(key, &source, written).await?;
                let from = Some(Seen::of(&source));
                return Ok((fate, Some(Synced { from, to: Some(written), intended: false })));
            }
            // Another process was faster: look again.
            plan = self.plan(key).await?;
        }
    }

    /// Reads back what was written, unless someone has changed it by then.
    async fn verify(
        &self,
        key: &RecordKey,
        source: &StoredRecord,
        written: Seen,
    ) -> Result<(), Failure> {
        match self.to.load(key).await? {
            Some(Entry::Live(there))
                if there.revision == written.revision && there.bytes != source.bytes =>
            {
                Err(Failure::failed(format!(
                    "what {} gives back is not what was written; stopped",
                    self.to.name()
                )))
            }
            Some(_) => Ok(()),
            None if written.expires <= SystemClock.now() => Ok(()),
            None => Err(Failure::failed(format!(
                "what was written to {} is not there; stopped",
                self.to.name()
            ))),
        }
    }
}

/// What is to be done for a session that lives in both stores.
fn plan_for_both(
    key: &RecordKey,
    known: Option<Synced>,
    source: StoredRecord,
    target: &StoredRecord,
    mut record: Draft,
) -> Plan {
    let (key, expected) = (*key, target.revision);
    let both =
        Synced { from: Some(Seen::of(&source)), to: Some(Seen::of(target)), intended: false };
    let is_as_it_was = |then: Option<Seen>, now: &StoredRecord| {
        then.is_some_and(|then| then.revision == now.revision)
    };
    if source.bytes == target.bytes {
        if source.expires <= target.expires {
            return Plan::Leave(Fate::Same, Some(both));
        }
        let commit = Commit::touch(key, expected, source.expires);
        return Plan::Write { commit, source, fate: Fate::Updated };
    }
    match known {
        Some(known) if is_as_it_was(known.to, target) => {
            // Whoever has used it there keeps the time that they gained.
            record.expires = record.expires.max(target.expires);
            let commit = Commit::replace(key, expected, record);
            Plan::Write { commit, source, fate: Fate::Updated }
        }
        Some(known) if is_as_it_was(known.from, &source) => Plan::Leave(Fate::Newer, None),
        _ => Plan::Leave(Fate::Different, None),
    }
}

/// The deadline that a record has after a commit.
fn deadline(commit: &Commit) -> Option<Timestamp> {
    match commit {
        Commit::Touch { expires, .. } => Some(*expires),
        commit => commit.draft().map(|draft| draft.expires),
    }
}
