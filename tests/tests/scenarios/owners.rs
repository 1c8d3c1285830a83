//! Who is signed in where.

use std::time::Duration;

use cloakroom_tests::{
    browser::Browser,
    server::{DriverUnderTest, Server},
    step::{Step, destroy_others, get, increment, put, sessions_of, set_owner, sleep},
};
use serde_json::Value;

server_side! {
    a_sign_in_beyond_max_sessions_ends_the_one_unused_longest,
    sign_ins_at_once_stay_and_the_next_one_makes_up_for_them,
    an_owner_has_a_hundred_sessions_unless_set,
    the_list_follows_sign_ins_regenerations_and_sign_outs,
    sessions_ended_elsewhere_stay_dead_under_slow_writers,
    who_was_signed_out_elsewhere_can_sign_in_again_at_once,
    fifty_sign_ins_at_once_are_all_listed,
}

crate::on_drivers! { File Redis; a_stolen_store_holds_no_token_and_its_keys_sign_nobody_in }

fn owned() -> [Step; 3] {
    [Step::Regenerate, put("user", "virk"), set_owner("u")]
}

async fn signed_in(server: &Server) -> Browser {
    let mut visitor = server.browser();
    visitor.run(owned()).await;
    visitor
}

async fn list(visitor: &mut Browser) -> Vec<Value> {
    let list = visitor.step(sessions_of("u")).await;
    list.as_array().cloned().unwrap()
}

async fn is_signed_in(visitor: &mut Browser) -> bool {
    visitor.step(get("user")).await == "virk"
}

async fn the_list_follows_sign_ins_regenerations_and_sign_outs(server: Server) {
    let mut here = signed_in(&server).await;
    let mut there = signed_in(&server).await;
    there.step(Step::Regenerate).await;
    let sessions = list(&mut here).await;
    let current: Vec<_> = sessions.iter().map(|session| session["current"] == true).collect();
    assert_eq!(current.iter().filter(|is_current| **is_current).count(), 1, "{sessions:?}");
    assert_eq!(current.len(), 2);
    there.step(set_owner("someone else")).await;
    assert_eq!(list(&mut here).await.len(), 1, "a change of owner is seen at once");
    there.step(set_owner("u")).await;
    assert_eq!(list(&mut here).await.len(), 2);
    there.step(Step::Destroy).await;
    assert_eq!(list(&mut here).await.len(), 1);
    // Kept alive by use, past the deadline that it was listed with at first.
    for _ in 0..8 {
        server.clock.advance(Duration::from_mins(30));
        assert!(is_signed_in(&mut here).await);
    }
    assert_eq!(list(&mut here).await.len(), 1);
    server.clock.advance(Duration::from_hours(3));
    assert_eq!(list(&mut server.browser()).await, [] as [Value; 0]);
}

