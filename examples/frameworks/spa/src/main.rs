//! Serves the API at <http://127.0.0.1:3000>.

use cloakroom::settings::Settings;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = Settings::load_for_development(None)?.sessions()?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://127.0.0.1:3000/api/session");
    Ok(axum::serve(listener, spa_app::app(&sessions)).await?)
}
