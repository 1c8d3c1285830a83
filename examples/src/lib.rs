//! The two functions that the examples share. Each example is one file beside this folder:
//! `cargo run -p cloakroom-examples --example NAME`.

use axum::Router;
use cloakroom::{AppKeys, MemoryStore, Sessions, cookie::CookieSettings};

/// Returns sessions in memory, with cookies for plain http on localhost.
///
/// # Panics
/// Never: the development settings are valid.
pub fn sessions() -> Sessions {
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build();
    sessions.unwrap_or_else(|error| panic!("the development settings are valid: {error}"))
}

/// Serves an application at <http://127.0.0.1:3000> until the process ends.
///
/// # Errors
/// When the port is taken.
pub async fn serve(app: Router) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://127.0.0.1:3000");
    axum::serve(listener, app).await
}
