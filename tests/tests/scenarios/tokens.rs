//! The token: random, never adopted, made lazily.

use std::collections::HashSet;

use cloakroom_tests::{
    browser::Sent,
    server::{DriverUnderTest, Server},
    step::{Step, flash_message, forget, get, pull, put},
};
use serde_json::{Value, json};

every_driver! { what_is_not_kept_sets_no_cookie }

server_side! {
    tokens_are_random_bits_of_one_length,
    a_token_that_was_not_issued_is_never_adopted,
    junk_evicts_nobody,
}

async fn new_token(server: &Server) -> String {
    let visitor = server.browser_with([put("k", 1)]).await;
    visitor.token()
}

async fn tokens_are_random_bits_of_one_length(server: Server) {
    draw_tokens(&server, 3_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn a_million_tokens_are_random_bits() {
    draw_tokens(&Server::start(DriverUnderTest::Memory).await, 1_000_000).await;
}

async fn draw_tokens(server: &Server, count: u32) {
    let mut tokens = HashSet::new();
    let mut ones = [0_u32; 256];
    for _ in 0..count {
        let token = new_token(server).await;
        assert_eq!(token.len(), 43);
        assert!(
            token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        );
        for (index, character) in token.bytes().enumerate() {
            let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                .iter()
                .position(|known| *known == character)
                .unwrap();
            for bit in 0..6 {
                if let Some(one) = ones.get_mut(index * 6 + bit) {
                    *one += u32::from(value & (32 >> bit) != 0);
                }
            }
        }
        tokens.insert(token);
    }
    assert_eq!(tokens.len(), usize::try_from(count).unwrap());
    // Five standard deviations of a fair coin, thrown `count` times.
    let thrown = f64::from(count);
    let allowed = 5.0 * 0.5 * thrown.sqrt();
    let worst = ones.iter().map(|ones| (f64::from(*ones) - thrown / 2.0).abs()).fold(0.0, f64::max);
    assert!(worst < allowed, "a bit is {worst} off");
    let mut sorted: Vec<_> = tokens.iter().collect();
    sorted.sort();
    let shared =
        |pair: &[&String]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    let longest = sorted.windows(2).map(shared).max().unwrap_or_default();
    // Among so many pairs the longest is about log64 of their number; two more are luck.
    let expected = 2.0 + 2.0 * thrown.log(64.0);
    let length = u32::try_from(longest).map_or(f64::MAX, f64::from);
    assert!(length < expected, "two tokens share a prefix of {longest} characters");
}

async fn a_token_that_was_not_issued_is_never_adopted(server: Server) {
    let expired = new_token(&server).await;
    server.clock.advance(std::time::Duration::from_hours(3));
    let stored = {
        use cloakroom::store::RecordKey;
        RecordKey::from_bytes([7; 32]).to_string()
    };
    let mut variants = vec![
        expired,
        stored,
        "A".repeat(43),
        "B".repeat(42) + "A",
        String::new(),
        "x".to_owned(),
        "A".repeat(60_000),
    ];
    let corpus = [
        "../../etc/passwd",
        "..%2f..%2f",
        "*",
        "%00",
        "C:\\",
        "session:x",
        "'--",
        "\u{2024}",
        "$(id)",
    ];
    variants.extend(corpus.map(str::to_owned));
    variants.extend((0..184).map(|n| format!("{}{}", "../".repeat(n % 7), "A".repeat(n))));
    for variant in &variants {
        let mut visitor = server.browser();
        let sent = Sent::with("cookie", &format!("session={variant}"));
        visitor.run_with([put("k", 1)], sent).await;
        let issued = visitor.token();
        assert_ne!(issued, *variant);
        let mut attacker = server.browser();
        attacker.jar.put("session", variant);
        assert_eq!(attacker.step(Step::All).await, json!({}));
    }
}

async fn what_is_not_kept_sets_no_cookie(server: Server) {
    let scripts = [
        vec![Step::All],
        vec![get("k"), flash_message("m")],
        vec![Step::Destroy],
        vec![Step::Regenerate],
        vec![Step::Clear, forget("k"), pull("k")],
        vec![put("k", 1), forget("k")],
        vec![Step::Reflash, Step::IsNew, Step::Commit],
    ];
    for script in &scripts {
        for _ in 0..20 {
            let reply = server.browser().run(script).await;
            assert!(reply.set_cookies().is_empty(), "{script:?}: {:?}", reply.set_cookies());
        }
    }
    for path in ["/none", "/read", "/nowhere"] {
        assert!(server.browser().get(path).await.set_cookies().is_empty());
    }
    if server.setup.driver.is_server_side() {
        assert_eq!(server.backend.records(), 0);
    }
}

async fn junk_evicts_nobody(server: Server) {
    let mut visitor = server.browser_with([put("user", "virk")]).await;
    for n in 0..2_000 {
        let cookie = format!("session={n:0>43}");
        server.browser().run_with([Step::Destroy], Sent::with("cookie", &cookie)).await;
    }
    assert_eq!(visitor.step(get("user")).await, "virk");
}

/// The cookie driver has no store to ask, and takes nothing it did not seal.
#[tokio::test]
async fn the_cookie_driver_adopts_nothing_either() {
    let server = Server::start(DriverUnderTest::Cookie).await;
    for value in ["A".repeat(43), "A".repeat(200), "{\"v\":1}".to_owned(), "3.AAAA".to_owned()] {
        let mut visitor = server.browser();
        visitor.jar.put("session", &value);
        assert_eq!(visitor.step(get("k")).await, Value::Null);
    }
}
