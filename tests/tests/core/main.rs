//! Sessions without HTTP: requests whose context a test drives itself, on stores that wait, fail or
//! are written by others.
#![allow(clippy::incompatible_msrv, reason = "tests run on the newest Rust")]

mod clear_site_data;
mod closures;
mod commit_deadline;
mod contention;
mod costs;
mod csrf_reading;
mod endings;
mod keys;
mod late_requests;
mod limits;
mod old_cookie;
mod owners;
mod reach;
mod retries;
mod schedules;
mod sealed_records;
mod several_values;
mod shared;
mod sign_in;
mod sign_ins;
mod takeovers;
mod testing;
mod turns;
mod waiting;
mod waiting_for_the_end;
