//! Binding sessions to the device that signed in, by Device Bound Session Credentials (W3C).
//!
//! # Steps
//! 1. The response to a sign-in has the header `Secure-Session-Registration` with a challenge. A browser that
//!    supports it makes a key in the hardware of its device, signs the challenge and sends both.
//! 2. The session's record keeps the public key, and the browser gets the *bound cookie*, which counts for
//!    minutes.
//! 3. Without the bound cookie, the browser holds its requests back, signs a new challenge and gets another
//!    bound cookie.
//!
//! A copy of the session cookie on another device has no key. So it is worth nothing once the copied bound
//! cookie has expired. The check of a request compares the bound cookie with the loaded record and asks no
//! store.

use std::{fmt, time::Duration};

use serde_json::json;

use crate::{
    cookie::{self, CookieSettings, Cookies, SameSite, ValueForm},
    crypto::{
        app_keys::AppKeys,
        device_keys::{DeviceKeys, Purpose},
        device_proof::ALGORITHMS,
    },
    error::ConfigError,
    record::{Record, device::BoundDevice, owner::SessionId},
};
use cloakroom_store::clock::Timestamp;

pub(crate) const DEFAULT_REFRESH: Duration = Duration::from_secs(10 * 60);

/// The name of the bound cookie is that of the session cookie with this end.
pub(crate) const SUFFIX: &str = "-device";

const MIN_REFRESH: Duration = Duration::from_secs(60);
const MAX_REFRESH: Duration = Duration::from_secs(24 * 3_600);

/// How long a browser may take to store its first bound cookie after the registration. The clocks of servers
/// may differ by half of it.
const SETTLING: Duration = Duration::from_secs(2 * 60);

/// How far the clocks of servers may differ. A browser drops the bound cookie this long before its deadline.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// The policy for requests of a session that is bound to a device. Sessions of browsers that support no
/// binding are used as before under each policy. Under each, requests pass without the bound cookie for two minutes
/// after the registration.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::{AppKeys, DeviceBinding, MemoryStore, Sessions};
///
/// # #[cfg(feature = "device-binding")]
/// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random())
///     .device_binding(DeviceBinding::Report)
///     .build()?;
/// # Ok::<(), cloakroom::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceBinding {
    /// Sessions are not bound. This is the default.
    #[default]
    Off,
    /// Sessions are bound. A request without the bound cookie is counted, and used as before. Begin with
    /// this policy.
    Report,
    /// As [`Report`](Self::Report). A request without the bound cookie is also refused where a recent sign-in
    /// or a level is required: by [`RequireOwner::within`](crate::RequireOwner::within),
    /// [`RequireOwner::level`](crate::RequireOwner::level) and
    /// [`Session::authenticated_within`](crate::Session::authenticated_within).
    Sensitive,
    /// A request without the bound cookie gets an empty session. Unlike without a cookie, its changes are not
    /// stored and begin no session, because the session stays for its device. A sign-in begins a new session,
    /// and a sign-out ends the one that is bound.
    Require,
}

/// Whether a request comes from the device that its session is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The session is bound to no device.
    Unbound,
    /// The request has a bound cookie that counts.
    Proven,
    /// The device has just been registered, and the browser may not have stored the bound cookie yet.
    Settling,
    /// The request has no bound cookie, or one that does not count any more.
    Missing,
}

/// The two requests of a browser about its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceEndpoint {
    Registration,
    Refresh,
}

/// The binding of an application's sessions: its policy, keys and cookie.
pub(crate) struct Binding {
    pub(crate) policy: DeviceBinding,
    keys: DeviceKeys,
    cookies: Cookies,
    same_site: SameSite,
    refresh: Duration,
    registration_path: String,
    refresh_path: String,
}

impl Binding {
    /// Makes the binding, unless it is off.
    ///
    /// # Errors
    /// When the crate is compiled without the feature `device-binding`, `refresh` is out of range, or the
    /// cookie goes to other hosts or comes from other sites.
    pub(crate) fn new(
        policy: DeviceBinding,
        refresh: Duration,
        session: &CookieSettings,
        keys: &AppKeys,
    ) -> Result<Option<Self>, ConfigError> {
        const FEATURE: &str = "with the feature `device-binding` of cloakroom, `off`, `report`, \
                               `sensitive` and `require` are accepted; without it, `off`";
        const REFRESH: &str = "one minute to one day is accepted";
        const DOMAIN: &str = "with `cookie.domain`, `off` is accepted, because a browser renews the bound \
                              cookie for requests to one host only";
        const EMBEDDED: &str = "with `cookie.same_site = \"none\"`, `off` and `report` are accepted, because a \
                                browser does not renew the bound cookie for requests from other sites";
        if policy == DeviceBinding::Off {
            return Ok(None);
        }
        if !cfg!(feature = "device-binding") {
            return Err(ConfigError::new("device_binding", FEATURE));
        }
        if !(MIN_REFRESH..=MAX_REFRESH).contains(&refresh) {
            return Err(ConfigError::new("device_refresh", REFRESH));
        }
        if session.domain.is_some() {
            return Err(ConfigError::new("device_binding", DOMAIN));
        }
        if session.same_site == SameSite::None && policy != DeviceBinding::Report {
            return Err(ConfigError::new("device_binding", EMBEDDED));
        }
        let name = format!("{}{SUFFIX}", session.name);
        let settings = CookieSettings { name, ..session.clone() };
        // Layers for different cookies reply at different paths.
        let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || "-_".contains(*letter);
        let cookie: String = session.name.chars().filter(is_plain).collect();
        let root = session.path.trim_end_matches('/');
        let below = |name| format!("{root}/.well-known/cloakroom/{cookie}/{name}");
        Ok(Some(Self {
            policy,
            keys: DeviceKeys::new(keys),
            same_site: settings.same_site,
            cookies: Cookies::new(settings, ValueForm::Token)?,
            refresh,
            registration_path: below("device-registration"),
            refresh_path: below("device-refresh"),
        }))
    }

