//! What a directory owes: it never misses a live record.

use super::{FAR, NEAR, Subject, new_key, new_key_beside};
use crate::{Commit, Cursor, KeyPage, Outcome, OwnerIndex, OwnerKey, RecordKey};

/// Runs every rule and counts them.
pub(super) async fn check(it: &Subject<'_>, directory: &dyn OwnerIndex) -> usize {
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
        pages_of_any_size_name_every_record,
        a_record_that_is_rotated_between_two_pages_is_named,
        records_are_found_by_their_tag,
    )
}

fn new_owner() -> OwnerKey {
    OwnerKey::from_bytes(*new_key().as_bytes())
}

async fn page(directory: &dyn OwnerIndex, owner: OwnerKey, from: Cursor, limit: usize) -> KeyPage {
    let page = directory.keys_of(&owner, from, limit).await;
    let page = page.unwrap_or_else(|error| panic!("looking up an owner's keys failed: {error:?}"));
    let KeyPage { keys, seen, .. } = &page;
    assert!(
        *seen >= keys.len(),
        "a page of {} keys for which {seen} entries were seen",
        keys.len()
    );
    page
}

async fn keys_of(directory: &dyn OwnerIndex, owner: OwnerKey) -> Vec<RecordKey> {
    keys_in_pages(directory, owner, 100).await
}

/// All keys of an owner in their order, each once, in pages of about `limit`.
async fn keys_in_pages(
    directory: &dyn OwnerIndex,
    owner: OwnerKey,
    limit: usize,
) -> Vec<RecordKey> {
    const MANY: usize = 10_000;
    let (mut keys, mut next) = (Vec::new(), Some(Cursor::default()));
    for _ in 0..MANY {
        let Some(from) = next else {
            keys.sort();
            keys.dedup();
            return keys;
        };
        let page = page(directory, owner, from, limit).await;
        keys.extend(page.keys);
        next = page.next;
    }
    panic!("the keys of an owner do not end after {MANY} pages")
}

async fn create(it: &Subject<'_>, owner: OwnerKey) -> RecordKey {
    create_at(it, new_key(), owner).await
}

async fn create_at(it: &Subject<'_>, key: RecordKey, owner: OwnerKey) -> RecordKey {
    let mut record = it.draft("owned", FAR);
    record.owner = Some(owner);
    it.commit(Commit::create(key, record)).await;
    key
}

/// Rotates a record of `owner`, whatever its revision, and returns its new key.
async fn rotate(it: &Subject<'_>, from: RecordKey, owner: OwnerKey) -> RecordKey {
    let expected = Some(it.live(from).await.revision);
    let (to, mut record) = (new_key_beside(from), it.draft("rotated", FAR));
    record.owner = Some(owner);
    let tombstone = it.time.now() + FAR;
    it.commit(Commit::rotate(from, expected, to, record, tombstone)).await;
    to
}

async fn an_unknown_owner_has_no_keys(_: &Subject<'_>, directory: &dyn OwnerIndex) {
    assert_eq!(keys_of(directory, new_owner()).await, []);
}

async fn a_created_record_is_found_by_its_owner(it: &Subject<'_>, directory: &dyn OwnerIndex) {
    let owner = new_owner();
    let mut created = [create(it, owner).await, create(it, owner).await];
    created.sort();
    assert_eq!(keys_of(directory, owner).await, created);
}

async fn a_replaced_record_is_found_by_its_new_owner(it: &Subject<'_>, directory: &dyn OwnerIndex) {
    let owner = new_owner();
    let (key, expected) = it.created("nobody's", FAR).await;
    let mut record = it.draft("owned", FAR);
    record.owner = Some(owner);
    it.commit(Commit::replace(key, expected, record)).await;
    assert_eq!(keys_of(directory, owner).await, [key]);
}

