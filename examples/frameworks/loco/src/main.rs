//! The command of the application: `cargo run -- start`, `cargo run -- doctor`.

use loco_app::{App, Migrator};

#[tokio::main]
async fn main() -> loco_rs::Result<()> {
    loco_rs::cli::main::<App, Migrator>().await
}
