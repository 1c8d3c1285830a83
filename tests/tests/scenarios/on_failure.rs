//! The application's handler for failures does not change whether a session is committed.

use std::net::SocketAddr;

use actix_web::{
    App, HttpResponse,
    body::BoxBody,
    dev::{Service, ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    test, web,
};
use axum::{
    Router,
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::get,
};
use cloakroom::{Error, ServerErrors, Session, View, adapter::Problem};
use cloakroom_tests::{
    browser::{Browser, Reply},
    local::LocalApp,
    server::{Framework, Serving, serve, serve_actix},
    store::{Fault, Faults, FaultyStore},
};
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, StatusCode};

/// The application's handler for failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handler {
    Panics,
    Replies(u16),
}

impl Handler {
    fn status(self, problem: &Problem) -> StatusCode {
        match self {
            Self::Panics => panic!("the template of {problem} is missing"),
            Self::Replies(status) => StatusCode::from_u16(status).unwrap(),
        }
    }
}

/// Which layers for the session's cookie there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layers {
    One,
    /// The handler is that of the inner one, and the outer one commits.
    Two,
}

/// The application of one test.
#[derive(Clone)]
struct Setup {
    app: LocalApp<Faults>,
    handler: Handler,
    layers: Layers,
}

impl Setup {
    async fn start(&self, framework: Framework) -> (SocketAddr, Serving) {
        let setup = self.clone();
        match framework {
            Framework::Axum => serve(axum_app(&setup)).await,
            Framework::Actix => serve_actix(move |app| actix_app(app, &setup)),
        }
    }
}

/// Headers of a layer that compresses bodies, names them and serves parts of them.
const OF_THE_BODY: [(&str, &str); 8] = [
    ("content-encoding", "gzip"),
    ("etag", "\"1\""),
    ("content-range", "bytes 0-4/5"),
    ("accept-ranges", "bytes"),
    ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("content-disposition", "attachment"),
    ("content-digest", "sha-256=:1:"),
    ("repr-digest", "sha-256=:1:"),
];

/// Headers of other layers, of which some have several lines.
const OF_LAYERS: [(&str, &str); 6] = [
    ("vary", "accept-encoding"),
    ("x-inner", "yes"),
    ("content-security-policy", "default-src 'self'"),
    ("content-security-policy", "frame-ancestors 'none'"),
    ("link", "</a>; rel=preload"),
    ("link", "</b>; rel=preload"),
];

async fn login(session: Session) -> Result<&'static str, Error> {
    session.put("user", 1)?;
    session.put("text", "no number")?;
    session.flash(serde_json::json!({ "note": "welcome" }))?;
    Ok("in")
}

async fn read(session: Session) -> Result<String, Error> {
    Ok(session.get_or("user", 0)?.to_string())
}

async fn note(view: View) -> String {
    view.flash_message("note", "none")
}

async fn fail(session: Session) -> Result<String, Error> {
    session.put("user", 2)?;
    session.put("text", "no number")?;
    Ok(session.get_or("text", 0)?.to_string())
}

async fn logout(session: Session) -> Result<&'static str, Error> {
    let failed = session.get_or("text", 0).unwrap_err();
    session.destroy()?;
    Err(failed)
}

async fn panics(session: Session) -> String {
    session.put("paid", true).unwrap();
    session.commit().await.unwrap();
    panic!("after the commit")
}

type Unsaved = BoxFuture<'static, Result<&'static str, Error>>;

/// Commits, and makes a change that the store does not take.
fn unsaved(setup: &Setup) -> impl Fn(Session) -> Unsaved + Clone + use<> {
    let store = setup.app.store.clone();
    move |session| {
        let store = store.clone();
        Box::pin(async move {
            session.put("paid", true)?;
            session.commit().await?;
            store.on_commit(Fault::Failed);
            session.put("paid", false)?;
            Ok("never")
        })
    }
}

