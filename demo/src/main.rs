//! The guestbook.
fn main() {}
