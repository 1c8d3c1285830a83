//! The conformance suite.

use std::sync::Arc;

use cloakroom::{clock::FakeClock, conformance, store::Store};

use super::{Database, Place, Settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_conform() {
    for database in Database::ALL {
        let clock = Arc::new(FakeClock::default());
        let settings = Settings { clock: clock.clone(), ..Settings::default() };
        let (first, second) = (Place::new(database), Place::new(database));
        let rules = conformance::check(first.store_with(&settings), &*clock).await;
        let boxed: Box<dyn Store> = Box::new(second.store_with(&settings) as Arc<dyn Store>);
        assert_eq!(conformance::check(Arc::new(boxed), &*clock).await, rules, "{database:?}");
    }
}
