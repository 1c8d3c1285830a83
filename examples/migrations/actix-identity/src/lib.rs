//! A sign-in that moves from actix-identity and actix-session to cloakroom. A diff of [`before`] and
//! [`after`] shows what changes, and [`takeover`] keeps the users signed in.
//!
//! The sign-in page shows the error and the name after a failed attempt. A user who opens a page without
//! being signed in gets back to that page.

pub mod after;
pub mod before;
mod page;
pub mod takeover;

/// The form of the sign-in page.
#[derive(serde::Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

impl Credentials {
    /// Compares the name and the password with those of the only user.
    ///
    /// The password is in clear, to keep the example short. The example `passwords` of cloakroom has
    /// hashes.
    fn are_right(&self) -> bool {
        self.name == "virk" && self.password == "correct horse"
    }
}
