//! `cloakroom list`, `show`, `destroy`, `sweep` and `stats`: on the configured driver, beside running
//! applications.

use std::collections::HashSet;

use cloakroom::{
    SessionAdmin, SessionContents, SessionHandle, SessionInfo,
    clock::{Clock, SystemClock, Timestamp},
    store::Cursor,
};
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::{
    arguments::{CommonOptions, Destroy, List, Show},
    failure::Failure,
    output::{Output, remark},
    progress::Progress,
    setup::{self, Shared},
};

/// The sessions of the configured store.
fn admin(common: &CommonOptions) -> Result<(Shared, SessionAdmin), Failure> {
    let settings = setup::settings(common)?;
    let shared = Shared::configured(&settings)?;
    let admin = shared.sessions(&settings)?.admin()?;
    Ok((shared, admin))
}

pub(crate) async fn list(
    options: &List,
    common: &CommonOptions,
    output: Output,
) -> Result<(), Failure> {
    let (_, admin) = admin(common)?;
    let limit = options.limit.get();
    let mut shown = first(&admin, options.owner.as_deref(), limit.saturating_add(1)).await?;
    let more = shown.len() > limit;
    shown.truncate(limit);
    for session in &shown {
        output.record(&summary(session));
    }
    if shown.is_empty() {
        output.line("no live sessions");
    } else {
        output.line(table(&shown));
    }
    if more {
        remark(format!("there are more; --limit shows more than {limit}"));
    }
    Ok(())
}

/// So many sessions, of one owner or of all, or all where there are not so many.
async fn first(
    admin: &SessionAdmin,
    owner: Option<&str>,
    wanted: usize,
) -> Result<Vec<SessionInfo>, Failure> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let mut next = Some(Cursor::default());
    while let Some(place) = next.filter(|_| found.len() < wanted) {
        let page = match owner {
            Some(owner) => admin.sessions_of(owner, place).await?,
            None => admin.page(place).await?,
        };
        let sessions = page.sessions.into_iter();
        found.extend(sessions.filter(|session| seen.insert(session.handle)));
        next = page.next;
    }
    Ok(found)
}

fn table(sessions: &[SessionInfo]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["HANDLE", "OWNER", "LABEL", "LAST SEEN", "ENDS", "BYTES"]);
    for session in sessions {
        table.add_row([
            session.handle.to_string(),
            printable(session.owner.as_deref().unwrap_or("-")),
            printable(session.label.as_deref().unwrap_or("-")),
            session.last_seen.to_string(),
            session.expires.to_string(),
            session.bytes.to_string(),
        ]);
    }
    table
}

/// Owners, labels and values are what a visitor may have chosen: nothing of it reaches the terminal that
/// controls it or turns the reading direction.
fn printable(text: &str) -> String {
    let turns = |it| matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|it| if it.is_control() || turns(it) { '\u{fffd}' } else { it }).collect()
}

fn summary(session: &SessionInfo) -> Value {
    json!({
        "handle": session.handle,
        "owner": session.owner,
        "label": session.label,
        "created": session.created.to_string(),
        "last_seen": session.last_seen.to_string(),
        "ends": session.expires.to_string(),
        "bytes": session.bytes,
    })
}

pub(crate) async fn show(
    options: &Show,
    common: &CommonOptions,
    output: Output,
) -> Result<(), Failure> {
    let (_, admin) = admin(common)?;
    let Some(contents) = admin.contents(&named(&options.handle)?).await? else {
        return Err(no_session(&options.handle));
    };
    let mut shown = summary(&contents.info);
    shown["values"] = values(&contents, options.reveal);
    if options.reveal {
        shown["messages"] = Value::Object(contents.messages);
        shown["input"] = Value::Object(contents.input);
        shown["errors"] = json!(contents.errors);
    }
    let text = serde_json::to_string_pretty(&shown).unwrap_or_default();
    let lines: Vec<_> = text.lines().map(printable).collect();
    output.result(&shown, lines.join("\n"));
    if !options.reveal {
        remark("values are hidden; --reveal shows them");
    }
    Ok(())
}

/// What the values are; hidden, only of which kind.
fn values(contents: &SessionContents, reveal: bool) -> Value {
    let shown = |value: &Value| match value {
        _ if reveal => value.clone(),
        Value::Null => json!("(null)"),
        Value::Bool(_) => json!("(boolean)"),
        Value::Number(_) => json!("(number)"),
        Value::String(_) => json!("(string)"),
        Value::Array(_) => json!("(list)"),
        Value::Object(_) => json!("(object)"),
    };
    contents.values.iter().map(|(key, value)| (key.clone(), shown(value))).collect()
}

