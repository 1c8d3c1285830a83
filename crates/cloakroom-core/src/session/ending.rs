//! How a request ends, and what its response carries for the session.

use crate::{
    backend::{Backend, commit::CookieUpdate, cookie, detached::Detached},
    error::Error,
    http::{response_headers::ResponseHeaders, site_data::SiteData},
    observe,
    session::{
        Session,
        response_effects::ResponseEffects,
        sessions::TokenTransport,
        uncommitted::{CommitResult, Uncommitted},
        unit_of_work::{Final, Kept},
    },
};

/// How a request ends. Decides on the changes that the final commit takes, and on the flash that the
/// request consumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The response may show a page. A navigation consumes all incoming flash, other requests only flash
    /// that they have read.
    Page,
    /// The response is a redirect. The request consumes only flash that it has read.
    Redirect,
    /// The handler's changes are discarded, except `destroy` and `regenerate`. The request consumes no
    /// flash.
    Discarded,
    /// The handler panicked, or was dropped before its end. All that it has not committed is discarded,
    /// except `destroy`. The request consumes no flash.
    Abandoned,
}

impl Ending {
    fn kept(self) -> Kept {
        match self {
            Self::Page | Self::Redirect => Kept::Changes,
            Self::Discarded => Kept::TokenAction,
            Self::Abandoned => Kept::Logout,
        }
    }
}

impl Session {
    /// Ends the request: closes the session to further changes and commits what is left. The future is
    /// ready if the commit has nothing to wait for.
    pub(crate) fn end(self, ending: Ending) -> Detached<CommitResult> {
        let sessions = self.sessions();
        match (self.close(ending), sessions.backend()) {
            (Err(error), _) => Detached::ready(self.uncommitted(error)),
            (Ok(Final::Nothing), _) => self.earned(),
            (Ok(Final::Commit), Backend::Cookie(sealer)) => {
                let sealed = self.commit_span().in_scope(|| {
                    let pending = self.state().work.pending();
                    let checkpoint = self.state().work.checkpoint();
                    let reported = self.prepare_report(&pending);
                    let outcome = cookie::commit(sealer, &pending, sessions.context())?;
                    self.report(reported, &outcome);
                    self.apply(outcome, &checkpoint)
                });
                let sealed = sealed.inspect_err(|error: &Error| observe::refused(error.code()));
                Detached::ready(self.conclude(sealed))
            }
            (Ok(Final::Commit), Backend::Store(_)) => Detached::new(async move {
                let (committed, _) = self.commit_changes().await;
                self.conclude(committed)
            }),
        }
    }

    /// Abandons a request that has no other end, because its client has disconnected, if a closure
    /// in its changes could keep the session in memory.
    pub(crate) fn drop_closures(&self) {
        let holds_closures = self.state().work.holds_closures();
        // A commit under way still takes the changes.
        if holds_closures && !self.is_committing() {
            _ = self.close(Ending::Abandoned);
        }
    }

    /// Closes the session to further changes. Drops the changes that no commit takes.
    fn close(&self, ending: Ending) -> Result<Final, Error> {
        let fetch = self.0.fetch;
        let mut state = self.state();
        let consumed = match ending {
            Ending::Page | Ending::Redirect if !fetch.speculative => {
                state.consume_flash(fetch.navigation && ending == Ending::Page)
            }
            _ => Ok(()),
        };
        let (left, discarded) = state.work.close(ending.kept(), self.sessions().context());
        drop(state);
        // Without the lock, because closures may own anything.
        drop(discarded);
        consumed.map(|()| left)
    }

    /// Returns the headers of the request's commits. Waits for a commit that is still under way because
    /// its caller has dropped the future.
    fn earned(self) -> Detached<CommitResult> {
        if !self.is_committing() {
            return Detached::ready(Ok(self.committed_headers()));
        }
        Detached::new(async move {
            drop(self.begin_commit().await);
            Ok(self.committed_headers())
        })
    }

    fn conclude(&self, committed: Result<(), Error>) -> CommitResult {
        match committed {
            Ok(()) => Ok(self.committed_headers()),
            Err(error) => {
                // A `ReadSession` would otherwise show changes that were never stored.
                let discarded = self.state().work.discard_changes();
                drop(discarded);
                self.uncommitted(error)
            }
        }
    }

    /// Returns the error with the headers of earlier commits.
    fn uncommitted(&self, error: Error) -> CommitResult {
        Err(Uncommitted { error, headers: self.response_headers() })
    }

    /// Returns the headers of a response whose commits have succeeded.
    fn committed_headers(&self) -> ResponseHeaders {
        let registration = self.registration();
        ResponseHeaders { registration, ..self.response_headers() }
    }

    /// Returns the headers that the response needs for the commits until now.
    fn response_headers(&self) -> ResponseHeaders {
        let mut state = self.state();
        let cookie = state.effects.take_cookie();
        let clear_site_data = self.site_data_to_clear(&cookie, &state.effects);
        match self.sessions().token_transport() {
            TokenTransport::Cookie => {
                let mut set_cookie = self.cookie_lines(cookie);
                let foreign = self.sessions().context().foreign();
                if let (true, Some(foreign)) = (state.effects.was_taken_over(), foreign) {
                    set_cookie.extend(foreign.removal());
                }
                ResponseHeaders {
                    set_cookie,
                    vary: Some("Cookie"),
                    clear_site_data,
                    ..ResponseHeaders::default()
                }
            }
            TokenTransport::Bearer => {
                let secret = state.effects.token_was_shown();
                ResponseHeaders {
                    vary: Some("Authorization"),
                    secret,
                    clear_site_data,
                    ..ResponseHeaders::default()
                }
            }
        }
    }

    /// Returns the value of `Clear-Site-Data`, if this request has ended its session. A cookie that the response
    /// sets, as for a session that follows, is not cleared.
    fn site_data_to_clear(
        &self,
        cookie: &CookieUpdate,
        effects: &ResponseEffects,
    ) -> Option<String> {
        let data = self.sessions().context().clear_site_data();
        match cookie {
            _ if !effects.has_ended() => None,
            CookieUpdate::Set { .. } => SiteData::header(&SiteData::without_cookies(data)),
            CookieUpdate::Keep | CookieUpdate::Remove => SiteData::header(data),
        }
    }

    /// Returns whether a commit of this request has set or removed the cookie.
    pub(crate) fn has_earned_cookie(&self) -> bool {
        self.state().effects.has_cookie()
    }

    /// Returns the `Set-Cookie` lines of a cookie update.
    fn cookie_lines(&self, cookie: CookieUpdate) -> Vec<String> {
        let (context, sent) = (self.sessions().context(), &self.0.sent);
        let mut lines = match cookie {
            CookieUpdate::Keep => return Vec::new(),
            CookieUpdate::Remove => context.cookies().remove(&sent.chunks),
            CookieUpdate::Set { value, max_age } => {
                if self.0.fetch.exposed {
                    observe::insecure_cookie();
                }
                context.cookies().issue(&value, max_age, &sent.chunks)
            }
        };
        if let (Some(old), Some(chunks)) = (context.old_name(), &sent.old_chunks) {
            lines.extend(old.removal(chunks));
        }
        lines
    }
}
