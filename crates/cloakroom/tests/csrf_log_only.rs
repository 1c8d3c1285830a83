//! A policy that only logs refuses nothing.

use cloakroom::{AppKeys, Sessions, Visits, csrf::CsrfPolicy};

#[tokio::test]
async fn what_is_no_short_form_is_not_read_for_its_token() {
    let sessions = Sessions::cookie(AppKeys::random()).build().unwrap();
    let policy = CsrfPolicy::default().log_only();
    for (content_type, length, is_read) in [
        ("application/x-www-form-urlencoded", "10", true),
        ("Multipart/form-data; boundary=x", "262144", true),
        ("multipart/form-data; boundary=x", "262145", false),
        ("application/octet-stream", "10", false),
        ("application/json", "", false),
        ("", "10", false),
    ] {
        let headers = [("content-type", content_type), ("content-length", length)];
        let (visits, _) = Visits::begin(&sessions, "POST", None);
        let mut was_read = false;
        let capture = async {
            was_read = true;
            Ok::<(), ()>(())
        };
        policy.admit("POST", headers.as_slice(), None, &visits, capture).await.unwrap();
        assert_eq!(was_read, is_read, "{content_type} {length}");
    }
}
