//! Tests of the files themselves, which the conformance suite does not see.

mod damage;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    FileStore, format,
    format::{Header, Kind},
    names::file_name,
    sweep,
};
use cloakroom_store::{
    Commit, Cursor, Draft, Entry, Outcome, OwnerIndex, OwnerKey, RecordKey, Revision, Store,
    StoreError, Sweep, SweepBudget, SweepRound,
    clock::{Clock, FakeClock},
};

const HOUR: Duration = Duration::from_hours(1);

/// A store in a temporary folder.
struct Place {
    folder: tempfile::TempDir,
    store: FileStore,
    clock: Arc<FakeClock>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FakeClock::default());
        let store = FileStore::builder(folder.path().join("sessions")).clock(clock.clone());
        let store = store.sweep_budget(None).open().unwrap();
        Self { folder, store, clock }
    }

    fn path(&self, key: RecordKey) -> PathBuf {
        let name = file_name(&key);
        self.store.location().join(&name[..2]).join(name)
    }

    fn draft(&self, text: &'static str) -> Draft {
        Draft::new(text, self.clock.now(), HOUR)
    }

    async fn create(&self, key: RecordKey, text: &'static str) -> Outcome {
        self.store.commit(Commit::create(key, self.draft(text))).await.unwrap()
    }

    async fn load(&self, key: RecordKey) -> Option<Entry> {
        self.store.load(&key).await.unwrap()
    }

    async fn text(&self, key: RecordKey) -> Option<String> {
        match self.load(key).await? {
            Entry::Live(stored) => Some(String::from_utf8(stored.bytes.to_vec()).unwrap()),
            Entry::Tombstone { .. } => None,
        }
    }

    async fn keys_of(&self, owner: &OwnerKey) -> Vec<RecordKey> {
        self.store.keys_of(owner, Cursor::default(), 1_000).await.unwrap().keys
    }

    /// One whole round.
    async fn sweep(&self) -> usize {
        let mut removed = 0;
        loop {
            let swept = self.store.sweep(10).await.unwrap();
            removed += swept.removed;
            if swept.is_finished() {
                return removed;
            }
        }
    }
}

fn key(number: u8) -> RecordKey {
    RecordKey::from_bytes([number; 32])
}

/// Another key in the same shard.
fn beside(number: u8) -> RecordKey {
    let mut bytes = [number; 32];
    bytes[31] ^= 0xff;
    RecordKey::from_bytes(bytes)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// Every path below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths.extend(below(&path));
        }
        paths.push(path);
    }
    paths
}

#[tokio::test]
async fn folders_are_0700_and_files_0600_whatever_the_umask() {
    use rustix::{fs::Mode, process::umask};
    for mask in [0o000, 0o077, 0o022] {
        let before = umask(Mode::from_raw_mode(mask));
        let place = Place::new();
        let mut record = place.draft("values");
        record.owner = Some(OwnerKey::of("user-42"));
        place.store.commit(Commit::create(key(1), record)).await.unwrap();
        umask(before);
        for path in below(place.folder.path()) {
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode(&path), expected, "{path:?} under umask {mask:o}");
        }
    }
}

#[test]
fn a_folder_that_others_may_write_or_own_is_refused_and_the_error_says_what_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = FileStore::open(folder.path()).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("a folder that only this application uses"), "{cause}");
    assert!(!cause.contains("chmod"), "nobody shall change the mode of a shared folder: {cause}");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = FileStore::open(&file).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
    if rustix::process::geteuid().is_root() {
        let foreign = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(foreign.path(), Some(12_345), None).unwrap();
        assert!(FileStore::open(foreign.path()).is_err());
    } else {
        assert!(FileStore::open("/").is_err());
    }
}

#[tokio::test]
async fn the_deadline_is_the_one_in_the_file_whatever_its_times_say() {
    let place = Place::new();
    place.create(key(1), "values").await;
    let file = fs::File::options().write(true).open(place.path(key(1))).unwrap();
    file.set_modified(std::time::SystemTime::now() + 24 * HOUR).unwrap();
    place.clock.advance(HOUR);
    assert_eq!(place.load(key(1)).await, None);
    place.clock.set(cloakroom_store::clock::Timestamp::from_millis(0));
    assert_eq!(place.text(key(1)).await.as_deref(), Some("values"), "a clock that went back");
}

