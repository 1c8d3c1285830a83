//! `cloakroom destroy`.

use std::io::{IsTerminal, Write, stderr, stdin};

use cloakroom::{SessionAdmin, SessionHandle, SessionInfo};
use serde_json::json;

use super::{
    all, handle,
    list::table,
    open,
    text::{counted, printable},
};
use crate::{
    arguments::{CommonOptions, Destroy},
    failure::Failure,
    output::{Output, remark},
};

pub(crate) async fn destroy(
    options: &Destroy,
    common: &CommonOptions,
    output: Output,
) -> Result<(), Failure> {
    let (_, admin) = open(common)?;
    let ended = match (&options.target.owner, &options.target.handle) {
        (Some(owner), _) => {
            let theirs = all(&admin, Some(owner)).await?;
            if options.dry_run {
                show_only(&theirs, output);
                return Ok(());
            }
            if theirs.len() > 1 && !options.yes && !agreed(owner, theirs.len())? {
                return Err(Failure::failed("no session was ended"));
            }
            admin.destroy_all(owner).await?
        }
        (None, handle) => {
            let text = handle.as_deref().unwrap_or_default();
            let handle = handle::resolve(&admin, text).await?;
            if options.dry_run {
                show_only(&find(&admin, &handle, text).await?, output);
                return Ok(());
            }
            if !admin.destroy(&handle).await? {
                return Err(handle::unknown(text));
            }
            1
        }
    };
    output.result(&json!({ "ended": ended }), format!("{} ended", counted(ended, "session")));
    Ok(())
}

/// Loads the session that a dry run shows.
async fn find(
    admin: &SessionAdmin,
    handle: &SessionHandle,
    text: &str,
) -> Result<Vec<SessionInfo>, Failure> {
    let contents = admin.contents(handle).await?;
    contents.map(|contents| vec![contents.info]).ok_or_else(|| handle::unknown(text))
}

/// Shows the sessions that would end.
fn show_only(sessions: &[SessionInfo], output: Output) {
    if !sessions.is_empty() {
        output.line(table(sessions, sessions.len()));
    }
    let handles: Vec<_> = sessions.iter().map(|session| &session.handle).collect();
    output.record(&json!({ "dry_run": true, "would_end": handles }));
    remark(format!("{} would end; none was ended", counted(sessions.len(), "session")));
}

/// Asks whether to end several sessions of an owner.
///
/// # Errors
/// If there is no terminal to ask on.
fn agreed(owner: &str, count: usize) -> Result<bool, Failure> {
    let (owner, sessions) = (printable(owner), counted(count, "session"));
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(Failure::unusable(format!(
            "no session was ended: {sessions} of `{owner}` would end, and there is no terminal to ask \
             on; --yes ends them without a question, --dry-run shows them"
        )));
    }
    let unreadable = |error| Failure::new("ask on the terminal", error);
    let mut terminal = stderr();
    write!(terminal, "End {sessions} of `{owner}`? [y/N] ").map_err(unreadable)?;
    terminal.flush().map_err(unreadable)?;
    let mut reply = String::new();
    stdin().read_line(&mut reply).map_err(unreadable)?;
    Ok(["y", "yes"].contains(&reply.trim().to_lowercase().as_str()))
}
