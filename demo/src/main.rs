//! The guestbook: a small application that uses everything a session can do.
//!
//! `cargo run`, then open <http://127.0.0.1:3333>. `SESSION_DRIVER` chooses the driver.

mod account;
mod book;
mod devices;
mod guestbook;
mod inspector;
mod keys;
mod moments;
mod site;
mod startup;
mod theme;

use std::{process::ExitCode, sync::Arc};

use axum::{
    Router,
    http::header::CONTENT_TYPE,
    routing::{get, post},
};
use cloakroom::{
    RequireOwner, Sessions,
    axum::{CsrfLayer, SessionLayer},
};
use site::Site;

/// One line and exit code 2 for whatever keeps the demo from starting.
#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<(), String> {
    startup::log();
    let sessions = startup::sessions()?;
    let listener = startup::listen().await?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    println!("The guestbook is open at http://{address} (driver: {})", sessions.driver_name());
    let serving = axum::serve(listener, app(sessions)?).with_graceful_shutdown(startup::stopped());
    serving.await.map_err(|error| error.to_string())
}

fn app(sessions: Sessions) -> Result<Router, String> {
    let site = Site::new().map_err(|error| error.to_string())?;
    let metrics = startup::metrics()?;
    let signed_in = Router::new()
        .route("/account", get(account::show))
        .route("/devices", get(devices::show))
        .route("/devices/end", post(devices::end))
        .route("/devices/end-others", post(devices::end_others))
        .layer(RequireOwner::new().or_redirect("/sign-in"));
    Ok(Router::new()
        .route("/", get(book::show).post(book::sign))
        .route("/sign-in", get(account::sign_in_page).post(account::sign_in))
        .route("/sign-out", post(account::sign_out))
        .merge(signed_in)
        .route("/theme", post(theme::choose))
        .route("/inspector", get(inspector::show))
        .route("/metrics", get(async move || metrics.render()))
        .route("/style.css", get(async || ([(CONTENT_TYPE, "text/css")], site::STYLE)))
        .with_state(Arc::new(site))
        .layer(CsrfLayer::default())
        .layer(SessionLayer::new(sessions)))
}
