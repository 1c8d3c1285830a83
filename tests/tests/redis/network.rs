//! Between client and server: slow, cut, reset, gone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cloakroom::{
    clock::{Clock, SystemClock},
    store::{Commit, Entry, Outcome, Store},
};
use cloakroom_tests::{
    proxy::{Fault, FaultProxy},
    redis::RedisServer,
};

use super::{HOUR, builder, create, draft, key, store, text};

/// As with actix-web, whose workers have a runtime each: the store was built in another, and the
/// worker that used it first is busy ever since.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_busy_worker_delays_no_other_session() {
    let server = RedisServer::start();
    let store = Arc::new(store(&server.url()));
    let first = store.clone();
    let busy = std::thread::spawn(move || {
        let worker = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        worker.block_on(create(&first, 1, "1"));
        std::thread::park();
        worker.block_on(async {});
    });
    while text(&store, 1).await.is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for number in 2..100 {
        create(&store, number, "x").await;
    }
    busy.thread().unpark();
    busy.join().unwrap();
}

/// The connection lives in the runtime in which the store was built. One that is not driven at the
/// moment can make none.
#[tokio::test]
async fn a_runtime_that_stands_still_costs_the_connect_timeout() {
    let server = RedisServer::start();
    let url = server.url();
    let (built, store) = std::sync::mpsc::channel();
    let still = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connect_timeout = Duration::from_millis(100);
        let store = async { builder(&url).connect_timeout(connect_timeout).build().unwrap() };
        built.send(runtime.block_on(store)).unwrap();
        std::thread::park();
    });
    let store = store.recv().unwrap();
    let load = tokio::time::timeout(Duration::from_secs(20), store.load(&key(1))).await;
    assert!(load.unwrap().unwrap_err().is_unavailable());
    still.thread().unpark();
    still.join().unwrap();
}

#[tokio::test]
async fn late_and_sliced_answers_are_right_answers() {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(server.address()).await;
    let through = store(&proxy.url());
    for (number, fault) in
        [Fault::None, Fault::Latency(Duration::from_millis(30)), Fault::Slice(1), Fault::Slice(7)]
            .into_iter()
            .enumerate()
    {
        proxy.set(fault);
        let number = number as u64;
        let expected = create(&through, number, "first").await;
        let replace = Commit::replace(key(number), expected, draft("second"));
        assert!(matches!(through.commit(replace).await.unwrap(), Outcome::Done(_)), "{fault:?}");
        assert_eq!(text(&through, number).await.as_deref(), Some("second"), "{fault:?}");
        let destroy = Commit::destroy(key(number), SystemClock.now() + HOUR);
        assert!(matches!(through.commit(destroy).await.unwrap(), Outcome::Done(_)), "{fault:?}");
    }
}

// The server has done it, the answer is cut at every byte.
#[tokio::test]
async fn a_command_whose_reply_is_cut_is_sent_again_with_one_effect() {
    let server = RedisServer::start();
    let direct = store(&server.url());
    let proxy = FaultProxy::start(server.address()).await;
    for at in 0..24 {
        let through = store(&proxy.url());
        let base = 100 * (at as u64 + 1);
        let expected = create(&through, base, "0").await;
        create(&through, base + 1, "x").await;
        text(&through, base).await;
        for kind in 0..5_u64 {
            proxy.set(Fault::CutAfter(at));
            let tombstone = SystemClock.now() + HOUR;
            let outcome = match kind {
                0 => through.commit(Commit::create(key(base + 2), draft("new"))).await,
                1 => through.commit(Commit::replace(key(base), expected, draft("1"))).await,
                2 => {
                    let to = key(base + 3);
                    through
                        .commit(Commit::rotate(key(base + 1), None, to, draft("y"), tombstone))
                        .await
                }
                3 => through.commit(Commit::destroy(key(base + 2), tombstone)).await,
                _ => through.load(&key(base)).await.map(|found| {
                    assert!(found.is_none_or(|entry| matches!(entry, Entry::Live(_))));
                    Outcome::Gone
                }),
            };
            proxy.set(Fault::None);
            match outcome {
                Err(error) => assert!(error.is_unavailable(), "{error:?}"),
                Ok(outcome) => {
                    let is_done = kind == 4 || matches!(outcome, Outcome::Done(_));
                    assert!(is_done, "kind {kind}, cut at {at}: {outcome:?}");
                }
            }
            healthy(&through, base).await;
        }
        assert!(["0", "1"].contains(&text(&direct, base).await.unwrap().as_str()));
    }
}

