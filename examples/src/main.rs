//! Ways of use, a page each. `cargo run -p ways -- NAME`, then open <http://127.0.0.1:3000>; each
//! has its tests at the end of its page.

mod background_task;
mod bearer_token;
mod custom_store;
mod forms;
mod remember_me;
mod server_sent_events;
mod several_sessions;
mod step_up;
mod templates;
mod websocket;

use std::process::ExitCode;

use axum::Router;
use cloakroom::{AppKeys, MemoryStore, Sessions, cookie::CookieSettings};

type Example = fn(&Sessions) -> Router;

const EXAMPLES: [(&str, Example); 10] = [
    ("background_task", background_task::app),
    ("bearer_token", bearer_token::app),
    ("custom_store", custom_store::app),
    ("forms", forms::app),
    ("remember_me", remember_me::app),
    ("server_sent_events", server_sent_events::app),
    ("several_sessions", several_sessions::app),
    ("step_up", step_up::app),
    ("templates", templates::app),
    ("websocket", websocket::app),
];

/// Sessions in memory, for plain http on localhost.
fn sessions() -> Sessions {
    let sessions = Sessions::store(MemoryStore::new(), AppKeys::random());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build();
    sessions.unwrap_or_else(|error| panic!("the development settings are valid: {error}"))
}

#[tokio::main]
async fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let Some((_, app)) = EXAMPLES.iter().find(|(name, _)| *name == wanted) else {
        let names = EXAMPLES.map(|(name, _)| name).join(" ");
        eprintln!("which one? cargo run -p ways -- NAME, of: {names}");
        return ExitCode::from(2);
    };
    let serving = async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
        println!("{wanted}: http://127.0.0.1:3000");
        axum::serve(listener, app(&sessions())).await
    };
    match serving.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("127.0.0.1:3000: {error}");
            ExitCode::FAILURE
        }
    }
}
