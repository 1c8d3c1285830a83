//! Files and folders that are spoilt, moved, linked, planted or taken over.

use std::os::unix::fs::{MetadataExt, chown};

use super::*;

/// Returns the path where an unreadable file is kept.
fn set_aside(place: &Place, key: RecordKey) -> PathBuf {
    place.path(key).with_extension(format!("{}.corrupt", place.clock.now().as_millis()))
}

fn cause(error: &StoreError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

type Plant<'a> = &'a dyn Fn(&Path);

#[tokio::test]
async fn what_is_planted_in_a_files_place_is_neither_read_nor_followed_nor_overwritten() {
    let place = Place::new();
    place.create(beside(1), "makes the shard").await;
    let outside = place.folder.path().join("outside");
    // What a link leads to is a good record, so that following it would show.
    let good = place.path(beside(1));
    let planted: [(&str, Plant<'_>); 4] = [
        ("symbolic link", &|path| symlink(&good, path).unwrap()),
        ("dangling link", &|path| symlink(&outside, path).unwrap()),
        ("FIFO", &|path| {
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        }),
        ("folder", &|path| fs::create_dir(path).unwrap()),
    ];
    for (what, plant) in planted {
        let path = place.path(key(1));
        plant(&path);
        let before = fs::symlink_metadata(&path).unwrap();
        assert_eq!(place.load(key(1)).await, None, "{what}");
        assert_eq!(place.create(key(1), "mine").await, Outcome::Exists, "{what}");
        let until = place.clock.now() + HOUR;
        for commit in [
            Commit::replace(key(1), Revision(1), place.draft("mine")),
            Commit::touch(key(1), Revision(1), until),
            Commit::destroy(key(1), until),
        ] {
            assert_eq!(place.store.commit(commit).await.unwrap(), Outcome::Gone, "{what}");
        }
        place.sweep().await;
        assert_eq!(fs::symlink_metadata(&path).unwrap().file_type(), before.file_type(), "{what}");
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(place.text(beside(1)).await.as_deref(), Some("makes the shard"), "{what}");
    }
    assert!(!outside.exists());
}

#[tokio::test]
async fn a_shard_that_turns_into_a_link_is_an_error_and_nothing_is_written_through_it() {
    let place = Place::new();
    place.create(key(1), "values").await;
    let shard = place.path(key(1)).parent().unwrap().to_owned();
    let elsewhere = place.folder.path().join("elsewhere");
    fs::rename(&shard, &elsewhere).unwrap();
    symlink(&elsewhere, &shard).unwrap();
    let files = below(&elsewhere).len();
    assert!(place.store.load(&key(1)).await.is_err(), "a failure is no absence");
    let create = Commit::create(beside(1), place.draft("new"));
    assert!(place.store.commit(create).await.is_err());
    assert_eq!(below(&elsewhere).len(), files);
    fs::remove_file(&shard).unwrap();
    fs::rename(&elsewhere, &shard).unwrap();
    assert_eq!(place.text(key(1)).await.as_deref(), Some("values"), "the session is still there");
}

#[tokio::test]
async fn a_spoilt_file_is_an_absence_once_and_set_aside() {
    let place = Place::new();
    place.create(key(1), "values").await;
    let path = place.path(key(1));
    let good = fs::read(&path).unwrap();
    let cuts = (0..good.len()).map(|length| good[..length].to_vec());
    // The byte at 4 is the version.
    let flips = (0..good.len()).filter(|at| *at != 4).map(|at| {
        let mut spoilt = good.clone();
        spoilt[at] ^= 0x40;
        spoilt
    });
    for bytes in cuts.chain(flips) {
        fs::write(&path, &bytes).unwrap();
        assert_eq!(place.load(key(1)).await, None);
        let aside = set_aside(&place, key(1));
        assert_eq!(fs::read(&aside).unwrap(), bytes, "someone may want to look at it");
        fs::remove_file(aside).unwrap();
    }
    assert!(matches!(place.create(key(1), "anew").await, Outcome::Done(_)));
}

#[tokio::test]
async fn a_spoilt_file_is_kept_for_a_day() {
    let place = Place::new();
    place.create(key(1), "values").await;
    fs::write(place.path(key(1)), "spoilt").unwrap();
    assert_eq!(place.load(key(1)).await, None);
    let aside = set_aside(&place, key(1));
    place.clock.advance(Duration::from_hours(23));
    assert_eq!(place.sweep().await, 0);
    assert!(aside.exists() && !place.path(key(1)).exists());
    place.clock.advance(HOUR);
    assert_eq!(place.sweep().await, 1);
    assert!(!aside.exists());
}

#[tokio::test]
async fn the_sweep_sets_aside_what_nobody_loads() {
    let place = Place::new();
    let keys = [1, 2, 3, 4, 5].map(key);
    for key in keys {
        place.create(key, "values").await;
    }
    let [short, far_away, garbage, copied, good] = keys;
    fs::write(place.path(short), "CLKR").unwrap();
    let mut bytes = fs::read(place.path(far_away)).unwrap();
    // The first bit of the deadline.
    bytes[8] ^= 0x80;
    fs::write(place.path(far_away), bytes).unwrap();
    fs::write(place.path(garbage), [0x5a; 300]).unwrap();
    fs::copy(place.path(good), place.path(copied)).unwrap();
    place.sweep().await;
    for key in [short, far_away, garbage, copied] {
        assert!(set_aside(&place, key).exists(), "{key:?}");
        assert_eq!(place.load(key).await, None, "{key:?}");
    }
    assert_eq!(place.text(good).await.as_deref(), Some("values"));
    place.clock.advance(Duration::from_hours(24));
    place.sweep().await;
    let names = below(place.store.location());
    let locks = names.iter().filter(|path| path.is_file() && path.ends_with(".lock"));
    let files = names.iter().filter(|path| path.is_file());
    assert_eq!(files.count(), locks.count() + 1, "the sweep's own lock: {names:?}");
}

#[tokio::test]
async fn a_spoilt_or_renamed_file_is_in_no_list_of_an_owner() {
    let place = Place::new();
    let owner = OwnerKey::of("user-42");
    for number in [1, 2] {
        let mut record = place.draft("values");
        record.owner = Some(owner);
        place.store.commit(Commit::create(beside(number), record)).await.unwrap();
    }
    place.store.0.owners.add(&owner, &key(2), false).unwrap();
    fs::rename(place.path(beside(2)), place.path(key(2))).unwrap();
    assert_eq!(place.keys_of(&owner).await, [beside(1)]);
    let mut bytes = fs::read(place.path(beside(1))).unwrap();
    bytes[20] ^= 1;
    fs::write(place.path(beside(1)), bytes).unwrap();
    assert_eq!(place.keys_of(&owner).await, []);
}

#[tokio::test]
async fn a_file_of_a_later_version_stays_and_is_logged_once_a_round() {
    let place = Place::new();
    let owner = OwnerKey::of("user-42");
    for key in [key(1), beside(1), key(2)] {
        let mut record = place.draft("values");
        record.owner = Some(owner);
        place.store.commit(Commit::create(key, record)).await.unwrap();
    }
    let spoil = |key, byte: usize, value| {
        let mut bytes = fs::read(place.path(key)).unwrap();
        bytes[byte] = value;
        fs::write(place.path(key), &bytes).unwrap();
        bytes
    };
    let later = [key(1), beside(1)].map(|key| spoil(key, 4, 2));
    let until = place.clock.now() + HOUR;
    assert_eq!(place.load(key(1)).await, None);
    assert_eq!(place.create(key(1), "mine").await, Outcome::Exists);
    let destroy = Commit::destroy(key(1), until);
    assert_eq!(place.store.commit(destroy).await.unwrap(), Outcome::Gone);
    assert_eq!(place.keys_of(&owner).await, [key(2)]);
    place.clock.advance(48 * HOUR);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let removed = tracing::subscriber::with_default(subscriber, || {
        let mut round = None;
        let swept = sweep::resume(&mut round, &place.store.0, 1_000).unwrap();
        assert!(swept.is_finished());
        swept.removed
    });
    assert_eq!(removed, 1, "{}", log.text());
    assert_eq!(log.text().matches("later version").count(), 1, "{}", log.text());
    assert_eq!([key(1), beside(1)].map(|key| fs::read(place.path(key)).unwrap()), later);
    let entries = place.store.0.owners.keys_after(&owner, None, 10).unwrap();
    assert_eq!(entries.len(), 2, "the later version looks for them there");
    spoil(key(1), 4, 0);
    place.sweep().await;
    assert!(set_aside(&place, key(1)).exists(), "there was no version before this one");
}

#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The old key's file may have been the tombstone that makes the new record live. A spoilt one does not
/// show it.
#[tokio::test]
async fn a_rotation_whose_old_file_is_spoilt_makes_nothing_live() {
    let place = Place::new();
    for finds in ["nothing", "a load", "a sweep"] {
        let (from, to) = half_rotated(&place).await;
        fs::write(place.path(from), "spoilt").unwrap();
        match finds {
            "a load" => assert_eq!(place.load(from).await, None),
            "a sweep" => assert!(place.sweep().await > 0),
            _ => (),
        }
        assert_eq!(place.load(to).await, None, "{finds}");
        assert_eq!(place.keys_of(&OwnerKey::of("user-42")).await, [], "{finds}");
        place.sweep().await;
        place.sweep().await;
        assert!(!place.path(to).exists() && !place.path(from).exists(), "{finds}");
    }
}

#[tokio::test]
async fn a_file_under_another_name_is_no_session() {
    let place = Place::new();
    let plants: [(&str, Plant<'_>); 3] = [
        ("renamed", &|path| fs::rename(place.path(key(1)), path).unwrap()),
        ("linked", &|path| fs::hard_link(place.path(key(1)), path).unwrap()),
        ("copied", &|path| assert!(fs::copy(place.path(key(1)), path).is_ok())),
    ];
    for (what, plant) in plants {
        place.create(key(1), "mine").await;
        plant(&place.path(beside(1)));
        assert_eq!(place.load(beside(1)).await, None, "{what}");
        assert!(set_aside(&place, beside(1)).exists(), "{what}: set aside");
        place.sweep().await;
        plant_again_and_commit(&place, plant, what).await;
        place.sweep().await;
    }
}

async fn plant_again_and_commit(place: &Place, plant: Plant<'_>, what: &str) {
    place.create(key(1), "mine").await;
    plant(&place.path(beside(1)));
    let tombstone = place.clock.now() + HOUR;
    let destroy = Commit::destroy(beside(1), tombstone);
    assert_eq!(place.store.commit(destroy).await.unwrap(), Outcome::Gone, "{what}");
    let created = place.create(beside(1), "another's").await;
    assert!(matches!(created, Outcome::Done(_)), "{what}: the name is free");
    fs::remove_file(place.path(beside(1))).unwrap();
}

#[tokio::test]
async fn a_backup_of_hard_links_signs_nobody_out() {
    let place = Place::new();
    let Outcome::Done(expected) = place.create(key(1), "values").await else { panic!() };
    let backup = place.folder.path().join("backup");
    fs::hard_link(place.path(key(1)), &backup).unwrap();
    assert_eq!(place.text(key(1)).await.as_deref(), Some("values"));
    let before = fs::read(&backup).unwrap();
    let replace = Commit::replace(key(1), expected, place.draft("newer"));
    assert!(matches!(place.store.commit(replace).await.unwrap(), Outcome::Done(_)));
    assert_eq!(place.text(key(1)).await.as_deref(), Some("newer"));
    assert_eq!(fs::read(&backup).unwrap(), before, "the backup stays as it was");
}

#[tokio::test]
async fn a_location_that_another_user_made_or_may_write_is_an_error() {
    let place = Place::new();
    let location = place.store.location();
    let Outcome::Done(expected) = place.create(key(1), "values").await else { panic!() };
    let tombstone = place.clock.now() + HOUR;
    let commits = || {
        [
            Commit::create(beside(1), place.draft("new")),
            Commit::replace(key(1), expected, place.draft("new")),
            Commit::destroy(key(1), tombstone),
        ]
    };
    assert_eq!(place.load(beside(1)).await, None, "and the kernel has it in its caches");
    fs::set_permissions(location, fs::Permissions::from_mode(0o777)).unwrap();
    for commit in commits() {
        let error = place.store.commit(commit).await.unwrap_err();
        assert!(cause(&error).contains("mode 0700"), "{}", cause(&error));
    }
    assert!(place.store.sweep(10).await.is_err());
    assert_eq!(place.text(key(1)).await.as_deref(), Some("values"), "a whole file is ours");
    let error = place.store.load(&beside(1)).await.unwrap_err();
    assert!(cause(&error).contains("mode 0700"), "an absence proves nothing here: {error:?}");
    fs::set_permissions(location, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(place.text(key(1)).await.as_deref(), Some("values"), "nothing has changed");
    if rustix::process::geteuid().is_root() {
        fs::remove_dir_all(location).unwrap();
        fs::create_dir(location).unwrap();
        chown(location, Some(12_345), None).unwrap();
        for commit in commits() {
            let error = place.store.commit(commit).await.unwrap_err();
            assert!(cause(&error).contains("belongs to another user"), "{}", cause(&error));
        }
        assert!(place.store.load(&key(1)).await.is_err(), "nobody is signed out in silence");
        assert!(below(location).is_empty(), "nothing was written");
        assert_eq!(fs::metadata(location).unwrap().uid(), 12_345);
    }
}

#[tokio::test]
async fn what_the_sweep_cannot_read_or_delete_is_passed_over() {
    let place = Place::new();
    let owner = OwnerKey::of("user-42");
    for number in 0..8 {
        let mut record = place.draft("values");
        record.owner = Some(owner);
        place.store.commit(Commit::create(key(number), record)).await.unwrap();
    }
    let location = place.store.location();
    fs::remove_dir_all(location.join("02")).unwrap();
    fs::write(location.join("02"), "a file in the place of a shard").unwrap();
    fs::create_dir(location.join("03/.tmp-0123456789abcdef")).unwrap();
    fs::remove_file(location.join("04/.lock")).unwrap();
    symlink("elsewhere", location.join("04/.lock")).unwrap();
    fs::write(location.join("owners/00"), "a file in the place of owners").unwrap();
    place.clock.advance(HOUR);
    assert_eq!(place.sweep().await, 6);
    assert!(place.path(key(4)).exists());
    assert!([0, 1, 3, 5, 6, 7].iter().all(|number| !place.path(key(*number)).exists()));
}
