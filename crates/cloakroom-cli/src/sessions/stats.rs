//! `cloakroom stats`.

use std::collections::HashSet;

use cloakroom::{
    SessionInfo,
    clock::{Clock, SystemClock, Timestamp},
};
use serde_json::json;

use super::{for_each, open};
use crate::{arguments::CommonOptions, failure::Failure, output::Output, progress::Progress};

/// The counts over all live sessions.
#[derive(Debug, Default)]
struct Statistics {
    live: u64,
    owned: u64,
    owners: HashSet<String>,
    bytes: u64,
    largest: usize,
    used_within_an_hour: u64,
    oldest: Option<Timestamp>,
}

impl Statistics {
    fn add(&mut self, session: SessionInfo, an_hour_ago: Timestamp) {
        self.live += 1;
        self.bytes += session.bytes as u64;
        self.largest = self.largest.max(session.bytes);
        self.used_within_an_hour += u64::from(session.last_seen > an_hour_ago);
        let oldest = self.oldest.unwrap_or(session.created);
        self.oldest = Some(oldest.min(session.created));
        if let Some(owner) = session.owner {
            self.owned += 1;
            self.owners.insert(owner);
        }
    }
}

pub(crate) async fn stats(common: &CommonOptions, output: Output) -> Result<(), Failure> {
    const HOUR: u64 = 3_600_000;
    let (store, admin) = open(common)?;
    let now = SystemClock.now();
    let an_hour_ago = Timestamp::from_millis(now.as_millis().saturating_sub(HOUR));
    let mut progress = Progress::begin("counting", store.count().await?);
    let mut statistics = Statistics::default();
    let add = |session| statistics.add(session, an_hour_ago);
    for_each(&admin, None, &mut progress, add).await?;
    drop(progress);
    let Statistics { live, owned, owners, bytes, largest, used_within_an_hour, oldest } =
        statistics;
    let (driver, owners) = (store.store().name(), owners.len());
    let oldest = oldest.map(|moment| moment.to_string());
    let value = json!({
        "driver": driver, "live": live, "owned": owned, "owners": owners,
        "used_within_an_hour": used_within_an_hour, "bytes": bytes, "largest": largest,
        "oldest": oldest,
    });
    let fields = [
        ("driver", driver.to_owned()),
        ("live sessions", live.to_string()),
        ("with an owner", owned.to_string()),
        ("owners", owners.to_string()),
        ("used within an hour", used_within_an_hour.to_string()),
        ("records", format!("{bytes} bytes, the largest {largest}")),
        ("oldest session", oldest.unwrap_or_else(|| "-".to_owned())),
    ];
    output.result(&value, fields.map(|(name, value)| format!("{name:19}  {value}")).join("\n"));
    Ok(())
}
