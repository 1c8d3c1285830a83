//! What Chromium keeps of the session cookie. Chromium takes http on localhost for secure, so it applies the
//! rules of https there.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod chromium;

use cloakroom::{
    AppKeys, MemoryStore, Sessions,
    cookie::{CookieSettings, SameSite},
};
use cloakroom_tests::{
    running::Running,
    server::{Framework, Serving},
};
use serde_json::{Value, json};
use thirtyfour::prelude::*;

const NAME: &str = "__Host-Http-session";

/// A browser, and the probe server with this cookie.
struct Site {
    browser: WebDriver,
    port: u16,
    _chromedriver: Running,
    _serving: Serving,
}

impl Site {
    async fn with(cookie: CookieSettings) -> Self {
        let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
        let sessions = sessions.cookie_settings(cookie).build().unwrap();
        let (address, serving) = Framework::Axum.probe(sessions).await;
        let (browser, chromedriver) = chromium::start().await;
        Self { browser, port: address.port(), _chromedriver: chromedriver, _serving: serving }
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    /// Opens a page, and returns its text.
    async fn open(&self, path: &str) -> String {
        self.browser.goto(self.url("localhost", path)).await.unwrap();
        self.browser.find(By::Css("body")).await.unwrap().text().await.unwrap()
    }

    /// Runs a script in the page, and returns its result.
    async fn script(&self, script: &str) -> Value {
        self.browser.execute(script, Vec::new()).await.unwrap().json().clone()
    }

    /// Ends the session by a request of the page.
    async fn destroy(&self) {
        let script = r#"
            const done = arguments[0];
            fetch("/script", { headers: { "X-Script": '[{"do":"destroy"}]' } }).then(() => done());
        "#;
        self.browser.execute_async(script, Vec::new()).await.unwrap();
    }

    /// Returns the cookies in the store of the browser, of all sites.
    async fn cookies(&self) -> Vec<Value> {
        let all = self.browser.cdp().send_raw("Storage.getCookies", json!({})).await.unwrap();
        all["cookies"].as_array().unwrap().clone()
    }

    async fn close(self) {
        self.browser.quit().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_can_neither_read_nor_plant_the_session_cookie() {
    let site = Site::with(CookieSettings::default()).await;
    site.open("/none").await;
    let plant = |name: &str| format!("document.cookie = '{name}=planted; Secure; Path=/'");
    for name in [NAME, "__host-http-session", "__HOST-HTTP-SESSION"] {
        site.script(&plant(name)).await;
    }
    assert!(site.cookies().await.is_empty(), "a script has planted the cookie");
    // Otherwise the page would refuse all cookies of scripts.
    site.script(&plant("__Host-other")).await;
    assert_eq!(site.cookies().await.len(), 1);
    site.browser.delete_all_cookies().await.unwrap();

    assert_eq!(site.open("/login").await, "signed in");
    let cookies = site.cookies().await;
    let [cookie] = &cookies[..] else { panic!("{cookies:?}") };
    assert_eq!(cookie["name"], NAME);
    assert!(cookie["secure"] == true && cookie["httpOnly"] == true, "{cookie}");
    assert_eq!(site.script("return document.cookie").await, "");
    site.script(&plant(NAME)).await;
    assert_eq!(site.open("/read").await, "virk", "the script has not replaced the cookie");

    site.destroy().await;
    assert!(site.cookies().await.is_empty(), "the removal works");
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partitioned_cookie_is_kept_and_removed_for_each_embedding_site() {
    let site = Site::with(CookieSettings {
        partitioned: true,
        same_site: SameSite::None,
        ..CookieSettings::default()
    })
    .await;
    assert_eq!(site.open("/login").await, "signed in");
    assert_eq!(partitions(&site.cookies().await), ["http://localhost"]);

    // The same page in a frame of another site has no session yet.
    site.browser.goto(site.url("127.0.0.1", "/none")).await.unwrap();
    let frame = async |path| {
        let script = format!(
            "const done = arguments[0], frame = document.createElement('iframe');
             frame.onload = () => done();
             frame.src = '{}';
             document.body.replaceChildren(frame);",
            site.url("localhost", path)
        );
        site.browser.execute_async(&script, Vec::new()).await.unwrap();
        let frame = site.browser.find(By::Css("iframe")).await.unwrap();
        frame.enter_frame().await.unwrap();
        site.browser.find(By::Css("body")).await.unwrap().text().await.unwrap()
    };
    assert_eq!(frame("/read").await, "");
    site.browser.enter_default_frame().await.unwrap();
    assert_eq!(frame("/login").await, "signed in");
    assert_eq!(partitions(&site.cookies().await), ["http://127.0.0.1", "http://localhost"]);
    site.destroy().await;
    assert_eq!(partitions(&site.cookies().await), ["http://localhost"], "one session has ended");
    assert_eq!(site.open("/read").await, "virk");
    site.destroy().await;
    assert!(site.cookies().await.is_empty());
    site.close().await;
}

/// Returns the sites whose pages the cookies are sent from.
fn partitions(cookies: &[Value]) -> Vec<&str> {
    let mut sites = Vec::new();
    for cookie in cookies {
        assert_eq!(cookie["name"], NAME);
        let site = cookie["partitionKey"]["topLevelSite"].as_str();
        sites.push(site.unwrap_or_else(|| panic!("{cookie}")));
    }
    sites.sort_unstable();
    sites
}