/// A rotation that crashed between its two files, as its first step leaves it.
async fn half_rotated(place: &Place) -> (RecordKey, RecordKey) {
    let (from, to) = (key(1), beside(1));
    let mut record = place.draft("old");
    record.owner = Some(OwnerKey::of("user-42"));
    place.store.commit(Commit::create(from, record)).await.unwrap();
    let header = Header {
        kind: Kind::Record { rotated_from: Some(from) },
        expires: place.clock.now() + HOUR,
        revision: Revision(1),
        owner: Some(OwnerKey::of("user-42")),
    };
    fs::write(place.path(to), format::encode(&to, &header, b"new")).unwrap();
    fs::set_permissions(place.path(to), fs::Permissions::from_mode(0o600)).unwrap();
    (from, to)
}

#[tokio::test]
async fn a_rotation_that_crashed_half_way_left_the_old_session_and_no_other() {
    let place = Place::new();
    let (from, to) = half_rotated(&place).await;
    assert_eq!(place.text(from).await.as_deref(), Some("old"));
    assert_eq!(place.load(to).await, None);
    let late = Commit::replace(to, Revision(1), place.draft("late"));
    assert_eq!(place.store.commit(late).await.unwrap(), Outcome::Gone);
    assert_eq!(place.sweep().await, 1, "the new file is swept");
    assert!(!place.path(to).exists() && place.path(from).exists());
}

/// How the session of a rotation that crashed half way can end.
#[derive(Clone, Copy, Debug)]
enum End {
    Logout,
    Expiry,
    Damage,
}

/// The order of the names in a folder is the file system's.
#[tokio::test]
async fn a_rotation_that_crashed_half_way_makes_nothing_live_whatever_is_swept_first() {
    for end in [End::Logout, End::Expiry, End::Damage] {
        for old_first in [true, false] {
            let place = Place::new();
            let (from, to) = half_rotated(&place).await;
            match end {
                End::Logout => {
                    let tombstone = place.clock.now() + Duration::from_secs(30);
                    let destroy = Commit::destroy(from, tombstone);
                    place.store.commit(destroy).await.unwrap();
                    place.clock.advance(Duration::from_mins(1));
                }
                End::Expiry => {
                    let header = Header {
                        kind: Kind::Record { rotated_from: Some(from) },
                        expires: place.clock.now() + 2 * HOUR,
                        revision: Revision(1),
                        owner: Some(OwnerKey::of("user-42")),
                    };
                    fs::write(place.path(to), format::encode(&to, &header, b"new")).unwrap();
                    place.clock.advance(HOUR);
                }
                End::Damage => {
                    fs::write(place.path(from), "spoilt").unwrap();
                    assert_eq!(place.load(from).await, None);
                }
            }
            let keys = if old_first { [from, to] } else { [to, from] };
            let shard = place.store.0.shard(&from).unwrap().unwrap();
            for key in keys {
                sweep::delete(&shard, &[file_name(&key)], &place.store.0).unwrap();
                assert_eq!(place.load(to).await, None, "{end:?}, old first: {old_first}");
            }
            assert!(!place.path(to).exists(), "{end:?}, old first: {old_first}");
            assert_eq!(place.keys_of(&OwnerKey::of("user-42")).await, []);
        }
    }
}

/// A rotation whose tombstone has expired.
async fn rotated(
    place: &Place,
    expected: fn(Revision) -> Option<Revision>,
) -> (RecordKey, RecordKey) {
    let (from, to) = (key(1), beside(1));
    let Outcome::Done(revision) = place.create(from, "old").await else { panic!() };
    let tombstone = place.clock.now() + Duration::from_secs(30);
    let expected = expected(revision);
    let rotate = Commit::rotate(from, expected, to, place.draft("new"), tombstone);
    assert!(matches!(place.store.commit(rotate).await.unwrap(), Outcome::Done(_)));
    place.clock.advance(Duration::from_mins(1));
    (from, to)
}

