//! What Chromium keeps of the session cookie. Chromium takes http on localhost for secure, so it applies the
//! rules of https there.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod chromium;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use cloakroom::{
    AppKeys, MemoryStore, Sessions, SiteData,
    cookie::{CookieSettings, SameSite},
};
use cloakroom_tests::{
    running::Running,
    server::{Framework, Serving},
    step::{Step, sign_in},
};
use serde_json::{Value, json};
use thirtyfour::prelude::*;

const NAME: &str = "__Host-Http-session";

/// A browser, and a probe server.
struct Site {
    browser: WebDriver,
    port: u16,
    _chromedriver: Running,
    _serving: Serving,
}

impl Site {
    async fn with(cookie: CookieSettings) -> Self {
        let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
        Self::of(sessions.cookie_settings(cookie).build().unwrap()).await
    }

    async fn of(sessions: Sessions) -> Self {
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

    /// Runs a step in a request of the page.
    async fn run(&self, step: Step) {
        let script = "
            const [steps, done] = arguments;
            fetch('/script', { headers: { 'X-Script': steps } }).then(() => done());
        ";
        let steps = json!([step]).to_string();
        self.browser.execute_async(script, vec![json!(steps)]).await.unwrap();
    }

    /// Ends the session by a request of the page.
    async fn destroy(&self) {
        self.run(Step::Destroy).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_with_a_new_name_takes_the_place_of_the_old_one() {
    let (store, keys) = (Arc::new(MemoryStore::new()), AppKeys::random());
    let cookie = CookieSettings::default();
    let old = cookie.renamed("__Host-session");
    let builder = || Sessions::builder(store.clone(), keys.clone());
    let before = builder().cookie_settings(old.clone()).build().unwrap();
    let mut site = Site::of(before).await;
    assert_eq!(site.open("/login").await, "signed in");
    assert_eq!(names(&site.cookies().await), ["__Host-session"]);

    // Cookies belong to a host, whatever the port is.
    let until = SystemTime::now() + Duration::from_hours(24);
    let after = builder().cookie_settings(cookie).old_cookie(old, until).build().unwrap();
    let (address, _serving) = Framework::Axum.probe(after).await;
    site.port = address.port();
    assert_eq!(site.open("/read").await, "virk", "the visitor is still signed in");
    assert_eq!(names(&site.cookies().await), [NAME]);
    assert_eq!(site.open("/read").await, "virk");
    site.destroy().await;
    assert!(site.cookies().await.is_empty());
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_clears_what_scripts_have_stored() {
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
    let site = Site::of(sessions.clear_site_data([SiteData::Storage]).build().unwrap()).await;
    site.open("/none").await;
    site.run(sign_in("virk")).await;
    site.script("localStorage.setItem('draft', 'secret')").await;
    let draft = async || {
        site.open("/none").await;
        site.script("return localStorage.getItem('draft')").await
    };
    assert_eq!(draft().await, "secret");
    site.run(Step::SignOut).await;
    assert_eq!(draft().await, Value::Null);
    site.close().await;
}

fn names(cookies: &[Value]) -> Vec<&str> {
    cookies.iter().filter_map(|cookie| cookie["name"].as_str()).collect()
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
