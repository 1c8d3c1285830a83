//! A shop that moves from tower-sessions to cloakroom. A diff of [`before`] and [`after`] shows what
//! changes in the code, and [`takeover`] keeps the sessions of the visitors.

pub mod after;
pub mod before;
pub mod takeover;

/// The form that adds an item to the cart.
#[derive(Debug, serde::Deserialize)]
struct Item {
    item: String,
}
