//! Events for an audit log: what is reported, of which session, and when.

use std::{
    convert::Infallible,
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use cloakroom::{
    AppKeys, Driver, EndedBy, Session, SessionEvent, SessionEventKind, SessionHandle, Sessions,
    SignIn, Users, adapter::RequestContext, clock::FakeClock,
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser, build},
    store::{Fault, Faults},
};
use futures_util::future::join_all;
use serde_json::json;

use SessionEventKind::{Created, Destroyed, Expired, Regenerated, SignedIn};

/// The events that were reported.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<SessionEvent>>>);

impl Log {
    fn subscriber(&self) -> impl Fn(&SessionEvent) + Send + Sync + 'static + use<> {
        let log = self.clone();
        move |event| log.0.lock().unwrap().push(event.clone())
    }

    fn take(&self) -> Vec<SessionEvent> {
        mem::take(&mut self.0.lock().unwrap())
    }

    /// Returns the new events with their owners.
    fn kinds(&self) -> Vec<(SessionEventKind, Option<String>)> {
        self.take().into_iter().map(|event| (event.kind, event.owner)).collect()
    }
}

fn owned(kinds: &[SessionEventKind]) -> Vec<(SessionEventKind, Option<String>)> {
    kinds.iter().map(|kind| (*kind, Some("virk".to_owned()))).collect()
}

fn app() -> (LocalApp<Faults>, Log) {
    let log = Log::default();
    let app = LocalApp::with(Faults::default(), |builder| builder.on_event(log.subscriber()));
    (app, log)
}

async fn signed_in(app: &LocalApp<Faults>) -> (LocalBrowser, SessionHandle) {
    let browser = app.browser_with(|session| session.sign_in("virk").unwrap()).await;
    let handle = browser.open().await.handle().unwrap();
    (browser, handle)
}

#[tokio::test]
async fn the_life_of_a_session_is_reported_with_owner_and_handle() {
    let (app, log) = app();
    let mut browser = app.browser_with(|session| session.put("cart", 1).unwrap()).await;
    let anonymous = browser.open().await.handle();
    let created = log.take();
    assert_eq!(created.len(), 1);
    assert_eq!(
        (created[0].kind, &created[0].owner, created[0].handle),
        (Created, &None, anonymous)
    );

    browser.visit(|session| session.put("cart", 2).unwrap()).await;
    browser.visit(|session| assert!(session.has("cart"))).await;
    assert!(log.take().is_empty(), "a change and a read");

    app.clock.advance(Duration::from_secs(1));
    browser.visit(|session| session.sign_in("virk").unwrap()).await;
    let handle = browser.open().await.handle();
    let events = log.take();
    assert_eq!(events.iter().map(|event| event.kind).collect::<Vec<_>>(), [Regenerated, SignedIn]);
    for event in events {
        assert_eq!((event.owner.as_deref(), event.handle), (Some("virk"), handle));
        assert_eq!(event.at, cloakroom::clock::Clock::now(&*app.clock));
        let token = browser.jar.get("session").unwrap();
        assert!(!format!("{event:?}").contains(token));
    }

    browser.visit(|session| session.destroy().unwrap()).await;
    let events = log.take();
    assert_eq!((events[0].kind, events[0].handle), (Destroyed(EndedBy::Visitor), handle));
    assert_eq!((events.len(), events[0].owner.as_deref()), (1, Some("virk")));
}

#[tokio::test]
async fn a_sign_out_with_a_message_begins_another_session() {
    let (app, log) = app();
    let (mut browser, _) = signed_in(&app).await;
    assert_eq!(log.kinds(), owned(&[Created, SignedIn]));
    let goodbye = |session: &Session| {
        session.destroy().unwrap();
        session.destroy().unwrap();
        session.flash(json!({ "notice": "Goodbye" })).unwrap();
    };
    browser.visit(goodbye).await;
    let events = log.kinds();
    assert_eq!(events[0], owned(&[Destroyed(EndedBy::Visitor)])[0]);
    assert_eq!((events.len(), &events[1]), (2, &(Created, None)));
}

