//! The choice between speed and safety at a loss of power.

/// The changes that survive a loss of power. A crash of the application loses nothing with either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// All commits that were acknowledged. Each commit waits for the disk twice.
    #[default]
    Full,
    /// The commits that the operating system had written. No commit waits for the disk, and a loss of
    /// power may undo the commits of the last seconds, each as a whole, logouts included.
    Fast,
}
