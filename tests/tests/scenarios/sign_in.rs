//! Signing in and out, and routes for signed-in visitors only.

use cloakroom_tests::{
    browser::{Browser, Sent},
    server::Server,
    step::{Step, get, has, put, sign_in},
};
use http::Method;
use serde_json::{Value, json};

every_driver! {
    a_sign_in_changes_the_token_and_keeps_the_values,
    a_sign_in_as_another_user_gets_none_of_the_values_before,
    a_page_of_an_owner_leads_to_the_sign_in_page_and_back,
    a_client_of_json_gets_a_status,
    scripts_and_forms_lead_back_to_a_page,
}

server_side! {
    a_sign_out_is_final,
}

const INTENDED: &str = "_intended_url";

async fn is_signed_in(visitor: &mut Browser) -> bool {
    visitor.get("/mine").await.status == 200
}

async fn a_sign_in_changes_the_token_and_keeps_the_values(server: Server) {
    let mut visitor = server.browser();
    visitor.step(put("cart", 3)).await;
    let mut planted = visitor.clone();
    visitor.step(sign_in("virk")).await;
    assert_eq!(visitor.get("/mine").await.text(), "virk");
    assert_eq!(visitor.step(get("cart")).await, 3);
    assert!(!is_signed_in(&mut planted).await, "the cookie from before signs nobody in");
}

async fn a_sign_in_as_another_user_gets_none_of_the_values_before(server: Server) {
    let mut visitor = server.browser();
    assert_eq!(visitor.get("/mine?tab=2").await.status, 303);
    visitor.run([sign_in("virk"), put("address", "12 Elm Street")]).await;
    visitor.step(sign_in("virk")).await;
    assert_eq!(visitor.step(has("address")).await, true, "the same user again");
    visitor.step(sign_in("eve")).await;
    assert_eq!(visitor.get("/mine").await.text(), "eve");
    assert_eq!(visitor.step(has("address")).await, false);
    assert_eq!(visitor.step(get(INTENDED)).await, "/mine?tab=2");
}

async fn a_page_of_an_owner_leads_to_the_sign_in_page_and_back(server: Server) {
    let mut visitor = server.browser();
    let reply = visitor.get("/mine?tab=2").await;
    assert_eq!(
        (reply.status.as_u16(), &reply.headers["location"]),
        (303, &"/sign-in".parse().unwrap())
    );
    assert_eq!(visitor.step(get(INTENDED)).await, "/mine?tab=2");
    visitor.step(sign_in("virk")).await;
    assert_eq!(visitor.step(get(INTENDED)).await, "/mine?tab=2", "for `redirect_intended`");
    assert!(is_signed_in(&mut visitor).await);
}

async fn a_client_of_json_gets_a_status(server: Server) {
    let mut visitor = server.browser();
    let reply = visitor.send("/mine", Sent::with("accept", "application/json")).await;
    assert_eq!(reply.status, 401);
    let problem: Value = serde_json::from_str(&reply.text()).unwrap();
    assert_eq!(
        (&problem["code"], &problem["title"]),
        (&json!("not_signed_in"), &json!("Unauthorized"))
    );
    assert_eq!(visitor.step(has(INTENDED)).await, false);
}

/// A background request must not decide where a visitor gets to.
async fn scripts_and_forms_lead_back_to_a_page(server: Server) {
    let mut visitor = server.browser();
    for header in [("sec-fetch-mode", "cors"), ("sec-purpose", "prefetch")] {
        let reply = visitor.send("/mine", Sent::with(header.0, header.1)).await;
        assert_eq!(reply.status, 303, "{header:?}");
        assert_eq!(visitor.step(has(INTENDED)).await, false, "{header:?}");
    }
    let page = format!("http://{}/form?step=2", server.address);
    let sent = Sent { method: Method::POST, ..Sent::with("referer", &page) };
    assert_eq!(visitor.send("/mine", sent).await.status, 303);
    assert_eq!(visitor.step(get(INTENDED)).await, "/form?step=2");
}

async fn a_sign_out_is_final(server: Server) {
    let mut visitor = server.browser();
    visitor.run([sign_in("virk"), put("address", "12 Elm Street")]).await;
    let mut copy = visitor.clone();
    visitor.step(Step::SignOut).await;
    for visitor in [&mut visitor, &mut copy] {
        assert!(!is_signed_in(visitor).await);
        assert_eq!(visitor.step(has("address")).await, false);
    }
}