fn named(handle: &str) -> Result<SessionHandle, Failure> {
    handle.parse().map_err(|_| no_session(handle))
}

fn no_session(handle: &str) -> Failure {
    Failure::failed(format!("there is no live session `{}`", printable(handle)))
}

pub(crate) async fn destroy(
    options: &Destroy,
    common: &CommonOptions,
    output: Output,
) -> Result<(), Failure> {
    let settings = setup::settings(common)?;
    let admin = Shared::configured(&settings)?.sessions(&settings)?.admin()?;
    let ended = match (&options.handle, &options.owner) {
        (_, Some(owner)) => admin.destroy_all(owner).await?,
        (Some(handle), None) if admin.destroy(&named(handle)?).await? => 1,
        (handle, None) => return Err(no_session(handle.as_deref().unwrap_or_default())),
    };
    let text = match ended {
        1 => "1 session ended".to_owned(),
        ended => format!("{ended} sessions ended"),
    };
    output.result(&json!({ "ended": ended }), text);
    Ok(())
}

pub(crate) async fn sweep(common: &CommonOptions, output: Output) -> Result<(), Failure> {
    const BATCH: usize = 256;
    let shared = Shared::configured(&setup::settings(common)?)?;
    let mut is_busy = false;
    let removed = match &shared {
        Shared::Redis(_) => {
            remark("Redis forgets what has expired by itself; there is nothing to sweep");
            0
        }
        #[cfg(unix)]
        Shared::File(store) => {
            use cloakroom::store::{Sweep, SweepRound};
            // A sweep looks at more than the sessions, such as the index of owners.
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
                    return Err(stopped(&format!("{removed} deleted so far")));
                }
            }
        }
    };
    if is_busy {
        remark("the application is sweeping at this moment; it deletes what has expired");
    }
    output.result(&json!({ "removed": removed, "busy": is_busy }), format!("{removed} deleted"));
    Ok(())
}

pub(crate) fn stopped(so_far: &str) -> Failure {
    Failure::failed(format!("stopped; {so_far}"))
}

/// What `stats` counts.
#[derive(Debug, Default)]
struct Counted {
    live: u64,
    owned: u64,
    owners: HashSet<String>,
    bytes: u64,
    largest: usize,
    used_within_an_hour: u64,
    oldest: Option<Timestamp>,
}

impl Counted {
    fn add(&mut self, session: SessionInfo, an_hour_ago: Timestamp) {
        self.live += 1;
        self.bytes += session.bytes as u64;
        self.largest = self.largest.max(session.bytes);
        self.used_within_an_hour += u64::from(session.last_seen > an_hour_ago);
        self.oldest = Some(self.oldest.map_or(session.created, |it| it.min(session.created)));
        if let Some(owner) = session.owner {
            self.owned += 1;
            self.owners.insert(owner);
        }
    }
}

pub(crate) async fn stats(common: &CommonOptions, output: Output) -> Result<(), Failure> {
    const HOUR: u64 = 3_600_000;
    let (shared, admin) = admin(common)?;
    let now = SystemClock.now();
    let an_hour_ago = Timestamp::from_millis(now.as_millis().saturating_sub(HOUR));
    let mut progress = Progress::begin("counting", shared.count().await?);
    let (mut counted, mut seen) = (Counted::default(), HashSet::new());
    let mut next = Some(Cursor::default());
    while let Some(place) = next {
        let page = admin.page(place).await?;
        if !progress.advance(page.sessions.len() as u64) {
            return Err(stopped(&format!("{} counted so far", counted.live)));
        }
        for session in page.sessions {
            if seen.insert(session.handle) {
                counted.add(session, an_hour_ago);
            }
        }
        next = page.next;
    }
    drop(progress);
    let Counted { live, owned, owners, bytes, largest, used_within_an_hour, oldest } = counted;
    let oldest = oldest.map(|it| it.to_string());
    let value = json!({
        "driver": shared.store().name(), "live": live, "owned": owned, "owners": owners.len(),
        "used_within_an_hour": used_within_an_hour, "bytes": bytes, "largest": largest,
        "oldest": oldest,
    });
    let text = format!(
        "driver               {}\nlive sessions        {live}\nwith an owner        {owned}\n\
         owners               {}\nused within an hour  {used_within_an_hour}\nrecords              {bytes} bytes, the \
         largest {largest}\nthe oldest began     {}",
        shared.store().name(),
        owners.len(),
        oldest.as_deref().unwrap_or("-"),
    );
    output.result(&value, text);
    Ok(())
}
