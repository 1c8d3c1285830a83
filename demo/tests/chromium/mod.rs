//! Headless Chromium, driven through ChromeDriver.

use std::process::Command;

use cloakroom_tests::running::Running;
use thirtyfour::prelude::*;

const INSTALL: &str = "the browser tests need Chromium and ChromeDriver: \
                       apt-get install chromium chromium-driver";

/// Starts a browser. It ends with the driver.
pub(crate) async fn start() -> (WebDriver, Running) {
    let (chromedriver, port) = start_chromedriver();
    let mut options = DesiredCapabilities::chrome();
    for argument in [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--window-size=900,1100",
    ] {
        options.add_arg(argument).unwrap();
    }
    let browser = WebDriver::new(format!("http://127.0.0.1:{port}"), options).await;
    (browser.unwrap_or_else(|error| panic!("{error}; {INSTALL}")), chromedriver)
}

/// ChromeDriver on a free port, which it tells.
fn start_chromedriver() -> (Running, u16) {
    let there = Command::new("chromedriver").arg("--version").output();
    assert!(there.is_ok(), "{INSTALL}");
    let mut chromedriver = Command::new("chromedriver");
    chromedriver.arg("--port=0");
    Running::start_until(chromedriver, |line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    })
}
