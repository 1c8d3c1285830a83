//! Visitors without a session, who were shown a CSRF token.

use std::time::Duration;

use cloakroom_tests::{
    browser::{Browser, Sent},
    server::{Backend, DriverUnderTest, Framework, Server},
    step::{Step, put, set_owner, sleep},
};
use serde_json::json;

use super::csrf::{post, token};

every_driver! {
    a_token_outlives_the_first_change,
    a_token_outlives_no_sign_in,
    a_visitor_of_another_application_has_no_proof,
}

server_side! {
    pages_with_a_token_store_nothing,
    a_token_is_refused_when_its_time_is_over,
    a_planted_pre_session_leads_into_no_session,
    first_changes_at_once_begin_a_session_each,
}

fn all() -> Step {
    Step::All
}

/// Posts a form with this token. Returns the status.
async fn status(visitor: &mut Browser, token: &str) -> u16 {
    post(visitor, Sent::form(&format!("_csrf={token}"))).await.status.as_u16()
}

async fn pages_with_a_token_store_nothing(server: Server) {
    for _ in 0..100 {
        let mut visitor = server.browser();
        let shown = token(&mut visitor).await;
        let cookies = visitor.jar.clone();
        assert_eq!(cookies.header().map(|header| header.len()), Some("session=".len() + 92));
        let other_tab = token(&mut visitor).await;
        for form in [&shown, &other_tab] {
            assert_eq!(status(&mut visitor, form).await, 200);
        }
        assert_eq!(visitor.step(Step::IsNew).await, true);
        assert_eq!(visitor.jar.header(), cookies.header(), "the cookie is set once");
    }
    assert_eq!(server.backend.records(), 0);
    if let Backend::File(folder) = &server.backend {
        let kept = std::fs::read_dir(folder.path().join("sessions")).into_iter().flatten();
        assert_eq!(kept.count(), 0, "no shard was made");
    }
}

async fn a_token_outlives_the_first_change(server: Server) {
    let mut visitor = server.browser();
    let (one, other) = (token(&mut visitor).await, token(&mut visitor).await);
    let before = visitor.jar.header();
    // Shown in the same response, by a request that changes something.
    let steps = [put("cart", 7), Step::CsrfToken];
    let same = visitor.run(&steps).await.value(1);
    assert_ne!(visitor.jar.header(), before, "the session has a cookie of its own");
    for form in [one.as_str(), other.as_str(), same.as_str().unwrap()] {
        assert_eq!(status(&mut visitor, form).await, 200);
    }
    assert_eq!(visitor.step(all()).await, json!({"cart": 7}));
}

async fn a_token_outlives_no_sign_in(server: Server) {
    let mut visitor = server.browser();
    let before = token(&mut visitor).await;
    let sign_in = [put("user", "virk"), Step::Regenerate];
    visitor.run(&sign_in).await;
    assert_eq!(status(&mut visitor, &before).await, 403);
    let after = token(&mut visitor).await;
    assert_eq!(status(&mut visitor, &after).await, 200);
}

async fn a_visitor_of_another_application_has_no_proof(server: Server) {
    let setup = server.setup;
    let elsewhere = Server::start(setup).await;
    let mut foreign = elsewhere.browser();
    let shown = token(&mut foreign).await;
    let mut visitor = server.browser();
    visitor.jar = foreign.jar.clone();
    assert_eq!(status(&mut visitor, &shown).await, 403);
    for made_up in ["A".repeat(92), format!("AQ{}", "x".repeat(90)), "A".repeat(43)] {
        visitor.jar.put("session", &made_up);
        assert_eq!(status(&mut visitor, &shown).await, 403);
    }
    let own = token(&mut visitor).await;
    assert_eq!(status(&mut visitor, &own).await, 200);
}

