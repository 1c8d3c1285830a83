//! Back, and nowhere else.

use cloakroom_tests::{
    browser::{Browser, Sent},
    local::LocalApp,
    server::{Framework, Server},
    step::{put, redirect_back, render},
    store::Faults,
};
use http::Method;

every_driver! { back_leads_to_this_site_alone, a_fallback_from_the_request_stays_on_the_site }

async fn back_leads_to_this_site_alone(server: Server) {
    let here = format!("http://{}", server.address);
    let rows = [
        (format!("{here}/form?a=b"), "/form?a=b"),
        ("https://evil.example/form".to_owned(), "/fallback"),
        (format!("{here}.evil.example/"), "/fallback"),
        (format!("http://{}@evil.example/", server.address), "/fallback"),
        (format!("http://evil.example@{}/", server.address), "/fallback"),
        (format!("{here}//evil.example"), "/fallback"),
        (format!("{here}/\\evil.example"), "/fallback"),
        ("//evil.example".to_owned(), "/fallback"),
        ("javascript:alert(1)".to_owned(), "/fallback"),
    ];
    for (referer, expected) in &rows {
        let mut visitor = server.browser();
        let back = [redirect_back("/fallback")];
        let reply = visitor.run_with(&back, Sent::with("referer", referer)).await;
        assert_eq!(reply.status, 303);
        assert_eq!(reply.headers["location"], *expected, "{referer}");
    }
}

/// An application may pass on what the visitor sent, such as a field `next`.
async fn a_fallback_from_the_request_stays_on_the_site(server: Server) {
    for fallback in ["//evil.example", "https://evil.example/", "/\\evil.example", "/a\r\nx: y"] {
        let reply = server.browser().run([redirect_back(fallback)]).await;
        assert_eq!(reply.headers["location"], "/", "{fallback}");
    }
}

#[tokio::test]
async fn back_leads_to_the_page_that_the_session_remembers() {
    for framework in Framework::ALL {
        for (is_on, method, expected) in [
            (true, Method::POST, "/script"),
            // A redirect of a page to itself would not end.
            (true, Method::GET, "/form"),
            (false, Method::POST, "/form"),
        ] {
            let app = LocalApp::with(Faults::default(), |builder| builder.previous_url(is_on));
            let (address, _serving) = framework.probe(app.sessions).await;
            let mut visitor = Browser::new(address);
            visitor.run([put("k", 1), render("a page")]).await;
            let back = [redirect_back("/fallback")];
            let sent = Sent::method(method).and("referer", &format!("http://{address}/form"));
            let reply = visitor.run_with(&back, sent).await;
            assert_eq!(reply.headers["location"], expected, "{framework:?}");
        }
    }
}

/// CSRF layers use the same settings.
#[tokio::test]
async fn back_leads_to_the_public_and_the_trusted_origins() {
    for framework in Framework::ALL {
        let app = LocalApp::with(Faults::default(), |builder| {
            builder
                .public_origin("https://shop.example.org".parse().unwrap())
                .trusted_origins(["https://admin.example.org".parse().unwrap()])
        });
        let (address, _serving) = framework.probe(app.sessions).await;
        for (referer, expected) in [
            ("https://shop.example.org/form?a=b", "/form?a=b"),
            ("https://admin.example.org/users#top", "https://admin.example.org/users"),
            ("https://admin.example.org:8443/users", "/fallback"),
            ("http://10.0.0.7:3333/form", "/fallback"),
            ("https://evil.example/form", "/fallback"),
        ] {
            let sent = Sent::with("referer", referer)
                .and("host", "10.0.0.7:3333")
                .and("x-forwarded-host", "evil.example");
            let back = [redirect_back("/fallback")];
            let reply = Browser::new(address).run_with(&back, sent).await;
            assert_eq!(reply.headers["location"], expected, "{framework:?} {referer}");
        }
    }
}
