//! What a directory owes: it never misses a live record.

use super::{FAR, NEAR, Subject, new_key, new_key_beside};
use crate::store::{Commit, Directory, Outcome, OwnerKey, RecordKey};

/// Runs every rule and counts them.
pub(super) async fn check(it: &Subject<'_>, directory: &dyn Directory) -> usize {
    macro_rules! run {
        ($($rule:ident),* $(,)?) => {{
            let names = [$(stringify!($rule)),*];
            $($rule(it, directory).await;)*
            names.len()
        }};
    }
    run!(
        an_unknown_owner_has_no_keys,
        a_created_record_is_found_by_its_owner,
        a_replaced_record_is_found_by_its_new_owner,
        a_rotated_record_is_found_under_its_new_key,
        a_touched_record_is_found_past_its_first_deadline,
        what_other_owners_have_is_not_found,
        the_index_forgets_what_has_ended,
    )
}

fn new_owner() -> OwnerKey {
    OwnerKey::from_bytes(*new_key().as_bytes())
}

async fn keys_of(directory: &dyn Directory, owner: OwnerKey) -> Vec<RecordKey> {
    let keys = directory.keys_of(&owner).await;
    keys.unwrap_or_else(|error| panic!("looking up an owner's keys failed: {error:?}"))
}

async fn create(it: &Subject<'_>, owner: OwnerKey) -> RecordKey {
    let (key, mut record) = (new_key(), it.draft("owned", FAR));
    record.owner = Some(owner);
    it.commit(Commit::Create { key, record }).await;
    key
}

async fn an_unknown_owner_has_no_keys(_: &Subject<'_>, directory: &dyn Directory) {
    assert_eq!(keys_of(directory, new_owner()).await, []);
}

async fn a_created_record_is_found_by_its_owner(it: &Subject<'_>, directory: &dyn Directory) {
    let owner = new_owner();
    let mut created = [create(it, owner).await, create(it, owner).await];
    let mut found = keys_of(directory, owner).await;
    created.sort();
    found.sort();
    assert_eq!(found, created);
}

async fn a_replaced_record_is_found_by_its_new_owner(it: &Subject<'_>, directory: &dyn Directory) {
    let owner = new_owner();
    let (key, expected) = it.created("nobody's", FAR).await;
    let mut record = it.draft("owned", FAR);
    record.owner = Some(owner);
    it.commit(Commit::Replace { key, expected, record }).await;
    assert_eq!(keys_of(directory, owner).await, [key]);
}

async fn a_rotated_record_is_found_under_its_new_key(it: &Subject<'_>, directory: &dyn Directory) {
    let owner = new_owner();
    let from = create(it, owner).await;
    let (to, mut record) = (new_key_beside(from), it.draft("rotated", FAR));
    record.owner = Some(owner);
    let tombstone = it.time.now() + FAR;
    it.commit(Commit::Rotate { from, expected: None, to, record, tombstone }).await;
    assert!(keys_of(directory, owner).await.contains(&to));
}

async fn a_touched_record_is_found_past_its_first_deadline(
    it: &Subject<'_>,
    directory: &dyn Directory,
) {
    let (owner, key) = (new_owner(), new_key());
    let mut record = it.draft("touched", NEAR);
    record.owner = Some(owner);
    let Outcome::Done(expected) = it.commit(Commit::Create { key, record }).await else {
        panic!("the key was free")
    };
    it.commit(Commit::Touch { key, expected, expires: it.time.now() + FAR }).await;
    it.time.pass(NEAR * 2).await;
    assert_eq!(keys_of(directory, owner).await, [key]);
}

async fn what_other_owners_have_is_not_found(it: &Subject<'_>, directory: &dyn Directory) {
    let (owner, other) = (new_owner(), new_owner());
    let key = create(it, owner).await;
    create(it, other).await;
    assert_eq!(keys_of(directory, owner).await, [key]);
}

/// At once or later, but not never: an index that only grows is a leak.
async fn the_index_forgets_what_has_ended(it: &Subject<'_>, directory: &dyn Directory) {
    let (owner, key) = (new_owner(), new_key());
    let mut record = it.draft("short", NEAR);
    record.owner = Some(owner);
    it.commit(Commit::Create { key, record }).await;
    let mut waited = 0;
    while !keys_of(directory, owner).await.is_empty() {
        assert!(waited < 30, "an entry of a record that ended long ago is still there");
        it.time.pass(NEAR).await;
        waited += 1;
    }
}
