//! The demo's two stories in a real browser: headless Chromium, driven through ChromeDriver.
//!
//! Screenshots are left under `target/screenshots`.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod chromium;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use cloakroom_tests::running::Running;
use thirtyfour::prelude::*;

/// Chromium under ChromeDriver, and the demo for it to look at.
struct Stage {
    browser: WebDriver,
    address: String,
    _chromedriver: Running,
    _demo: Running,
}

impl Stage {
    async fn set(driver: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(driver);
        // What an earlier run left there would be seen among this one's sessions.
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).unwrap();
        let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
        demo.current_dir(&folder).env("PORT", "0").env("SESSION_DRIVER", driver);
        let (demo, address) = Running::start(demo);
        let (browser, chromedriver) = chromium::start().await;
        let address = format!("http://{address}");
        Self { browser, address, _chromedriver: chromedriver, _demo: demo }
    }

    async fn open(&self, path: &str) {
        self.browser.goto(format!("{}{path}", self.address)).await.unwrap();
    }

    /// Waits for the element: a click returns before the next page is there.
    async fn find(&self, selector: &str) -> WebElement {
        let found = self.browser.query(By::Css(selector)).first().await;
        found.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }

    async fn text(&self, selector: &str) -> String {
        self.find(selector).await.text().await.unwrap()
    }

    async fn is_absent(&self, selector: &str) -> bool {
        self.browser.find_all(By::Css(selector)).await.unwrap().is_empty()
    }

    async fn fill(&self, selector: &str, text: &str) {
        let field = self.find(selector).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    async fn click(&self, selector: &str) {
        self.find(selector).await.click().await.unwrap();
    }

    async fn screenshot(&self, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        self.browser.screenshot(&folder.join(name)).await.unwrap();
    }

    async fn strike(self) {
        drop(self.browser.quit().await);
    }
}

/// The first story: an invalid entry comes back with old input and errors, once; a valid one is
/// thanked for, once.
async fn sign_the_book(stage: &Stage, driver: &str) {
    stage.open("/").await;
    assert!(stage.text("#visits").await.contains("first visit"));
    stage.fill("#name", "Virk <b>").await;
    stage.fill("#message", "Hi").await;
    stage.screenshot(&format!("{driver}-form.png")).await;
    stage.click("#send").await;
    assert_eq!(stage.text("#message-error").await, "Please write three characters or more.");
    let message = stage.find("#message").await;
    assert_eq!(message.prop("value").await.unwrap().as_deref(), Some("Hi"), "old input");
    assert_eq!(message.attr("aria-invalid").await.unwrap().as_deref(), Some("true"));
    assert_eq!(message.attr("aria-describedby").await.unwrap().as_deref(), Some("message-error"));
    let name = stage.find("#name").await;
    assert_eq!(name.prop("value").await.unwrap().as_deref(), Some("Virk <b>"));
    stage.screenshot(&format!("{driver}-errors.png")).await;

    stage.open("/").await;
    assert!(stage.is_absent(".error").await, "errors are shown once");
    stage.fill("#name", "Virk").await;
    stage.fill("#message", "It works without JavaScript.").await;
    stage.click("#send").await;
    stage.find(".entries").await;
    assert_eq!(stage.text(".notice").await, "Thank you, Virk!");
    assert!(stage.text(".entries").await.contains("It works without JavaScript."));
    stage.screenshot(&format!("{driver}-signed.png")).await;
    stage.open("/").await;
    assert!(stage.is_absent(".notice").await, "the message is shown once");
}

