//! Measures one request without a network: `cargo xtask bench`.
//!
//! Compare rows of one run. The difference between `none` with and without the layer is the cost of
//! every request. `read` and `write` add the cookie driver's decryption and sealing. `sealed` is the memory
//! driver with sealed records.

use axum::{Router, body::Body, routing::get};
use cloakroom::{AppKeys, Driver, MemoryStore, Sessions, cookie::CookieSettings};
use cloakroom_tests::probe;
use divan::Bencher;
use futures_util::FutureExt;
use http::Request;
use tower::Service;

fn main() {
    divan::main();
}

fn sessions(driver: &str) -> Sessions {
    let keys = AppKeys::random();
    let builder = match driver {
        "cookie" => Sessions::builder(Driver::Cookie, keys),
        "sealed" => Sessions::builder(MemoryStore::new(), keys).seal_records(true),
        _ => Sessions::builder(MemoryStore::new(), keys),
    };
    builder.cookie_settings(CookieSettings::development()).build().unwrap()
}

fn request(path: &str, cookie: Option<&str>) -> Request<Body> {
    let request = Request::get(path);
    let request = match cookie {
        Some(cookie) => request.header("cookie", cookie),
        None => request,
    };
    request.body(Body::empty()).unwrap()
}

fn call(app: &mut Router, request: Request<Body>) -> http::Response<Body> {
    app.call(request).now_or_never().expect("nothing to wait for").unwrap()
}

fn signed_in(app: &mut Router) -> String {
    let response = call(app, request("/login", None));
    let line = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    line.split(';').next().unwrap().to_owned()
}

fn bench(bencher: Bencher<'_, '_>, mut app: Router, path: &str, cookie: Option<&str>) {
    bencher
        .with_inputs(|| request(path, cookie))
        .bench_local_values(|request| call(&mut app, request));
}

#[divan::bench]
fn none_bare(bencher: Bencher<'_, '_>) {
    bench(bencher, Router::new().route("/none", get(async || "none")), "/none", None);
}

#[divan::bench]
fn none_with_an_empty_layer(bencher: Bencher<'_, '_>) {
    let app = Router::new().route("/none", get(async || "none"));
    bench(bencher, app.layer(tower::layer::util::Identity::new()), "/none", None);
}

#[divan::bench(args = ["cookie", "memory"])]
fn none(bencher: Bencher<'_, '_>, driver: &str) {
    let mut app = probe::axum::router(sessions(driver));
    let cookie = signed_in(&mut app);
    bench(bencher, app, "/none", Some(&cookie));
}

#[divan::bench(args = ["cookie", "memory", "sealed"])]
fn read(bencher: Bencher<'_, '_>, driver: &str) {
    let mut app = probe::axum::router(sessions(driver));
    let cookie = signed_in(&mut app);
    bench(bencher, app, "/read", Some(&cookie));
}

#[divan::bench(args = ["cookie", "memory", "sealed"])]
fn write(bencher: Bencher<'_, '_>, driver: &str) {
    let mut app = probe::axum::router(sessions(driver));
    let cookie = signed_in(&mut app);
    bench(bencher, app, "/write", Some(&cookie));
}
