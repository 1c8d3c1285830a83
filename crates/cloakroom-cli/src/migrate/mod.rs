//! `cloakroom migrate`: copies sessions from one driver to another under the keys that they have, so
//! that every visitor's token still finds their session.
//!
//! It may run while applications do, again afterwards, and in the other direction. A journal holds how
//! both stores had each session at the end of a run. A later run updates a session that only the source
//! has changed, ends a session in one store that has ended in the other, and keeps a session that the
//! target has changed.
//!
//! Two likely mistakes stop it before it changes anything: a first run onto live sessions, and a source
//! that lacks many of the sessions in the journal.

mod endpoint;
mod journal;
mod plan;
mod removals;
mod report;

use std::{collections::HashSet, time::Duration};

use cloakroom::{
    AppKeys,
    clock::{Clock, SystemClock},
    settings::Settings,
    store::{Cursor, Entry, Outcome, RecordKey, Store, StoredRecord},
};
use endpoint::Endpoint;
use futures_util::future::{join_all, try_join_all};
use journal::{Journal, SyncState, Version};
use plan::{CopyResult, Plan};
use report::Report;

use crate::{
    arguments::{CommonOptions, Migrate, SharedDriver, SqlDriver},
    failure::Failure,
    output::Output,
    progress::Progress,
    setup::{self, SharedStore},
};

/// How many sessions are copied at a time.
const BATCH: usize = 32;

/// One run from a store to another.
struct Migration<'a> {
    from: &'a dyn Store,
    to: &'a dyn Store,
    /// The source and the target, for messages.
    endpoints: [&'a Endpoint<'a>; 2],
    idle_timeout: Duration,
    /// The keys that open sealed records.
    keys: Option<AppKeys>,
    /// Whether to copy a session again if its earlier copy has expired.
    copy_expired: bool,
    journal: Journal<'a>,
}

pub(crate) async fn run(
    options: &Migrate,
    common: &CommonOptions,
    output: Output,
) -> Result<(), Failure> {
    if options.from == options.to && options.from_url == options.to_url {
        return Err(Failure::unusable("`--from` and `--to` name the same driver"));
    }
    let settings = setup::settings(common)?;
    let at = |option, driver, url| with_database(&settings, option, driver, url);
    let from = at("--from-url", options.from, options.from_url.as_ref())?;
    let from = SharedStore::existing(options.from, &from)?;
    let to = at("--to-url", options.to, options.to_url.as_ref())?;
    let to = SharedStore::open(options.to, &to)?;
    let endpoints = [Endpoint::of(&from)?, Endpoint::of(&to)?];
    let journal = Journal::open(&endpoints[0], &endpoints[1]).await?;
    let mut migration = Migration {
        from: from.store(),
        to: to.store(),
        endpoints: endpoints.each_ref(),
        idle_timeout: settings.idle_timeout,
        keys: settings.app_keys().ok(),
        copy_expired: options.copy_expired,
        journal,
    };
    migration.check_target(options).await?;
    migration.check_removals(options).await?;
    let mut progress = Progress::begin("copying", from.count().await?);
    let mut report = Report::default();
    let mut is_finished = migration.copy(&mut report, &mut progress).await?;
    if is_finished {
        report.removed = migration.remove_ended(options, &progress).await?;
        is_finished = !progress.stopped();
    }
    drop(progress);
    migration.journal.keep().await?;
    report.print(&migration, output);
    if is_finished {
        Ok(())
    } else {
        Err(Failure::stopped("run it again to go on where it stopped"))
    }
}

/// Returns the settings with another database, if an option names one.
fn with_database(
    settings: &Settings,
    option: &str,
    driver: SharedDriver,
    url: Option<&String>,
) -> Result<Settings, Failure> {
    let mut settings = settings.clone();
    if let Some(url) = url {
        if SqlDriver::of(driver).is_none() {
            let problem = format!("{option}: expected with `postgres`, `mysql` or `sqlite` only");
            return Err(Failure::unusable(problem));
        }
        settings.database.url = Some(url.clone().into());
    }
    Ok(settings)
}

