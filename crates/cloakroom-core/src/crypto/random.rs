//! The operating system's random generator.
//!
//! Invariant: random bytes are drawn at the moment of their use, and none wait in memory. Otherwise a
//! snapshot of a virtual machine that is restored twice, or a forked process, would use the same bytes
//! again. What remains is the kernel's own generator, which Linux reseeds after a restore if the
//! hypervisor reports it (`vmgenid`, Linux 5.18).

/// Fills `bytes` with random bytes.
///
/// # Panics
/// When the system has no working generator: without one no secret can be made, and going on would
/// hand out guessable tokens.
#[expect(clippy::expect_used, reason = "see Panics")]
pub(crate) fn fill_from_system(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system's random generator must work");
}

/// Returns a random number, for retry delays and the names of flash batches.
pub(crate) fn random_number() -> u64 {
    let mut bytes = [0; 8];
    fill_from_system(&mut bytes);
    u64::from_le_bytes(bytes)
}
