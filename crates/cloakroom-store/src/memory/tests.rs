use futures_util::FutureExt;

use super::*;
use crate::{Draft, Revision, clock::FakeClock};

const IDLE: std::time::Duration = std::time::Duration::from_hours(2);

/// A store with a capacity. Each commit happens one second after the previous one.
struct BoundedStore {
    clock: Arc<FakeClock>,
    store: MemoryStore,
}

impl BoundedStore {
    fn new(capacity: usize) -> Self {
        let clock = Arc::new(FakeClock::default());
        Self { store: MemoryStore::with_clock(clock.clone()).capacity(capacity), clock }
    }

    fn commit(&self, commit: Commit) -> Outcome {
        self.clock.advance(std::time::Duration::from_secs(1));
        self.store.commit(commit).now_or_never().unwrap().unwrap()
    }

    fn create(&self, number: u16, owner: Option<OwnerKey>) {
        let record = Draft::new("x", self.clock.now(), IDLE).with_owner(owner);
        let created = self.commit(Commit::create(key(number), record));
        assert!(matches!(created, Outcome::Done(_)), "{number}: {created:?}");
    }

    fn load(&self, number: u16) -> Option<Entry> {
        self.store.load(&key(number)).now_or_never().unwrap().unwrap()
    }

    fn lives(&self, number: u16) -> bool {
        matches!(self.load(number), Some(Entry::Live(_)))
    }
}

fn key(number: u16) -> RecordKey {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    bytes[30..].copy_from_slice(&number.to_be_bytes());
    RecordKey::from_bytes(bytes)
}

#[test]
fn a_full_store_removes_the_oldest_sessions_without_an_owner() {
    let bounded = BoundedStore::new(10);
    let owner = OwnerKey::of("virk");
    bounded.create(0, Some(owner));
    (1..10).for_each(|number| bounded.create(number, None));
    // The first session without an owner is used again.
    let revision = Revision(1);
    let expires = bounded.clock.now() + IDLE;
    bounded.commit(Commit::touch(key(1), revision, expires));
    bounded.create(10, None);
    assert_eq!(bounded.store.len(), 10);
    assert!(bounded.lives(0) && bounded.lives(1) && !bounded.lives(2) && bounded.lives(3));
    (11..1_000).for_each(|number| bounded.create(number, None));
    assert!(bounded.store.len() <= 10 && bounded.lives(0) && bounded.lives(999));
    let listed = bounded.store.keys_of(&owner, Cursor::default(), usize::MAX);
    let theirs = listed.now_or_never().unwrap().unwrap().keys;
    assert_eq!(theirs, [key(0)]);
}

#[test]
fn a_store_full_of_owners_is_bounded_as_well() {
    let bounded = BoundedStore::new(10);
    let owner = OwnerKey::of("virk");
    (0..100).for_each(|number| bounded.create(number, Some(owner)));
    assert!(bounded.store.len() <= 10 && bounded.lives(99) && !bounded.lives(0));
    let listed = bounded.store.keys_of(&owner, Cursor::default(), usize::MAX);
    let theirs = listed.now_or_never().unwrap().unwrap().keys;
    assert_eq!(theirs.len(), bounded.store.len(), "the index has keys of removed sessions");
}

#[test]
fn a_large_store_keeps_to_its_capacity_and_the_latest_sessions() {
    let bounded = BoundedStore::new(5_000);
    (0..20_000).for_each(|number| bounded.create(number, None));
    assert!((4_500..=5_000).contains(&bounded.store.len()), "{}", bounded.store.len());
    assert!((16_000..20_000).all(|number| bounded.lives(number)));
}

#[test]
fn a_regenerated_session_does_not_make_room_for_itself() {
    let bounded = BoundedStore::new(2);
    (0..2).for_each(|number| bounded.create(number, None));
    let record = Draft::new("x", bounded.clock.now(), IDLE);
    let tombstone = bounded.clock.now() + IDLE;
    let expected = Some(Revision(1));
    let (from, to) = (key(0), key(7));
    let rotated = bounded.commit(Commit::rotate(from, expected, to, record, tombstone));
    assert!(matches!(rotated, Outcome::Done(_)));
    assert!(bounded.lives(7) && !bounded.lives(0) && !bounded.lives(1));
    let found = bounded.store.load(&from).now_or_never().unwrap().unwrap();
    assert!(matches!(found, Some(Entry::Tombstone { .. })));
}