#[tokio::test]
async fn it_is_reported_who_has_ended_a_session() {
    let (app, log) = app();
    let (browser, _) = signed_in(&app).await;
    let admin = app.sessions.admin().unwrap();
    for by in [EndedBy::Owner, EndedBy::Operator] {
        let (_, handle) = signed_in(&app).await;
        log.take();
        let ended = match by {
            EndedBy::Owner => browser.open().await.owner_sessions().unwrap().destroy(&handle).await,
            _ => admin.destroy(&handle).await,
        };
        assert!(ended.unwrap());
        let events = log.take();
        assert_eq!((events.len(), events[0].kind), (1, Destroyed(by)));
        assert_eq!((events[0].owner.as_deref(), events[0].handle), (Some("virk"), Some(handle)));
        assert!(!admin.destroy(&handle).await.unwrap());
        assert!(log.take().is_empty(), "it had ended");
    }
    signed_in(&app).await;
    log.take();
    assert_eq!(admin.destroy_all("virk").await.unwrap(), 2);
    assert_eq!(log.kinds(), owned(&[Destroyed(EndedBy::Operator); 2]));
}

/// Users whose passwords have changed since they signed in.
struct Changed;

impl Users for Changed {
    type User = String;
    type Error = Infallible;

    async fn user(&self, owner: &str) -> Result<Option<String>, Infallible> {
        Ok(Some(owner.to_owned()))
    }

    fn stamp<'u>(&self, _: &'u String) -> Option<&'u [u8]> {
        Some(b"new")
    }
}

#[tokio::test]
async fn the_end_by_an_owner_stamp_that_is_out_of_date_is_reported_once() {
    let log = Log::default();
    let settings =
        |builder: cloakroom::SessionsBuilder| builder.users(Changed).on_event(log.subscriber());
    let app = LocalApp::with(Faults::default(), settings);
    let sign_in = |session: &Session| session.sign_in(SignIn::of("virk").stamp("old")).unwrap();
    let browser = app.browser_with(sign_in).await;
    let handle = browser.open().await.handle();
    log.take();
    let tabs = [browser.begin().await, browser.begin().await];
    for (_, session) in &tabs {
        assert!(session.current_user::<String>().await.unwrap().is_none());
    }
    assert!(log.take().is_empty(), "not before the commit");
    for (context, _) in tabs {
        browser.clone().finish(context).await;
    }
    let events = log.take();
    assert_eq!((events.len(), events[0].kind), (1, Destroyed(EndedBy::Visitor)));
    assert_eq!((events[0].owner.as_deref(), events[0].handle), (Some("virk"), handle));
}

#[tokio::test]
async fn a_sign_in_beyond_the_limit_reports_the_session_that_it_ends() {
    let log = Log::default();
    let settings = |builder: cloakroom::SessionsBuilder| {
        builder.max_sessions(Some(1)).on_event(log.subscriber())
    };
    let app = LocalApp::with(Faults::default(), settings);
    let (_, first) = signed_in(&app).await;
    log.take();
    app.clock.advance(Duration::from_secs(1));
    signed_in(&app).await;
    let events = log.take();
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Created, SignedIn, Destroyed(EndedBy::MaxSessions)]);
    assert_eq!(events[2].handle, Some(first));
}

/// The session has moved to another key, or has ended, while the request ran.
#[tokio::test]
async fn a_logout_that_follows_a_rotation_is_reported_once() {
    let (app, log) = app();
    let (browser, handle) = signed_in(&app).await;
    let (context, session) = browser.begin().await;
    browser.clone().visit(|session| session.regenerate().unwrap()).await;
    log.take();
    session.destroy().unwrap();
    browser.clone().finish(context).await;
    let events = log.take();
    assert_eq!((events.len(), events[0].kind), (1, Destroyed(EndedBy::Visitor)));
    assert_eq!((events[0].owner.as_deref(), events[0].handle), (Some("virk"), Some(handle)));

    let (browser, _) = signed_in(&app).await;
    let (context, session) = browser.begin().await;
    browser.clone().visit(|session| session.destroy().unwrap()).await;
    log.take();
    session.destroy().unwrap();
    browser.clone().finish(context).await;
    assert!(log.take().is_empty(), "another request has ended it");
}

