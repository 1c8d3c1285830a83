//! The contract of server-side drivers.

pub use crate::token::RecordKey;