fn axum_app(setup: &Setup) -> Router {
    use cloakroom::axum::SessionLayer;
    let sessions = &setup.app.sessions;
    let compress = |mut response: Response| async {
        if response.status() == 500 {
            let headers = response.headers_mut();
            for (name, value) in OF_THE_BODY.into_iter().chain(OF_LAYERS) {
                let name = HeaderName::from_static(name);
                headers.append(name, HeaderValue::from_static(value));
            }
        }
        response
    };
    let handler = setup.handler;
    let app = Router::new()
        .route("/login", get(login))
        .route("/read", get(read))
        .route("/note", get(note))
        .route("/fail", get(fail))
        .route("/logout", get(logout))
        .route("/panics", get(panics))
        .route("/unsaved", get(unsaved(setup)))
        .layer(map_response(compress))
        .layer(
            SessionLayer::new(sessions.clone())
                .on_failure(move |problem| handler.status(problem).into_response()),
        );
    match setup.layers {
        Layers::One => app,
        Layers::Two => app.layer(SessionLayer::new(sessions.clone())),
    }
}

fn actix_app(app: &mut web::ServiceConfig, setup: &Setup) {
    use cloakroom::actix::SessionMiddleware;
    let sessions = &setup.app.sessions;
    let compress = async |request: ServiceRequest, next: Next<BoxBody>| {
        let mut response = next.call(request).await?;
        if response.status() == 500 {
            for (name, value) in OF_THE_BODY.into_iter().chain(OF_LAYERS) {
                let name = actix_web::http::header::HeaderName::from_static(name);
                let value = actix_web::http::header::HeaderValue::from_static(value);
                response.headers_mut().append(name, value);
            }
        }
        Ok::<_, actix_web::Error>(response)
    };
    let handler = setup.handler;
    let routes = web::scope("")
        .route("/login", web::get().to(login))
        .route("/read", web::get().to(read))
        .route("/note", web::get().to(note))
        .route("/fail", web::get().to(fail))
        .route("/logout", web::get().to(logout))
        .route("/panics", web::get().to(panics))
        .route("/unsaved", web::get().to(unsaved(setup)))
        .wrap(from_fn(compress))
        .wrap(
            SessionMiddleware::new(sessions.clone())
                .on_failure(move |problem| actix_response(handler, problem)),
        );
    match setup.layers {
        Layers::One => app.service(routes),
        Layers::Two => app
            .service(web::scope("").service(routes).wrap(SessionMiddleware::new(sessions.clone()))),
    };
}

fn actix_response(handler: Handler, problem: &Problem) -> HttpResponse {
    let status = handler.status(problem).as_u16();
    HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap()).finish()
}

/// Checks an application with this handler on each framework, with one layer and with two.
async fn for_each(
    handler: Handler,
    errors: ServerErrors,
    check: impl AsyncFn(Browser, &FaultyStore, &str),
) {
    for framework in Framework::ALL {
        for layers in [Layers::One, Layers::Two] {
            let app = LocalApp::with(Faults::default(), |builder| builder.server_errors(errors));
            let setup = Setup { app, handler, layers };
            let (address, _serving) = setup.start(framework).await;
            let name = format!("{framework:?} {layers:?} {handler:?}");
            check(Browser::new(address), &setup.app.store, &name).await;
        }
    }
}

async fn user(visitor: &mut Browser) -> String {
    visitor.get("/read").await.text()
}

#[tokio::test]
async fn a_logout_takes_effect_if_the_failure_handler_panics() {
    for_each(Handler::Panics, ServerErrors::default(), async |mut visitor, _, name| {
        visitor.get("/login").await;
        let mut before = visitor.clone();
        let reply = visitor.get("/logout").await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (500, 0), "{name}");
        assert!(visitor.jar.is_empty(), "{name}: the removal came with the error");
        assert_eq!(user(&mut before).await, "0", "{name}");
    })
    .await;
}