async fn a_token_is_refused_when_its_time_is_over(server: Server) {
    let mut visitor = server.browser();
    let shown = token(&mut visitor).await;
    server.clock.advance(Duration::from_mins(59));
    let cookies = visitor.jar.header();
    assert_eq!(status(&mut visitor, &shown).await, 200);
    token(&mut visitor).await;
    assert_eq!(visitor.jar.header(), cookies, "more than half of its time is left");
    server.clock.advance(Duration::from_mins(2));
    token(&mut visitor).await;
    assert_ne!(visitor.jar.header(), cookies, "a page in the second half renews it");
    server.clock.advance(Duration::from_mins(119));
    assert_eq!(status(&mut visitor, &shown).await, 200);
    server.clock.advance(Duration::from_mins(121));
    assert_eq!(status(&mut visitor, &shown).await, 403);
}

/// An attacker who planted a pre-session knows its CSRF tokens. The attacker does not see the session
/// that the visitor begins with it, and the visitor does not see that of the attacker.
async fn a_planted_pre_session_leads_into_no_session(server: Server) {
    let mut neighbour = server.browser();
    let known = token(&mut neighbour).await;
    let mut visitor = neighbour.clone();
    visitor.step(put("address", "secret")).await;
    let mut reader = neighbour.clone();
    assert_eq!(reader.step(all()).await, json!({}));
    neighbour.step(put("trap", 1)).await;
    assert_eq!(neighbour.step(all()).await, json!({"trap": 1}));
    assert_eq!(visitor.step(all()).await, json!({"address": "secret"}));
    visitor.run([set_owner("virk"), Step::Regenerate]).await;
    assert_eq!(status(&mut visitor, &known).await, 403, "worth nothing after the sign-in");
    assert_eq!(neighbour.step(all()).await, json!({"trap": 1}));
}

async fn first_changes_at_once_begin_a_session_each(server: Server) {
    let mut visitor = server.browser();
    let shown = token(&mut visitor).await;
    let tabs = (0..8).map(|index| {
        let mut tab = visitor.clone();
        tokio::spawn(async move {
            let steps = [sleep(5), put(format!("tab{index}"), index), Step::CsrfToken];
            let reply = tab.run(&steps).await;
            assert_eq!(reply.status, 200);
            (tab, reply.value(2))
        })
    });
    let tabs: Vec<_> = tabs.collect();
    let mut forms = vec![shown];
    let mut after = Vec::new();
    for tab in tabs {
        let (tab, form) = tab.await.unwrap();
        forms.push(form.as_str().unwrap().to_owned());
        after.push(tab);
    }
    assert_eq!(server.backend.records(), 8);
    for (index, tab) in after.iter_mut().enumerate() {
        let own = json!({format!("tab{index}"): index});
        assert_eq!(tab.step(all()).await, own, "as two visitors would");
        // The browser keeps one of the cookies; the forms of all tabs are valid with it.
        for form in &forms {
            assert_eq!(status(tab, form).await, 200);
        }
    }
}

/// The mark of a stored session is found even where a neighbour has put a pre-session beside it.
#[tokio::test]
async fn a_session_counts_before_a_pre_session() {
    for framework in Framework::ALL {
        let server = Server::start(cloakroom_tests::server::Setup {
            framework,
            driver: DriverUnderTest::Memory,
        })
        .await;
        let (mut neighbour, mut other) = (server.browser(), server.browser());
        let planted = token(&mut neighbour).await;
        token(&mut other).await;
        let header = |client: &Browser| client.jar.header().unwrap_or_default();
        let two_pre_sessions = Sent::form(&format!("_csrf={planted}"))
            .and("cookie", &format!("{}; {}", header(&neighbour), header(&other)));
        let reply = post(&mut server.browser(), two_pre_sessions).await;
        assert_eq!(reply.status, 403, "of two different ones none counts");

        let visitor = server.browser_with([put("user", "virk")]).await;
        for pair in [
            format!("{}; {}", header(&visitor), header(&neighbour)),
            format!("{}; {}", header(&neighbour), header(&visitor)),
        ] {
            let sent = Sent::with("cookie", &pair);
            let reply = server.browser().run_with([all()], sent).await;
            assert_eq!(reply.value(0), json!({"user": "virk"}));
        }
    }
}
