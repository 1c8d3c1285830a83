//! The rules of an owner index. It must find every live record.

use super::{FAR, NEAR, Subject, new_key, new_key_beside};
use crate::{Commit, Cursor, KeyPage, Outcome, OwnerIndex, OwnerKey, RecordKey};

/// Runs every rule and counts them.
pub(super) async fn check(subject: &Subject<'_>, index: &dyn OwnerIndex) -> usize {
    macro_rules! run {
        ($($rule:ident),* $(,)?) => {{
            let names = [$(stringify!($rule)),*];
            $($rule(subject, index).await;)*
            names.len()
        }};
    }
    run!(
        an_unknown_owner_has_no_keys,
        a_created_record_is_found_by_its_owner,
        a_replaced_record_is_found_by_its_new_owner,
        a_rotated_record_is_found_under_its_new_key,
        a_touched_record_is_found_past_its_first_deadline,
        records_of_other_owners_are_not_found,
        the_index_forgets_what_has_ended,
        pages_of_any_size_name_every_record,
        a_record_that_is_rotated_between_two_pages_is_named,
        records_are_found_by_their_tag,
    )
}

fn new_owner() -> OwnerKey {
    OwnerKey::from_bytes(*new_key().as_bytes())
}

async fn page(index: &dyn OwnerIndex, owner: OwnerKey, from: Cursor, limit: usize) -> KeyPage {
    let page = index.keys_of(&owner, from, limit).await;
    let page = page.unwrap_or_else(|error| panic!("looking up an owner's keys failed: {error:?}"));
    let KeyPage { keys, seen, .. } = &page;
    assert!(*seen >= keys.len(), "a page has {} keys, but `seen` is {seen}", keys.len());
    page
}

async fn keys_of(index: &dyn OwnerIndex, owner: OwnerKey) -> Vec<RecordKey> {
    keys_in_pages(index, owner, 100).await
}

/// Returns all keys of an owner, sorted and without duplicates. Reads them in pages of about `limit`.
async fn keys_in_pages(index: &dyn OwnerIndex, owner: OwnerKey, limit: usize) -> Vec<RecordKey> {
    const MAX_PAGES: usize = 10_000;
    let (mut keys, mut next) = (Vec::new(), Some(Cursor::default()));
    for _ in 0..MAX_PAGES {
        let Some(from) = next else {
            keys.sort();
            keys.dedup();
            return keys;
        };
        let page = page(index, owner, from, limit).await;
        keys.extend(page.keys);
        next = page.next;
    }
    panic!("the keys of an owner do not end after {MAX_PAGES} pages")
}

async fn create(subject: &Subject<'_>, owner: OwnerKey) -> RecordKey {
    create_at(subject, new_key(), owner).await
}

async fn create_at(subject: &Subject<'_>, key: RecordKey, owner: OwnerKey) -> RecordKey {
    let mut record = subject.draft("owned", FAR);
    record.owner = Some(owner);
    subject.commit(Commit::create(key, record)).await;
    key
}

/// Rotates a record of `owner` and returns its new key.
async fn rotate(subject: &Subject<'_>, from: RecordKey, owner: OwnerKey) -> RecordKey {
    let expected = Some(subject.live(from).await.revision);
    let (to, mut record) = (new_key_beside(from), subject.draft("rotated", FAR));
    record.owner = Some(owner);
    let tombstone = subject.time.now() + FAR;
    subject.commit(Commit::rotate(from, expected, to, record, tombstone)).await;
    to
}

async fn an_unknown_owner_has_no_keys(_: &Subject<'_>, index: &dyn OwnerIndex) {
    assert_eq!(keys_of(index, new_owner()).await, []);
}

async fn a_created_record_is_found_by_its_owner(subject: &Subject<'_>, index: &dyn OwnerIndex) {
    let owner = new_owner();
    let mut created = [create(subject, owner).await, create(subject, owner).await];
    created.sort();
    assert_eq!(keys_of(index, owner).await, created);
}

async fn a_replaced_record_is_found_by_its_new_owner(
    subject: &Subject<'_>,
    index: &dyn OwnerIndex,
) {
    let owner = new_owner();
    let (key, expected) = subject.created("without an owner", FAR).await;
    let mut record = subject.draft("owned", FAR);
    record.owner = Some(owner);
    subject.commit(Commit::replace(key, expected, record)).await;
    assert_eq!(keys_of(index, owner).await, [key]);
}

