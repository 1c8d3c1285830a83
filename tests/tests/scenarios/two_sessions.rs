//! Layers for different cookies around one route: what happens to one session if the other fails.

use std::net::SocketAddr;

use actix_web::{
    HttpResponse,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    web,
};
use axum::{Router, response::IntoResponse, routing::get};
use cloakroom::{
    CookieName, Error, NamedSession, Session, SessionsBuilder, actix::SessionMiddleware,
    adapter::Problem, axum::SessionLayer, cookie::CookieSettings,
};
use cloakroom_tests::{
    browser::{Browser, Reply},
    local::LocalApp,
    server::{Framework, Serving, serve, serve_actix},
    store::{Fault, Faults},
};

struct Shop;

impl CookieName for Shop {
    const COOKIE_NAME: &'static str = "shop";
}

type ShopSession = NamedSession<Shop>;

fn app(cookie: &str) -> LocalApp<Faults> {
    let name = cookie.to_owned();
    LocalApp::with(Faults::default(), |builder: SessionsBuilder| {
        builder.cookie_settings(CookieSettings { name, ..CookieSettings::development() })
    })
}

/// An application with a layer for the shop around one for its administration.
#[derive(Clone)]
struct Setup {
    shop: LocalApp<Faults>,
    admin: LocalApp<Faults>,
    on_failure: OnFailure,
}

/// The handler for failures of the layer for the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnFailure {
    Default,
    Replies,
}

async fn sign_in(admin: Session, shop: ShopSession) -> Result<&'static str, Error> {
    admin.put("user", 1)?;
    admin.regenerate()?;
    shop.put("items", 3)?;
    shop.increment("sign_ins")?;
    shop.put("text", "no number")?;
    Ok("in")
}

async fn read(admin: Session, shop: ShopSession) -> Result<String, Error> {
    Ok(format!("{} {}", admin.get_or("user", 0)?, shop.get_or("items", 0)?))
}

async fn change_and_panic(admin: Session, shop: ShopSession) -> String {
    shop.put("items", 4).unwrap();
    admin.regenerate().unwrap();
    admin.commit().await.unwrap();
    panic!("between the steps");
}

async fn sign_out_and_panic(admin: Session, shop: ShopSession) -> String {
    shop.destroy().unwrap();
    change_and_panic(admin, shop).await
}

async fn fail(admin: Session, shop: ShopSession) -> Result<String, Error> {
    admin.regenerate()?;
    Ok(shop.get_or("text", 0)?.to_string())
}

/// Changes both sessions in middleware, and fails there.
async fn guard(
    admin: Session,
    shop: ShopSession,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    match request.path() {
        "/guarded" => {
            sign_in(admin, shop).await?;
            Err(actix_web::error::ErrorTooManyRequests("wait a minute"))
        }
        "/fail" => {
            fail(admin, shop).await?;
            next.call(request).await
        }
        _ => next.call(request).await,
    }
}

impl Setup {
    fn new(on_failure: OnFailure) -> Self {
        Self { shop: app("shop"), admin: app("admin"), on_failure }
    }

    async fn start(&self, framework: Framework) -> (SocketAddr, Serving) {
        let setup = self.clone();
        match framework {
            Framework::Axum => serve(setup.axum()).await,
            Framework::Actix => serve_actix(move |app| setup.actix(app)),
        }
    }

    fn axum(&self) -> Router {
        let shop = SessionLayer::new(self.shop.sessions.clone());
        let shop = match self.on_failure {
            OnFailure::Default => shop,
            OnFailure::Replies => shop
                .on_failure(|_: &Problem| (http::StatusCode::IM_A_TEAPOT, "sorry").into_response()),
        };
        Router::new()
            .route("/sign-in", get(sign_in))
            .route("/guarded", get(sign_in))
            .route("/read", get(read))
            .route("/panic", get(change_and_panic))
            .route("/sign-out", get(sign_out_and_panic))
            .route("/fail", get(fail))
            .layer(SessionLayer::new(self.admin.sessions.clone()))
            .layer(shop)
    }

    fn actix(&self, app: &mut web::ServiceConfig) {
        let shop = SessionMiddleware::new(self.shop.sessions.clone());
        let shop = match self.on_failure {
            OnFailure::Default => shop,
            OnFailure::Replies => {
                shop.on_failure(|_: &Problem| HttpResponse::ImATeapot().body("sorry"))
            }
        };
        let routes = web::scope("")
            .route("/sign-in", web::get().to(sign_in))
            .route("/guarded", web::get().to(async || "never"))
            .route("/read", web::get().to(read))
            .route("/panic", web::get().to(change_and_panic))
            .route("/sign-out", web::get().to(sign_out_and_panic))
            .route("/fail", web::get().to(async || "never"));
        let routes = routes.wrap(from_fn(guard));
        let routes = routes.wrap(SessionMiddleware::new(self.admin.sessions.clone()));
        app.service(routes.wrap(shop));
    }
}

/// Checks a visitor who has both sessions, on each framework, with and without a handler for failures.
async fn for_each(check: impl AsyncFn(Browser, &Setup, &str)) {
    for framework in Framework::ALL {
        for on_failure in [OnFailure::Default, OnFailure::Replies] {
            let setup = Setup::new(on_failure);
            let (address, _serving) = setup.start(framework).await;
            let mut visitor = Browser::new(address);
            assert_eq!(visitor.get("/sign-in").await.set_cookies().len(), 2);
            check(visitor, &setup, &format!("{framework:?} {on_failure:?}")).await;
        }
    }
}