impl Migration<'_> {
    /// Copies all sessions. Returns `true` if it came to the end.
    async fn copy(
        &mut self,
        report: &mut Report,
        progress: &mut Progress,
    ) -> Result<bool, Failure> {
        let (mut seen, mut next) = (HashSet::new(), Some(Cursor::default()));
        while let Some(cursor) = next {
            let Some(from) = self.from.as_scan() else {
                let problem = format!("{} cannot list its sessions", self.from.name());
                return Err(Failure::unusable(problem));
            };
            let mut page = from.scan(cursor).await?;
            page.keys.retain(|key| seen.insert(*key));
            for keys in page.keys.chunks(BATCH) {
                self.copy_batch(keys, report).await?;
                if !progress.advance(keys.len() as u64) {
                    return Ok(false);
                }
            }
            next = page.next;
        }
        Ok(true)
    }

    /// Copies some sessions.
    ///
    /// Invariant: the journal knows of every session that this writes to the target, even after a
    /// crash. It notes the intent before the writes, and the successful writes also if another failed.
    async fn copy_batch(&mut self, keys: &[RecordKey], report: &mut Report) -> Result<(), Failure> {
        let known: Vec<_> = keys.iter().map(|key| self.journal.get(key)).collect();
        let plans = keys.iter().zip(&known).map(|(key, known)| self.plan(key, *known));
        let plans = try_join_all(plans).await?;
        let intents = keys.iter().zip(&plans).filter_map(|(key, plan)| match plan {
            Plan::Skip(..) => None,
            Plan::Write { source, .. } => {
                let to = self.journal.get(key).and_then(|known| known.to);
                Some((*key, SyncState { from: Some(Version::of(source)), to, is_intent: true }))
            }
        });
        let intents: Vec<_> = intents.collect();
        self.journal.note(&intents).await?;
        let copies = keys.iter().zip(known).zip(plans);
        let copies = copies.map(|((key, known), plan)| self.carry_out(key, known, plan));
        let (mut states, mut first_failure) = (Vec::new(), Ok(()));
        for (key, copied) in keys.iter().zip(join_all(copies).await) {
            match copied {
                Ok((result, state)) => {
                    states.extend(state.map(|state| (*key, state)));
                    report.count(result);
                }
                Err(failure) => first_failure = first_failure.and(Err(failure)),
            }
        }
        self.journal.note(&states).await?;
        first_failure
    }

    /// Carries out a plan, and makes a new one if another process changes the session in between.
    async fn carry_out(
        &self,
        key: &RecordKey,
        known: Option<SyncState>,
        mut plan: Plan,
    ) -> Result<(CopyResult, Option<SyncState>), Failure> {
        let mut existed = false;
        loop {
            let (commit, expires, source, result) = match plan {
                Plan::Skip(result, state) => return Ok((result, state)),
                Plan::Write { commit, expires, source, result } => {
                    (commit, expires, source, result)
                }
            };
            match self.to.commit(commit).await? {
                Outcome::Done(revision) => {
                    let written = Version { revision, expires };
                    self.verify(key, &source, written).await?;
                    let (from, to) = (Some(Version::of(&source)), Some(written));
                    return Ok((result, Some(SyncState { from, to, is_intent: false })));
                }
                // It exists, and was not returned in between.
                Outcome::Exists if existed => return Ok((CopyResult::UnreadableInTarget, None)),
                other => existed = matches!(other, Outcome::Exists),
            }
            plan = self.plan(key, known).await?;
        }
    }

    /// Reads a written record back and compares it, unless another process has changed it since.
    async fn verify(
        &self,
        key: &RecordKey,
        source: &StoredRecord,
        written: Version,
    ) -> Result<(), Failure> {
        let target = self.to.name();
        match self.to.load(key).await? {
            Some(Entry::Live(stored))
                if stored.revision == written.revision && stored.bytes != source.bytes =>
            {
                Err(Failure::failed(format!(
                    "{target} returned another record than the one that was written; stopped"
                )))
            }
            Some(_) => Ok(()),
            None if written.expires <= SystemClock.now() => Ok(()),
            None => Err(Failure::failed(format!(
                "{target} does not have the record that was written; stopped"
            ))),
        }
    }
}
