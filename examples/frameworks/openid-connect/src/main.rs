//! `OIDC_ISSUER=https://accounts.example.org OIDC_CLIENT_ID=… OIDC_CLIENT_SECRET=… cargo run -p openid-connect`

use cloakroom::{AppKeys, MemoryStore, Sessions, cookie::CookieSettings};
use openid_connect::{Provider, app};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let callback = "http://127.0.0.1:3000/callback";
    let (issuer, id) = (variable("OIDC_ISSUER")?, variable("OIDC_CLIENT_ID")?);
    let secret = variable("OIDC_CLIENT_SECRET")?;
    let provider = Provider::discover(&issuer, &id, &secret, callback).await?;
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random())
        .cookie_settings(CookieSettings::development())
        .sign_in_page("/sign-in")
        .build()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://127.0.0.1:3000");
    axum::serve(listener, app(sessions, provider)).await?;
    Ok(())
}
