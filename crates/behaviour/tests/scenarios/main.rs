//! The scenarios that every driver must pass, over HTTP.
//!
//! A scenario is written once and runs on every driver of [`DriverUnderTest::ALL`]; those that need
//! a server-side store run on these alone.

/// Runs scenarios over drivers: `every_driver! { name_of_scenario, … }` makes a test of each for
/// each driver, `server_side!` for each driver that keeps records on the server.
macro_rules! every_driver {
    ($($scenario:ident),* $(,)?) => {$(
        mod $scenario {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_cookie() {
                let driver = behaviour::server::DriverUnderTest::Cookie;
                super::$scenario(behaviour::server::Server::start(driver).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_memory() {
                let driver = behaviour::server::DriverUnderTest::Memory;
                super::$scenario(behaviour::server::Server::start(driver).await).await;
            }
        }
    )*};
}

/// See [`every_driver`].
macro_rules! server_side {
    ($($scenario:ident),* $(,)?) => {$(
        mod $scenario {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_memory() {
                let driver = behaviour::server::DriverUnderTest::Memory;
                super::$scenario(behaviour::server::Server::start(driver).await).await;
            }
        }
    )*};
}

mod concurrency;
mod contract;
mod cookies;
mod csrf;
mod faults;
mod flash;
mod lifecycle;
mod middleware;
mod redirects;
mod secrets;
mod tokens;
mod values;
