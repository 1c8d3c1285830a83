//! How actix-web's middleware lives with others, and what only actix-web has.

use std::{future::ready, sync::Mutex, time::Duration};

use actix_web::{
    App, Error, HttpResponse, ResponseError,
    body::MessageBody,
    dev::{Payload, Service, ServiceRequest, ServiceResponse},
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    test, web,
};
use cloakroom::{
    AppKeys, Error as SessionError, Input, JsonInput, MemoryStore, Session, Sessions,
    actix::{CsrfMiddleware, SessionMiddleware},
    adapter::Problem,
    csrf::CsrfPolicy,
};
use cloakroom_tests::{
    browser::Browser, local::LocalApp, log::Log, probe, server::serve_actix, step::increment,
    store::Fault,
};
use futures_util::stream;

use crate::{
    csrf_bodies::BoxedPayload,
    middleware::{both, memory},
};

async fn count(session: Session) -> Result<String, Error> {
    Ok(session.increment("n")?.to_string())
}

#[tokio::test]
async fn middleware_within_middleware_for_the_same_cookie_commits_once() {
    let sessions = memory("session");
    let (address, _serving) = serve_actix(move |app| {
        let inner = web::scope("").configure(probe::actix::routes);
        let inner = inner.wrap(SessionMiddleware::new(sessions.clone()));
        let outer = web::scope("").service(inner).wrap(SessionMiddleware::new(sessions.clone()));
        app.service(outer);
    });
    let mut visitor = Browser::new(address);
    let reply = visitor.run([increment("n")]).await;
    assert_eq!(reply.set_cookies().len(), 1);
    assert_eq!(visitor.step(increment("n")).await, 2);
}

#[tokio::test]
async fn two_of_them_for_two_cookies_are_two_sessions() {
    let (admin, shop) = (memory("admin"), memory("shop"));
    let (address, _serving) = serve_actix(move |app| {
        let inner = web::scope("").route("/", web::get().to(both));
        let inner = inner.wrap(SessionMiddleware::new(admin.clone()));
        app.service(web::scope("").service(inner).wrap(SessionMiddleware::new(shop.clone())));
    });
    let mut visitor = Browser::new(address);
    assert_eq!(visitor.get("/").await.text(), "1 10");
    assert_eq!(visitor.get("/").await.text(), "2 20");
    assert_eq!(visitor.jar.names().collect::<Vec<_>>(), ["admin", "shop"]);
}

#[tokio::test]
async fn a_route_without_the_middleware_is_a_plain_500() {
    let (address, _serving) = serve_actix(|app| {
        let ask = async |session: Result<Session, Problem>| session.is_err().to_string();
        app.route("/", web::get().to(count)).route("/maybe", web::get().to(ask));
    });
    let reply = Browser::new(address).get("/").await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (500, 0));
    assert_eq!(Browser::new(address).get("/maybe").await.text(), "true");
}

/// A clone of the session that outlives the commit must not lose a change in silence.
#[actix_web::test]
async fn a_change_after_the_commit_is_an_error() {
    let kept = web::Data::new(Mutex::<Option<Session>>::new(None));
    let keep = async |session: Session, kept: web::Data<Mutex<Option<Session>>>| {
        session.put("k", 1)?;
        *kept.lock().unwrap() = Some(session);
        Ok::<_, Error>("done")
    };
    let app = App::new().app_data(kept.clone()).route("/", web::get().to(keep));
    let app = test::init_service(app.wrap(SessionMiddleware::new(memory("session")))).await;
    test::call_service(&app, test::TestRequest::get().to_request()).await;
    let session: Session = kept.lock().unwrap().take().unwrap();
    assert!(session.put("k", 2).unwrap_err().is_committed());
}

