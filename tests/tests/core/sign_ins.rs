//! Sign-ins of one session that overlap with each other and with its end.

use cloakroom::{Session, SessionInfo, store::Cursor};
use cloakroom_tests::local::{LocalApp, LocalBrowser};

const OWNER: &str = "virk";

fn sign_in(session: &Session) {
    session.regenerate().unwrap();
    session.set_owner(OWNER).unwrap();
}

async fn is_signed_in(browser: &LocalBrowser) -> bool {
    browser.open().await.owner().is_some()
}

async fn list(app: &LocalApp) -> Vec<SessionInfo> {
    let admin = app.sessions.admin().unwrap();
    admin.sessions_of(OWNER, Cursor::default()).await.unwrap().sessions
}

/// How a session ends while another request of it is under way.
#[derive(Clone, Copy, Debug)]
enum End {
    Logout,
    LogoutAfterRegenerate,
    DestroyAll,
    DestroyOthers,
    Timeout,
}

/// The request changes the password, and hashing takes a second.
#[tokio::test]
async fn an_end_is_final_for_a_request_that_names_its_owner_again() {
    for end in
        [End::Logout, End::LogoutAfterRegenerate, End::DestroyAll, End::DestroyOthers, End::Timeout]
    {
        let app = LocalApp::new();
        let mut browser = app.browser_with(sign_in).await;
        let (context, session) = browser.begin().await;
        sign_in(&session);
        let elsewhere = app.browser_with(sign_in).await;
        match end {
            End::Logout => _ = browser.clone().visit(|session| session.destroy().unwrap()).await,
            End::LogoutAfterRegenerate => {
                let mut other = browser.clone();
                other.visit(|session| session.regenerate().unwrap()).await;
                other.visit(|session| session.destroy().unwrap()).await;
            }
            End::DestroyAll => {
                assert_eq!(app.sessions.admin().unwrap().destroy_all(OWNER).await.unwrap(), 2);
            }
            End::DestroyOthers => {
                let own = elsewhere.open().await.owner_sessions().unwrap();
                assert_eq!(own.destroy_others().await.unwrap(), 1);
            }
            End::Timeout => app.clock.advance(cloakroom::DEFAULT_IDLE_TIMEOUT),
        }
        assert_eq!(browser.finish(context).await, Vec::<String>::new(), "{end:?}");
        assert!(!is_signed_in(&browser).await, "{end:?}");
        let left = usize::from(!matches!(end, End::DestroyAll | End::Timeout));
        assert_eq!(list(&app).await.len(), left, "{end:?}");
    }
}

/// The visitor clicks twice on "change password", and the browser keeps one of the two cookies.
#[tokio::test]
async fn overlapping_requests_that_name_the_owner_again_both_succeed() {
    let app = LocalApp::new();
    let browser = app.browser_with(sign_in).await;
    let (mut one, mut other) = (browser.clone(), browser.clone());
    let ((first, session), (second, late)) = (one.begin().await, other.begin().await);
    sign_in(&session);
    sign_in(&late);
    one.finish(first).await;
    other.finish(second).await;
    assert!(is_signed_in(&one).await && is_signed_in(&other).await);
    let handles = [one.open().await.handle(), other.open().await.handle()];
    assert_ne!(handles[0], handles[1], "a handle names one session");
    let own = late.owner_sessions().unwrap();
    let page = own.page(Cursor::default()).await.unwrap();
    assert_eq!(page.sessions.iter().filter(|session| session.current).count(), 1);
    assert_eq!(own.destroy_others().await.unwrap(), 1);
    assert!(is_signed_in(&other).await && !is_signed_in(&one).await);
}

#[tokio::test]
async fn a_session_that_an_overlapping_sign_in_begins_is_counted() {
    let app = LocalApp::with((), |builder| builder.max_sessions(Some(1)));
    let browser = app.browser_with(sign_in).await;
    let (mut one, mut other) = (browser.clone(), browser.clone());
    let ((first, session), (second, late)) = (one.begin().await, other.begin().await);
    sign_in(&session);
    sign_in(&late);
    one.finish(first).await;
    other.finish(second).await;
    assert!(is_signed_in(&other).await && !is_signed_in(&one).await);
    assert_eq!(list(&app).await.len(), 1);
}

/// The first sign-in of a session decides on its name in the owner's list.
#[tokio::test]
async fn sign_ins_that_merge_are_one_session() {
    let app = LocalApp::with((), |builder| builder.max_sessions(Some(1)));
    let mut browser = app.browser_with(|session| session.put("cart", 1).unwrap()).await;
    let ((first, session), (second, late)) = (browser.begin().await, browser.begin().await);
    session.set_owner(OWNER).unwrap();
    late.set_owner(OWNER).unwrap();
    browser.finish(first).await;
    let handle = browser.open().await.handle();
    browser.finish(second).await;
    assert!(is_signed_in(&browser).await);
    assert_eq!(browser.open().await.handle(), handle);
    assert_eq!(late.handle(), handle);
}
