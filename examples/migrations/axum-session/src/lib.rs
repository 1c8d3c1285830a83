//! A shop that moves from `axum_session` to cloakroom. A diff of [`before`] and [`after`] shows what
//! changes.

pub mod after;
pub mod before;

/// The form that adds an item to the cart.
#[derive(Debug, serde::Deserialize)]
struct Item {
    item: String,
}
