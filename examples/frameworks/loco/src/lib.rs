//! A note on Loco: sessions in the application's database, by an initializer.

mod app;
mod controllers;
mod initializers;
mod migration;

pub use app::App;
pub use initializers::SessionInitializer;
pub use migration::Migrator;
