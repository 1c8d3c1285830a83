//! `cloakroom list`, `show`, `destroy`, `sweep` and `stats`: they work on the store of the configured
//! driver, while applications use it.

mod destroy;
mod handle;
mod list;
mod show;
mod stats;
mod sweep;
mod text;

use std::collections::HashSet;

use cloakroom::{SessionAdmin, SessionInfo, store::Cursor};
use serde_json::{Value, json};

pub(crate) use self::{
    destroy::destroy, list::list, show::show, stats::stats, sweep::sweep, text::counted,
};
use crate::{
    arguments::CommonOptions,
    failure::Failure,
    output::remark,
    progress::Progress,
    setup::{self, SharedStore},
};

/// Opens the configured store, and the administration of its sessions.
fn open(common: &CommonOptions) -> Result<(SharedStore, SessionAdmin), Failure> {
    let settings = setup::settings(common)?;
    let store = SharedStore::configured(&settings)?;
    let admin = store.sessions(&settings)?.admin()?;
    Ok((store, admin))
}

/// Passes each live session to `visit`, of one owner or of all. Skips a session that the store returns
/// a second time, because stores may repeat some while they change. Skips sessions that are sealed by other
/// keys than those in `APP_KEY`, and says how many there are.
///
/// # Errors
/// If the store fails, or someone presses Ctrl-C.
async fn for_each(
    admin: &SessionAdmin,
    owner: Option<&str>,
    progress: &mut Progress,
    mut visit: impl FnMut(SessionInfo),
) -> Result<(), Failure> {
    let (mut seen, mut next, mut locked) = (HashSet::new(), Some(Cursor::default()), 0);
    while let Some(cursor) = next {
        let page = match owner {
            Some(owner) => admin.sessions_of(owner, cursor).await?,
            None => admin.page(cursor).await?,
        };
        let loaded = page.sessions.len();
        for session in page.sessions {
            if seen.insert(session.handle) {
                visit(session);
            }
        }
        if !progress.advance(loaded as u64) {
            return Err(Failure::stopped(format!("{} read", counted(seen.len(), "session"))));
        }
        locked += page.locked;
        next = page.next;
    }
    if locked > 0 {
        remark(format!(
            "{} left out: sealed by an application key that is not in APP_KEY",
            counted(locked, "session")
        ));
    }
    Ok(())
}

/// Loads the live sessions of one owner or of all, most recently used first.
async fn all(admin: &SessionAdmin, owner: Option<&str>) -> Result<Vec<SessionInfo>, Failure> {
    let mut sessions = Vec::new();
    let mut progress = Progress::begin("reading", None);
    for_each(admin, owner, &mut progress, |session| sessions.push(session)).await?;
    sessions.sort_by(|left, right| {
        let newest_first = (right.last_seen, right.created).cmp(&(left.last_seen, left.created));
        newest_first.then_with(|| left.handle.cmp(&right.handle))
    });
    Ok(sessions)
}

/// Returns a session as an object for programs.
fn to_json(session: &SessionInfo) -> Value {
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