async fn a_rotated_record_is_found_under_its_new_key(
    subject: &Subject<'_>,
    index: &dyn OwnerIndex,
) {
    let owner = new_owner();
    let from = create(subject, owner).await;
    let to = rotate(subject, from, owner).await;
    assert!(keys_of(index, owner).await.contains(&to));
}

async fn a_touched_record_is_found_past_its_first_deadline(
    subject: &Subject<'_>,
    index: &dyn OwnerIndex,
) {
    let (owner, key) = (new_owner(), new_key());
    let mut record = subject.draft("touched", NEAR);
    record.owner = Some(owner);
    let Outcome::Done(expected) = subject.commit(Commit::create(key, record)).await else {
        panic!("the key was free")
    };
    subject.commit(Commit::touch(key, expected, subject.time.now() + FAR)).await;
    subject.time.pass(NEAR * 2).await;
    assert_eq!(keys_of(index, owner).await, [key]);
}

async fn records_of_other_owners_are_not_found(subject: &Subject<'_>, index: &dyn OwnerIndex) {
    let (owner, other) = (new_owner(), new_owner());
    let key = create(subject, owner).await;
    create(subject, other).await;
    assert_eq!(keys_of(index, owner).await, [key]);
}

/// The index may forget an ended record at once or later. An index that keeps it forever is a leak.
async fn the_index_forgets_what_has_ended(subject: &Subject<'_>, index: &dyn OwnerIndex) {
    let (owner, key) = (new_owner(), new_key());
    let mut record = subject.draft("short", NEAR);
    record.owner = Some(owner);
    subject.commit(Commit::create(key, record)).await;
    let mut waited = 0;
    while !keys_of(index, owner).await.is_empty() {
        assert!(waited < 30, "the index still has the key of a record that ended long ago");
        subject.time.pass(NEAR).await;
        waited += 1;
    }
}

async fn pages_of_any_size_name_every_record(subject: &Subject<'_>, index: &dyn OwnerIndex) {
    let owner = new_owner();
    let mut created = Vec::new();
    for _ in 0..4 {
        let key = create(subject, owner).await;
        created.extend([key, create_at(subject, new_key_beside(key), owner).await]);
    }
    created.sort();
    for limit in [1, 2, 7, 8, 1_000] {
        assert_eq!(keys_in_pages(index, owner, limit).await, created, "in pages of {limit}");
    }
}

async fn a_record_that_is_rotated_between_two_pages_is_named(
    subject: &Subject<'_>,
    index: &dyn OwnerIndex,
) {
    let owner = new_owner();
    let mut records = Vec::new();
    for _ in 0..6 {
        records.push(vec![create(subject, owner).await]);
    }
    let (mut named, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(from) = next {
        let page = page(index, owner, from, 1).await;
        named.extend(page.keys);
        next = page.next;
        for keys in records.iter_mut().filter(|keys| keys.len() < 3) {
            let to = rotate(subject, keys[keys.len() - 1], owner).await;
            keys.push(to);
        }
    }
    for keys in records {
        assert!(keys.iter().any(|key| named.contains(key)), "a record is on no page: {keys:?}");
    }
}

async fn records_are_found_by_their_tag(subject: &Subject<'_>, index: &dyn OwnerIndex) {
    let (owner, key) = (new_owner(), new_key());
    let beside = create_at(subject, new_key_beside(key), owner).await;
    create_at(subject, key, owner).await;
    create(subject, new_owner()).await;
    let mut bytes = *key.as_bytes();
    bytes[1] ^= 1;
    create_at(subject, RecordKey::from_bytes(bytes), owner).await;
    let found = index.keys_with_tag(&owner, key.tag()).await;
    let mut found = found.unwrap_or_else(|error| panic!("looking up by tag failed: {error:?}"));
    let mut expected = [key, beside];
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let moved = rotate(subject, key, owner).await;
    let found = index.keys_with_tag(&owner, key.tag()).await.unwrap_or_default();
    assert!(found.contains(&moved), "a rotated record keeps its tag");
}
