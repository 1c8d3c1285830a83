//! The log line of a failed request: one, with the method and the path.

use actix_web::{
    App, HttpResponse,
    body::{BoxBody, to_bytes},
    dev::{Service, ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    test::{TestRequest, init_service},
    web,
};
use axum::{
    Router,
    body::Body,
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use cloakroom::{Error, Input, Session, adapter::Problem};
use cloakroom_tests::{
    local::LocalApp,
    log::Log,
    server::Framework,
    store::{Fault, Faults},
};
use futures_util::future::BoxFuture;
use http::StatusCode;
use http_body_util::BodyExt;
use serde::de::IgnoredAny;
use tower::ServiceExt;

/// The layers around the routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    Layer,
    /// Two layers for one cookie.
    TwoLayers,
    /// A layer with a handler for failures.
    Handler,
    /// A layer with a handler for failures that panics.
    PanickingHandler,
    /// Middleware between layer and handler that makes the responses.
    Middleware,
    Nothing,
}

async fn decode(session: Session) -> Result<String, Error> {
    session.put("text", "no number")?;
    Ok(session.get_or("text", 0)?.to_string())
}

async fn panics(session: Session) -> String {
    session.put("paid", true).unwrap();
    session.commit().await.unwrap();
    panic!("after the commit")
}

async fn caught(session: Result<Session, Problem>) -> String {
    session.is_ok().to_string()
}

async fn passed(_: Input<IgnoredAny>) -> &'static str {
    "passed"
}

type Reply = BoxFuture<'static, Result<&'static str, Error>>;

/// Makes a change that the store does not take.
fn unsaved(app: &LocalApp<Faults>) -> impl Fn(Session) -> Reply + Clone + use<> {
    let store = app.store.clone();
    move |session| {
        store.on_commit(Fault::Failed);
        Box::pin(async move { session.put("paid", true).map(|()| "never") })
    }
}

/// Signs out on a store that has failed, and panics.
fn logout(app: &LocalApp<Faults>) -> impl Fn(Session) -> Reply + Clone + use<> {
    let store = app.store.clone();
    move |session| {
        let store = store.clone();
        Box::pin(async move {
            session.put("user", 1)?;
            session.commit().await?;
            store.on_commit(Fault::Failed);
            session.destroy()?;
            panic!("after the logout")
        })
    }
}

fn axum_app(local: &LocalApp<Faults>, around: Around) -> Router {
    use cloakroom::axum::{CsrfLayer, SessionLayer};
    let app = Router::new()
        .route("/decode", get(decode))
        .route("/panics", get(panics))
        .route("/unsaved", get(unsaved(local)))
        .route("/logout", get(logout(local)))
        .route("/caught", get(caught))
        .route("/form", post(passed).layer(CsrfLayer::default()));
    let layer = SessionLayer::new(local.sessions.clone());
    let own = async |_: Response| (StatusCode::IM_A_TEAPOT, "own").into_response();
    match around {
        Around::Layer => app.layer(layer),
        Around::TwoLayers => app.layer(layer.clone()).layer(layer),
        Around::Handler => app.layer(layer.on_failure(|_| "own")),
        Around::PanickingHandler => {
            app.layer(layer.on_failure(|problem| -> &str { panic!("at {problem}") }))
        }
        Around::Middleware => app.layer(map_response(own)).layer(layer),
        Around::Nothing => app,
    }
}

async fn send_to_axum(local: &LocalApp<Faults>, around: Around, method: &str, path: &str) {
    let request = http::Request::builder().method(method).uri(format!("{path}?token=secret"));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let request = request.body(Body::from("a=b")).unwrap();
    let app = axum_app(local, around);
    // A panic ends its task, as on a server.
    let sent = tokio::task::LocalSet::new();
    let sent = sent.run_until(async {
        let reply = tokio::task::spawn_local(app.oneshot(request)).await;
        if let Ok(Ok(response)) = reply {
            drop(response.into_body().collect().await);
        }
    });
    sent.await;
}

async fn send_to_actix(local: &LocalApp<Faults>, around: Around, method: &str, path: &str) {
    use cloakroom::actix::{CsrfMiddleware, SessionMiddleware};
    let routes = web::scope("")
        .route("/decode", web::get().to(decode))
        .route("/panics", web::get().to(panics))
        .route("/unsaved", web::get().to(unsaved(local)))
        .route("/logout", web::get().to(logout(local)))
        .route("/caught", web::get().to(caught))
        .service(
            web::resource("/form").route(web::post().to(passed)).wrap(CsrfMiddleware::default()),
        );
    let layer = SessionMiddleware::new(local.sessions.clone());
    let own = async |request: ServiceRequest, next: Next<BoxBody>| {
        let response = next.call(request).await?;
        let (request, _) = response.into_parts();
        Ok::<_, actix_web::Error>(ServiceResponse::new(request, HttpResponse::ImATeapot().finish()))
    };
    let routes =
        match around {
            Around::Layer => web::scope("").service(routes.wrap(layer)),
            Around::TwoLayers => web::scope("").service(routes.wrap(layer.clone()).wrap(layer)),
            Around::Handler => web::scope("")
                .service(routes.wrap(layer.on_failure(|_| HttpResponse::Ok().finish()))),
            Around::PanickingHandler => web::scope("")
                .service(routes.wrap(layer.on_failure(|problem| panic!("at {problem}")))),
            Around::Middleware => web::scope("").service(routes.wrap(from_fn(own)).wrap(layer)),
            Around::Nothing => web::scope("").service(routes),
        };
    let app = init_service(App::new().service(routes)).await;
    let request = TestRequest::with_uri(&format!("{path}?token=secret"));
    let request = request.method(method.parse().unwrap()).set_payload("a=b");
    let request = request.insert_header(("content-type", "application/x-www-form-urlencoded"));
    let sent = tokio::task::LocalSet::new();
    let sent = sent.run_until(async {
        let reply = tokio::task::spawn_local(app.call(request.to_request())).await;
        match reply {
            Ok(Ok(response)) => drop(to_bytes(response.into_body()).await),
            Ok(Err(error)) => drop(error.error_response()),
            Err(_) => (),
        }
    });
    sent.await;
}

