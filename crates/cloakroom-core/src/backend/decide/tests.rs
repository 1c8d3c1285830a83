use super::*;
use cloakroom_store::Revision;

const IDLE: Duration = Duration::from_secs(100);
const NOW: Timestamp = Timestamp::from_millis(1_000_000);

/// Returns the state of a record that was touched `ago` seconds ago.
fn stored(ago: u64) -> Persistence {
    let expires = Timestamp::from_millis(NOW.as_millis() - ago * 1_000) + IDLE;
    Persistence::Stored { revision: Revision(1), expires }
}

/// Returns the state of a pre-session that was issued `ago` seconds ago.
fn pre_session(ago: u64) -> Persistence {
    let expires = Timestamp::from_millis(NOW.as_millis() - ago * 1_000) + IDLE;
    Persistence::PreSession { expires }
}

fn fresh() -> Timestamp {
    NOW + IDLE
}

/// Checks the decision for every combination of a stored state and a commit.
fn each(mut check: impl FnMut(Persistence, Wanted, Deadlines, Decision)) {
    use Contents::{Changed, Lifetime, Unchanged};
    use Worth::{Cookie, Nothing, Record};
    let booleans = [false, true];
    let mut combinations = 0;
    let unstored = [Persistence::New, pre_session(50), pre_session(51), Persistence::Ended];
    for persistence in unstored.into_iter().chain([stored(5), stored(50)]) {
        for action in [Action::Keep, Action::Rotate, Action::Destroy] {
            for contents in [Unchanged, Changed, Lifetime] {
                for (worth, signs_in) in pairs([Nothing, Cookie, Record], booleans) {
                    for (usage, seal) in pairs(
                        [Usage::Used, Usage::Unused],
                        [Seal::Current, Seal::OfOldKey, Seal::OfOldName],
                    ) {
                        for (cookie, browser) in pairs(
                            [CookieContents::Token, CookieContents::Record],
                            [Browser::KeepsCookie, Browser::DropsCookie],
                        ) {
                            for absolute in [None, Some(NOW + Duration::from_secs(1))] {
                                let wanted =
                                    Wanted { action, contents, worth, signs_in, usage, seal };
                                let deadlines = Deadlines { idle: IDLE, absolute, cookie, browser };
                                let decision = decide(persistence, wanted, deadlines, NOW);
                                check(persistence, wanted, deadlines, decision);
                                combinations += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(combinations, 6 * 3 * 3 * 6 * 6 * 4 * 2);
}

fn pairs<A: Copy, B: Copy, const N: usize, const M: usize>(
    one: [A; N],
    two: [B; M],
) -> impl Iterator<Item = (A, B)> {
    one.into_iter().flat_map(move |a| two.into_iter().map(move |b| (a, b)))
}

#[test]
fn the_step_is_as_the_table_says() {
    each(|persistence, wanted, deadlines, decision| {
        let Wanted { action, contents, worth, signs_in, usage, seal } = wanted;
        let (changed, is_old_name) = (contents != Contents::Unchanged, seal == Seal::OfOldName);
        let is_sealed_again =
            seal == Seal::OfOldKey || (is_old_name && deadlines.cookie == CookieContents::Record);
        let is_due = persistence == stored(50) && usage == Usage::Used;
        let current = match persistence {
            Persistence::Stored { expires, .. } => expires,
            _ => fresh(),
        };
        let moved = if is_due || contents == Contents::Lifetime { fresh() } else { current };
        let expected = match (persistence, action) {
            (Persistence::New | Persistence::PreSession { .. }, _) if worth == Worth::Record => {
                Step::Create { expires: fresh() }
            }
            (Persistence::Ended, Action::Destroy) => Step::DestroySuccessor,
            (Persistence::Ended, Action::Rotate) if signs_in => Step::Create { expires: fresh() },
            (Persistence::New | Persistence::PreSession { .. } | Persistence::Ended, _) => {
                Step::Nothing
            }
            (_, Action::Keep) if changed || is_sealed_again => Step::Replace { expires: moved },
            (_, Action::Keep) if is_due || is_old_name => Step::Touch { expires: moved },
            (_, Action::Keep) => Step::Nothing,
            (_, Action::Rotate) => {
                let is_used = usage == Usage::Used || contents == Contents::Lifetime;
                let expires = if is_used { fresh() } else { current };
                Step::Rotate { expires, accepts: Accepts::Expected }
            }
            (_, Action::Destroy) if worth == Worth::Record => {
                Step::Rotate { expires: fresh(), accepts: Accepts::Any }
            }
            (_, Action::Destroy) => Step::Destroy,
        };
        assert_eq!(decision.step, expected, "{persistence:?} {wanted:?}");
    });
}

#[test]
fn a_commit_that_is_no_use_leaves_the_deadline_of_a_live_session() {
    each(|persistence, wanted, _, decision| {
        let Persistence::Stored { expires: before, .. } = persistence else { return };
        let counts = wanted.usage == Usage::Used || wanted.contents == Contents::Lifetime;
        let stays = match decision.step {
            // The record after a logout belongs to another session.
            Step::Rotate { accepts: Accepts::Any, .. } => true,
            Step::Replace { expires } | Step::Rotate { expires, .. } => expires == before,
            Step::Touch { expires } => wanted.seal == Seal::OfOldName && expires == before,
            _ => true,
        };
        assert!(counts || stays, "{persistence:?} {wanted:?}");
    });
}

#[test]
fn a_cookie_is_set_for_a_new_token_a_new_name_or_a_moved_lifetime_only() {
    each(|persistence, wanted, deadlines, decision| {
        let new_token = matches!(decision.step, Step::Create { .. } | Step::Rotate { .. });
        let lifetime_moved = match (persistence, decision.step) {
            (
                Persistence::Stored { expires: before, .. },
                Step::Replace { expires } | Step::Touch { expires },
            ) => {
                wanted.contents == Contents::Lifetime
                    || (deadlines.browser == Browser::KeepsCookie
                        && deadlines.end(before) != deadlines.end(expires))
            }
            _ => false,
        };
        let sealed = deadlines.cookie == CookieContents::Record
            && matches!(decision.step, Step::Replace { .. } | Step::Touch { .. });
        let renamed = wanted.seal == Seal::OfOldName
            && wanted.action == Action::Keep
            && matches!(persistence, Persistence::Stored { .. });
        let is_set = decision.cookie == CookieRule::Set;
        let is_due = new_token || lifetime_moved || sealed || renamed;
        assert_eq!(is_set, is_due, "{persistence:?} {wanted:?}");
    });
}

#[test]
fn only_the_end_of_a_session_removes_its_cookie() {
    each(|persistence, wanted, _, decision| {
        let ends = matches!(decision.step, Step::Destroy | Step::DestroySuccessor);
        let leaves_pre_session = wanted.worth == Worth::Cookie && decision.step == Step::Destroy;
        let removes = decision.cookie == CookieRule::Remove;
        assert_eq!(removes, ends && !leaves_pre_session, "{persistence:?} {wanted:?}");
    });
}

#[test]
fn a_csrf_token_alone_gets_a_pre_session_and_no_record() {
    each(|persistence, wanted, _, decision| {
        let shows_token = wanted.worth == Worth::Cookie;
        let is_issued = match (persistence, wanted.action) {
            (Persistence::PreSession { .. }, Action::Keep) => {
                (shows_token && persistence == pre_session(51))
                    || (wanted.seal == Seal::OfOldName && wanted.worth != Worth::Record)
            }
            (Persistence::PreSession { .. }, Action::Rotate) => wanted.worth != Worth::Record,
            (Persistence::Ended, _) => false,
            (Persistence::Stored { .. }, action) => shows_token && action == Action::Destroy,
            _ => shows_token,
        };
        let issues = decision.cookie == CookieRule::SetPreSession { expires: fresh() };
        assert_eq!(issues, is_issued, "{persistence:?} {wanted:?}");
        assert!(!issues || matches!(decision.step, Step::Nothing | Step::Destroy));
    });
}

#[test]
fn a_pre_session_is_valid_for_a_day_at_most() {
    let wanted = Wanted {
        action: Action::Keep,
        contents: Contents::Unchanged,
        worth: Worth::Cookie,
        signs_in: false,
        usage: Usage::Used,
        seal: Seal::Current,
    };
    let (cookie, browser) = (CookieContents::Token, Browser::KeepsCookie);
    let deadlines = Deadlines { idle: MAX_PRE_SESSION * 30, absolute: None, cookie, browser };
    let issued = decide(Persistence::New, wanted, deadlines, NOW).cookie;
    assert_eq!(issued, CookieRule::SetPreSession { expires: NOW + MAX_PRE_SESSION });
}

#[test]
fn an_ended_session_writes_nothing_but_a_logout_or_a_sign_in() {
    each(|persistence, wanted, _, decision| {
        if persistence == Persistence::Ended && decision.step != Step::Nothing {
            let begins = wanted.action == Action::Rotate && wanted.signs_in;
            assert!(wanted.action == Action::Destroy || begins, "{wanted:?}");
        }
    });
}

#[test]
fn a_deadline_moves_after_a_tenth_of_the_idle_timeout() {
    let wanted = Wanted {
        action: Action::Keep,
        contents: Contents::Unchanged,
        worth: Worth::Nothing,
        signs_in: false,
        usage: Usage::Used,
        seal: Seal::Current,
    };
    let (cookie, browser) = (CookieContents::Token, Browser::KeepsCookie);
    let deadlines = Deadlines { idle: IDLE, absolute: None, cookie, browser };
    assert_eq!(decide(stored(10), wanted, deadlines, NOW).step, Step::Nothing);
    assert_eq!(decide(stored(11), wanted, deadlines, NOW).step, Step::Touch { expires: fresh() });
}

/// Browsers drop a cookie after 400 days, whatever its `Max-Age`.
#[test]
fn the_cookie_of_a_long_session_is_renewed_before_browsers_drop_it() {
    let days = |days: u64| Duration::from_hours(24 * days);
    let wanted = Wanted {
        action: Action::Keep,
        contents: Contents::Unchanged,
        worth: Worth::Record,
        signs_in: false,
        usage: Usage::Used,
        seal: Seal::Current,
    };
    let (cookie, browser) = (CookieContents::Token, Browser::KeepsCookie);
    for absolute in [None, Some(NOW + days(4_000))] {
        let deadlines = Deadlines { idle: days(5_000), absolute, cookie, browser };
        for (ago, is_renewed) in [(200, false), (201, true)] {
            let expires = NOW + days(5_000 - ago);
            let persistence = Persistence::Stored { revision: Revision(1), expires };
            let decision = decide(persistence, wanted, deadlines, NOW);
            assert_eq!(decision.step != Step::Nothing, is_renewed, "{ago} {absolute:?}");
            assert_eq!(decision.cookie == CookieRule::Set, is_renewed, "{ago} {absolute:?}");
        }
    }
}