// The first connection is cut after the server has done it, the second is whole.
#[tokio::test]
async fn a_command_whose_answer_was_lost_is_done_once() {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(server.address()).await;
    let through = store(&proxy.url());
    let mut revision = create(&through, 1, "0").await;
    // Once for the server to know the script: what is lost below is the answer, not the question.
    let replace = Commit::replace(key(1), revision, draft("0"));
    if let Outcome::Done(next) = through.commit(replace).await.unwrap() {
        revision = next;
    }
    for n in 1..=20 {
        let replace = Commit::replace(key(1), revision, draft(n.to_string()));
        proxy.set(Fault::BlackHole);
        let pending = tokio::spawn({
            let through = through.clone();
            async move { through.commit(replace).await }
        });
        let direct = store(&server.url());
        while text(&direct, 1).await != Some(n.to_string()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        proxy.set(Fault::Reset);
        tokio::time::sleep(Duration::from_millis(5)).await;
        proxy.set(Fault::None);
        match pending.await.unwrap() {
            Ok(Outcome::Done(next)) => revision = next,
            Ok(other) => panic!("its own write was taken for another's: {other:?}"),
            Err(error) => {
                assert!(error.is_unavailable(), "{error:?}");
                let Some(Entry::Live(stored)) = direct.load(&key(1)).await.unwrap() else {
                    panic!("gone")
                };
                revision = stored.revision;
            }
        }
        healthy(&through, 1).await;
    }
}

/// Waits until a store has a connection again.
async fn healthy(store: &cloakroom::redis::RedisStore, number: u64) {
    while store.load(&key(number)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_server_costs_each_request_only_its_timeout() {
    let server = RedisServer::start();
    let store = builder(&server.url())
        .connect_timeout(Duration::from_millis(400))
        .command_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    create(&store, 1, "values").await;
    server.pause();
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let requests: Vec<_> = (0..50)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let started = Instant::now();
                    let error = store.load(&key(1)).await.unwrap_err();
                    assert!(error.is_unavailable(), "{error:?}");
                    started.elapsed()
                })
            })
            .collect();
        for request in requests {
            slowest = slowest.max(request.await.unwrap());
        }
    }
    server.resume();
    assert!(slowest < Duration::from_millis(900), "{slowest:?}");
    let resumed = Instant::now();
    while store.load(&key(1)).await.is_err() {
        assert!(resumed.elapsed() < Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_as_many_requests_as_fit_wait_a_bounded_time() {
    let server = RedisServer::start();
    let store = store(&server.url());
    create(&store, 1, "values").await;
    let requests: Vec<_> = (0..40_000)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let started = Instant::now();
                let error = store.load(&key(1)).await.err();
                assert!(
                    error.as_ref().is_none_or(cloakroom::store::StoreError::is_unavailable),
                    "{error:?}"
                );
                started.elapsed()
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for request in requests {
        slowest = slowest.max(request.await.unwrap());
    }
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    assert_eq!(text(&store, 1).await.as_deref(), Some("values"), "and it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_requests_never_cross_answers() {
    let server = RedisServer::start();
    let store = store(&server.url());
    for number in 0..16 {
        create(&store, number, &number.to_string()).await;
    }
    let clients: Vec<_> = (0..16_u64)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut crossed = 0;
                for round in 0..1_500_u64 {
                    let patience = Duration::from_micros((round * 7 + number) % 400);
                    if let Ok(found) = tokio::time::timeout(patience, text(&store, number)).await {
                        crossed += u64::from(found != Some(number.to_string()));
                    }
                }
                crossed
            })
        })
        .collect();
    let mut crossed = 0;
    for client in clients {
        crossed += client.await.unwrap();
    }
    assert_eq!(crossed, 0);
}