/// Returns the number of a key in the first shard of a large store.
fn in_first_shard(number: u16) -> u16 {
    number * 64
}

/// Makes a store whose first shard is full of sessions with owners.
fn full_of_owners() -> BoundedStore {
    let bounded = BoundedStore::new(64 * 64);
    let owner = OwnerKey::of("virk");
    (0..64).for_each(|number| bounded.create(in_first_shard(number), Some(owner)));
    bounded
}

#[test]
fn owners_make_room_for_owners_one_at_a_time() {
    let bounded = full_of_owners();
    bounded.create(in_first_shard(64), Some(OwnerKey::of("other")));
    assert!(!bounded.lives(0), "the oldest session stays");
    assert!((1..=64).all(|number| bounded.lives(in_first_shard(number))));
}

#[test]
fn owners_make_no_room_for_guests() {
    let bounded = full_of_owners();
    let record = Draft::new("x", bounded.clock.now(), IDLE);
    let (key, other_shard) = (key(in_first_shard(64)), key(1));
    let created = bounded.store.commit(Commit::create(key, record.clone()));
    assert!(created.now_or_never().unwrap().unwrap_err().is_unavailable());
    assert_eq!(bounded.store.len(), 64);
    let elsewhere = Commit::create(other_shard, record);
    assert!(matches!(bounded.commit(elsewhere), Outcome::Done(_)), "another shard has room");
}

/// A flood of guests must not make a full store read all its entries each time.
#[test]
fn guests_are_refused_without_a_search_while_owners_stay() {
    let bounded = full_of_owners();
    let owned_until = || bounded.store.shards[0].lock().unwrap().owned_until;
    let mut guests = 64..;
    let mut guest_is_refused = || {
        let record = Draft::new("x", bounded.clock.now(), IDLE);
        let key = key(in_first_shard(guests.next().unwrap()));
        let created = bounded.store.commit(Commit::create(key, record));
        created.now_or_never().unwrap().is_err()
    };
    assert_eq!(owned_until(), None);
    assert!(guest_is_refused());
    let Some(Entry::Live(first)) = bounded.load(0) else { panic!("it is live") };
    assert_eq!(owned_until(), Some(first.expires));

    // A later deadline leaves the moment unchanged, and an earlier one moves it.
    let now = bounded.clock.now();
    for (expires, expected) in [(now + IDLE * 2, first.expires), (now + IDLE / 2, now + IDLE / 2)] {
        bounded.commit(Commit::touch(key(0), first.revision, expires));
        assert!(guest_is_refused());
        assert_eq!(owned_until(), Some(expected));
    }
    bounded.clock.advance(IDLE / 2);
    assert!(!guest_is_refused(), "an expired session makes room");
    assert!(!guest_is_refused() && owned_until().is_none(), "another guest makes room");

    bounded.create(in_first_shard(0), Some(OwnerKey::of("virk")));
    assert!(guest_is_refused() && owned_until().is_some());
    let tombstone = bounded.clock.now() + IDLE;
    bounded.commit(Commit::destroy(key(in_first_shard(1)), tombstone));
    assert!(!guest_is_refused(), "a tombstone makes room");
}

/// Neither a sign-in nor a logout with a goodbye message may fail in a full store.
#[test]
fn a_full_store_has_room_for_rotations() {
    let bounded = full_of_owners();
    for number in 0..64 {
        let record = Draft::new("goodbye", bounded.clock.now(), IDLE);
        let tombstone = bounded.clock.now() + IDLE;
        let (from, to) = (key(in_first_shard(number)), key(in_first_shard(100 + number)));
        let rotated = bounded.commit(Commit::rotate(from, None, to, record, tombstone));
        assert!(matches!(rotated, Outcome::Done(_)), "{number}: {rotated:?}");
        let found = bounded.store.load(&from).now_or_never().unwrap().unwrap();
        assert!(matches!(found, Some(Entry::Tombstone { .. })));
        let entries = bounded.store.shards[0].lock().unwrap().slots.len();
        assert!(entries <= 65, "{entries}");
    }
}

#[test]
fn the_session_unused_longest_leaves_first() {
    let bounded = BoundedStore::new(2);
    let record = Draft::new("remembered", bounded.clock.now(), IDLE * 10);
    bounded.commit(Commit::create(key(0), record));
    bounded.create(1, None);
    bounded.create(2, None);
    assert!(!bounded.lives(0) && bounded.lives(1) && bounded.lives(2));
}
