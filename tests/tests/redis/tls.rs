//! Whom a connection leads to is checked, and nothing is sent in the clear instead.

use cloakroom::{
    redis::{RedisStore, Servers},
    store::Store,
};
use cloakroom_tests::redis::{Certificate, RedisServer};

use super::{create, key, text};

fn store(url: &str, authority: Option<Vec<u8>>) -> RedisStore {
    let mut servers = Servers::at(url).unwrap();
    if let Some(pem) = authority {
        servers = servers.certificates(pem);
    }
    RedisStore::builder(servers).build().unwrap()
}

#[tokio::test]
async fn a_certificate_of_our_authority_is_accepted_and_no_other() {
    let (good, authority) = RedisServer::start_tls(Certificate::Good);
    let through = store(&good.tls_url(), Some(authority.clone()));
    create(&through, 1, "values").await;
    assert_eq!(text(&through, 1).await.as_deref(), Some("values"));

    let (_, another) = RedisServer::start_tls(Certificate::Good);
    for untrusted in [None, Some(another)] {
        let store = store(&good.tls_url(), untrusted);
        assert!(store.load(&key(1)).await.is_err());
    }
    for kind in [Certificate::Expired, Certificate::OfAnotherHost] {
        let (server, authority) = RedisServer::start_tls(kind);
        let error = store(&server.tls_url(), Some(authority)).load(&key(1)).await;
        assert!(error.is_err(), "{kind:?}");
    }
}

#[tokio::test]
async fn a_server_without_tls_gets_no_password() {
    let server = RedisServer::start();
    let url = format!("rediss://:hunter2@{}/0", server.address());
    let error = store(&url, None).load(&key(1)).await.unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"));
    assert_eq!(server.calls().get("auth"), None);
}
