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
    progress::Progress,
};

pub(crate) async fn destroy(
    options: &Destroy,
    common: &CommonOptions,
    output: Output,
) -> Result<(), Failure> {
    let (_, admin) = open(common)?;
    let ended = match &options.target.handle {
        Some(text) => destroy_one(text, options, &admin, output).await?,
        None => destroy_several(options.target.owner.as_deref(), options, &admin, output).await?,
    };
    if let Some(ended) = ended {
        output.result(&json!({ "ended": ended }), format!("{} ended", counted(ended, "session")));
    }
    Ok(())
}

/// Ends the session with a handle that begins with `text`. Returns `None` for a dry run.
async fn destroy_one(
    text: &str,
    options: &Destroy,
    admin: &SessionAdmin,
    output: Output,
) -> Result<Option<usize>, Failure> {
    let handle = handle::resolve(admin, text).await?;
    if options.dry_run {
        show_only(&find(admin, &handle, text).await?, output);
        return Ok(None);
    }
    if admin.destroy(&handle).await? { Ok(Some(1)) } else { Err(handle::unknown(text)) }
}

/// Ends the sessions of an owner, or of all. Returns `None` for a dry run.
async fn destroy_several(
    owner: Option<&str>,
    options: &Destroy,
    admin: &SessionAdmin,
    output: Output,
) -> Result<Option<usize>, Failure> {
    let sessions = all(admin, owner).await?;
    if options.dry_run {
        show_only(&sessions, output);
        return Ok(None);
    }
    if sessions.len() > 1 && !options.yes && !agreed(owner, sessions.len())? {
        return Err(Failure::failed("no session was ended"));
    }
    match owner {
        Some(owner) => {
            let ended = admin.destroy_all(owner).await;
            if ended.as_ref().is_err_and(cloakroom::Error::is_locked) {
                remark("the sessions that can be read were ended".to_owned());
            }
            Ok(Some(ended?))
        }
        None => destroy_each(&sessions, admin).await.map(Some),
    }
}

/// Ends these sessions. Returns how many of them were still live.
async fn destroy_each(sessions: &[SessionInfo], admin: &SessionAdmin) -> Result<usize, Failure> {
    let mut progress = Progress::begin("ending", Some(sessions.len() as u64));
    let mut ended = 0;
    for session in sessions {
        ended += usize::from(admin.destroy(&session.handle).await?);
        if !progress.advance(1) {
            return Err(Failure::stopped(format!("{} ended", counted(ended, "session"))));
        }
    }
    Ok(ended)
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

/// Asks whether to end several sessions, of an owner or of all.
///
/// # Errors
/// If there is no terminal to ask on.
fn agreed(owner: Option<&str>, count: usize) -> Result<bool, Failure> {
    let sessions = match owner {
        Some(owner) => format!("{} of `{}`", counted(count, "session"), printable(owner)),
        None => format!("all {}", counted(count, "session")),
    };
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(Failure::unusable(format!(
            "no session was ended: {sessions} would end, and there is no terminal to ask \
             on; --yes ends them without a question, --dry-run shows them"
        )));
    }
    let unreadable = |error| Failure::new("ask on the terminal", error);
    let mut terminal = stderr();
    write!(terminal, "End {sessions}? [y/N] ").map_err(unreadable)?;
    terminal.flush().map_err(unreadable)?;
    let mut reply = String::new();
    stdin().read_line(&mut reply).map_err(unreadable)?;
    Ok(["y", "yes"].contains(&reply.trim().to_lowercase().as_str()))
}
