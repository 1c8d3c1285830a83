//! What a request's response has to carry for the session's sake.

use crate::backend::commit::{CookieUpdate, Persistence};

/// The cookie that the commits of a request have earned, and whether the token was handed out.
#[derive(Debug, Default)]
pub(super) struct ResponseEffects {
    cookie: CookieUpdate,
    token_was_shown: bool,
}

impl ResponseEffects {
    /// Notes what a commit makes of the cookie, and what the backend has of the session then. It
    /// stands until a later commit makes something else of it, also if that commit fails.
    ///
    /// A cookie that was to be set is dropped when the session has ended since: its token is
    /// superseded, and the browser may have the cookie of a newer login.
    pub(super) fn note(&mut self, cookie: CookieUpdate, persistence: Persistence) {
        let is_superseded =
            persistence == Persistence::Ended && matches!(self.cookie, CookieUpdate::Set { .. });
        if cookie != CookieUpdate::Keep || is_superseded {
            self.cookie = cookie;
        }
    }

    pub(super) fn take_cookie(&mut self) -> CookieUpdate {
        std::mem::take(&mut self.cookie)
    }

    pub(super) fn has_cookie(&self) -> bool {
        self.cookie != CookieUpdate::Keep
    }

    /// Notes that the response shows the token.
    pub(super) fn show_token(&mut self) {
        self.token_was_shown = true;
    }

    pub(super) fn token_was_shown(&self) -> bool {
        self.token_was_shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_that_was_earned_stands_until_another_takes_its_place() {
        let mut effects = ResponseEffects::default();
        effects.note(set("first"), Persistence::New);
        effects.note(CookieUpdate::Keep, Persistence::New);
        effects.note(set("second"), Persistence::New);
        effects.note(CookieUpdate::Keep, Persistence::New);
        assert_eq!(effects.take_cookie(), set("second"));
        assert_eq!(effects.take_cookie(), CookieUpdate::Keep);
        effects.note(set("third"), Persistence::New);
        effects.note(CookieUpdate::Remove, Persistence::New);
        assert_eq!(effects.take_cookie(), CookieUpdate::Remove);
    }

    #[test]
    fn a_cookie_of_a_session_that_ends_later_is_not_set_but_its_removal_stands() {
        for (earned, sent) in
            [(set("old"), CookieUpdate::Keep), (CookieUpdate::Remove, CookieUpdate::Remove)]
        {
            let mut effects = ResponseEffects::default();
            effects.note(earned, Persistence::New);
            effects.note(CookieUpdate::Keep, Persistence::Ended);
            assert_eq!(effects.take_cookie(), sent);
        }
    }

    fn set(value: &str) -> CookieUpdate {
        CookieUpdate::Set { value: value.to_owned(), max_age: None }
    }
}
