//! The effects of a session on the request's response.

use crate::backend::{commit::CookieUpdate, decide::Persistence};

/// The cookie update of a request's commits, and whether the response shows the token.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the effects do not depend on each other")]
pub(super) struct ResponseEffects {
    cookie: CookieUpdate,
    token_was_shown: bool,
    was_taken_over: bool,
    asks_for_device: bool,
    has_ended: bool,
}

impl ResponseEffects {
    /// Adds the cookie update of a commit. A later commit without an update leaves it in place.
    ///
    /// If a later commit finds the session ended, a cookie that was to be set is dropped. Its token is
    /// out of date, and the browser may have the cookie of a newer login.
    pub(super) fn add(&mut self, cookie: CookieUpdate, persistence: Persistence) {
        let is_superseded =
            persistence == Persistence::Ended && matches!(self.cookie, CookieUpdate::Set { .. });
        if cookie != CookieUpdate::Keep || is_superseded {
            self.cookie = cookie;
        }
    }

    /// Remembers that the session was taken over from another library. `cookie` is its own.
    pub(super) fn take_over(&mut self, cookie: CookieUpdate) {
        (self.cookie, self.was_taken_over) = (cookie, true);
    }

    /// Returns whether the response removes the other library's cookie.
    pub(super) fn was_taken_over(&self) -> bool {
        self.was_taken_over
    }

    /// Makes the response ask the browser to register its device.
    pub(super) fn ask_for_device(&mut self) {
        self.asks_for_device = true;
    }

    pub(super) fn asks_for_device(&self) -> bool {
        self.asks_for_device
    }

    pub(super) fn take_cookie(&mut self) -> CookieUpdate {
        std::mem::take(&mut self.cookie)
    }

    pub(super) fn has_cookie(&self) -> bool {
        self.cookie != CookieUpdate::Keep
    }

    /// Remembers that a commit of the request has ended the session that it had.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// Returns whether the request has ended the session that it had.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Remembers that the response shows the token.
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
    fn a_cookie_update_stays_until_another_replaces_it() {
        let mut effects = ResponseEffects::default();
        effects.add(set("first"), Persistence::New);
        effects.add(CookieUpdate::Keep, Persistence::New);
        effects.add(set("second"), Persistence::New);
        effects.add(CookieUpdate::Keep, Persistence::New);
        assert_eq!(effects.take_cookie(), set("second"));
        assert_eq!(effects.take_cookie(), CookieUpdate::Keep);
        effects.add(set("third"), Persistence::New);
        effects.add(CookieUpdate::Remove, Persistence::New);
        assert_eq!(effects.take_cookie(), CookieUpdate::Remove);
    }

    #[test]
    fn a_cookie_is_not_set_after_the_session_has_ended() {
        for (update, sent) in
            [(set("old"), CookieUpdate::Keep), (CookieUpdate::Remove, CookieUpdate::Remove)]
        {
            let mut effects = ResponseEffects::default();
            effects.add(update, Persistence::New);
            effects.add(CookieUpdate::Keep, Persistence::Ended);
            assert_eq!(effects.take_cookie(), sent);
        }
    }

    fn set(value: &str) -> CookieUpdate {
        CookieUpdate::Set { value: value.to_owned(), max_age: None }
    }
}
