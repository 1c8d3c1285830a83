//! Sessions without HTTP: requests whose context a test drives itself, on stores that wait, fail or
//! are written by others.
#![allow(clippy::incompatible_msrv, reason = "tests run on the newest Rust")]

mod clear_site_data;
mod closures;
mod commit_deadline;
mod contention;
mod costs;
mod csrf_reading;
mod device_binding;
mod endings;
mod events;
mod flash;
mod keys;
mod late_requests;
mod limits;
mod no_change;
mod old_cookie;
mod owners;
mod previous_url;
mod reach;
mod reload;
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
