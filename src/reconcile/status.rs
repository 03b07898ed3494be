//! What a driver tells of each reconciler, for the health page and for tests.

use base::Timestamp;

use crate::Key;

/// The last failure of a reconciler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When the step ended.
    pub at: Timestamp,
    /// The key whose step failed.
    pub key: Key,
    /// What failed.
    pub why: String,
}

/// How a reconciler is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub reconciler: &'static str,
    /// How many steps have ended since the start, failures included.
    pub steps: u64,
    /// How many of them failed or panicked.
    pub failures: u64,
    /// How many keys wait for their turn.
    pub queued: usize,
    /// How many steps run.
    pub running: usize,
    /// How many keys wait for a time, after a failure or because a step asked for it.
    pub waiting: usize,
    /// The last failure; kept when later steps succeed.
    pub last_failure: Option<Failure>,
}
