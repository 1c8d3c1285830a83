//! What the application's handler for failures cannot change: whether a session is committed.

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
use cloakroom::{AppKeys, ServerErrors, Sessions, adapter::Problem, cookie::CookieSettings};
use cloakroom_tests::{
    client::{Client, Reply},
    server::{Framework, Serving, serve, serve_actix},
};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::faults::Faulty;

/// What the application's handler does.
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

/// What the application is made of.
#[derive(Clone)]
struct Setup {
    store: Faulty,
    errors: ServerErrors,
    handler: Handler,
    layers: Layers,
}

impl Setup {
    fn new(handler: Handler) -> Self {
        let (store, errors) = (Faulty::default(), ServerErrors::default());
        Self { store, errors, handler, layers: Layers::One }
    }

    fn sessions(&self) -> Sessions {
        let sessions = Sessions::store(self.store.clone(), AppKeys::random());
        let sessions = sessions.server_errors(self.errors);
        sessions.cookie_settings(CookieSettings::development()).build().unwrap()
    }

    async fn start(&self, framework: Framework) -> (SocketAddr, Serving) {
        let (setup, sessions) = (self.clone(), self.sessions());
        match framework {
            Framework::Axum => serve(axum_app(&setup, &sessions)).await,
            Framework::Actix => serve_actix(move |app| actix_app(app, &setup, &sessions)),
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

macro_rules! handlers {
    ($adapter:ident, $store:expr) => {{
        use $adapter::{Session, Error};
        let login = async |session: Session| -> Result<&str, Error> {
            session.put("user", 1)?;
            session.put("text", "no number")?;
            session.flash(serde_json::json!({ "note": "welcome" }))?;
            Ok("in")
        };
        let read = async |session: Session| -> Result<String, Error> {
            Ok(session.get_or("user", 0)?.to_string())
        };
        let note = async |session: Session| session.view().flash_message("note", "none");
        let fail = async |session: Session| -> Result<String, Error> {
            session.put("user", 2)?;
            session.put("text", "no number")?;
            Ok(session.get_or("text", 0)?.to_string())
        };
        let logout = async |session: Session| -> Result<&str, Error> {
            let failed = session.get_or("text", 0).unwrap_err();
            session.destroy()?;
            Err(failed.into())
        };
        let panics = async |session: Session| -> String {
            session.put("paid", true).unwrap();
            session.commit().await.unwrap();
            panic!("after the commit")
        };
        let store: Faulty = $store;
        let unsaved = move |session: Session| {
            let store = store.clone();
            async move {
                session.put("paid", true)?;
                session.commit().await?;
                store.set(|store| &store.fails_to_commit, true);
                session.put("paid", false)?;
                Ok::<_, Error>("never")
            }
        };
        (login, read, note, fail, logout, panics, unsaved)
    }};
}

fn axum_app(setup: &Setup, sessions: &Sessions) -> Router {
    use cloakroom::axum::SessionLayer;
    let (login, read, note, fail, logout, panics, unsaved) =
        handlers!(cloakroom, setup.store.clone());
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
        .route("/unsaved", get(unsaved))
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

fn actix_app(app: &mut web::ServiceConfig, setup: &Setup, sessions: &Sessions) {
    use cloakroom::actix::SessionMiddleware;
    let (login, read, note, fail, logout, panics, unsaved) =
        handlers!(cloakroom, setup.store.clone());
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
        .route("/unsaved", web::get().to(unsaved))
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

/// Every way to build the application with this handler.
async fn for_each(setup: Setup, check: impl AsyncFn(Client, &Setup, &str)) {
    for framework in Framework::ALL {
        for layers in [Layers::One, Layers::Two] {
            let setup = Setup { layers, store: Faulty::default(), ..setup.clone() };
            let (address, _serving) = setup.start(framework).await;
            let name = format!("{framework:?} {layers:?} {:?}", setup.handler);
            check(Client::new(address), &setup, &name).await;
        }
    }
}

async fn user(visitor: &mut Client) -> String {
    visitor.get("/read").await.text()
}

#[tokio::test]
async fn a_logout_takes_effect_if_the_handler_for_failures_panics() {
    for_each(Setup::new(Handler::Panics), async |mut visitor, _, name| {
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
async fn an_earned_cookie_survives_a_panic_of_the_handler_for_failures() {
    for_each(Setup::new(Handler::Panics), async |visitor, setup, name| {
        for path in ["/panics", "/unsaved", "/fail"] {
            let reply = visitor.clone().get(path).await;
            setup.store.set(|store| &store.fails_to_commit, false);
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
async fn changes_of_a_failed_request_are_discarded_whatever_its_handler_replies() {
    for status in [200, 303, 422, 500] {
        let setup = Setup::new(Handler::Replies(status));
        let setup = Setup { errors: ServerErrors::Discard, ..setup };
        for_each(setup, async |mut visitor, _, name| {
            visitor.get("/login").await;
            assert_eq!(visitor.get("/fail").await.status, status, "{name}");
            assert_eq!(user(&mut visitor).await, "1", "{name}");
        })
        .await;
    }
}

/// A timeout's status discards changes, because the handler was cut off. Here it was not.
#[tokio::test]
async fn a_timeout_that_the_handler_for_failures_replies_discards_nothing() {
    for_each(Setup::new(Handler::Replies(504)), async |mut visitor, _, name| {
        visitor.get("/login").await;
        assert_eq!(visitor.get("/fail").await.status, 504, "{name}");
        assert_eq!(user(&mut visitor).await, "2", "{name}");
    })
    .await;
}

/// A redirect shows no page, whatever it was made of.
#[tokio::test]
async fn flash_waits_for_the_page_if_the_handler_for_failures_redirects() {
    for (status, expected) in [(303, "welcome"), (200, "none")] {
        for_each(Setup::new(Handler::Replies(status)), async |mut visitor, _, name| {
            visitor.get("/login").await;
            assert_eq!(visitor.get("/fail").await.status, status, "{name}");
            assert_eq!(visitor.get("/note").await.text(), expected, "{name}");
        })
        .await;
    }
}

#[tokio::test]
async fn headers_of_a_replaced_body_do_not_describe_the_new_one() {
    for_each(Setup::new(Handler::Replies(418)), async |mut visitor, _, name| {
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
    for_each(Setup::new(Handler::Replies(418)), async |mut visitor, _, name| {
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
    use cloakroom::{Session, actix::SessionMiddleware};
    let guard = async |session: Session, _: ServiceRequest, _: Next<BoxBody>| {
        session.put("text", "no number")?;
        session.get::<u8>("text")?;
        Err::<ServiceResponse, actix_web::Error>(actix_web::error::ErrorNotFound("never"))
    };
    let sessions = Sessions::store(Faulty::default(), AppKeys::random());
    let sessions = sessions.server_errors(ServerErrors::Discard).build().unwrap();
    let inner = SessionMiddleware::new(sessions.clone())
        .on_failure(|problem| actix_response(Handler::Replies(200), problem));
    let app = App::new().wrap(from_fn(guard)).wrap(inner).wrap(SessionMiddleware::new(sessions));
    let app = test::init_service(app).await;
    let error = app.call(test::TestRequest::get().to_request()).await.unwrap_err();
    let response = error.error_response();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("set-cookie"), "what it put is discarded");
}
