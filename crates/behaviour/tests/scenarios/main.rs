//! The scenarios that every driver must pass, over HTTP.
//!
//! A scenario is written once and runs on every driver of [`DriverUnderTest::ALL`]; those that need
//! a server-side store run on these alone.

/// Makes a test of each scenario for each of these drivers.
macro_rules! on_drivers {
    ($($driver:ident)*; $($scenario:ident)*) => { $crate::each_scenario! { [$($driver)*] $($scenario)* } };
}

/// See [`on_drivers`].
macro_rules! each_scenario {
    ($drivers:tt $($scenario:ident)*) => {$( $crate::each_driver! { $scenario $drivers } )*};
}

/// See [`on_drivers`].
macro_rules! each_driver {
    ($scenario:ident [$($driver:ident)*]) => {
        mod $scenario {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[expect(non_snake_case, reason = "the driver's name as it is")]
            async fn $driver() {
                let driver = behaviour::server::DriverUnderTest::$driver;
                super::$scenario(behaviour::server::Server::start(driver).await).await;
            }
        )*}
    };
}

/// Runs scenarios on every driver: `every_driver! { name_of_scenario, … }`.
macro_rules! every_driver {
    ($($scenario:ident),* $(,)?) => { $crate::on_drivers! { Cookie Memory File Redis; $($scenario)* } };
}

/// Runs scenarios on every driver that keeps records on the server.
macro_rules! server_side {
    ($($scenario:ident),* $(,)?) => { $crate::on_drivers! { Memory File Redis; $($scenario)* } };
}

pub(crate) use {each_driver, each_scenario, on_drivers};

mod concurrency;
mod contract;
mod cookies;
mod csrf;
mod faults;
mod flash;
mod lifecycle;
mod middleware;
mod owners;
mod redirects;
mod tokens;
mod values;
