//! How much of a body the CSRF layers read, and that nothing is decompressed for them.

use cloakroom::adapter::RequestContext;
use std::{
    io::{self, Write},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix_web::{
    App,
    dev::{Payload, Service},
    error::PayloadError,
    test, web,
};
use axum::{Router, body::Body, extract::DefaultBodyLimit, routing::post};
use bytes::Bytes;
use cloakroom::{
    AppKeys, MemoryStore, Sessions,
    actix::{CsrfMiddleware, SessionMiddleware},
    axum::{CsrfLayer, SessionLayer},
    cookie::CookieSettings,
    csrf::CsrfPolicy,
};
use flate2::{Compression, write::GzEncoder};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use tower::ServiceExt;

use crate::compressed_forms::BOMB;

pub(super) type BoxedPayload = Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>;

const MIB: usize = 1024 * 1024;
const CHUNK: usize = MIB / 16;

/// A request of a visitor who has a session and sends no token in a header.
struct Upload {
    headers: Vec<(&'static str, String)>,
    chunks: Vec<Bytes>,
    end: End,
}

/// The end of a body.
#[derive(Clone, Copy)]
enum End {
    Complete,
    /// The client disconnects before the body is complete.
    Broken,
}

impl Upload {
    fn of(mib: usize) -> Self {
        let form = "application/x-www-form-urlencoded".to_owned();
        let chunks = vec![Bytes::from(vec![b'a'; CHUNK]); mib * MIB / CHUNK];
        Self { headers: vec![("content-type", form)], chunks, end: End::Complete }
    }

    /// Two hundred bytes that become 256 MiB.
    fn brotli_bomb() -> Self {
        let mut upload = Self::of(0).with("content-encoding", "br");
        upload.chunks = vec![BOMB.into()];
        upload
    }

    /// A few kilobytes that become 64 MiB.
    fn gzip_bomb() -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        for _ in 0..64 {
            encoder.write_all(&vec![b'a'; MIB]).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 128 * 1024);
        let mut upload = Self::of(0).with("content-encoding", "gzip");
        upload.chunks = vec![bomb.into()];
        upload
    }

    /// A form that announces 100 bytes and ends after 40.
    fn broken() -> Self {
        let mut upload = Self::of(0).with("content-length", "100");
        (upload.chunks, upload.end) = (vec![vec![b'a'; 40].into()], End::Broken);
        upload
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The body, and how many bytes of it were taken so far.
    fn body(&self) -> (impl Stream<Item = io::Result<Bytes>> + Send + use<>, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = taken.clone();
        let body = stream::iter(self.chunks.clone());
        let count = move |chunk: &Bytes| _ = counter.fetch_add(chunk.len(), Ordering::SeqCst);
        let end = match self.end {
            End::Complete => None,
            End::Broken => Some(Err(io::ErrorKind::UnexpectedEof.into())),
        };
        (body.inspect(count).map(Ok).chain(stream::iter(end)), taken)
    }
}

/// Sessions, and the cookie of one.
async fn a_session() -> (Sessions, String) {
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build().unwrap();
    let visit = RequestContext::new(&sessions);
    let no_headers: &[(&str, &str)] = &[];
    drop(visit.session(no_headers).await.unwrap().csrf_token());
    let line = visit.finish(200).await.unwrap().set_cookie.remove(0);
    (sessions, line.split(';').next().unwrap().to_owned())
}

/// Posts to an axum application that sets no limit. Returns the status, and how many bytes
/// were read.
async fn post_to_axum(sessions: Sessions, policy: CsrfPolicy, upload: Upload) -> (u16, usize) {
    let app = Router::new().route("/", post(async || "passed"));
    let app = app.layer(CsrfLayer::new(policy)).layer(DefaultBodyLimit::disable());
    let app = app.layer(SessionLayer::new(sessions));
    let (body, taken) = upload.body();
    let mut request = http::Request::post("/").header("host", "localhost");
    for (name, value) in upload.headers {
        request = request.header(name, value);
    }
    let response = app.oneshot(request.body(Body::from_stream(body)).unwrap()).await.unwrap();
    (response.status().as_u16(), taken.load(Ordering::SeqCst))
}

/// The same with actix-web, which decompresses for its extractors.
async fn post_to_actix(sessions: Sessions, policy: CsrfPolicy, upload: Upload) -> (u16, usize) {
    let app = App::new().app_data(web::PayloadConfig::new(usize::MAX));
    let app = app.route("/", web::post().to(async || "passed")).wrap(CsrfMiddleware::new(policy));
    let app = test::init_service(app.wrap(SessionMiddleware::new(sessions))).await;
    let (body, taken) = upload.body();
    let mut request = test::TestRequest::post().insert_header(("host", "localhost"));
    for header in upload.headers {
        request = request.append_header(header);
    }
    let body: BoxedPayload = Box::pin(body.map_err(PayloadError::Io));
    let payload = Payload::Stream { payload: body };
    let (request, _) = request.to_request().replace_payload(payload);
    let response = app.call(request).await.unwrap();
    (response.status().as_u16(), taken.load(Ordering::SeqCst))
}

async fn post_to_both(policy: CsrfPolicy, upload: impl Fn() -> Upload) -> [(u16, usize); 2] {
    let (sessions, cookie) = a_session().await;
    let upload = || upload().with("cookie", &cookie);
    [
        post_to_axum(sessions.clone(), policy.clone(), upload()).await,
        post_to_actix(sessions, policy, upload()).await,
    ]
}

#[actix_web::test]
async fn no_more_of_a_form_is_read_than_the_limit() {
    for (status, read) in post_to_both(CsrfPolicy::default(), || Upload::of(100)).await {
        assert_eq!(status, 413);
        assert!((2 * MIB..=2 * MIB + CHUNK).contains(&read), "{read} bytes");
    }
    let small = CsrfPolicy::default().limit_form(CHUNK);
    for (status, read) in post_to_both(small, || Upload::of(1)).await {
        assert_eq!((status, read), (413, 2 * CHUNK));
    }
}

#[actix_web::test]
async fn a_compressed_form_is_neither_read_nor_decompressed() {
    for policy in [CsrfPolicy::default(), CsrfPolicy::default().log_only()] {
        let expected = if policy.enforces() { 415 } else { 200 };
        for bomb in [Upload::gzip_bomb, Upload::brotli_bomb] {
            for (status, read) in post_to_both(policy.clone(), bomb).await {
                assert_eq!((status, read), (expected, 0));
            }
        }
    }
}

#[actix_web::test]
async fn nothing_is_read_for_a_visitor_without_a_session() {
    for upload in [|| Upload::of(100), Upload::gzip_bomb, Upload::brotli_bomb] {
        let (sessions, _) = a_session().await;
        let policy = CsrfPolicy::default();
        let axum = post_to_axum(sessions.clone(), policy.clone(), upload()).await;
        assert_eq!(axum, (403, 0));
        assert_eq!(post_to_actix(sessions, policy, upload()).await, (403, 0));
    }
}

/// The handler would get an empty form, and save blank values.
#[actix_web::test]
async fn a_broken_form_reaches_no_handler() {
    for policy in [CsrfPolicy::default(), CsrfPolicy::default().log_only()] {
        for (status, read) in post_to_both(policy.clone(), Upload::broken).await {
            assert_eq!((status, read), (400, 40));
        }
    }
}
