//! `cloakroom list`, and the table of sessions.

use std::io::{IsTerminal, stdout};

use cloakroom::{
    SessionInfo,
    clock::{Clock, SystemClock},
};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};

use super::{
    all, handle, open,
    text::{ago, printable, within},
    to_json,
};
use crate::{
    arguments::{CommonOptions, List},
    failure::Failure,
    output::{Output, remark},
};

/// The width that a terminal has at least.
const WIDTH: u16 = 80;

pub(crate) async fn list(
    options: &List,
    common: &CommonOptions,
    output: Output,
) -> Result<(), Failure> {
    let (_, admin) = open(common)?;
    let sessions = all(&admin, options.owner.as_deref()).await?;
    let limit = options.limit.get();
    for session in sessions.iter().take(limit) {
        output.record(&to_json(session));
    }
    if sessions.is_empty() {
        output.line("no live sessions");
    } else {
        output.line(table(&sessions, limit));
    }
    if let more @ 1.. = sessions.len().saturating_sub(limit) {
        remark(format!("{more} more; raise --limit to show them"));
    }
    Ok(())
}

/// Returns a table of the first `limit` sessions. On a terminal it fits the width, at least 80 columns:
/// handles are shortened so that each is unique among all `sessions`, and owners and labels are cut.
pub(super) fn table(sessions: &[SessionInfo], limit: usize) -> Table {
    let mut handles: Vec<_> = sessions.iter().map(|session| session.handle.to_string()).collect();
    let is_terminal = stdout().is_terminal();
    if is_terminal {
        handles = handle::shortened(&handles);
    }
    let now = SystemClock.now();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["HANDLE", "OWNER", "LABEL", "LAST SEEN", "ENDS", "BYTES"]);
    for (session, handle) in sessions.iter().zip(handles).take(limit) {
        table.add_row([
            handle,
            printable(session.owner.as_deref().unwrap_or("-")),
            printable(session.label.as_deref().unwrap_or("-")),
            ago(session.last_seen, now),
            within(session.expires, now),
            session.bytes.to_string(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    if is_terminal {
        fit(&mut table);
    }
    table
}

/// Fits a table to the terminal, one line a session. Cuts owners and labels alone.
fn fit(table: &mut Table) {
    const OWNER: usize = 1;
    const LABEL: usize = 2;
    let width = table.width().unwrap_or(WIDTH).max(WIDTH);
    table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    for (index, column) in table.column_iter_mut().enumerate() {
        if index != OWNER && index != LABEL {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    for row in table.row_iter_mut() {
        row.max_height(1);
    }
}