#[tokio::test]
async fn a_rotated_session_outlives_the_tombstone_that_made_it_live() {
    let kinds: [fn(Revision) -> Option<Revision>; 2] = [Some, |_| None];
    for expected in kinds {
        let place = Place::new();
        let (from, to) = rotated(&place, expected).await;
        let shard = place.store.0.shard(&from).unwrap().unwrap();
        for key in [from, to] {
            let removed = sweep::delete(&shard, &[file_name(&key)], &place.store.0).unwrap();
            assert_eq!(removed, 0, "nothing else says yet that the new record is live");
        }
        assert_eq!(place.sweep().await, 1, "the tombstone");
        assert!(!place.path(from).exists());
        assert_eq!(place.text(to).await.as_deref(), Some("new"));
        assert!(shard.was_rotated(&from, &to).unwrap(), "for who read the record before");
        assert_eq!(place.sweep().await, 0);
    }
}

#[tokio::test]
async fn a_rotated_session_outlives_a_new_record_in_the_place_of_the_tombstone() {
    let place = Place::new();
    let (from, to) = rotated(&place, Some).await;
    assert!(matches!(place.create(from, "another's").await, Outcome::Done(_)));
    assert_eq!(place.text(to).await.as_deref(), Some("new"));
    assert_eq!(place.text(from).await.as_deref(), Some("another's"));
    assert_eq!(place.sweep().await, 0);
}

#[tokio::test]
async fn a_sweep_deletes_what_has_expired_and_nothing_else() {
    let place = Place::new();
    let owner = OwnerKey::of("user-42");
    for number in 0..200 {
        let mut record = place.draft("values");
        record.owner = Some(owner);
        if number % 2 == 0 {
            record.expires = record.expires + HOUR;
        }
        place.store.commit(Commit::create(key(number), record)).await.unwrap();
    }
    let shard = place.path(key(1)).parent().unwrap().to_owned();
    fs::write(shard.join(".tmp-0123456789abcdef"), "left by a crash").unwrap();
    place.clock.advance(HOUR);
    assert_eq!(place.sweep().await, 101);
    assert_eq!(place.keys_of(&owner).await.len(), 100);
    for number in 0..200 {
        assert_eq!(place.load(key(number)).await.is_some(), number % 2 == 0);
    }
    place.clock.advance(HOUR);
    assert_eq!(place.sweep().await, 100);
    let left: Vec<_> = below(&place.store.location().join("owners"));
    assert!(left.iter().all(|path| path.file_name().unwrap().len() == 2), "{left:?}");
}

