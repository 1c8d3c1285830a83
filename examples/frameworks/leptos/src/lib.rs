//! A note on Leptos: the session in server functions, and in a page that is streamed.
//!
//! Everything runs on the server. The forms work without a script, and a client that is built for the
//! browser calls the same functions.

mod functions;
mod pages;

use axum::Router;
use cloakroom::{
    Sessions,
    axum::{CsrfLayer, SessionLayer},
    csrf::CsrfPolicy,
};
use leptos::config::LeptosOptions;
use leptos_axum::{LeptosRoutes, generate_route_list};

/// Returns the application: its pages, and its server functions at `/api`.
///
/// Server functions send no CSRF token, so the headers of the browser prove the sender. A page loads its
/// session before it is rendered ([`SessionLayer::preload`]), because Leptos sends the head of a response
/// before the content of a `<Suspense>`.
pub fn app(sessions: &Sessions) -> Router {
    let options = LeptosOptions::builder().output_name("leptos-app").build();
    Router::new()
        .leptos_routes(&options, generate_route_list(pages::Pages), pages::shell)
        .layer(CsrfLayer::new(CsrfPolicy::fetch_metadata()))
        .layer(SessionLayer::new(sessions.clone()).preload())
        .with_state(options)
}
