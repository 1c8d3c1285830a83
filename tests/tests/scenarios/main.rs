//! The scenarios that every framework and driver must pass, over HTTP.
//!
//! A scenario is written once and runs on every framework of [`Framework::ALL`] over every driver of
//! [`DriverUnderTest::ALL`]; those that need a server-side store run on these alone.

use cloakroom_tests::server::{DriverUnderTest, Framework, Server, Setup};

/// The server of one test.
async fn server(framework: Framework, driver: DriverUnderTest) -> Server {
    Server::start(Setup { framework, driver }).await
}

/// Makes tests of each scenario: each of these drivers, on each framework.
macro_rules! on_drivers {
    ($($driver:ident)*; $($scenario:ident)*) => { $crate::each_scenario! { [$($driver)*] $($scenario)* } };
}

/// See [`on_drivers`].
macro_rules! each_scenario {
    ($drivers:tt $($scenario:ident)*) => {$( $crate::each_framework! { $scenario $drivers } )*};
}

/// See [`on_drivers`].
macro_rules! each_framework {
    ($scenario:ident $drivers:tt) => {
        mod $scenario {
            $crate::each_driver! { $scenario axum Axum $drivers }
            $crate::each_driver! { $scenario actix Actix $drivers }
        }
    };
}

/// See [`on_drivers`].
macro_rules! each_driver {
    ($scenario:ident $module:ident $framework:ident [$($driver:ident)*]) => {
        mod $module {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[expect(non_snake_case, reason = "the driver's name as it is")]
            async fn $driver() {
                use cloakroom_tests::server::{DriverUnderTest, Framework};
                let server = $crate::server(Framework::$framework, DriverUnderTest::$driver).await;
                super::super::$scenario(server).await;
            }
        )*}
    };
}

/// Runs scenarios on every driver: `every_driver! { name_of_scenario, … }`.
macro_rules! every_driver {
    ($($scenario:ident),* $(,)?) => { $crate::on_drivers! { Cookie Memory File Redis Postgres MySql Sqlite; $($scenario)* } };
}

/// Runs scenarios on every driver that keeps records on the server.
macro_rules! server_side {
    ($($scenario:ident),* $(,)?) => { $crate::on_drivers! { Memory File Redis Postgres MySql Sqlite; $($scenario)* } };
}

pub(crate) use {each_driver, each_framework, each_scenario, on_drivers};

mod actix;
mod anonymous;
mod applications;
mod compressed_forms;
mod concurrency;
mod contract;
mod cookies;
mod csrf;
mod csrf_bodies;
mod csrf_fetch;
mod device_binding;
mod failure_log;
mod faults;
mod fields;
mod files;
mod flash;
mod http2;
mod input;
mod layers;
mod lifecycle;
mod limits;
mod middleware;
mod nesting;
mod on_failure;
mod overlaps;
mod owners;
mod polls;
mod redirects;
mod responses;
mod schedules;
mod sealed_records;
mod show_errors;
mod sign_in;
mod tokens;
mod two_sessions;
mod values;
