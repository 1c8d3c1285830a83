//! The tables of the report.

use crate::{
    pairs::Figures,
    peers::{Duel, Row},
    wanted::{self, Wanted},
};

/// Returns the tables of a comparison.
pub(crate) fn of_peers(rows: &[Row], duels: &[Duel]) -> String {
    let wanted = rows.iter().flat_map(wanted::of_row);
    let wanted: Vec<_> = wanted.chain(duels.iter().flat_map(wanted::of_duel)).collect();
    let mut parts = vec![ratios(rows), rates(rows)];
    if !duels.is_empty() {
        parts.push(directly(duels));
    }
    parts.push(table_of(&wanted));
    parts.join("\n")
}

/// Returns the table of what is wanted.
pub(crate) fn table_of(wanted: &[Wanted]) -> String {
    table(
        "| figure | wanted | measured | |\n|---|---|---|---|",
        wanted.iter().map(Wanted::to_string),
    )
}

/// Requests per second as ratios to those of the bare server: median (least–greatest).
fn ratios(rows: &[Row]) -> String {
    let row = |row: &Row| {
        let Row { server, none, read, write, hot } = row;
        let (hot, p99, counter) = hot.as_ref().map_or_else(
            || ["–"; 3].map(str::to_owned).into(),
            |(hot, counter)| (ratio(hot), format!("{:.1}", hot.p99()), counter.to_string()),
        );
        let [none, read, write] = [none, read, write].map(ratio);
        let (name, failed) = (server.name, row.failed());
        format!("| {name} | {none} | {read} | {write} | {hot} | {p99} | {failed} | {counter} |")
    };
    let head = "| server | none | read own | write own | write hot | hot p99 ms | failures | \
                counter |\n|---|---|---|---|---|---|---|---|";
    table(head, rows.iter().map(row))
}

/// Requests per second and p99 in milliseconds.
fn rates(rows: &[Row]) -> String {
    let row = |Row { server, none, read, write, hot }: &Row| {
        let [none, read, write] = [none, read, write].map(rate);
        let hot = hot.as_ref().map_or_else(|| "–".to_owned(), |(hot, _)| rate(hot));
        format!("| {} | {none} | {read} | {write} | {hot} |", server.name)
    };
    let head =
        "| requests/s, p99 | none | read own | write own | write hot |\n|---|---|---|---|---|";
    table(head, rows.iter().map(row))
}

/// Servers on the same database beside each other: ratios, requests per second, and p99.
fn directly(duels: &[Duel]) -> String {
    let row = |Duel { pair, read, write }: &Duel| {
        let (server, base) = (pair.server.name, pair.base.name);
        let [read, write] =
            [read, write].map(|figures| format!("{} | {}", ratio(figures), rate(figures)));
        format!("| {server} | {base} | {read} | {write} |")
    };
    let head = "| server | beside | read own | requests/s, p99 | write own | requests/s, p99 |\n\
                |---|---|---|---|---|---|";
    table(head, duels.iter().map(row))
}

pub(crate) fn table(head: &str, rows: impl Iterator<Item = String>) -> String {
    rows.fold(format!("{head}\n"), |table, row| table + &row + "\n")
}

fn ratio(figures: &Figures) -> String {
    let (least, greatest) = figures.spread();
    format!("{:.2} ({least:.2}–{greatest:.2})", figures.ratio())
}

fn rate(figures: &Figures) -> String {
    format!("{:.0}/s, {:.2} ms", figures.rate(), figures.p99())
}