/// The handler for failures runs after the commit as well.
#[tokio::test]
async fn an_earned_cookie_survives_a_panic_of_the_failure_handler() {
    for_each(Handler::Panics, ServerErrors::default(), async |visitor, store, name| {
        for path in ["/panics", "/unsaved", "/fail"] {
            let reply = visitor.clone().get(path).await;
            store.on_commit(Fault::None);
            assert_eq!(
                (reply.status.as_u16(), reply.set_cookies().len()),
                (500, 1),
                "{name} {path}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn changes_of_a_failed_request_are_discarded_for_any_reply() {
    for status in [200, 303, 422, 500] {
        for_each(Handler::Replies(status), ServerErrors::Discard, async |mut visitor, _, name| {
            visitor.get("/login").await;
            assert_eq!(visitor.get("/fail").await.status, status, "{name}");
            assert_eq!(user(&mut visitor).await, "1", "{name}");
        })
        .await;
    }
}

/// A timeout's status discards changes, because the handler was cut off. Here it was not.
#[tokio::test]
async fn a_timeout_status_of_the_failure_handler_discards_nothing() {
    for_each(Handler::Replies(504), ServerErrors::default(), async |mut visitor, _, name| {
        visitor.get("/login").await;
        assert_eq!(visitor.get("/fail").await.status, 504, "{name}");
        assert_eq!(user(&mut visitor).await, "2", "{name}");
    })
    .await;
}

/// A redirect shows no page, whatever it was made of.
#[tokio::test]
async fn flash_waits_for_the_page_if_the_failure_handler_redirects() {
    for (status, expected) in [(303, "welcome"), (200, "none")] {
        for_each(
            Handler::Replies(status),
            ServerErrors::default(),
            async |mut visitor, _, name| {
                visitor.get("/login").await;
                assert_eq!(visitor.get("/fail").await.status, status, "{name}");
                assert_eq!(visitor.get("/note").await.text(), expected, "{name}");
            },
        )
        .await;
    }
}

#[tokio::test]
async fn headers_of_a_replaced_body_do_not_describe_the_new_one() {
    for_each(Handler::Replies(418), ServerErrors::default(), async |mut visitor, _, name| {
        let Reply { headers, status, .. } = visitor.get("/fail").await;
        assert_eq!(status, 418, "{name}");
        for (header, _) in OF_THE_BODY {
            assert!(!headers.contains_key(header), "{name} {header}");
        }
        let vary: Vec<_> = headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["accept-encoding", "Cookie"], "{name}");
    })
    .await;
}

#[tokio::test]
async fn headers_of_layers_keep_all_their_lines() {
    for_each(Handler::Replies(418), ServerErrors::default(), async |mut visitor, _, name| {
        let headers = visitor.get("/fail").await.headers;
        for header in ["x-inner", "content-security-policy", "link"] {
            let lines = OF_LAYERS.iter().filter(|(name, _)| *name == header);
            let expected: Vec<_> = lines.map(|(_, value)| *value).collect();
            let kept: Vec<_> = headers.get_all(header).iter().collect();
            assert_eq!(kept, expected, "{name} {header}");
        }
    })
    .await;
}

/// An error of middleware, which goes outwards as an error, through two layers for one cookie.
#[actix_web::test]
async fn changes_before_an_error_of_middleware_are_discarded_as_well() {
    use cloakroom::actix::SessionMiddleware;
    let guard = async |session: Session, _: ServiceRequest, _: Next<BoxBody>| {
        session.put("text", "no number")?;
        session.get::<u8>("text")?;
        Err::<ServiceResponse, actix_web::Error>(actix_web::error::ErrorNotFound("never"))
    };
    let LocalApp { sessions, .. } =
        LocalApp::with((), |builder| builder.server_errors(ServerErrors::Discard));
    let inner = SessionMiddleware::new(sessions.clone())
        .on_failure(|problem| actix_response(Handler::Replies(200), problem));
    let app = App::new().wrap(from_fn(guard)).wrap(inner).wrap(SessionMiddleware::new(sessions));
    let app = test::init_service(app).await;
    let error = app.call(test::TestRequest::get().to_request()).await.unwrap_err();
    let response = error.error_response();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("set-cookie"), "what it put is discarded");
}
