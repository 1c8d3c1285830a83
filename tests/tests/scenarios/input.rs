//! Forms as handlers take them: `Input`, and `JsonInput` for JSON alone.

use std::net::SocketAddr;

use actix_web::web;
use axum::{
    Router,
    response::IntoResponse,
    routing::{get, post},
};
use cloakroom::{Error, Input, JsonInput, Session, Sessions};
use cloakroom_tests::{
    browser::{Browser, Reply, Sent},
    local::LocalApp,
    server::{Framework, Serving, serve, serve_actix},
    store::Fault,
};
use http::HeaderValue;
use serde_json::{Value, json};

#[derive(serde::Deserialize)]
struct Order {
    quantity: u8,
}

fn check(order: &Order) -> Result<(), [(&'static str, &'static str); 1]> {
    if order.quantity == 0 { Err([("quantity", "must not be 0")]) } else { Ok(()) }
}

/// A form that takes no unknown fields.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictOrder {
    quantity: u8,
}

async fn strict_order(input: Input<StrictOrder>) -> Result<String, Error> {
    Ok(input.valid()?.quantity.to_string())
}

async fn json_order(input: JsonInput<Order>) -> Result<String, Error> {
    Ok(input.check(check)?.quantity.to_string())
}

async fn form_order(input: Input<Order>) -> Result<String, Error> {
    Ok(input.check(check)?.quantity.to_string())
}

/// Drops the error, and replies itself.
async fn dropped_error(input: Input<Order>) -> String {
    match input.check(check) {
        Ok(order) => order.quantity.to_string(),
        Err(error) => error.code().to_owned(),
    }
}

/// Makes the response to the error twice.
async fn axum_twice(input: Input<Order>) -> axum::response::Response {
    let Err(error) = input.check(check) else { return "ordered".into_response() };
    drop(error.clone().into_response());
    error.into_response()
}

async fn actix_twice(input: Input<Order>) -> actix_web::HttpResponse {
    use actix_web::ResponseError;
    let Err(error) = input.check(check) else { return actix_web::HttpResponse::Ok().finish() };
    drop(error.error_response());
    error.error_response()
}

/// Shows the flash that waits.
async fn flash(session: Session) -> String {
    let view = session.view();
    format!("{} {}", view.old("quantity", "-"), view.get_error_for("quantity").unwrap_or_default())
}

async fn start(framework: Framework, sessions: Sessions) -> (SocketAddr, Serving) {
    match framework {
        Framework::Axum => {
            let app = Router::new()
                .route("/json", post(json_order))
                .route("/form", post(form_order))
                .route("/strict", post(strict_order))
                .route("/dropped", post(dropped_error))
                .route("/twice", post(axum_twice))
                .route("/flash", get(flash));
            serve(app.layer(cloakroom::axum::SessionLayer::new(sessions))).await
        }
        Framework::Actix => serve_actix(move |app| {
            let routes = web::scope("")
                .route("/json", web::post().to(json_order))
                .route("/form", web::post().to(form_order))
                .route("/strict", web::post().to(strict_order))
                .route("/dropped", web::post().to(dropped_error))
                .route("/twice", web::post().to(actix_twice))
                .route("/flash", web::get().to(flash));
            app.service(routes.wrap(cloakroom::actix::SessionMiddleware::new(sessions.clone())));
        }),
    }
}

fn json_body(body: &str) -> Sent {
    Sent::body("application/json", body.as_bytes())
}

fn errors(reply: &Reply) -> Value {
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert_eq!(reply.headers["content-type"], "application/json");
    serde_json::from_slice::<Value>(&reply.body).unwrap()["errors"].take()
}