fn status(setup: &Setup, status: u16) -> u16 {
    if setup.on_failure == OnFailure::Replies { 418 } else { status }
}

fn set_cookie_names(reply: &Reply) -> Vec<String> {
    let lines = reply.set_cookies().into_iter();
    lines.map(|line| line.split('=').next().unwrap().to_owned()).collect()
}

/// The old token is a tombstone, so the login would be lost without the cookie.
#[tokio::test]
async fn a_failed_commit_keeps_the_cookies_of_layers_inside() {
    for_each(async |mut visitor, setup, name| {
        for path in ["/sign-in", "/guarded"] {
            setup.shop.store.on_commit(Fault::Unavailable);
            let reply = visitor.get(path).await;
            setup.shop.store.on_commit(Fault::None);
            assert_eq!(reply.status, status(setup, 503), "{name} {path}");
            assert_eq!(set_cookie_names(&reply), ["admin"], "{name} {path}");
            assert_eq!(visitor.get("/read").await.text(), "1 3", "{name} {path}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_panic_behind_a_layer_inside_changes_no_outer_session() {
    for_each(async |mut visitor, setup, name| {
        let reply = visitor.get("/panic").await;
        assert_eq!(reply.status, status(setup, 500), "{name}");
        assert_eq!(set_cookie_names(&reply), ["admin"], "{name}");
        assert_eq!(visitor.get("/read").await.text(), "1 3", "{name}");
        let mut before = visitor.clone();
        visitor.get("/sign-out").await;
        assert_eq!(visitor.jar.names().collect::<Vec<_>>(), ["admin"], "{name}");
        assert_eq!(before.get("/read").await.text(), "0 0", "{name}");
    })
    .await;
}

#[tokio::test]
async fn an_outer_failure_handler_sees_the_failures_of_layers_inside() {
    for_each(async |mut visitor, setup, name| {
        let reply = visitor.get("/fail").await;
        assert_eq!(reply.status, status(setup, 500), "{name}");
        assert_eq!(set_cookie_names(&reply), ["admin"], "{name}");
        let expected = if setup.on_failure == OnFailure::Replies { "sorry" } else { "" };
        assert_eq!(reply.text(), expected, "{name}");
    })
    .await;
}

/// Middleware of the application may look at an error's response before the server does.
#[actix_web::test]
async fn the_response_to_an_error_of_middleware_can_be_made_twice() {
    use actix_web::{App, body::to_bytes, dev::Service, test};
    for (path, fault) in [("/fail", Fault::None), ("/guarded", Fault::Failed)] {
        let setup = Setup::new(OnFailure::Replies);
        let app = test::init_service(App::new().configure(|app| setup.actix(app))).await;
        let request = test::TestRequest::with_uri("/sign-in").to_request();
        let signed_in = app.call(request).await.unwrap();
        let lines = signed_in.headers().get_all("set-cookie");
        let pair = |line: &str| line.split(';').next().unwrap().to_owned();
        let cookies: Vec<_> = lines.map(|line| pair(line.to_str().unwrap())).collect();
        let request =
            test::TestRequest::with_uri(path).insert_header(("cookie", cookies.join("; ")));
        setup.shop.store.on_commit(fault);
        let error = app.call(request.to_request()).await.unwrap_err();
        for response in [error.error_response(), error.error_response()] {
            assert_eq!(response.status(), 418, "{path}");
            assert_eq!(response.headers().get_all("set-cookie").count(), 1, "{path}");
            assert_eq!(to_bytes(response.into_body()).await.unwrap(), "sorry", "{path}");
        }
    }
}

/// A layer leaves its session to the outermost one for the same cookie, also if that is not the next one.
#[tokio::test]
async fn a_layer_preloads_its_own_session_through_another_one() {
    for framework in Framework::ALL {
        let (shop, admin) = (app("shop"), app("admin"));
        let (sessions, other) = (shop.sessions.clone(), admin.sessions.clone());
        let (address, _serving) = match framework {
            Framework::Axum => {
                let route = Router::new().route("/", get(async |shop: ShopSession| touch(&shop)));
                let inner = route.layer(SessionLayer::new(sessions.clone()).preload());
                serve(inner.layer(SessionLayer::new(other)).layer(SessionLayer::new(sessions)))
                    .await
            }
            Framework::Actix => serve_actix(move |app| {
                let route = web::get().to(async |shop: ShopSession| touch(&shop));
                let inner = web::scope("").route("/", route);
                let inner = inner.wrap(SessionMiddleware::new(sessions.clone()).preload());
                let inner = inner.wrap(SessionMiddleware::new(other.clone()));
                app.service(inner.wrap(SessionMiddleware::new(sessions.clone())));
            }),
        };
        let mut visitor = Browser::new(address);
        let reply = visitor.get("/").await;
        assert_eq!(set_cookie_names(&reply), ["shop"], "{framework:?}");
        visitor.jar.take("admin=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA; Path=/");
        visitor.get("/").await;
        assert_eq!(shop.store.count("load"), 1, "{framework:?}");
        assert_eq!(admin.store.calls(), Vec::<&str>::new(), "{framework:?}");
    }
}

fn touch(shop: &Session) -> String {
    shop.increment("n").unwrap().to_string()
}
