//! Several applications with different keys on one store.

use cloakroom::{AppKeys, Sessions, cookie::CookieSettings};
use cloakroom_tests::{
    browser::Browser,
    server::{Server, Serving},
    step::{Step, destroy_others, increment, put, sessions_of, set_owner},
};
use serde_json::json;

server_side! {
    applications_see_nothing_of_each_other,
    a_new_key_keeps_the_sessions,
    a_logout_ends_no_session_of_another_application,
}

/// Starts an application with these keys on the store of `server`.
async fn application(server: &Server, keys: &str) -> (Browser, Serving) {
    let keys = AppKeys::parse(keys).unwrap();
    let clock = server.clock.clone();
    let store = server.backend.store(&clock).expect("a driver with a store");
    let builder = Sessions::builder(store, keys);
    let sessions = builder.clock(clock).cookie_settings(CookieSettings::development()).build();
    let (address, serving) = server.setup.framework.probe(sessions.unwrap()).await;
    (Browser::new(address), serving)
}

fn all() -> [Step; 1] {
    [Step::All]
}

async fn applications_see_nothing_of_each_other(server: Server) {
    let (mut shop, _shop) = application(&server, &AppKeys::generate()).await;
    let (mut blog, _blog) = application(&server, &AppKeys::generate()).await;
    let sign_in = |name: &str| [set_owner("virk"), put("at", name)];
    shop.run(sign_in("shop")).await;
    blog.run(sign_in("blog")).await;
    assert_eq!(server.backend.records(), 2, "both are on the one store");

    let mut carried = blog.clone();
    carried.jar = shop.jar.clone();
    let reply = carried.run(all()).await;
    assert_eq!(reply.value(0), json!({}), "the shop's cookie is none of the blog");
    let steps = [increment("at"), Step::All];
    assert_eq!(carried.run(&steps).await.value(1), json!({"at": 1}));
    assert_ne!(carried.jar.header(), shop.jar.header(), "it begins with a token of its own");

    let others = [sessions_of("virk"), destroy_others("virk")];
    for application in [&mut shop, &mut blog] {
        let reply = application.run(&others).await;
        assert_eq!(reply.value(0).as_array().map(Vec::len), Some(1));
        assert_eq!(reply.value(1), 0);
    }
    assert_eq!(shop.run(all()).await.value(0), json!({"at": "shop"}));
    assert_eq!(blog.run(all()).await.value(0), json!({"at": "blog"}));
}

async fn a_new_key_keeps_the_sessions(server: Server) {
    let (old, new) = (AppKeys::generate(), AppKeys::generate());
    let (mut before, _before) = application(&server, &old).await;
    before.run([put("user", "virk")]).await;
    let (mut rotated, _rotated) = application(&server, &format!("{new},{old}")).await;
    let (mut after, _after) = application(&server, &new).await;
    after.jar = before.jar.clone();
    assert_eq!(after.run(all()).await.value(0), json!({}), "too early: not used since");
    rotated.jar = before.jar.clone();
    assert_eq!(rotated.run(all()).await.value(0), json!({"user": "virk"}));
    after.jar = rotated.jar.clone();
    let found = after.run(all()).await.value(0);
    assert_eq!(found, json!({"user": "virk"}), "one read has given it the tag of the new key");
    assert_eq!(before.run(all()).await.value(0), json!({}), "which the old one does not know");
}

/// A tombstone does not say whose it is. The record that it leads to does.
async fn a_logout_ends_no_session_of_another_application(server: Server) {
    let (mut shop, _shop) = application(&server, &AppKeys::generate()).await;
    let (mut blog, _blog) = application(&server, &AppKeys::generate()).await;
    shop.run([put("user", "virk")]).await;
    blog.jar = shop.jar.clone();
    shop.run([Step::Regenerate]).await;
    let reply = blog.run([Step::Destroy]).await;
    assert_eq!((reply.status.as_u16(), reply.set_cookies()), (200, Vec::new()));
    assert_eq!(shop.run(all()).await.value(0), json!({"user": "virk"}));
}
