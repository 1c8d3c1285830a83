//! Deleting expired entries.

use async_trait::async_trait;

use crate::{Store, StoreError};

/// Deletes expired entries, for stores whose entries do not expire by themselves.
#[async_trait]
pub trait Sweep: Store {
    /// Examines up to `limit` entries and deletes those whose deadline has passed. Call it again until
    /// [`SweepProgress::is_finished`].
    ///
    /// # Errors
    /// When the store fails. Entries that were deleted before the failure stay deleted.
    async fn sweep(&self, limit: usize) -> Result<SweepProgress, StoreError>;
}

/// The result of one call of [`Sweep::sweep`].
///
/// ```
/// use cloakroom_store::{SweepProgress, SweepRound};
///
/// let progress = SweepProgress::new(128, 3, SweepRound::Ongoing);
/// assert!(!progress.is_finished());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepProgress {
    /// How many entries were examined, which may be a few more than the limit. A sweep in the
    /// background speeds up while more than half of them have expired.
    pub seen: usize,
    /// How many of these were deleted.
    pub removed: usize,
    /// Where the call leaves the round over the whole store.
    pub round: SweepRound,
}

/// Where a call of [`Sweep::sweep`] leaves the round over the whole store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepRound {
    /// More entries of the round are left.
    Ongoing,
    /// The call examined the last entries of the round.
    Finished,
    /// Nothing was done because another process is sweeping the store.
    Busy,
}

impl SweepProgress {
    /// Makes the result of a call.
    pub const fn new(seen: usize, removed: usize, round: SweepRound) -> Self {
        Self { seen, removed, round }
    }

    /// Returns whether this process has nothing more to sweep in this round.
    pub fn is_finished(&self) -> bool {
        self.round != SweepRound::Ongoing
    }
}
