//! Challenges for devices, and the values of the cookies that devices earn by signing them.
//!
//! Both are authenticated and not stored. Each is bound to one session by an id: that of the session in the
//! list of its owner before a device is registered, and that of the [binding](crate::record::device)
//! afterwards.
//!
//! # Formats, version 1
//! ```text
//! challenge = base64url(HMAC-SHA256(key, purpose (1 byte) ‖ id (16) ‖ number of the period (8)))
//! cookie    = base64url(deadline (8) ‖ HMAC-SHA256(key, 'b' ‖ id (16) ‖ deadline (8)))
//! ```
//! The key is HKDF-SHA256 of the application key with info `cloakroom v1 device binding`. A period has five
//! minutes, and a challenge is accepted in its own period, in the next one, and in the one before, because the
//! clocks of servers differ. Numbers are big-endian, and
//! moments are milliseconds since the Unix epoch.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cloakroom_store::clock::Timestamp;
use subtle::ConstantTimeEq as _;

use crate::crypto::app_keys::{AppKeys, SubKey, mac};

const PERIOD_MILLIS: u64 = 5 * 60 * 1_000;
const MAC: usize = 32;
const MOMENT: usize = size_of::<u64>();
const COOKIE: u8 = b'b';

/// The reason why a device signs a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Registration,
    Refresh,
}

/// The key of each application key, newest first. Never empty.
pub(crate) struct DeviceKeys(Vec<SubKey>);

impl DeviceKeys {
    pub(crate) fn new(keys: &AppKeys) -> Self {
        Self(keys.derive_all("device binding").into_iter().map(|(_, key)| key).collect())
    }

    /// Returns the challenge for a session at this moment.
    pub(crate) fn challenge(&self, purpose: Purpose, id: &[u8; 16], now: Timestamp) -> String {
        URL_SAFE_NO_PAD.encode(challenge(&self.0[0], purpose, id, now.as_millis() / PERIOD_MILLIS))
    }

    /// Returns whether `text` was the challenge for a session at some moment of the last five minutes. Older
    /// ones are accepted for five minutes more at the most.
    pub(crate) fn accepts(
        &self,
        text: &str,
        purpose: Purpose,
        id: &[u8; 16],
        now: Timestamp,
    ) -> bool {
        let mut given = [0; MAC];
        if URL_SAFE_NO_PAD.decode_slice(text, &mut given) != Ok(MAC) {
            return false;
        }
        let period = now.as_millis() / PERIOD_MILLIS;
        let is_of = |key: &SubKey, period| challenge(key, purpose, id, period).ct_eq(&given).into();
        // The next period may have begun on a server whose clock is ahead.
        let accepted = period.saturating_sub(1)..=period + 1;
        self.0.iter().any(|key| accepted.clone().any(|period| is_of(key, period)))
    }

    /// Returns the value of a bound cookie that counts until `expires`.
    pub(crate) fn cookie(&self, id: &[u8; 16], expires: Timestamp) -> String {
        let deadline = expires.as_millis().to_be_bytes();
        URL_SAFE_NO_PAD
            .encode([&deadline[..], &authenticate(&self.0[0], COOKIE, id, deadline)].concat())
    }

    /// Returns whether `value` is a bound cookie of this binding that counts at `now`. `longest` is the
    /// longest time that a cookie counts, so that one of a clock that was wrong does not count for years.
    pub(crate) fn accepts_cookie(
        &self,
        value: &[u8],
        id: &[u8; 16],
        now: Timestamp,
        longest: Duration,
    ) -> bool {
        let mut bytes = [0; MOMENT + MAC];
        if URL_SAFE_NO_PAD.decode_slice(value, &mut bytes) != Ok(bytes.len()) {
            return false;
        }
        let Some((deadline, given)) = bytes.split_first_chunk::<MOMENT>() else { return false };
        let expires = Timestamp::from_millis(u64::from_be_bytes(*deadline));
        let is_current = now < expires && now.until(expires) <= longest;
        is_current
            && self
                .0
                .iter()
                .any(|key| authenticate(key, COOKIE, id, *deadline)[..].ct_eq(given).into())
    }
}