/// The second story: the account asks for a sign-in, leads back to it, and the goodbye is said.
async fn sign_in_and_out(stage: &Stage, driver: &str) {
    stage.open("/account").await;
    assert_eq!(stage.text(".notice").await, "Please sign in to see that page.");
    stage.fill("#username", "virk").await;
    stage.fill("#password", "wrong").await;
    stage.click("#sign-in").await;
    assert_eq!(stage.text("#password-error").await, "That is not the password.");
    let value = async |selector| stage.find(selector).await.prop("value").await.unwrap();
    assert_eq!(value("#username").await.as_deref(), Some("virk"));
    assert_eq!(value("#password").await.as_deref(), Some(""), "a password is never given back");
    let before = stage.browser.get_named_cookie("session").await.unwrap().value;
    stage.fill("#password", "guest").await;
    stage.click("#sign-in").await;
    assert_eq!(stage.text("#who").await, "You are signed in as virk.");
    assert_eq!(stage.browser.current_url().await.unwrap().path(), "/account", "the intended page");
    let after = stage.browser.get_named_cookie("session").await.unwrap();
    assert_ne!(after.value, before, "a new token");
    // The browser makes no registration over plain http.
    let device = stage.text("#device").await;
    assert!(device.starts_with("Your session is not bound to this device"), "{device}");
    stage.screenshot(&format!("{driver}-account.png")).await;

    stage.click("header form[action='/theme'] button").await;
    stage.find("html[data-theme='dark']").await;
    stage.open("/inspector").await;
    assert!(stage.text("#values").await.contains("\"theme\": \"dark\""));
    stage.screenshot(&format!("{driver}-inspector.png")).await;
    stage.open("/metrics").await;
    let counted = stage.text("body").await;
    assert!(counted.contains("cloakroom_commits_total{"), "{counted}");
    stage.open("/inspector").await;

    stage.click("#sign-out").await;
    stage.find("#visits").await;
    assert_eq!(stage.text(".notice").await, "You are signed out. Goodbye!");
    assert!(stage.is_absent("#sign-out").await);
    stage.screenshot(&format!("{driver}-goodbye.png")).await;
}

/// Signed in twice, as from two devices: the list shows both, and one ends the other.
async fn sign_out_elsewhere(stage: &Stage, driver: &str) {
    sign_in(stage).await;
    let elsewhere = stage.browser.get_named_cookie("session").await.unwrap();
    stage.browser.delete_all_cookies().await.unwrap();
    sign_in(stage).await;
    stage.open("/devices").await;
    if driver == "cookie" {
        assert!(stage.text("#unsupported").await.contains("SESSION_DRIVER=file"));
        return;
    }
    stage.find("#devices li.current").await;
    assert_eq!(stage.browser.find_all(By::Css("#devices li")).await.unwrap().len(), 2);
    stage.screenshot(&format!("{driver}-devices.png")).await;
    stage.click("#devices button.end").await;
    stage.find(".notice").await;
    assert_eq!(stage.text(".notice").await, "Signed out there.");
    assert_eq!(stage.browser.find_all(By::Css("#devices li")).await.unwrap().len(), 1);
    stage.browser.delete_all_cookies().await.unwrap();
    stage.browser.add_cookie(elsewhere).await.unwrap();
    stage.open("/").await;
    assert!(stage.is_absent("#sign-out").await, "the other device is signed out");
}

async fn sign_in(stage: &Stage) {
    stage.open("/sign-in").await;
    stage.fill("[name='username']", "virk").await;
    stage.fill("[name='password']", "guest").await;
    stage.click("main form button").await;
    stage.find("#who").await;
}

async fn tell(driver: &str) {
    let stage = Stage::set(driver).await;
    sign_the_book(&stage, driver).await;
    sign_in_and_out(&stage, driver).await;
    sign_out_elsewhere(&stage, driver).await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stories_hold_on_the_cookie_driver() {
    tell("cookie").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stories_hold_on_the_file_driver() {
    tell("file").await;
}

#[test]
fn a_failed_start_of_the_demo_is_one_line_and_exit_code_2() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = [
        (("PORT", port.as_str()), "is in use"),
        (("PORT", "http"), "is no port"),
        (("SESSION_IDLE_TIMEOUT", "soon"), "SESSION_IDLE_TIMEOUT"),
        (("SESSION_DRIVER", "punchcards"), "SESSION_DRIVER"),
        (("APP_KEY", "secret"), "APP_KEY"),
    ];
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("refused");
    std::fs::create_dir_all(&folder).unwrap();
    for ((name, value), said) in refused {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
        let output = demo.current_dir(&folder).env(name, value).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(said) && error.lines().count() == 1, "{error}");
    }
}

#[cfg(unix)]
#[test]
fn the_key_it_makes_is_for_its_user_alone_and_made_once() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("key");
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
        demo.current_dir(&folder).env("PORT", "0").env_remove("APP_KEY");
        let (_demo, _) = Running::start(demo);
        let file = folder.join(".app_key");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        keys.push(std::fs::read_to_string(file).unwrap());
    }
    assert_eq!(keys[0], keys[1]);
}
