//! One session that many write at once.

use std::{sync::Arc, time::Duration};

use cloakroom::{
    AppKeys, Sessions,
    adapter::RequestContext,
    cookie::CookieSettings,
    store::{Commit, Entry, Outcome, Store},
};

use super::{Database, Place, Settings, create, draft, key, live, process, task};

const WRITERS: usize = 16;

/// Has the writers of one session, spread over the stores, count to `each` times their number.
pub(crate) async fn count(stores: &[Arc<dyn Store>], each: usize) {
    let keys = AppKeys::random();
    let sessions: Vec<_> = stores
        .iter()
        .map(|store| {
            let builder = Sessions::builder(store.clone(), keys.clone());
            let builder = builder.cookie_settings(CookieSettings::development());
            builder.commit_deadline(Duration::from_mins(1)).build().unwrap()
        })
        .collect();
    let visit = RequestContext::new(&sessions[0]);
    visit.session([].as_slice() as &[(&str, String)]).await.unwrap().put("n", 0).unwrap();
    let set_cookie = visit.finish(200).await.unwrap().set_cookie;
    let cookie = set_cookie[0].split(';').next().unwrap().to_owned();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (sessions, cookie) = (sessions[writer % sessions.len()].clone(), cookie.clone());
            tokio::spawn(async move {
                for _ in 0..each {
                    let visit = RequestContext::new(&sessions);
                    let headers = [("cookie", cookie.clone())];
                    visit.session(headers.as_slice()).await.unwrap().increment("n").unwrap();
                    drop(visit.finish(200).await.unwrap());
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let visit = RequestContext::new(&sessions[0]);
    let session = visit.session([("cookie", cookie)].as_slice()).await.unwrap();
    assert_eq!(session.get::<usize>("n").unwrap(), Some(WRITERS * each));
}

/// Stores of their own, as in processes of their own.
pub(crate) fn stores(place: &Place, count: usize) -> Vec<Arc<dyn Store>> {
    (0..count).map(|_| place.store() as Arc<dyn Store>).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_writers_of_one_session_count_exactly() {
    for database in Database::ALL {
        for processes in [1, 4] {
            count(&stores(&Place::new(database), processes), 12).await;
        }
    }
}

/// Each with compare-and-swap alone, without the queue of writers that a process has.
#[test]
fn eight_processes_that_write_one_session_count_exactly() {
    const PROCESSES: usize = 8;
    const TIMES: usize = 25;
    if let Some(url) = task() {
        return count_up(&url, TIMES);
    }
    for database in Database::KINDS {
        let place = Place::new(database);
        let start = async {
            create(&*place.store(), 1, "0").await;
        };
        super::place::in_thread(start);
        let name = "hot::eight_processes_that_write_one_session_count_exactly";
        let running: Vec<_> =
            (0..PROCESSES).map(|_| process(name, &place.url).spawn().unwrap()).collect();
        for mut process in running {
            assert!(process.wait().unwrap().success(), "{database:?}");
        }
        let (text, _) = super::place::in_thread(async { live(&*place.store(), key(1)).await });
        assert_eq!(text, (PROCESSES * TIMES).to_string(), "{database:?}");
    }
}

fn count_up(url: &str, times: usize) {
    let database = Database::KINDS
        .into_iter()
        .find(|database| match database {
            Database::Postgres(_) => url.starts_with("postgres"),
            Database::MariaDb => url.starts_with("mysql"),
            Database::Sqlite => url.starts_with("sqlite"),
        })
        .unwrap();
    let store = database.open(url, &Settings::default());
    super::place::in_thread(async {
        for _ in 0..times {
            loop {
                let Some(Entry::Live(stored)) = store.load(&key(1)).await.unwrap() else {
                    panic!("gone")
                };
                let text: u64 = std::str::from_utf8(&stored.bytes).unwrap().parse().unwrap();
                let next = draft((text + 1).to_string());
                match store.commit(Commit::replace(key(1), stored.revision, next)).await.unwrap() {
                    Outcome::Done(_) => break,
                    Outcome::Conflict(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    });
}
