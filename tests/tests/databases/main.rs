//! The database servers of the tests start, keep what they have, and end.

mod orphans;
mod postgres;
