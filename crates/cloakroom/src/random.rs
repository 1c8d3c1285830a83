//! Randomness for what is not a secret: retry delays and the names of flash batches.
//!
//! Tokens, nonces and masks come from the operating system and cannot be replaced.
//!
//! Invariant: each is drawn at the moment of its use, and no random bytes wait in memory. Otherwise a
//! snapshot of a virtual machine that is restored twice, and a forked process, would use the same ones
//! again. What remains is the kernel's own generator, which Linux reseeds after a restore where the
//! hypervisor says so (`vmgenid`, Linux 5.18).

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// Draws the numbers that decide retries and merges, so that tests can fix them.
pub trait Random: fmt::Debug + Send + Sync + 'static {
    /// Any number, each as likely as the others.
    fn next(&self) -> u64;
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn next(&self) -> u64 {
        let mut bytes = [0; 8];
        fill_from_system(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// A repeatable sequence (`SplitMix64`), for tests.
///
/// ```
/// use cloakroom::random::{Random, SeededRandom};
///
/// assert_eq!(SeededRandom::new(7).next(), SeededRandom::new(7).next());
/// ```
#[derive(Debug)]
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Random for SeededRandom {
    fn next(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Fills `bytes` from the operating system's generator.
///
/// # Panics
/// When the system has no working generator: without one no secret can be made, and going on
/// would hand out guessable tokens.
#[expect(clippy::expect_used, reason = "see Panics")]
pub(crate) fn fill_from_system(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system's random generator must work");
}