/// A timeout around the application drops the future.
#[actix_web::test]
async fn a_handler_whose_future_is_dropped_changes_nothing() {
    let store = std::sync::Arc::new(MemoryStore::new());
    let sessions = Sessions::builder(store.clone(), AppKeys::random()).build().unwrap();
    let slow = async |session: Session| {
        session.put("k", 1)?;
        actix_web::rt::time::sleep(Duration::from_mins(1)).await;
        Ok::<_, Error>("never")
    };
    let app = App::new().route("/", web::get().to(slow)).wrap(SessionMiddleware::new(sessions));
    let app = test::init_service(app).await;
    let calling = app.call(test::TestRequest::get().to_request());
    assert!(actix_web::rt::time::timeout(Duration::from_millis(20), calling).await.is_err());
    assert_eq!(store.len(), 0);
}

#[derive(Debug)]
struct Teapot;

impl std::fmt::Display for Teapot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no coffee")
    }
}

impl ResponseError for Teapot {
    fn status_code(&self) -> StatusCode {
        StatusCode::IM_A_TEAPOT
    }
}

async fn refuse_after(
    session: Session,
    _: ServiceRequest,
    _: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse, Error> {
    session.put("refused", true).map_err(Error::from)?;
    Err(Teapot.into())
}

/// The session of a request that inner middleware ends with an error is committed, and the error goes
/// on as one.
#[actix_web::test]
async fn an_error_of_middleware_is_a_response_like_any_other() {
    let store = std::sync::Arc::new(MemoryStore::new());
    let sessions = Sessions::builder(store.clone(), AppKeys::random()).build().unwrap();
    let app = App::new().wrap(from_fn(refuse_after)).wrap(SessionMiddleware::new(sessions));
    let app = test::init_service(app).await;
    let error = app.call(test::TestRequest::get().to_request()).await.unwrap_err();
    assert_eq!(error.to_string(), "no coffee");
    // Middleware around it may look at the response as well as the server.
    for _ in 0..2 {
        let response = error.error_response();
        assert_eq!(response.status(), 418);
        assert!(response.headers().contains_key(header::SET_COOKIE));
    }
    assert_eq!(store.len(), 1);
}

/// An upgraded connection's response goes through the middleware as it is.
#[actix_web::test]
async fn an_upgrade_passes_with_its_session() {
    let upgrade = async |session: Session| {
        session.increment("n")?;
        let mut response = HttpResponse::SwitchingProtocols();
        Ok::<_, Error>(response.upgrade("echo").finish())
    };
    let app = App::new().route("/", web::get().to(upgrade));
    let app = test::init_service(app.wrap(SessionMiddleware::new(memory("session")))).await;
    let response = test::call_service(&app, test::TestRequest::get().to_request()).await;
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers().get("upgrade").unwrap(), "echo");
    assert!(response.headers().contains_key(header::SET_COOKIE));
}

/// An extractor of middleware may ask before routing has happened.
#[actix_web::test]
async fn middleware_asks_for_the_session_like_a_handler() {
    async fn guard(
        session: Session,
        request: ServiceRequest,
        next: Next<impl MessageBody>,
    ) -> Result<ServiceResponse<impl MessageBody>, Error> {
        session.put("seen", request.path()).map_err(Error::from)?;
        next.call(request).await
    }
    let app = App::new().route(
        "/{name}",
        web::get().to(async |session: Session| {
            ready(session.get_or("seen", String::new()).unwrap()).await
        }),
    );
    let app = app.wrap(from_fn(guard)).wrap(SessionMiddleware::new(memory("session")));
    let app = test::init_service(app).await;
    let request = test::TestRequest::with_uri("/virk").to_request();
    assert_eq!(test::call_and_read_body(&app, request).await, "/virk");
}

#[derive(serde::Deserialize)]
struct Named {
    name: String,
}

const URLENCODED: &str = "application/x-www-form-urlencoded";

/// A request whose body comes after the extractors of the handler have begun.
fn late_body(path: &str, media_type: &str, body: &'static str) -> (test::TestRequest, Payload) {
    let packet = async move {
        actix_web::rt::task::yield_now().await;
        Ok(body.into())
    };
    let payload: BoxedPayload = Box::pin(stream::once(packet));
    let payload = Payload::Stream { payload };
    let request = test::TestRequest::post().uri(path);
    let request = request.insert_header((header::CONTENT_LENGTH, body.len()));
    let request = request.insert_header((header::CONTENT_TYPE, media_type));
    (request, payload)
}

