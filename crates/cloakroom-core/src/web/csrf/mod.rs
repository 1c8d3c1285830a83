//! Protection against cross-site request forgery (CSRF): requests that another site makes the
//! visitor's browser send. It follows OWASP's cheat sheet on CSRF and `CrossOriginProtection` of Go
//! 1.25.
//!
//! # Rules, in this order
//! 1. `GET`, `HEAD`, `OPTIONS` and `TRACE` pass, so handlers must not change anything for them. All
//!    other methods are checked, also unknown ones. Method overrides in headers or fields are ignored.
//! 2. `Sec-Fetch-Site` is checked if the browser sends it, because pages cannot forge it. `cross-site`
//!    is refused unless the `Origin` is trusted. `same-site` is refused unless the `Origin` is trusted
//!    or [`allow_same_site`](CsrfPolicy::allow_same_site) is set. `same-origin` and `none` continue
//!    with rule 4. An unknown value counts as a missing header.
//! 3. Without `Sec-Fetch-Site`, `Origin` has to be this site, by scheme, host and port, or a trusted
//!    origin. `null` is refused. Without an `Origin`, the origin of the `Referer` is checked instead. A
//!    request with neither continues with rule 4.
//! 4. The request needs a token of the visitor's session, in the header `X-CSRF-Token` (or
//!    `X-XSRF-TOKEN`) or in the form field `_csrf`. A token in the query is ignored.
//!
//! WebSocket handshakes are only checked by rules 2 and 3, because pages cannot add headers to them. A
//! handshake is a `GET` with `Upgrade: websocket`, or any `CONNECT`.
//!
//! # When the body is read
//! Rules 1 to 3, and a token in a header, only need the request's headers. Without a token in a header,
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
//! Rule 3 compares with the request's `Host`. If a proxy rewrites it, requests of older browsers are
//! refused. Let the proxy pass on the original `Host`, or set the
//! [public origin](crate::SessionsBuilder::public_origin).
//!
//! # Limitation
//! CSRF protection does not help against scripts that were injected into the site itself (XSS),
//! because they can read the token.

pub(crate) mod policy;

pub use policy::{CsrfPolicy, CsrfRejection, Verdict};

#[cfg(test)]
mod tests;
