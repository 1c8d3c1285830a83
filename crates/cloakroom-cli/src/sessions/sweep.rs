//! `cloakroom sweep`.

use serde_json::json;

use crate::{
    arguments::CommonOptions,
    failure::Failure,
    output::{Output, remark},
    progress::Progress,
    setup::{self, SharedStore},
};

pub(crate) async fn sweep(common: &CommonOptions, output: Output) -> Result<(), Failure> {
    const BATCH: usize = 256;
    let store = SharedStore::configured(&setup::settings(common)?)?;
    let mut is_busy = false;
    let removed = match &store {
        SharedStore::Redis(_) => {
            remark("Redis deletes expired sessions itself; there is nothing to sweep");
            0
        }
        #[cfg(unix)]
        SharedStore::File(store) => {
            use cloakroom::store::{Sweep, SweepRound};
            // The total is unknown, because a sweep looks at the index of owners as well.
            let mut progress = Progress::begin("sweeping", None);
            let mut removed = 0;
            loop {
                let swept = store.sweep(BATCH).await?;
                removed += swept.removed;
                is_busy |= swept.round == SweepRound::Busy;
                if swept.is_finished() {
                    break removed;
                }
                if !progress.advance(swept.seen as u64) {
                    return Err(Failure::stopped(format!("{removed} deleted")));
                }
            }
        }
    };
    if is_busy {
        remark("the application is sweeping at this moment; it deletes the expired sessions");
    }
    output.result(&json!({ "removed": removed, "busy": is_busy }), format!("{removed} deleted"));
    Ok(())
}
