//! What a request's response has to carry for the session's sake.

use crate::backend::commit::CookieUpdate;

/// The cookie that the commits of a request have earned, and whether the token was handed out.
#[derive(Debug, Default)]
pub(super) struct ResponseEffects {
    cookie: CookieUpdate,
    token_was_shown: bool,
}

impl ResponseEffects {
    /// Notes what a commit makes of the cookie. It stands until a later commit makes something else
    /// of it, also if that commit fails.
    pub(super) fn note(&mut self, cookie: CookieUpdate) {
        if cookie != CookieUpdate::Keep {
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
        let set = |value: &str| CookieUpdate::Set { value: value.to_owned(), max_age: None };
        effects.note(set("first"));
        effects.note(CookieUpdate::Keep);
        effects.note(set("second"));
        effects.note(CookieUpdate::Keep);
        assert_eq!(effects.take_cookie(), set("second"));
        assert_eq!(effects.take_cookie(), CookieUpdate::Keep);
        effects.note(set("third"));
        effects.note(CookieUpdate::Remove);
        assert_eq!(effects.take_cookie(), CookieUpdate::Remove);
    }
}
