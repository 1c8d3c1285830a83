//! Who is signed in where.

use std::time::Duration;

use cloakroom_tests::{
    client::Client,
    server::{DriverUnderTest, Server},
};
use serde_json::{Value, json};

server_side! {
    a_sign_in_beyond_max_sessions_ends_the_one_unused_longest,
    sign_ins_at_once_stay_and_the_next_one_makes_up_for_them,
    an_owner_has_a_hundred_sessions_unless_set,
    the_list_follows_sign_ins_regenerations_and_sign_outs,
    sessions_that_were_ended_elsewhere_stay_dead_under_slow_writers,
    who_was_signed_out_elsewhere_can_sign_in_again_at_once,
    fifty_sign_ins_at_once_are_all_listed,
}

crate::on_drivers! { File Redis; a_stolen_store_holds_no_token_and_its_keys_sign_nobody_in }

fn owned() -> Value {
    json!([{"do": "regenerate"}, {"do": "put", "key": "user", "value": "virk"}, {"do": "set_owner", "owner": "u"}])
}

async fn signed_in(server: &Server) -> Client {
    let mut visitor = server.client();
    visitor.script(&owned()).await;
    visitor
}

async fn list(visitor: &mut Client) -> Vec<Value> {
    let list = visitor.step(json!({"do": "sessions_of", "owner": "u"})).await;
    list.as_array().cloned().unwrap()
}

async fn is_signed_in(visitor: &mut Client) -> bool {
    visitor.step(json!({"do": "get", "key": "user"})).await == "virk"
}

async fn the_list_follows_sign_ins_regenerations_and_sign_outs(server: Server) {
    let mut here = signed_in(&server).await;
    let mut there = signed_in(&server).await;
    there.step(json!({"do": "regenerate"})).await;
    let sessions = list(&mut here).await;
    let current: Vec<_> = sessions.iter().map(|it| it["current"] == true).collect();
    assert_eq!(current.iter().filter(|it| **it).count(), 1, "{sessions:?}");
    assert_eq!(current.len(), 2);
    there.step(json!({"do": "set_owner", "owner": "someone else"})).await;
    assert_eq!(list(&mut here).await.len(), 1, "a change of owner is seen at once");
    there.step(json!({"do": "set_owner", "owner": "u"})).await;
    assert_eq!(list(&mut here).await.len(), 2);
    there.step(json!({"do": "destroy"})).await;
    assert_eq!(list(&mut here).await.len(), 1);
    // Kept alive by use, past the deadline that it was listed with at first.
    for _ in 0..8 {
        server.clock.advance(Duration::from_mins(30));
        assert!(is_signed_in(&mut here).await);
    }
    assert_eq!(list(&mut here).await.len(), 1);
    server.clock.advance(Duration::from_hours(3));
    assert_eq!(list(&mut server.client()).await, [] as [Value; 0]);
}

// Requirement 17.
async fn sessions_that_were_ended_elsewhere_stay_dead_under_slow_writers(server: Server) {
    for round in 0..20_u64 {
        let mut here = signed_in(&server).await;
        let mut others = [signed_in(&server).await, signed_in(&server).await];
        let slow: Vec<_> = others
            .iter()
            .map(|visitor| {
                let mut visitor = visitor.clone();
                tokio::spawn(async move {
                    let ending = [json!({"do": "regenerate"}), json!({"do": "increment", "key": "n"})];
                    let late = json!([{"do": "get", "key": "user"}, {"do": "sleep", "ms": round % 5}, {"do": "put", "key": "late", "value": 1}, ending[usize::try_from(round % 2).unwrap()]]);
                    visitor.script(&late).await;
                    visitor
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let ended = here.step(json!({"do": "destroy_others", "owner": "u"})).await;
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
        here.step(json!({"do": "destroy"})).await;
    }
    println!("rounds 20, of 40 sessions ended from elsewhere 0 alive");
}

/// Their browser still has the cookie of the session that was ended, for nobody told it.
async fn who_was_signed_out_elsewhere_can_sign_in_again_at_once(server: Server) {
    let (mut here, mut there) = (signed_in(&server).await, signed_in(&server).await);
    assert_eq!(here.step(json!({"do": "destroy_others", "owner": "u"})).await, 1);
    assert!(!is_signed_in(&mut there).await);
    there.script(&owned()).await;
    assert!(is_signed_in(&mut there).await);
    assert_eq!(list(&mut there).await.len(), 2);
}

async fn fifty_sign_ins_at_once_are_all_listed(server: Server) {
    let sign_ins: Vec<_> = (0..50)
        .map(|_| {
            let mut visitor = server.client();
            tokio::spawn(async move {
                visitor.script(&owned()).await;
                visitor
            })
        })
        .collect();
    let mut visitors = Vec::new();
    for sign_in in sign_ins {
        visitors.push(sign_in.await.unwrap());
    }
    assert_eq!(list(&mut visitors[0]).await.len(), 50);
    let ended = visitors[0].step(json!({"do": "destroy_others", "owner": "u"})).await;
    assert_eq!(ended, 49);
}

// Requirement 64.
async fn a_stolen_store_holds_no_token_and_its_keys_sign_nobody_in(server: Server) {
    let mut tokens = Vec::new();
    for _ in 0..20 {
        let mut visitor = signed_in(&server).await;
        tokens.push(visitor.jar.get("session").unwrap().to_owned());
        visitor.step(json!({"do": "regenerate"})).await;
        tokens.push(visitor.jar.get("session").unwrap().to_owned());
    }
    let dump = server.backend.dump();
    assert!(dump.contains("virk"), "the dump shows what is kept");
    for token in &tokens {
        assert!(!dump.contains(token.as_str()));
    }
    let words = dump.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c));
    let mut tried = 0;
    for word in words.filter(|word| [43, 64].contains(&word.len())) {
        let mut thief = server.client();
        thief.jar.put("session", word);
        assert!(!is_signed_in(&mut thief).await, "{word}");
        tried += 1;
    }
    assert!(tried >= 40, "{tried}");
    println!("tokens {}, in the dump 0; stored keys tried {tried}, signed in 0", tokens.len());
}

#[tokio::test]
async fn the_cookie_driver_answers_unsupported() {
    let server = Server::start(DriverUnderTest::Cookie).await;
    for step in ["set_owner", "sessions_of", "destroy_others"] {
        let reply = server.client().script(&json!([{"do": step, "owner": "u"}])).await;
        assert_eq!(reply.error(0), "unsupported", "{step}");
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
    newest.script(&owned()).await;
    newest.step(json!({"do": "regenerate"})).await;
    assert_eq!(list(&mut newest).await.len(), 3);
    let mut stranger = server.client();
    stranger.step(json!({"do": "set_owner", "owner": "someone else"})).await;
    assert_eq!(list(&mut newest).await.len(), 3);
    // Who lost the session can sign in again at once.
    visitors[1].script(&owned()).await;
    assert!(is_signed_in(&mut visitors[1]).await);
    assert_eq!(list(&mut visitors[1]).await.len(), 3);
}

async fn sign_ins_at_once_stay_and_the_next_one_makes_up_for_them(server: Server) {
    const LIMIT: usize = 2;
    const AT_ONCE: usize = 16;
    let server = limited(&server, LIMIT).await;
    let sign_ins: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let mut visitor = server.client();
            tokio::spawn(async move {
                let reply = visitor.script(&owned()).await;
                assert_eq!(reply.status, 200);
                visitor
            })
        })
        .collect();
    let mut last = server.client();
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
            let mut visitor = server.client();
            tokio::spawn(async move { drop(visitor.script(&owned()).await) })
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
