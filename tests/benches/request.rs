//! Measures one request without a network: `cargo xtask bench`.
//!
//! Compare rows of one run. The difference between `none` with and without the layer is the cost of
//! every request. `read` and `write` add the cookie driver's decryption and sealing. `sealed` is the memory
//! driver with sealed records. `bound_…` compares sessions that are bound to a device with the same ones
//! without.

use axum::{Router, body::Body, routing::get};
use cloakroom::{
    AppKeys, DeviceBinding, Driver, MemoryStore, Sessions, cookie::CookieSettings,
    testing::TestDevice,
};
use cloakroom_tests::probe;
use divan::Bencher;
use futures_util::FutureExt;
use http::Request;
use tower::Service;

fn main() {
    divan::main();
}

fn sessions(driver: &str) -> Sessions {
    build(driver, DeviceBinding::Off)
}

fn build(driver: &str, binding: DeviceBinding) -> Sessions {
    let keys = AppKeys::random();
    let builder = match driver {
        "cookie" => Sessions::builder(Driver::Cookie, keys),
        "sealed" => Sessions::builder(MemoryStore::new(), keys).seal_records(true),
        _ => Sessions::builder(MemoryStore::new(), keys),
    };
    let builder = builder.cookie_settings(CookieSettings::development());
    builder.device_binding(binding).build().unwrap()
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
    cookie_of(&call(app, request("/login", None)))
}

fn cookie_of(response: &http::Response<Body>) -> String {
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

/// Returns an application whose sessions are bound to a device, and the cookies of one. With `off`, the same
/// without the device.
fn bound(binding: &str) -> (Router, String) {
    let binding = if binding == "off" { DeviceBinding::Off } else { DeviceBinding::Require };
    let mut app = probe::axum::router(build("memory", binding));
    let script =
        r#"[{"do":"sign_in","owner":"virk"},{"do":"put","key":"username","value":"virk"}]"#;
    let mut signing_in = request("/script", None);
    signing_in.headers_mut().insert("x-script", script.parse().unwrap());
    let response = call(&mut app, signing_in);
    let cookie = cookie_of(&response);
    let Some(field) = response.headers().get("secure-session-registration") else {
        return (app, cookie);
    };
    let challenge = field.to_str().unwrap().split('"').nth(3).unwrap();
    let proof = TestDevice::new().register(challenge).parse().unwrap();
    let path = "/.well-known/cloakroom/session/device-registration";
    let mut registering = request(path, Some(&cookie));
    *registering.method_mut() = http::Method::POST;
    registering.headers_mut().insert("secure-session-response", proof);
    let device = cookie_of(&call(&mut app, registering));
    (app, format!("{cookie}; {device}"))
}

const BINDINGS: [&str; 2] = ["off", "require"];

#[divan::bench(args = BINDINGS)]
fn bound_none(bencher: Bencher<'_, '_>, binding: &str) {
    let (app, cookies) = bound(binding);
    bench(bencher, app, "/none", Some(&cookies));
}

#[divan::bench(args = BINDINGS)]
fn bound_read(bencher: Bencher<'_, '_>, binding: &str) {
    let (app, cookies) = bound(binding);
    bench(bencher, app, "/read", Some(&cookies));
}

#[divan::bench(args = BINDINGS)]
fn bound_write(bencher: Bencher<'_, '_>, binding: &str) {
    let (app, cookies) = bound(binding);
    bench(bencher, app, "/write", Some(&cookies));
}
