//! Serves the application at <http://127.0.0.1:8080>.

use cloakroom::settings::Settings;

fn main() {
    dioxus::serve(|| async {
        let sessions = Settings::load_for_development(None)?.sessions()?;
        Ok(dioxus_app::app(&sessions))
    })
}
