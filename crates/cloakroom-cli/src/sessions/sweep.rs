//! `cloakroom sweep`.

use cloakroom::store::SweepRound;
use serde_json::json;

use crate::{
    arguments::CommonOptions,
    failure::Failure,
    output::{Output, remark},
    progress::Progress,
    setup::{self, SharedStore},
};

/// How many entries one step looks at.
const BATCH: usize = 1_024;

pub(crate) async fn sweep(common: &CommonOptions, output: Output) -> Result<(), Failure> {
    let store = SharedStore::configured(&setup::settings(common)?)?;
    let (mut removed, mut is_busy) = (0, false);
    if let Some(store) = store.store().as_sweep() {
        // The total is unknown, because a sweep looks at the index of owners as well.
        let mut progress = Progress::begin("sweeping", None);
        loop {
            let swept = store.sweep(BATCH).await?;
            removed += swept.removed;
            is_busy |= swept.round == SweepRound::Busy;
            if swept.is_finished() {
                break;
            }
            if !progress.advance(swept.seen as u64) {
                return Err(Failure::stopped(format!("{removed} deleted")));
            }
        }
    } else {
        remark("Redis deletes expired sessions itself; there is nothing to sweep");
    }
    if is_busy {
        remark("the application is sweeping at this moment; it deletes the expired sessions");
    }
    output.result(&json!({ "removed": removed, "busy": is_busy }), format!("{removed} deleted"));
    Ok(())
}