/// Sends one request to a new application, and returns the errors in the log.
async fn errors(framework: Framework, around: Around, method: &str, path: &str) -> Vec<String> {
    let local = LocalApp::faulty();
    if path == "/caught" {
        local.store.on_load(Fault::Unavailable);
    }
    let (log, _guard) = Log::of_this_thread();
    match framework {
        Framework::Axum => send_to_axum(&local, around, method, path).await,
        Framework::Actix => send_to_actix(&local, around, method, path).await,
    }
    log.lines("ERROR")
}

#[tokio::test]
async fn a_failure_is_logged_once_with_method_and_path() {
    let failures = [
        ("/decode", "the session value `text` is not of the type"),
        (
            "/unsaved",
            "the session could not be committed; the response is dropped: the session store \
             failed to commit the session: could not write the record: disk full",
        ),
        ("/panics", "the handler panicked after a commit"),
    ];
    for framework in Framework::ALL {
        for around in [Around::Layer, Around::TwoLayers, Around::Handler] {
            for (path, reason) in failures {
                let lines = errors(framework, around, "GET", path).await;
                let [line] = &lines[..] else {
                    panic!("{framework:?} {around:?} {path}: {lines:?}")
                };
                assert!(line.contains(reason), "{framework:?} {around:?}: {line}");
                let names = [r#"method="GET""#.to_owned(), format!("path=\"{path}\"")];
                assert!(names.iter().all(|name| line.contains(name)), "{framework:?}: {line}");
                assert!(!line.contains("secret"), "{framework:?}: {line}");
            }
        }
    }
}

/// The panic is one failure, whose response has the cookie of the commit before, and the logout is
/// another.
#[tokio::test]
async fn a_logout_that_fails_is_logged_beside_the_panic_after_it() {
    for framework in Framework::ALL {
        let lines = errors(framework, Around::Layer, "GET", "/logout").await;
        assert_eq!(lines.len(), 2, "{framework:?}: {lines:?}");
        assert!(lines[0].contains("the session could not be destroyed"), "{lines:?}");
        assert!(lines[1].contains("the handler panicked after a commit"), "{lines:?}");
        assert!(lines.iter().all(|line| line.contains(r#"path="/logout""#)), "{lines:?}");
    }
}

#[tokio::test]
async fn a_failure_that_no_layer_sees_is_logged_once_without_them() {
    for framework in Framework::ALL {
        let missing = errors(framework, Around::Nothing, "GET", "/decode").await;
        let swallowed = errors(framework, Around::Middleware, "GET", "/decode").await;
        for (lines, reason) in [(missing, "this route has no session"), (swallowed, "`text`")] {
            let [line] = &lines[..] else { panic!("{framework:?}: {lines:?}") };
            assert!(line.contains(reason) && !line.contains("path="), "{framework:?}: {line}");
        }
    }
}

#[tokio::test]
async fn refusals_and_handled_failures_are_no_errors_in_the_log() {
    for framework in Framework::ALL {
        for (method, path) in [("POST", "/form"), ("GET", "/caught")] {
            let lines = errors(framework, Around::Layer, method, path).await;
            assert!(lines.is_empty(), "{framework:?} {path}: {lines:?}");
        }
    }
}

#[tokio::test]
async fn a_panic_of_the_failure_handler_is_logged_beside_its_failure() {
    for framework in Framework::ALL {
        let lines = errors(framework, Around::PanickingHandler, "GET", "/decode").await;
        assert_eq!(lines.len(), 2, "{framework:?}: {lines:?}");
        assert!(lines.iter().all(|line| line.contains(r#"path="/decode""#)), "{lines:?}");
        assert!(lines[1].contains("the `on_failure` handler panicked"), "{lines:?}");
    }
}

/// An error that middleware of actix-web returns becomes a response further out.
#[actix_web::test]
async fn an_error_of_middleware_is_logged_once_with_method_and_path() {
    use cloakroom::actix::SessionMiddleware;
    let guard = async |session: Session, _: ServiceRequest, _: Next<BoxBody>| {
        session.put("text", "no number")?;
        session.get::<u8>("text")?;
        Err::<ServiceResponse, actix_web::Error>(actix_web::error::ErrorNotFound("never"))
    };
    let (log, _guard) = Log::of_this_thread();
    let layer = SessionMiddleware::new(LocalApp::new().sessions);
    let app = App::new().wrap(from_fn(guard)).wrap(layer.clone()).wrap(layer);
    let app = init_service(app).await;
    let error = app.call(TestRequest::get().uri("/a?b").to_request()).await.unwrap_err();
    let response = error.error_response();
    assert_eq!(response.status(), 500);
    drop(response);
    let lines = log.lines("ERROR");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(r#"path="/a""#), "{lines:?}");
}
