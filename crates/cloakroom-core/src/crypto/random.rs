//! Random bytes from the operating system.
//!
//! Invariant: each caller draws its random bytes when it uses them. Buffered bytes would be used twice
//! after a fork, or if a snapshot of a virtual machine is restored twice. The kernel's own generator
//! has the same weakness until it is reseeded. Linux reseeds it after a restore if the hypervisor
//! reports the restore (`vmgenid`, since Linux 5.18).

/// Fills `bytes` with random bytes (OWASP ASVS 5.0, 11.5.1).
///
/// # Panics
/// If the operating system's generator fails, because any other source would make tokens guessable.
#[expect(clippy::expect_used, reason = "see Panics")]
pub(crate) fn fill_from_system(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system's random generator must work");
}

/// Returns a random number.
pub(crate) fn random_number() -> u64 {
    let mut bytes = [0; 8];
    fill_from_system(&mut bytes);
    u64::from_le_bytes(bytes)
}
