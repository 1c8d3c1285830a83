//! cloakroom sessions for axum.
