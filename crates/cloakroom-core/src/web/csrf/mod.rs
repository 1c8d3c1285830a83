//! Protection against requests that another site makes the visitor's browser send.
//!
//! # What is checked, in this order
//! 1. `GET`, `HEAD`, `OPTIONS` and `TRACE` pass: handlers must not change anything for them. All
//!    other methods are checked, known or not. Method overrides in headers or fields mean nothing.
//! 2. `Sec-Fetch-Site`, which no page can forge: `cross-site` is refused unless the `Origin` is
//!    trusted, `same-site` likewise unless [allowed](CsrfPolicy::allow_same_site), `same-origin`
//!    and `none` go on. An unknown value counts as none sent.
//! 3. Without it, `Origin`: it must be this site, by scheme, host and port, or a trusted one.
//!    `null` is refused. Without an `Origin`, the origin of the `Referer` in its place.
//! 4. Always, also after 2 and 3: a token of the visitor's session, in the header `X-CSRF-Token`
//!    (or `X-XSRF-TOKEN`) or in the form field `_csrf`; never in the query.
//!
//! WebSocket handshakes are checked by rules 2 and 3 alone, because browsers let no page add a header
//! to them: a `GET` with `Upgrade: websocket`, and every `CONNECT`.
//!
//! # What is read
//! Rules 1 to 3 and a token in a header need the request's headers only. The body is read for rule 4
//! if all of this holds; otherwise the request is refused unread:
//! - its `Content-Type` is a form's: urlencoded, multipart or JSON;
//! - it has no `Content-Encoding` and no `Upgrade: websocket`: nothing is decompressed to find a token;
//! - the request's cookie leads to a session;
//! - it has no more than 2 MiB, or what [`CsrfPolicy::limit_form`] says.
//!
//! Larger, compressed and other uploads send the token in the header and are not read at all.
//!
//! A refused request gets status 403. With a session but without the token in a header, a form that
//! is too long gets 413, a compressed one 415, and one that
//! [cannot be read](crate::form::FormInput::parse) 400: the statuses that `Input` replies with.
//!
//! The token is an HMAC of the seed (16 of the 32 bytes) of the session's token under a key of its
//! own, masked anew each time it is shown, so that compression leaks nothing (BREACH) and nothing has
//! to be stored. It belongs to one session and changes at `regenerate`.
//!
//! # Pages for visitors without a session
//! A page that shows a token to a visitor without a session stores nothing. With a store, the
//! session cookie gets a *pre-session*: the seed and a deadline, sealed with the application key. It
//! lasts for the idle timeout, at most 24 hours, and a page that shows a token renews it in its second
//! half. The request after it is checked without a store call. The first change creates the session's
//! record under a new token with the same seed, so forms that other tabs show stay valid.
//!
//! A pre-session is not a session and never becomes one: whoever has a copy of it, or has planted it
//! from a neighbouring host, gets an empty session of their own and cannot compute the token of the
//! session that the visitor begins with it. Its CSRF tokens are known to them, until `regenerate`, so
//! sign-in has to regenerate, and the cookie's name should have the prefix `__Host-`. Requests that
//! change something at the same time, all with a pre-session or no cookie, begin a session each, and
//! the browser keeps the cookie that came last.
//!
//! # Deployment
//! Rule 3 compares with the request's `Host`. A proxy that rewrites it makes older browsers'
//! requests look foreign: pass the original on, or [trust](CsrfPolicy::trust_origin) the public
//! origin.
//!
//! # What this does not do
//! It does not help against scripts injected into the site itself (XSS), which can read the token.
//! It follows OWASP's cheat sheet on CSRF and the reasoning of `CrossOriginProtection` in Go 1.25.

mod origin;
pub(crate) mod policy;

pub use origin::OriginError;
pub use policy::{CsrfPolicy, CsrfRejection, Verdict};

pub use crate::http::site_scheme::SiteScheme;

#[cfg(test)]
mod tests;