#[tokio::test]
async fn a_session_that_is_asked_for_after_its_deadline_is_reported() {
    let log = Log::default();
    let settings = |builder: cloakroom::SessionsBuilder| {
        builder.absolute_timeout(Duration::from_mins(1)).on_event(log.subscriber())
    };
    let app = LocalApp::with(Faults::default(), settings);
    let (mut browser, handle) = signed_in(&app).await;
    log.take();
    // The use moves the idle deadline, so the store still has the record at the absolute one.
    app.clock.advance(Duration::from_secs(30));
    browser.visit(|session| session.put("cart", 1).unwrap()).await;
    app.clock.advance(Duration::from_secs(30));
    assert!(browser.open().await.is_new());
    let events = log.take();
    assert_eq!((events.len(), events[0].kind, events[0].handle), (1, Expired, Some(handle)));

    let sealed = LocalApp::with(Faults::default(), |builder| settings(builder).seal_records(true));
    let (mut browser, _) = signed_in(&sealed).await;
    sealed.clock.advance(Duration::from_secs(30));
    browser.visit(|session| session.put("cart", 1).unwrap()).await;
    sealed.clock.advance(Duration::from_secs(30));
    log.take();
    assert!(browser.open().await.is_new());
    assert_eq!(log.kinds().len(), 1);

    let clock = Arc::new(FakeClock::default());
    let builder = Sessions::builder(Driver::Cookie, AppKeys::random()).on_event(log.subscriber());
    let mut browser = LocalBrowser::new(&build(builder, &clock));
    browser.visit(|session| session.put("cart", 1).unwrap()).await;
    browser.visit(|session| session.regenerate().unwrap()).await;
    clock.advance(Duration::from_hours(3));
    browser.open().await;
    let events = log.take();
    assert_eq!(
        events.iter().map(|event| event.kind).collect::<Vec<_>>(),
        [Created, Regenerated, Expired]
    );
    assert!(events.iter().all(|event| event.handle.is_none()));
}

#[tokio::test]
async fn the_cookie_driver_reports_a_sign_out() {
    let log = Log::default();
    let clock = Arc::new(FakeClock::default());
    let builder = Sessions::builder(Driver::Cookie, AppKeys::random()).on_event(log.subscriber());
    let mut browser = LocalBrowser::new(&build(builder, &clock));
    browser.visit(|session| session.sign_in("virk").unwrap()).await;
    browser.visit(|session| session.destroy().unwrap()).await;
    let kinds: Vec<_> = log.take().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Created, SignedIn, Destroyed(EndedBy::Visitor)]);
}

#[tokio::test]
async fn a_commit_that_fails_reports_nothing() {
    let (app, log) = app();
    let (browser, _) = signed_in(&app).await;
    log.take();
    app.store.on_commit(Fault::Failed);
    for change in
        [Session::destroy, Session::regenerate, |session: &Session| session.sign_in("eve")]
    {
        let (context, session) = browser.begin().await;
        change(&session).unwrap();
        assert!(context.finish(200).await.is_err());
    }
    assert!(log.take().is_empty());
}

#[tokio::test]
async fn a_subscriber_that_panics_fails_no_request() {
    let app = LocalApp::with((), |builder| builder.on_event(|_| panic!("a full disk")));
    let mut browser = app.browser();
    browser.visit(|session| session.sign_in("virk").unwrap()).await;
    assert_eq!(browser.open().await.owner().as_deref(), Some("virk"));
    let context = RequestContext::new(&app.sessions);
    assert!(context.finish(200).await.is_ok());
}

/// Requests that wait for the same commit are committed together, and the last owner stays.
#[tokio::test]
async fn owners_that_are_set_at_once_are_reported_each() {
    const OWNERS: [&str; 3] = ["nina", "romain", "virk"];
    let (app, log) = app();
    let browser = app.browser_with(|session| session.put("cart", 1).unwrap()).await;
    log.take();
    app.store.on_commit(Fault::Slow(Duration::from_millis(20)));
    let mut requests = Vec::new();
    for owner in OWNERS {
        let (context, session) = browser.begin().await;
        session.set_owner(owner).unwrap();
        requests.push(context);
    }
    for finished in join_all(requests.iter().map(|context| context.finish(200))).await {
        drop(finished.unwrap());
    }
    let reported = log.take().into_iter().filter(|event| event.kind == SignedIn);
    let mut owners: Vec<_> = reported.filter_map(|event| event.owner).collect();
    owners.sort();
    assert_eq!(owners, OWNERS);
}
