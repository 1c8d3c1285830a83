//! The counts of a run, and how they are printed.

use serde_json::json;

use super::{CopyResult, Endpoint, Migration, removals::Removed};
use crate::output::{Output, remark};

/// The number of sessions by their result.
#[derive(Debug, Default)]
pub(super) struct Report {
    copied: u64,
    updated: u64,
    unchanged: u64,
    newer_in_target: u64,
    different: u64,
    ended: u64,
    rotated: u64,
    missing: u64,
    expired: u64,
    unreadable: u64,
    unreadable_in_target: u64,
    pub(super) removed: Removed,
}

impl Report {
    pub(super) fn count(&mut self, result: CopyResult) {
        *match result {
            CopyResult::Copied => &mut self.copied,
            CopyResult::Updated => &mut self.updated,
            CopyResult::Unchanged => &mut self.unchanged,
            CopyResult::NewerInTarget => &mut self.newer_in_target,
            CopyResult::Different => &mut self.different,
            CopyResult::Ended => &mut self.ended,
            CopyResult::Rotated => &mut self.rotated,
            CopyResult::Missing => &mut self.missing,
            CopyResult::Expired => &mut self.expired,
            CopyResult::Unreadable => &mut self.unreadable,
            CopyResult::UnreadableInTarget => &mut self.unreadable_in_target,
        } += 1;
    }

    fn is_empty(&self) -> bool {
        let Self { copied, updated, unchanged, newer_in_target, different, .. } = self;
        let Self { ended, rotated, missing, expired, unreadable, unreadable_in_target, .. } = self;
        let live = copied + updated + unchanged + newer_in_target + different;
        live + ended + rotated + missing + expired + unreadable + unreadable_in_target == 0
    }

    pub(super) fn print(&self, migration: &Migration<'_>, output: Output) {
        let Self { copied, updated, unchanged, newer_in_target, different, .. } = self;
        let Self { ended, rotated, missing, expired, unreadable, .. } = self;
        let Self { unreadable_in_target, removed, .. } = self;
        let (from, to) = (migration.from.name(), migration.to.name());
        let journal = migration.journal.description();
        let stores = migration.endpoints.map(Endpoint::description);
        if self.is_empty() {
            remark(format!("{} has no sessions; check that it is the source", stores[0]));
        }
        if *expired > 0 {
            remark(format!(
                "{expired} are live in {from}, and their earlier copies in {to} are gone: expired, ended, or \
                 never written by a run that was interrupted. Their visitors have to sign in again, because \
                 they may have signed out in {to}. If no application has used {to} since the copy, run it \
                 again with --copy-expired"
            ));
        }
        if *unreadable > 0 {
            remark(format!(
                "{unreadable} in {from} are damaged, of another version, or sealed by an application key that \
                 is not in APP_KEY. Set the keys of the application and run it again to copy sealed ones"
            ));
        }
        let verified = copied + updated;
        let value = json!({
            "from": from, "to": to, "copied": copied, "updated": updated, "same": unchanged,
            "newer_in_target": newer_in_target, "different": different, "ended": ended,
            "rotated": rotated, "expired": expired, "removed": removed.ended,
            "removed_rotated": removed.rotated, "missing": missing, "unreadable": unreadable,
            "unreadable_in_target": unreadable_in_target, "verified": verified, "stores": stores, "journal": journal,
        });
        let text = format!(
            "{copied} copied, {updated} updated, {unchanged} unchanged; {verified} verified by reading \
             them back\n\
             {newer_in_target} newer in {to} and {different} different in both, left alone\n\
             {unreadable} unreadable in {from}, {unreadable_in_target} in {to}\n\
             {ended} ended in either store; {rotated} have a new token; {missing} not returned by {from}, \
             because they have expired or are unreadable\n\
             removed from {to}: {} that ended in {from}, {} with a new token\n\
             The next run needs the journal, {journal}. Delete it once the application uses {to} for \
             good.",
            removed.ended, removed.rotated,
        );
        output.result(&value, text);
    }
}
