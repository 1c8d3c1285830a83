use futures_util::FutureExt;

use super::*;
use crate::{Draft, Revision, clock::FakeClock};

const IDLE: std::time::Duration = std::time::Duration::from_hours(2);

/// A store with a capacity and what happens to it, a second after the other.
struct Stage {
    clock: Arc<FakeClock>,
    store: MemoryStore,
}

impl Stage {
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
fn a_full_store_lets_the_oldest_sessions_without_an_owner_go() {
    let stage = Stage::new(10);
    let owner = OwnerKey::of("virk");
    stage.create(0, Some(owner));
    (1..10).for_each(|number| stage.create(number, None));
    // The first of the guests is used again.
    let revision = Revision(1);
    let expires = stage.clock.now() + IDLE;
    stage.commit(Commit::touch(key(1), revision, expires));
    stage.create(10, None);
    assert_eq!(stage.store.len(), 10);
    assert!(stage.lives(0) && stage.lives(1) && !stage.lives(2) && stage.lives(3));
    (11..1_000).for_each(|number| stage.create(number, None));
    assert!(stage.store.len() <= 10 && stage.lives(0) && stage.lives(999));
    let listed = stage.store.keys_of(&owner, Cursor::default(), usize::MAX);
    let theirs = listed.now_or_never().unwrap().unwrap().keys;
    assert_eq!(theirs, [key(0)]);
}

#[test]
fn a_store_full_of_owners_is_bounded_as_well() {
    let stage = Stage::new(10);
    let owner = OwnerKey::of("virk");
    (0..100).for_each(|number| stage.create(number, Some(owner)));
    assert!(stage.store.len() <= 10 && stage.lives(99) && !stage.lives(0));
    let listed = stage.store.keys_of(&owner, Cursor::default(), usize::MAX);
    let theirs = listed.now_or_never().unwrap().unwrap().keys;
    assert_eq!(theirs.len(), stage.store.len(), "the index names no others");
}

#[test]
fn a_large_store_keeps_to_its_capacity_and_the_latest_sessions() {
    let stage = Stage::new(5_000);
    (0..20_000).for_each(|number| stage.create(number, None));
    assert!((4_500..=5_000).contains(&stage.store.len()), "{}", stage.store.len());
    assert!((16_000..20_000).all(|number| stage.lives(number)));
}

#[test]
fn a_regenerated_session_does_not_make_room_for_itself() {
    let stage = Stage::new(2);
    (0..2).for_each(|number| stage.create(number, None));
    let record = Draft::new("x", stage.clock.now(), IDLE);
    let tombstone = stage.clock.now() + IDLE;
    let expected = Some(Revision(1));
    let (from, to) = (key(0), key(7));
    let rotated = stage.commit(Commit::rotate(from, expected, to, record, tombstone));
    assert!(matches!(rotated, Outcome::Done(_)));
    assert!(stage.lives(7) && !stage.lives(0) && !stage.lives(1));
    let found = stage.store.load(&from).now_or_never().unwrap().unwrap();
    assert!(matches!(found, Some(Entry::Tombstone { .. })));
}

/// A key of the first shard of a large store.
fn in_first_shard(number: u16) -> u16 {
    number * 64
}

/// A store whose first shard is full of owners.
fn full_of_owners() -> Stage {
    let stage = Stage::new(64 * 64);
    let owner = OwnerKey::of("virk");
    (0..64).for_each(|number| stage.create(in_first_shard(number), Some(owner)));
    stage
}

#[test]
fn owners_make_room_for_owners_one_at_a_time() {
    let stage = full_of_owners();
    stage.create(in_first_shard(64), Some(OwnerKey::of("other")));
    assert!(!stage.lives(0), "the oldest");
    assert!((1..=64).all(|number| stage.lives(in_first_shard(number))));
}

#[test]
fn owners_make_no_room_for_guests() {
    let stage = full_of_owners();
    let record = Draft::new("x", stage.clock.now(), IDLE);
    let (key, other_shard) = (key(in_first_shard(64)), key(1));
    let created = stage.store.commit(Commit::create(key, record.clone()));
    assert!(created.now_or_never().unwrap().unwrap_err().is_unavailable());
    assert_eq!(stage.store.len(), 64);
    let elsewhere = Commit::create(other_shard, record);
    assert!(matches!(stage.commit(elsewhere), Outcome::Done(_)), "another shard has room");
}

/// Whoever floods a full store with guests must not make it look at all its entries each time.
#[test]
fn guests_are_refused_without_a_search_until_an_owner_s_session_leaves() {
    let stage = full_of_owners();
    let owned_until = || stage.store.shards[0].lock().unwrap().owned_until;
    let mut guests = 64..;
    let mut guest_is_refused = || {
        let record = Draft::new("x", stage.clock.now(), IDLE);
        let key = key(in_first_shard(guests.next().unwrap()));
        let created = stage.store.commit(Commit::create(key, record));
        created.now_or_never().unwrap().is_err()
    };
    assert_eq!(owned_until(), None);
    assert!(guest_is_refused());
    let Some(Entry::Live(first)) = stage.load(0) else { panic!("it is live") };
    assert_eq!(owned_until(), Some(first.expires));

    // A new deadline is later than the others, or earlier.
    let now = stage.clock.now();
    for (expires, expected) in [(now + IDLE * 2, first.expires), (now + IDLE / 2, now + IDLE / 2)] {
        stage.commit(Commit::touch(key(0), first.revision, expires));
        assert!(guest_is_refused());
        assert_eq!(owned_until(), Some(expected));
    }
    stage.clock.advance(IDLE / 2);
    assert!(!guest_is_refused(), "one has expired");
    assert!(!guest_is_refused() && owned_until().is_none(), "a guest leaves for another");

    stage.create(in_first_shard(0), Some(OwnerKey::of("virk")));
    assert!(guest_is_refused() && owned_until().is_some());
    let tombstone = stage.clock.now() + IDLE;
    stage.commit(Commit::destroy(key(in_first_shard(1)), tombstone));
    assert!(!guest_is_refused(), "a tombstone leaves");
}

/// A logout with a goodbye message must not fail for want of room, nor a sign-in.
#[test]
fn a_full_store_has_room_for_rotations() {
    let stage = full_of_owners();
    for number in 0..64 {
        let record = Draft::new("goodbye", stage.clock.now(), IDLE);
        let tombstone = stage.clock.now() + IDLE;
        let (from, to) = (key(in_first_shard(number)), key(in_first_shard(100 + number)));
        let rotated = stage.commit(Commit::rotate(from, None, to, record, tombstone));
        assert!(matches!(rotated, Outcome::Done(_)), "{number}: {rotated:?}");
        let found = stage.store.load(&from).now_or_never().unwrap().unwrap();
        assert!(matches!(found, Some(Entry::Tombstone { .. })));
        let entries = stage.store.shards[0].lock().unwrap().slots.len();
        assert!(entries <= 65, "{entries}");
    }
}

#[test]
fn the_session_unused_longest_leaves_and_not_the_one_that_ends_first() {
    let stage = Stage::new(2);
    let record = Draft::new("remembered", stage.clock.now(), IDLE * 10);
    stage.commit(Commit::create(key(0), record));
    stage.create(1, None);
    stage.create(2, None);
    assert!(!stage.lives(0) && stage.lives(1) && stage.lives(2));
}