fn challenge(key: &SubKey, purpose: Purpose, id: &[u8; 16], period: u64) -> [u8; MAC] {
    let purpose = match purpose {
        Purpose::Registration => b'n',
        Purpose::Refresh => b'r',
    };
    authenticate(key, purpose, id, period.to_be_bytes())
}

fn authenticate(key: &SubKey, purpose: u8, id: &[u8; 16], number: [u8; MOMENT]) -> [u8; MAC] {
    let mut message = [purpose; 1 + 16 + MOMENT];
    message[1..17].copy_from_slice(id);
    message[17..].copy_from_slice(&number);
    mac(key, &message)
}

/// Shows the number of keys, because their bytes are secret.
impl fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKeys({} keys)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = [7; 16];
    const MINUTES: Duration = Duration::from_mins(1);

    fn at(minutes: u32) -> Timestamp {
        Timestamp::from_millis(1_735_689_600_000) + MINUTES * minutes
    }

    #[test]
    fn a_challenge_counts_for_its_purpose_and_session_for_five_to_ten_minutes() {
        let keys = DeviceKeys::new(&AppKeys::random());
        let text = keys.challenge(Purpose::Refresh, &ID, at(0));
        let accepts = |purpose, id, now| keys.accepts(&text, purpose, id, now);
        assert!(accepts(Purpose::Refresh, &ID, at(0)) && accepts(Purpose::Refresh, &ID, at(5)));
        assert!(!accepts(Purpose::Refresh, &ID, at(10)));
        assert!(!accepts(Purpose::Registration, &ID, at(0)));
        assert!(!accepts(Purpose::Refresh, &[8; 16], at(0)));
        let others = DeviceKeys::new(&AppKeys::random());
        assert!(!others.accepts(&text, Purpose::Refresh, &ID, at(0)));
        for broken in ["", "AAAA", &text[1..], &format!("{text}A")] {
            assert!(!keys.accepts(broken, Purpose::Refresh, &ID, at(0)), "{broken}");
        }
    }

    #[test]
    fn a_challenge_of_a_clock_that_is_ahead_counts_one_period_early() {
        let keys = DeviceKeys::new(&AppKeys::random());
        let text = keys.challenge(Purpose::Refresh, &ID, at(10));
        let accepts = |now| keys.accepts(&text, Purpose::Refresh, &ID, now);
        assert!(accepts(at(5)) && accepts(at(9)), "in the period before");
        assert!(!accepts(at(4)) && !accepts(at(0)), "two periods before");
    }

    #[test]
    fn a_cookie_counts_for_its_binding_until_its_deadline() {
        let keys = DeviceKeys::new(&AppKeys::random());
        let value = keys.cookie(&ID, at(10));
        let counts =
            |value: &str, id, now| keys.accepts_cookie(value.as_bytes(), id, now, MINUTES * 10);
        assert!(counts(&value, &ID, at(0)) && counts(&value, &ID, at(9)));
        assert!(!counts(&value, &ID, at(10)));
        assert!(!counts(&value, &[8; 16], at(0)));
        assert!(!counts(&keys.cookie(&ID, at(11)), &ID, at(0)), "longer than any cookie counts");
        for index in 0..value.len() {
            let mut forged = value.clone().into_bytes();
            forged[index] = if forged[index] == b'A' { b'B' } else { b'A' };
            assert!(!keys.accepts_cookie(&forged, &ID, at(0), MINUTES * 10), "character {index}");
        }
    }

    #[test]
    fn cookies_and_challenges_of_an_older_key_count() {
        let (old, new) = (AppKeys::generate(), AppKeys::generate());
        let before = DeviceKeys::new(&AppKeys::parse(&old).unwrap());
        let after = DeviceKeys::new(&AppKeys::parse(&format!("{new},{old}")).unwrap());
        let text = before.challenge(Purpose::Registration, &ID, at(0));
        assert!(after.accepts(&text, Purpose::Registration, &ID, at(0)));
        let value = before.cookie(&ID, at(10));
        assert!(after.accepts_cookie(value.as_bytes(), &ID, at(1), MINUTES * 10));
    }
}
