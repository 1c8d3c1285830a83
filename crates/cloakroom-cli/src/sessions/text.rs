//! Text for people: times, counts, and words that a visitor chose.

use cloakroom::clock::Timestamp;

/// Displays the time that has passed since a moment, rounded down: `3 min ago`.
pub(super) fn ago(moment: Timestamp, now: Timestamp) -> String {
    let seconds = moment.until(now).as_secs();
    let (unit, name) = unit(seconds);
    if seconds == 0 { "just now".to_owned() } else { format!("{} {name} ago", seconds / unit) }
}

/// Displays the time that is left until a moment, rounded to the nearest unit: `in 3 min`.
pub(super) fn within(moment: Timestamp, now: Timestamp) -> String {
    let seconds = now.until(moment).as_secs();
    let (unit, name) = unit(seconds);
    format!("in {} {name}", (seconds + unit / 2) / unit)
}

/// Returns the largest unit of which a span has a whole one: its seconds and its name.
fn unit(seconds: u64) -> (u64, &'static str) {
    match seconds {
        0..60 => (1, "s"),
        60..3_600 => (60, "min"),
        3_600..86_400 => (3_600, "h"),
        _ => (86_400, "d"),
    }
}

/// Displays a count with its noun: `1 session`, `2 sessions`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Replaces the characters that would control a terminal or turn its reading direction, because a
/// visitor may have chosen an owner's name, a label or a value.
pub(super) fn printable(text: &str) -> String {
    let is_direction = |char| matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown =
        |char: char| if char.is_control() || is_direction(char) { '\u{fffd}' } else { char };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_shown_in_their_largest_unit() {
        const MINUTE: u64 = 60_000;
        let now = Timestamp::from_millis(1_000 * 24 * 60 * MINUTE);
        let before = |millis| ago(Timestamp::from_millis(now.as_millis() - millis), now);
        for (millis, expected) in [
            (0, "just now"),
            (1_000, "1 s ago"),
            (3 * MINUTE + 59_999, "3 min ago"),
            (60 * MINUTE, "1 h ago"),
            (24 * 60 * MINUTE - 1, "23 h ago"),
            (400 * 24 * 60 * MINUTE, "400 d ago"),
        ] {
            assert_eq!(before(millis), expected);
        }
        let later = |millis| within(now + Duration::from_millis(millis), now);
        assert_eq!([later(0), later(80 * MINUTE)], ["in 0 s", "in 1 h"]);
        assert_eq!(later(2 * 60 * MINUTE - 1), "in 2 h", "a timeout that has just begun");
        assert_eq!(ago(now + Duration::from_secs(5), now), "just now", "clocks differ");
    }

    #[test]
    fn text_of_a_visitor_controls_no_terminal() {
        assert_eq!(printable("a\u{1b}[31m\u{202e}b\n"), "a\u{fffd}[31m\u{fffd}b\u{fffd}");
    }
}
