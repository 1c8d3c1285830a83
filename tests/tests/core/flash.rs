//! Messages that are discarded, errors of several forms, and which call of a request counts.

use cloakroom::{Session, adapter::RequestContext};
use cloakroom_tests::local::{LocalApp, LocalBrowser};
use serde_json::json;

const TWO: [(&str, &str); 2] = [("notice", "obsolete"), ("status", "saved")];

/// Returns an application, and a browser whose next page shows the messages of [`TWO`].
async fn waiting() -> (LocalApp, LocalBrowser) {
    let app = LocalApp::new();
    let flash = |session: &Session| {
        session.flash(TWO).unwrap();
    };
    let browser = app.browser_with(flash).await;
    (app, browser)
}

/// Ends a request with a redirect, which shows no page.
async fn redirect(browser: &mut LocalBrowser, context: RequestContext) {
    browser.keep(&context.finish(303).await.unwrap());
}

async fn shown(browser: &mut LocalBrowser) -> serde_json::Value {
    let (context, session) = browser.begin().await;
    let messages = session.view().flash_values();
    browser.finish(context).await;
    json!(messages)
}

#[tokio::test]
async fn a_discarded_message_is_shown_neither_now_nor_later() {
    let (_, mut browser) = waiting().await;
    let (context, session) = browser.begin().await;
    session.discard_flash(&["notice"]).unwrap();
    redirect(&mut browser, context).await;
    assert_eq!(shown(&mut browser).await, json!({ "status": "saved" }));

    for reflash_first in [true, false] {
        let (_, mut browser) = waiting().await;
        let (context, session) = browser.begin().await;
        if reflash_first {
            session.reflash().unwrap();
        }
        session.discard_flash(&["notice"]).unwrap().flash([("new", 1)]).unwrap();
        if !reflash_first {
            session.reflash().unwrap();
        }
        assert_eq!(json!(session.view().flash_values()), json!({ "status": "saved" }));
        browser.finish(context).await;
        assert_eq!(shown(&mut browser).await, json!({ "status": "saved", "new": 1 }));
    }
}

#[tokio::test]
async fn a_message_that_does_not_wait_is_discarded_without_a_write() {
    let (app, mut browser) = waiting().await;
    let (context, session) = browser.begin().await;
    session.discard_flash(&["other"]).unwrap().flash([("notice", "new")]).unwrap();
    session.discard_flash(&["status"]).unwrap();
    assert!(session.is_modified());
    redirect(&mut browser, context).await;
    assert_eq!(shown(&mut browser).await, json!({ "notice": "new" }), "new messages stay");
    app.store.calls();
    browser
        .visit(|session| {
            session.discard_flash(&["notice"]).unwrap();
        })
        .await;
    assert_eq!(app.store.calls(), ["load"]);
    let (context, session) = browser.begin().await;
    browser.finish(context).await;
    assert!(session.discard_flash(&["notice"]).unwrap_err().is_committed());
}

#[tokio::test]
async fn a_message_that_another_request_flashes_is_not_discarded() {
    let (_, mut browser) = waiting().await;
    let (context, session) = browser.begin().await;
    session.discard_flash(&["notice", "status"]).unwrap();
    let (theirs, other) = browser.begin().await;
    other.flash([("notice", "new")]).unwrap();
    redirect(&mut browser, theirs).await;
    redirect(&mut browser, context).await;
    assert_eq!(shown(&mut browser).await, json!({ "notice": "new" }));
}

#[tokio::test]
async fn errors_of_two_forms_on_one_page_are_separate() {
    let app = LocalApp::new();
    let mut browser = app.browser();
    for message in ["is wrong", "is still wrong"] {
        let (context, session) = browser.begin().await;
        session.with_errors_in("login", [("user[email]", message)]).unwrap();
        redirect(&mut browser, context).await;
    }
    let (context, session) = browser.begin().await;
    session.with_errors_in("sign_up", [("email", "is taken"), ("name", "is short")]).unwrap();
    session.with_errors_in("empty", [("email", ""); 0]).unwrap();
    session.with_errors([("query", "is empty")]).unwrap();
    session.reflash_except(&["user.email"]).unwrap();
    session.reflash().unwrap();
    redirect(&mut browser, context).await;

    let handle = browser.open().await.handle().unwrap();
    let contents = app.sessions.admin().unwrap().contents(&handle).await.unwrap().unwrap();
    assert_eq!(contents.form_errors.keys().collect::<Vec<_>>(), ["login", "sign_up"]);
    let (context, session) = browser.begin().await;
    let view = session.view();
    assert_eq!(json!(view.errors_in("login")), json!({ "user.email": ["is still wrong"] }));
    assert_eq!(
        json!(view.errors_in("sign_up")),
        json!({ "email": ["is taken"], "name": ["is short"] })
    );
    assert!(view.errors_in("other").is_empty() && !view.has_error_for("email"));
    assert_eq!(json!(view.errors()), json!({ "query": ["is empty"] }));
    browser.finish(context).await;
    assert!(browser.open().await.view().errors_in("login").is_empty(), "once");
}

#[tokio::test]
async fn errors_of_each_form_are_limited() {
    let app = LocalApp::new();
    let errors = || (0..150).map(|n| (format!("f{n}"), "no")).collect::<Vec<_>>();
    let mut browser = app
        .browser_with(|session| {
            session.with_errors_in("a", errors()).unwrap().with_errors(errors()).unwrap();
            session.with_errors_in("a", errors()).unwrap();
        })
        .await;
    let (context, session) = browser.begin().await;
    assert_eq!((session.view().errors().len(), session.view().errors_in("a").len()), (100, 100));
    browser.finish(context).await;
}

#[tokio::test]
async fn the_last_reflash_of_a_request_counts() {
    type Step = fn(&Session);
    let all: Step = |session| {
        session.reflash().unwrap();
    };
    let only: Step = |session| {
        session.reflash_only(&["status"]).unwrap();
    };
    let except: Step = |session| {
        session.reflash_except(&["status"]).unwrap();
    };
    let none: Step = |session| {
        session.reflash_only(&["other"]).unwrap();
    };
    for (steps, kept) in [
        ([all, only], json!({ "status": "saved" })),
        ([only, all], json!({ "notice": "obsolete", "status": "saved" })),
        ([only, except], json!({ "notice": "obsolete" })),
        ([all, none], json!({})),
        ([none, only], json!({ "status": "saved" })),
    ] {
        for status in [200, 303] {
            let (_, mut browser) = waiting().await;
            let (context, session) = browser.begin().await;
            session.flash_push("info", "new").unwrap();
            for step in &steps {
                step(&session);
            }
            browser.keep(&context.finish(status).await.unwrap());
            let (context, session) = browser.begin().await;
            assert_eq!(json!(session.view().flash_values()), kept, "{status}");
            assert_eq!(session.view().messages().len(), 1, "new flash stays");
            browser.finish(context).await;
        }
    }
}

#[tokio::test]
async fn pushed_messages_are_kept_by_the_last_reflash_alone() {
    for (last, kept) in [(true, 2), (false, 0)] {
        let app = LocalApp::new();
        let push = |session: &Session| {
            session.flash_push("info", "a").unwrap().flash_push("info", "a").unwrap();
        };
        let mut browser = app.browser_with(push).await;
        let (context, session) = browser.begin().await;
        session.reflash().unwrap();
        if last { session.reflash() } else { session.reflash_only(&["a"]) }.unwrap();
        redirect(&mut browser, context).await;
        assert_eq!(browser.open().await.view().messages().len(), kept);
    }
}
