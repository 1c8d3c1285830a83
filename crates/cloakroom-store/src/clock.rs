//! Time, injected: everything that expires asks a [`Clock`].

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A moment, in milliseconds since the Unix epoch. It is shown to the second and in UTC, as
/// `2026-11-24T18:30:00Z` (RFC 3339), and serializes as the number.
///
/// ```
/// use std::time::Duration;
/// use cloakroom_store::clock::Timestamp;
///
/// let noon = Timestamp::from_millis(43_200_000);
/// assert_eq!((noon + Duration::from_secs(1)).as_millis(), 43_201_000);
/// assert_eq!(noon.until(noon + Duration::from_secs(1)), Duration::from_secs(1));
/// assert_eq!(noon.to_string(), "1970-01-01T12:00:00Z");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time left until `later`; zero when `later` has passed.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

/// Saturates: a moment past the end of time stays at the end of time.
impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(at.0)
    }
}

/// Counts a moment before the Unix epoch as the epoch.
impl From<SystemTime> for Timestamp {
    fn from(at: SystemTime) -> Self {
        Self(0) + at.duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// Displays a moment after the year 9999 as the end of that year.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LAST: Timestamp = Timestamp(253_402_300_799_999);
        humantime::format_rfc3339_seconds((*self).min(LAST).into()).fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Tells the time. Applications use [`SystemClock`]; tests step a [`FakeClock`].
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock. A time before 1970 reads as 1970.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock that moves only by calls, for tests of timeouts.
///
/// ```
/// use std::time::Duration;
/// use cloakroom_store::clock::{Clock, FakeClock, Timestamp};
///
/// let clock = FakeClock::at(Timestamp::from_millis(1_000));
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.now(), Timestamp::from_millis(3_000));
/// ```
#[derive(Debug)]
pub struct FakeClock(AtomicU64);

impl FakeClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, span: Duration) {
        self.set(self.now() + span);
    }

    /// Puts the clock at `now`, which may lie in the past.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

/// Stands at 2025-01-01T00:00:00Z.
impl Default for FakeClock {
    fn default() -> Self {
        Self::at(Timestamp::from_millis(1_735_689_600_000))
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}