async fn sessions_ended_elsewhere_stay_dead_under_slow_writers(server: Server) {
    for round in 0..20_u64 {
        let mut here = signed_in(&server).await;
        let mut others = [signed_in(&server).await, signed_in(&server).await];
        let slow: Vec<_> = others
            .iter()
            .map(|visitor| {
                let mut visitor = visitor.clone();
                tokio::spawn(async move {
                    let ending = [Step::Regenerate, increment("n")];
                    let late = [
                        get("user"),
                        sleep(round % 5),
                        put("late", 1),
                        ending[usize::try_from(round % 2).unwrap()].clone(),
                    ];
                    visitor.run(&late).await;
                    visitor
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let ended = here.step(destroy_others("u")).await;
        assert!(ended.as_u64().is_some_and(|ended| ended >= 2), "{ended}");
        for late in slow {
            assert!(
                !is_signed_in(&mut late.await.unwrap()).await,
                "under the slow request's cookie"
            );
        }
        for other in &mut others {
            assert!(!is_signed_in(other).await);
        }
        assert!(is_signed_in(&mut here).await);
        here.step(Step::Destroy).await;
    }
}

/// Their browser still has the cookie of the session that was ended.
async fn who_was_signed_out_elsewhere_can_sign_in_again_at_once(server: Server) {
    let (mut here, mut there) = (signed_in(&server).await, signed_in(&server).await);
    assert_eq!(here.step(destroy_others("u")).await, 1);
    assert!(!is_signed_in(&mut there).await);
    there.run(owned()).await;
    assert!(is_signed_in(&mut there).await);
    assert_eq!(list(&mut there).await.len(), 2);
}

async fn fifty_sign_ins_at_once_are_all_listed(server: Server) {
    let sign_ins: Vec<_> = (0..50)
        .map(|_| {
            let mut visitor = server.browser();
            tokio::spawn(async move {
                visitor.run(owned()).await;
                visitor
            })
        })
        .collect();
    let mut visitors = Vec::new();
    for sign_in in sign_ins {
        visitors.push(sign_in.await.unwrap());
    }
    assert_eq!(list(&mut visitors[0]).await.len(), 50);
    let ended = visitors[0].step(destroy_others("u")).await;
    assert_eq!(ended, 49);
}

async fn a_stolen_store_holds_no_token_and_its_keys_sign_nobody_in(server: Server) {
    let mut tokens = Vec::new();
    for _ in 0..20 {
        let mut visitor = signed_in(&server).await;
        tokens.push(visitor.token());
        visitor.step(Step::Regenerate).await;
        tokens.push(visitor.token());
    }
    let dump = server.backend.dump();
    assert!(dump.contains("virk"), "the dump shows what is kept");
    for token in &tokens {
        assert!(!dump.contains(token.as_str()));
    }
    let words = dump.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c));
    let mut tried = 0;
    for word in words.filter(|word| [43, 64].contains(&word.len())) {
        let mut thief = server.browser();
        thief.jar.put("session", word);
        assert!(!is_signed_in(&mut thief).await, "{word}");
        tried += 1;
    }
    assert!(tried >= 40, "{tried}");
}

#[tokio::test]
async fn the_cookie_driver_returns_unsupported() {
    let server = Server::start(DriverUnderTest::Cookie).await;
    for step in [set_owner("u"), sessions_of("u"), destroy_others("u")] {
        let reply = server.browser().run([step]).await;
        assert_eq!(reply.error(0).code, "unsupported");
    }
}

/// The same framework and driver, with a limit for each owner.
async fn limited(server: &Server, limit: usize) -> Server {
    Server::start_with(server.setup, |builder| builder.max_sessions(Some(limit))).await
}

async fn a_sign_in_beyond_max_sessions_ends_the_one_unused_longest(server: Server) {
    let server = limited(&server, 3).await;
    let mut visitors = Vec::new();
    for _ in 0..3 {
        visitors.push(signed_in(&server).await);
        server.clock.advance(Duration::from_secs(1));
    }
    server.clock.advance(Duration::from_mins(30));
    assert!(is_signed_in(&mut visitors[0]).await, "the first is used again");
    let mut newest = signed_in(&server).await;
    assert_eq!(list(&mut newest).await.len(), 3);
    let mut signed_in = Vec::new();
    for visitor in visitors.iter_mut().chain([&mut newest]) {
        signed_in.push(is_signed_in(visitor).await);
    }
    assert_eq!(signed_in, [true, false, true, true]);
    // A new token or the same owner once more is no other session.
    newest.run(owned()).await;
    newest.step(Step::Regenerate).await;
    assert_eq!(list(&mut newest).await.len(), 3);
    server.browser_with([set_owner("someone else")]).await;
    assert_eq!(list(&mut newest).await.len(), 3);
    // Who lost the session can sign in again at once.
    visitors[1].run(owned()).await;
    assert!(is_signed_in(&mut visitors[1]).await);
    assert_eq!(list(&mut visitors[1]).await.len(), 3);
}

async fn sign_ins_at_once_stay_and_the_next_one_makes_up_for_them(server: Server) {
    const LIMIT: usize = 2;
    const AT_ONCE: usize = 16;
    let server = limited(&server, LIMIT).await;
    let sign_ins: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let mut visitor = server.browser();
            tokio::spawn(async move {
                let reply = visitor.run(owned()).await;
                assert_eq!(reply.status, 200);
                visitor
            })
        })
        .collect();
    let mut last = server.browser();
    for sign_in in sign_ins {
        last = sign_in.await.unwrap();
    }
    let left = list(&mut last).await.len();
    assert!((LIMIT..=LIMIT + AT_ONCE).contains(&left), "{left}");
    server.clock.advance(Duration::from_secs(1));
    let mut newest = signed_in(&server).await;
    assert!(is_signed_in(&mut newest).await);
    assert_eq!(list(&mut newest).await.len(), LIMIT);
}

async fn an_owner_has_a_hundred_sessions_unless_set(server: Server) {
    let mut first = signed_in(&server).await;
    server.clock.advance(Duration::from_secs(1));
    let sign_ins: Vec<_> = (0..120)
        .map(|_| {
            let mut visitor = server.browser();
            tokio::spawn(async move { drop(visitor.run(owned()).await) })
        })
        .collect();
    for sign_in in sign_ins {
        sign_in.await.unwrap();
    }
    server.clock.advance(Duration::from_secs(1));
    let mut newest = signed_in(&server).await;
    assert_eq!(list(&mut newest).await.len(), 100);
    assert!(!is_signed_in(&mut first).await);
}