#[tokio::test]
async fn a_json_route_refuses_what_a_page_of_another_site_can_send() {
    let multipart =
        "--b\r\ncontent-disposition: form-data; name=\"quantity\"\r\n\r\n3\r\n--b--\r\n";
    let bodies = [
        Sent::form("quantity=3"),
        Sent::body("multipart/form-data; boundary=b", multipart.as_bytes()),
        Sent::body("text/plain", br#"{"quantity":3}"#),
        Sent { headers: <_>::default(), ..json_body(r#"{"quantity":3}"#) },
    ];
    for framework in Framework::ALL {
        let (address, _serving) = start(framework, LocalApp::new().sessions).await;
        for sent in &bodies {
            let mut visitor = Browser::new(address);
            let refused = visitor.send("/json", sent.clone()).await;
            assert_eq!(refused.status, 415, "{framework:?} {sent:?}");
            assert!(refused.set_cookies().is_empty());
        }
        for sent in &bodies[..2] {
            let accepted = Browser::new(address).send("/form", sent.clone()).await;
            assert_eq!(accepted.text(), "3", "{framework:?}: `Input` accepts it");
        }
    }
}

#[tokio::test]
async fn a_content_type_beyond_ascii_names_what_it_names_to_the_csrf_layer() {
    // Parameters in UTF-8 and in Latin-1.
    for parameter in [&b"; by=\xc3\xa9"[..], b"; by=\"\xe9\""] {
        let sent = |media_type: &str, body: &str| {
            let mut sent = Sent::body(media_type, body.as_bytes());
            let content_type = [media_type.as_bytes(), parameter].concat();
            let content_type = HeaderValue::from_bytes(&content_type).unwrap();
            sent.headers.insert("content-type", content_type);
            sent
        };
        let form = sent("application/x-www-form-urlencoded", "quantity=3");
        let json = sent("application/json", r#"{"quantity":3}"#);
        for framework in Framework::ALL {
            let (address, _serving) = start(framework, LocalApp::new().sessions).await;
            for (route, sent) in [("/form", &form), ("/form", &json), ("/json", &json)] {
                let reply = Browser::new(address).send(route, sent.clone()).await;
                assert_eq!(reply.text(), "3", "{framework:?} {route}");
            }
        }
    }
}

#[tokio::test]
async fn a_json_route_accepts_json_and_replies_with_errors_by_field() {
    for framework in Framework::ALL {
        // Not even loading is possible, and none is needed.
        let app = LocalApp::faulty();
        app.store.on_load(Fault::Unavailable);
        let (address, _serving) = start(framework, app.sessions).await;
        let mut visitor = Browser::new(address);
        let mut send = async |body: &str| visitor.send("/json", json_body(body)).await;
        let accepted = send(r#"{"quantity":3}"#).await;
        assert_eq!((accepted.status.as_u16(), accepted.text().as_str()), (200, "3"));
        assert_eq!(
            errors(&send(r#"{"quantity":0}"#).await),
            json!({"quantity": ["must not be 0"]})
        );
        let range = json!({"quantity": ["must be a whole number from 0 to 255"]});
        assert_eq!(errors(&send(r#"{"quantity":300}"#).await), range, "{framework:?}");
        assert_eq!(errors(&send("{}").await), json!({"quantity": ["is required"]}));
        assert_eq!(send("{").await.status, 400, "{framework:?}: this is not JSON");
    }
}

#[tokio::test]
async fn a_form_without_unknown_fields_may_have_the_csrf_field() {
    for framework in Framework::ALL {
        let (address, _serving) = start(framework, LocalApp::new().sessions).await;
        let mut visitor = Browser::new(address);
        let accepted = visitor.send("/strict", Sent::form("_csrf=x&quantity=3")).await;
        assert_eq!(accepted.text(), "3", "{framework:?}");
        let refused = Sent::form("_csrf=x&colour=red&quantity=3").and("accept", "application/json");
        let refused = errors(&visitor.send("/strict", refused).await);
        assert_eq!(refused, json!({"colour": ["is unknown; known are: quantity"]}));
    }
}

/// `check` writes the flash, and nothing does afterwards: neither a second response nor none.
#[tokio::test]
async fn rendering_an_error_leaves_the_session_as_the_check_left_it() {
    for framework in Framework::ALL {
        let (address, _serving) = start(framework, LocalApp::new().sessions).await;
        for (path, status) in [("/form", 303), ("/twice", 303), ("/dropped", 200)] {
            let mut visitor = Browser::new(address);
            let page = Sent::form("quantity=0").and("accept", "text/html");
            let page = page.and("sec-fetch-mode", "cors");
            let reply = visitor.send(path, page).await;
            assert_eq!(reply.status, status, "{framework:?} {path}");
            let shown = visitor.get("/flash").await.text();
            assert_eq!(shown, "0 must not be 0", "{framework:?} {path}");
            assert_eq!(visitor.get("/flash").await.text(), "- ", "{framework:?} {path}");
        }
    }
}