    /// Returns what a request with this path is about, if it is about a device.
    pub(crate) fn endpoint(&self, path: &str) -> Option<DeviceEndpoint> {
        match path {
            _ if path == self.registration_path => Some(DeviceEndpoint::Registration),
            _ if path == self.refresh_path => Some(DeviceEndpoint::Refresh),
            _ => None,
        }
    }

    /// Returns the values of the bound cookie. One that a neighbouring host has planted hides no other.
    pub(crate) fn cookies<'h>(
        &self,
        headers: impl Iterator<Item = &'h [u8]>,
    ) -> impl Iterator<Item = &'h [u8]> {
        cookie::values(headers, self.cookies.name())
    }

    /// Returns whether a request comes from the device of `record`. `cookies` are the values of its bound
    /// cookie.
    pub(crate) fn presence<'c>(
        &self,
        record: &Record,
        cookies: impl IntoIterator<Item = &'c [u8]>,
        now: Timestamp,
    ) -> Presence {
        let Some(device) = &record.device else { return Presence::Unbound };
        let longest = self.refresh + 2 * CLOCK_SKEW;
        let counts = |value| self.keys.accepts_cookie(value, device.id.as_bytes(), now, longest);
        if cookies.into_iter().any(counts) {
            Presence::Proven
        } else if now < device.since + SETTLING {
            Presence::Settling
        } else {
            Presence::Missing
        }
    }

    /// Returns the value of `Secure-Session-Registration` for the session with this id.
    pub(crate) fn registration(&self, id: SessionId, now: Timestamp) -> String {
        let challenge = self.keys.challenge(Purpose::Registration, id.as_bytes(), now);
        format!("({ALGORITHMS});path=\"{}\";challenge=\"{challenge}\"", self.registration_path)
    }

    /// Returns whether `challenge` is one of the last minutes for the registration of a session.
    pub(crate) fn accepts_registration(
        &self,
        challenge: &str,
        id: SessionId,
        now: Timestamp,
    ) -> bool {
        self.keys.accepts(challenge, Purpose::Registration, id.as_bytes(), now)
    }

    /// Returns the value of `Secure-Session-Challenge` for a refresh of the binding.
    pub(crate) fn challenge(&self, device: &BoundDevice, now: Timestamp) -> String {
        let challenge = self.keys.challenge(Purpose::Refresh, device.id.as_bytes(), now);
        format!("\"{challenge}\";id=\"{}\"", device.id)
    }

    /// Returns whether `challenge` is one of the last minutes for a refresh of the binding.
    pub(crate) fn accepts_refresh(
        &self,
        challenge: &str,
        device: &BoundDevice,
        now: Timestamp,
    ) -> bool {
        self.keys.accepts(challenge, Purpose::Refresh, device.id.as_bytes(), now)
    }

    /// Returns the `Set-Cookie` line of a bound cookie.
    pub(crate) fn issue(&self, device: &BoundDevice, now: Timestamp) -> String {
        let deadline = now + self.refresh + CLOCK_SKEW;
        let value = self.keys.cookie(device.id.as_bytes(), deadline);
        self.cookies.issue(&value, Some(self.refresh), &[]).swap_remove(0)
    }

    /// Returns the JSON that tells the browser which requests need the bound cookie, and where to get it.
    /// `origin` is that of the application.
    ///
    /// A page of any site may lead to this one and find the bound cookie renewed. With `SameSite=None`, this
    /// would let other sites measure whether the visitor is signed in, so only the application's own pages
    /// can.
    pub(crate) fn instructions(&self, device: &BoundDevice, origin: Option<&str>) -> String {
        let initiators: &[&str] = if self.same_site == SameSite::None { &[] } else { &["*"] };
        let mut scope = json!({ "include_site": false, "scope_specification": [] });
        if let Some(origin) = origin {
            scope["origin"] = origin.into();
        }
        let credential = json!({
            "type": "cookie",
            "name": self.cookies.name(),
            "attributes": self.cookies.attributes(),
        });
        json!({
            "session_identifier": device.id.to_string(),
            "refresh_url": self.refresh_path,
            "scope": scope,
            "credentials": [credential],
            "allowed_refresh_initiators": initiators,
        })
        .to_string()
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding").field("policy", &self.policy).finish_non_exhaustive()
    }
}
