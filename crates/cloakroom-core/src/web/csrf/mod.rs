//! Protection against cross-site request forgery (CSRF): requests that another site makes the
//! visitor's browser send. It follows OWASP's cheat sheet on CSRF and `CrossOriginProtection` of Go
//! 1.25 (OWASP ASVS 5.0, 3.5.1 and 3.5.3).
//!
//! # Rules, in this order
//! 1. `GET`, `HEAD`, `OPTIONS` and `TRACE` pass, so handlers must not change anything for them. All
//!    other methods are checked, also unknown ones. Method overrides in headers or fields are ignored.
//! 2. `Sec-Fetch-Site` (Fetch Metadata) decides if the browser sends it, because pages cannot set it.
//!    - `same-origin` and `none` prove the sender. With `none` no page but the visitor began the request,
//!      for example by reloading the response to a form. A page cannot cause it.
//!    - `cross-site` is refused unless the `Origin` is trusted.
//!    - `same-site` is refused unless the `Origin` is trusted or
//!      [`allow_same_site`](CsrfPolicy::allow_same_site) is set.
//!
//!    With a [public origin](crate::SessionsBuilder::public_origin), another `Origin` beside `same-origin`
//!    or `none` is refused: the page is on another host name that leads to this application (DNS
//!    rebinding). `Origin: null` is accepted there: browsers send it from pages with the referrer policy
//!    `no-referrer`. An unknown value counts as a missing header.
//! 3. Without `Sec-Fetch-Site`, an `Origin` of this site, by scheme, host and port, or a trusted one proves
//!    the sender. Any other is refused, also `null`. Without an `Origin`, a `Referer` from elsewhere is
//!    refused, and one of this site proves nothing.
//! 4. If rule 2 or 3 has proved the sender, the policy decides whether the request needs a token as well.
//!    With [`CsrfPolicy::default`], only requests that an HTML form can send need one: those with the
//!    content types `application/x-www-form-urlencoded`, `multipart/form-data` and `text/plain`, and those
//!    without a content type. With [`CsrfPolicy::fetch_metadata`] none does, and with [`CsrfPolicy::strict`]
//!    all do. A request with neither header needs a token with every policy.
//! 5. The token is that of the visitor's session, in the header `X-CSRF-Token` (or `X-XSRF-TOKEN`) or in
//!    the form field `_csrf`. A token in the query is ignored.
//!
//! A request that has `Sec-Fetch-Site` or `Origin` more than once is refused. So is one with several `Referer`
//! headers that has neither.
//!
//! WebSocket handshakes are only checked by rules 2 and 3, because pages cannot add headers to them. A
//! handshake is a `GET` with `Upgrade: websocket`, or any `CONNECT`.
//!
//! # Trusted origins
//! The setting [`trusted_origins`](crate::SessionsBuilder::trusted_origins) is for all CSRF layers, and for
//! redirects. [`CsrfPolicy::trust_origin`] is for the routes of one layer. `Sec-Fetch-Site` and `Origin` are
//! compared with the same list. Trust does not make browsers send the cookie: with `SameSite=Lax`, a page of
//! another site has no session, while one of a sibling host has.
//!
//! # When the body is read
//! Rules 1 to 4, and a token in a header, only need the request's headers. Without a token in a header,
//! the body is read if all of these conditions hold. Otherwise the request is refused without reading it:
//! - its `Content-Type` is that of a form: urlencoded, multipart or JSON;
//! - it has no `Content-Encoding` and no `Upgrade: websocket`, because nothing is decompressed to find
//!   a token;
//! - the request's cookie identifies a session;
//! - its length is at most 2 MiB, or the limit of [`CsrfPolicy::limit_form`].
//!
//! Send the token in the header for larger, compressed and other uploads. Their bodies are then not
//! read.
//!
//! # Status codes
//! A refused request gets status 403. If it has a session but no token in a header, its form gets the
//! statuses of `Input`: 413 if it is too long, 415 if it is compressed, and 400 if it
//! [cannot be read](crate::form::FormInput::parse).
//!
//! The response says what was refused and what is accepted. The log, and in development
//! ([`show_errors`](crate::SessionsBuilder::show_errors)) the response, also have the
//! [explanation](CsrfRejection::explanation): the header, and the setting that accepts it.
//!
//! # Tokens
//! The token is an HMAC of the seed of the session's token (16 of its 32 bytes), with a separate key.
//! So it needs no storage, belongs to one session, and changes at `regenerate`. Each page gets it with a
//! new random mask, so that compression of the page does not leak it (BREACH).
//!
//! # Pages for visitors without a session
//! A page that shows a token to a visitor without a session stores no record. With a store, the
//! session cookie gets a *pre-session*: the seed and a deadline, sealed with the application key. It
//! is valid for the idle timeout, at most 24 hours. A page that shows a token renews it in its second
//! half. The next request is checked without a call of the store. The first change creates the
//! session's record under a new token with the same seed, so the forms of other tabs stay valid.
//!
//! A pre-session never becomes a session itself. An attacker who copies it, or plants it from a
//! neighbouring host, gets only an empty session and cannot compute the token of the visitor's later
//! session. But the attacker can compute its CSRF tokens until `regenerate`. So sign-in has to
//! regenerate, and the cookie's name should have the prefix `__Host-`.
//!
//! Several concurrent requests with a pre-session or without a cookie begin a session each if they
//! change something. The browser keeps the cookie that it receives last.
//!
//! # Several session layers
//! The token belongs to the session of the innermost layer for cookies that is around the CSRF layer.
//! A [`View`](crate::View) shows the token of the innermost layer around the handler, so put the CSRF layer
//! inside the session layer whose pages have the forms. Requests with bearer tokens pass without a CSRF
//! token, because browsers do not send a bearer token by themselves. A CSRF layer that is inside a layer for
//! bearer tokens, but around a layer for cookies, cannot protect it: the sessions of the latter
//! then fail to load.
//!
//! # Deployment
//! Rule 3 compares `Origin` with the request's `Host`. If a proxy replaces `Host`, set the
//! [public origin](crate::SessionsBuilder::public_origin), or requests of browsers without
//! `Sec-Fetch-Site` are refused. `X-Forwarded-Host` and similar headers are not read, because clients can send them.
//!
//! Browsers send `Sec-Fetch-Site` over https and to `localhost` only. On other hosts with plain http, rule
//! 3 decides.
//!
//! # Limitation
//! CSRF protection does not help against scripts that were injected into the site itself (XSS),
//! because their requests come from the site and they can read the token.

pub(crate) mod policy;
mod rejection;
mod sender;

pub use policy::{CsrfPolicy, Verdict};
pub use rejection::CsrfRejection;

#[cfg(test)]
mod matrix;
#[cfg(test)]
mod tests;
