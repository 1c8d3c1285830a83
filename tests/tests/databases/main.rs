//! The database servers of the tests start, keep what they have, and end.

mod mariadb;
mod orphans;
mod pgbouncer;
mod postgres;
