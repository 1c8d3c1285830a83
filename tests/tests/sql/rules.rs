//! The conformance suite.

use std::sync::Arc;

use cloakroom::{clock::FakeClock, conformance, store::Store};

use super::Database;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_conform() {
    for database in Database::ALL {
        let clock = Arc::new(FakeClock::default());
        let (store, _folder) = database.store(&clock).await;
        let rules = conformance::check(store, &*clock).await;
        let (store, _folder) = database.store(&clock).await;
        let boxed: Box<dyn Store> = Box::new(store);
        assert_eq!(conformance::check(Arc::new(boxed), &*clock).await, rules, "{database:?}");
    }
}