#[tokio::test]
async fn the_list_of_an_owner_comes_in_pages() {
    let place = Place::new();
    let owner = OwnerKey::of("user-42");
    for number in 0..25 {
        let mut record = place.draft("values");
        record.owner = Some(owner);
        place.store.commit(Commit::create(key(number), record)).await.unwrap();
    }
    let (mut sizes, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(from) = next {
        let page = place.store.keys_of(&owner, from, 10).await.unwrap();
        sizes.push(page.keys.len());
        next = page.next;
    }
    assert_eq!(sizes, [10, 10, 5]);
}

/// Puts a file in the place of each folder of `owner` but that of these keys: it would be an error to
/// read it.
fn block_folders(place: &Place, owner: &OwnerKey, but: &[RecordKey]) {
    let name = crate::names::hex(owner.as_bytes());
    let folders = place.store.location().join("owners").join(&name[..2]).join(name);
    let kept: Vec<_> = but.iter().map(|key| folders.join(&file_name(key)[..2])).collect();
    for entry in fs::read_dir(folders).unwrap() {
        let path = entry.unwrap().path();
        if !kept.contains(&path) {
            fs::rename(&path, path.with_extension("aside")).unwrap();
            fs::write(&path, "not a folder").unwrap();
        }
    }
}

#[tokio::test]
async fn a_handle_and_a_page_read_their_part_of_a_long_list() {
    let mut place = Place::new();
    let fast = FileStore::builder(place.store.location()).clock(place.clock.clone());
    let fast = fast.durability(super::Durability::Fast).sweep_budget(None);
    place.store = fast.open().unwrap();
    let (owner, mut keys) = (OwnerKey::of("user-42"), Vec::new());
    for number in 0..3_001_u32 {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
        keys.push(RecordKey::from_bytes(bytes));
        let mut record = place.draft("values");
        record.owner = Some(owner);
        place.store.commit(Commit::create(keys[keys.len() - 1], record)).await.unwrap();
    }
    let (mut named, mut pages, mut next) = (Vec::new(), 0, Some(Cursor::default()));
    while let Some(from) = next {
        let page = place.store.keys_of(&owner, from, 128).await.unwrap();
        assert!(page.keys.len() <= 128);
        named.extend(page.keys);
        next = page.next;
        pages += 1;
    }
    keys.sort_unstable();
    assert_eq!((named == keys, pages), (true, 3_001_usize.div_ceil(128)));
    let wanted = keys[1_500];
    let page = keys[..1_500].iter().rev().take(128).copied().collect::<Vec<_>>();
    block_folders(&place, &owner, &[&page[..], &[wanted, keys[1_500 - 129]]].concat());
    let found = place.store.keys_with_tag(&owner, wanted.tag()).await.unwrap();
    assert!(found.contains(&wanted));
    let after = Some(keys[1_500 - 129]);
    let from = after.map_or_else(Cursor::default, |key| Cursor::default().with_last_key(key));
    let found = place.store.keys_of(&owner, from, 100).await.unwrap();
    assert_eq!(found.keys, keys[1_500 - 128..1_500 - 28]);
}

#[tokio::test]
async fn index_entries_that_a_crash_left_over_are_swept() {
    let place = Place::new();
    let owner = OwnerKey::of("user-42");
    place.create(key(1), "nobody's").await;
    for number in [1, 2] {
        place.store.0.owners.add(&owner, &key(number), false).unwrap();
    }
    assert_eq!(place.keys_of(&owner).await, [], "they lead to nothing");
    assert_eq!(place.sweep().await, 1, "the one whose shard there is");
    assert_eq!(place.store.0.owners.keys_after(&owner, None, 10).unwrap(), [key(2)]);
}

#[tokio::test]
async fn a_sweep_looks_at_no_more_entries_than_its_limit() {
    let place = Place::new();
    for number in 0..150_u8 {
        let mut record = place.draft("values");
        let mut owner = [number; 32];
        owner[0] = 7;
        record.owner = Some(OwnerKey::from_bytes(owner));
        place.store.commit(Commit::create(key(number), record)).await.unwrap();
    }
    let one = OwnerKey::from_bytes([8; 32]);
    for number in 0..150_u8 {
        let mut bytes = [7; 32];
        bytes[31] = number;
        place.store.0.owners.add(&one, &RecordKey::from_bytes(bytes), false).unwrap();
    }
    let (mut seen, mut removed) = (0, 0);
    loop {
        let swept = place.store.sweep(10).await.unwrap();
        assert!(swept.seen <= 10, "{swept:?}");
        seen += swept.seen;
        removed += swept.removed;
        if swept.is_finished() {
            break;
        }
    }
    let locks = 150;
    assert_eq!((seen, removed), (150 + locks + 150 + 150, 150));
    assert!(place.store.0.owners.keys_after(&one, None, 1).unwrap().is_empty());
}

#[tokio::test]
async fn a_session_that_is_refreshed_while_the_sweep_looks_at_it_stays() {
    let place = Place::new();
    let Outcome::Done(expected) = place.create(key(1), "values").await else { panic!() };
    let expires = place.clock.now() + 2 * HOUR;
    let doomed = [file_name(&key(1))];
    place.store.commit(Commit::touch(key(1), expected, expires)).await.unwrap();
    place.clock.advance(HOUR);
    let shard = place.store.0.shard(&key(1)).unwrap().unwrap();
    assert_eq!(sweep::delete(&shard, &doomed, &place.store.0).unwrap(), 0);
    assert_eq!(place.text(key(1)).await.as_deref(), Some("values"));
}

#[tokio::test]
async fn one_sweeps_at_a_time() {
    let place = Place::new();
    for number in 0..100 {
        place.create(key(number), "values").await;
    }
    place.clock.advance(HOUR);
    let other = FileStore::builder(place.store.location()).clock(place.clock.clone());
    let other = other.sweep_budget(None).open().unwrap();
    let first = place.store.sweep(10).await.unwrap();
    assert!(!first.is_finished());
    let second = other.sweep(1_000).await.unwrap();
    assert_eq!((second.removed, second.is_finished()), (0, true));
    assert_eq!(first.removed + place.sweep().await, 100);
}

/// As an application that warms up in one runtime and then serves in another.
#[test]
fn the_background_sweep_survives_the_runtime_that_began_it() {
    let place = Place::new();
    // A piece of one file, so that the runtime ends within a round.
    let budget = SweepBudget { entries_per_second: 10, pause: Duration::from_millis(1) };
    let store = FileStore::builder(place.store.location()).clock(place.clock.clone());
    let store = store.sweep_budget(Some(budget)).open().unwrap();
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    first.block_on(async {
        for number in 0..100 {
            place.create(key(number), "values").await;
        }
        store.load(&key(0)).await.unwrap();
        while store.0.round.lock().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    drop(first);
    place.clock.advance(HOUR);
    runtime().block_on(async {
        let swept = place.store.sweep(1).await.unwrap();
        assert_eq!(swept.round, SweepRound::Ongoing, "the lock of the round is free again");
        assert!(place.sweep().await > 90);
        store.load(&key(0)).await.unwrap();
        place.create(key(1), "values").await;
        place.clock.advance(HOUR);
        let started = std::time::Instant::now();
        while place.path(key(1)).exists() {
            assert!(started.elapsed() < Duration::from_secs(30), "nothing sweeps any more");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[tokio::test]
async fn the_background_task_sweeps_and_ends_with_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::default());
    let budget = SweepBudget { entries_per_second: 10_000, pause: Duration::from_millis(1) };
    let store = FileStore::builder(folder.path().join("sessions")).clock(clock.clone());
    let store = store.sweep_budget(Some(budget)).open().unwrap();
    let create = Commit::create(key(1), Draft::new("x", clock.now(), HOUR));
    store.commit(create).await.unwrap();
    clock.advance(HOUR);
    let file = store.location().join("01").join(file_name(&key(1)));
    while file.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let inner = Arc::downgrade(&store.0);
    drop(store);
    while inner.strong_count() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_location_that_was_deleted_is_made_again() {
    let place = Place::new();
    place.create(key(1), "values").await;
    fs::remove_dir_all(place.store.location()).unwrap();
    assert_eq!(place.load(key(1)).await, None);
    assert_eq!(place.keys_of(&OwnerKey::of("user-42")).await, []);
    assert_eq!(place.sweep().await, 0);
    assert!(matches!(place.create(key(1), "anew").await, Outcome::Done(_)));
    assert_eq!(mode(place.store.location()), 0o700);
}

#[tokio::test]
async fn a_location_that_is_moved_away_is_noticed_by_the_next_read() {
    let place = Place::new();
    place.create(key(1), "values").await;
    let (here, away) = (place.store.location(), place.folder.path().join("away"));
    for _ in 0..2 {
        assert_eq!(place.text(key(1)).await.as_deref(), Some("values"));
        fs::rename(here, &away).unwrap();
        assert_eq!(place.load(key(1)).await, None);
        symlink(&away, here).unwrap();
        assert!(place.store.load(&key(1)).await.is_err(), "nothing is read through a link");
        fs::remove_file(here).unwrap();
        fs::rename(&away, here).unwrap();
    }
}

#[tokio::test]
async fn a_lock_that_another_process_holds_for_too_long_is_an_error_and_readers_do_not_care() {
    let place = Place::new();
    place.create(key(1), "values").await;
    let shard = place.store.0.shard(&key(1)).unwrap().unwrap();
    let held = shard.take_lock().unwrap();
    let destroy = Commit::destroy(key(1), place.clock.now() + HOUR);
    let started = std::time::Instant::now();
    let waiting = tokio::spawn({
        let store = place.store.clone();
        async move { store.commit(destroy).await }
    });
    assert_eq!(place.text(key(1)).await.as_deref(), Some("values"));
    let error: StoreError = waiting.await.unwrap().unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(6));
    drop(held);
    let destroy = Commit::destroy(key(1), place.clock.now() + HOUR);
    assert!(matches!(place.store.commit(destroy).await.unwrap(), Outcome::Done(_)));
}