#[actix_web::test]
async fn two_forms_of_one_handler_are_the_same_form() {
    let both = async |one: Input<Named>, two: Input<Named>| {
        Ok::<_, SessionError>(format!("{} {}", one.valid()?.name, two.valid()?.name))
    };
    let app = App::new().route("/", web::post().to(both));
    let app = test::init_service(app.wrap(SessionMiddleware::new(memory("session")))).await;
    let (request, payload) = late_body("/", URLENCODED, "name=virk");
    let (request, _) = request.to_request().replace_payload(payload);
    assert_eq!(test::call_and_read_body(&app, request).await, "virk virk");
}

/// An empty form would be valid for a type without required fields, and save blank values.
#[actix_web::test]
async fn a_form_whose_body_is_taken_is_a_failure() {
    let (log, _guard) = Log::of_this_thread();
    let raw =
        async |_: web::Bytes, form: Input<Option<Named>>| form.into_result().is_ok().to_string();
    let json = async |_: web::Bytes, _: JsonInput<Option<Named>>| "never";
    let app = App::new().route("/", web::post().to(raw)).route("/json", web::post().to(json));
    let app = test::init_service(app.wrap(SessionMiddleware::new(memory("session")))).await;
    let (request, payload) = late_body("/", URLENCODED, "name=virk");
    let (request, _) = request.to_request().replace_payload(payload);
    assert_eq!(test::call_service(&app, request).await.status(), 500);
    let (request, payload) = late_body("/json", "application/json", "{}");
    let (request, _) = request.to_request().replace_payload(payload);
    assert_eq!(test::call_service(&app, request).await.status(), 500);
    let errors = log.lines("ERROR");
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().all(|line| line.contains("take the body once")), "{errors:?}");
    let request = test::TestRequest::post().to_request();
    assert_eq!(test::call_and_read_body(&app, request).await, "false", "no body is no form");
}

/// actix-web's own extractor of an `Option` maps each error to `None`.
#[actix_web::test]
async fn a_failure_that_an_option_hides_is_logged_once() {
    let (log, _guard) = Log::of_this_thread();
    let app = LocalApp::faulty();
    let mut visitor = app.browser();
    visitor.visit(|session| session.put("user", 1).unwrap()).await;
    app.store.on_load(Fault::Unavailable);
    let ask = async |session: Option<Session>| session.is_none().to_string();
    let routes = App::new().route("/ask", web::get().to(ask)).route("/", web::get().to(count));
    let routes = routes.wrap(SessionMiddleware::new(app.sessions.clone()));
    let service = test::init_service(routes).await;
    for (path, status) in [("/ask?q", 200), ("/", 503)] {
        let request = test::TestRequest::with_uri(path);
        let request = request.insert_header(("cookie", visitor.jar.header().unwrap()));
        let response = test::call_service(&service, request.to_request()).await;
        assert_eq!(response.status(), status);
        let errors = log.lines("ERROR");
        let logged = errors.iter().filter(|line| line.contains("the session could not be loaded"));
        assert_eq!(logged.count(), if path == "/" { 2 } else { 1 }, "{errors:?}");
        assert!(errors[0].contains("method=\"GET\" path=\"/ask\""), "{errors:?}");
    }
}

/// The middleware reads the form to find the token, and the handler reads it again.
#[actix_web::test]
async fn a_compressed_form_passes_the_csrf_middleware() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, b"name=virk").unwrap();
    let form = encoder.finish().unwrap();
    let show = async |form: web::Form<Named>| form.into_inner().name;
    let app = App::new().route("/", web::post().to(show));
    let app = app.wrap(CsrfMiddleware::new(CsrfPolicy::default().log_only()));
    let app = test::init_service(app.wrap(SessionMiddleware::new(memory("session")))).await;
    let request = test::TestRequest::post()
        .insert_header((header::CONTENT_TYPE, "application/x-www-form-urlencoded"))
        .insert_header((header::CONTENT_ENCODING, "gzip"))
        .insert_header((header::CONTENT_LENGTH, form.len()))
        .set_payload(form);
    assert_eq!(test::call_and_read_body(&app, request.to_request()).await, "virk");
}