async fn a_rotated_record_is_found_under_its_new_key(it: &Subject<'_>, directory: &dyn OwnerIndex) {
    let owner = new_owner();
    let from = create(it, owner).await;
    let to = rotate(it, from, owner).await;
    assert!(keys_of(directory, owner).await.contains(&to));
}

async fn a_touched_record_is_found_past_its_first_deadline(
    it: &Subject<'_>,
    directory: &dyn OwnerIndex,
) {
    let (owner, key) = (new_owner(), new_key());
    let mut record = it.draft("touched", NEAR);
    record.owner = Some(owner);
    let Outcome::Done(expected) = it.commit(Commit::create(key, record)).await else {
        panic!("the key was free")
    };
    it.commit(Commit::touch(key, expected, it.time.now() + FAR)).await;
    it.time.pass(NEAR * 2).await;
    assert_eq!(keys_of(directory, owner).await, [key]);
}

async fn what_other_owners_have_is_not_found(it: &Subject<'_>, directory: &dyn OwnerIndex) {
    let (owner, other) = (new_owner(), new_owner());
    let key = create(it, owner).await;
    create(it, other).await;
    assert_eq!(keys_of(directory, owner).await, [key]);
}

/// At once or later, but not never: an index that only grows is a leak.
async fn the_index_forgets_what_has_ended(it: &Subject<'_>, directory: &dyn OwnerIndex) {
    let (owner, key) = (new_owner(), new_key());
    let mut record = it.draft("short", NEAR);
    record.owner = Some(owner);
    it.commit(Commit::create(key, record)).await;
    let mut waited = 0;
    while !keys_of(directory, owner).await.is_empty() {
        assert!(waited < 30, "an entry of a record that ended long ago is still there");
        it.time.pass(NEAR).await;
        waited += 1;
    }
}

async fn pages_of_any_size_name_every_record(it: &Subject<'_>, directory: &dyn OwnerIndex) {
    let owner = new_owner();
    let mut created = Vec::new();
    for _ in 0..4 {
        let key = create(it, owner).await;
        created.extend([key, create_at(it, new_key_beside(key), owner).await]);
    }
    created.sort();
    for limit in [1, 2, 7, 8, 1_000] {
        assert_eq!(keys_in_pages(directory, owner, limit).await, created, "in pages of {limit}");
    }
}

async fn a_record_that_is_rotated_between_two_pages_is_named(
    it: &Subject<'_>,
    directory: &dyn OwnerIndex,
) {
    let owner = new_owner();
    let mut records = Vec::new();
    for _ in 0..6 {
        records.push(vec![create(it, owner).await]);
    }
    let (mut named, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(from) = next {
        let page = page(directory, owner, from, 1).await;
        named.extend(page.keys);
        next = page.next;
        for keys in records.iter_mut().filter(|keys| keys.len() < 3) {
            let to = rotate(it, keys[keys.len() - 1], owner).await;
            keys.push(to);
        }
    }
    for keys in records {
        assert!(keys.iter().any(|key| named.contains(key)), "a record is on no page: {keys:?}");
    }
}

async fn records_are_found_by_their_tag(it: &Subject<'_>, directory: &dyn OwnerIndex) {
    let (owner, key) = (new_owner(), new_key());
    let beside = create_at(it, new_key_beside(key), owner).await;
    create_at(it, key, owner).await;
    create(it, new_owner()).await;
    let mut bytes = *key.as_bytes();
    bytes[1] ^= 1;
    create_at(it, RecordKey::from_bytes(bytes), owner).await;
    let found = directory.keys_with_tag(&owner, key.tag()).await;
    let mut found = found.unwrap_or_else(|error| panic!("looking up by tag failed: {error:?}"));
    let mut expected = [key, beside];
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let moved = rotate(it, key, owner).await;
    let found = directory.keys_with_tag(&owner, key.tag()).await.unwrap_or_default();
    assert!(found.contains(&moved), "a rotated record has the tag of before");
}
