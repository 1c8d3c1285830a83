//! Increments and updates of a visitor whose commits are sent twice.

use std::collections::BTreeSet;

use cloakroom::Session;
use cloakroom_tests::proxy::Fault;
use fastrand::Rng;

use super::{Database, resends::Lines};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_increment_counts_once_and_an_update_appends_once() {
    for database in Database::SERVERS {
        count_and_append(database).await;
    }
}

async fn count_and_append(database: Database) {
    const ROUNDS: u64 = 60;
    let lines = Lines::new(database).await;
    let visitor = lines.visitor().await;
    let mut random = Rng::with_seed(7);
    let push = |id: u64| {
        move |session: &Session| {
            session.increment("count")?;
            session.update("ids", move |ids: &mut Vec<u64>| ids.push(id)).map(drop)
        }
    };
    let mut ids = 0..;
    let (mut done, mut unknown) = (BTreeSet::new(), Vec::new());
    for round in 0..ROUNDS {
        lines.warm_up().await;
        let gap = random.u64(..) % 3;
        let fault = if round % 3 == 2 { Fault::Unheard } else { Fault::BlackHole };
        let own = ids.next().unwrap();
        let others: Vec<_> = ids.by_ref().take(usize::try_from(gap).unwrap()).collect();
        let writes = async {
            for id in &others {
                visitor.change(push(*id)).await;
            }
        };
        match visitor.change_with_gap(push(own), fault, writes).await {
            Ok(()) => {
                done.insert(own);
            }
            Err(error) => {
                assert!(gap > 0 && error.is_unavailable(), "gap {gap}: {error:?}");
                unknown.push((own, fault));
            }
        }
        done.extend(others);
    }
    // The first copy of a write whose reply alone was lost was carried out.
    let carried_out = unknown.iter().filter(|(_, fault)| *fault == Fault::BlackHole);
    done.extend(carried_out.map(|(own, _)| *own));
    let count = visitor.read(|session| session.get_or("count", 0_usize)).await;
    let ids: Vec<u64> = visitor.read(|session| session.get_or("ids", Vec::new())).await;
    assert_eq!(count, done.len(), "{database:?}");
    assert_eq!(ids.len(), done.len(), "none is there twice");
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), done);
    assert!(!unknown.is_empty() && unknown.len() < 50);
}
