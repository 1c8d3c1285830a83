//! Serves the application at <http://127.0.0.1:3000>.

use cloakroom::settings::Settings;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::load_for_development(None)?;
    let sessions = settings.builder()?.sign_in_page(htmx_app::SIGN_IN_PAGE).build()?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://127.0.0.1:3000");
    Ok(axum::serve(listener, htmx_app::app(&sessions)).await?)
}
