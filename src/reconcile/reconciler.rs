//! What a reconciler is: keys in, steps out.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base::{Scope, Timestamp};

/// How many steps of one reconciler run at once, unless it says otherwise: enough that fifty tasks start together, few
/// enough that a thousand do not thrash the machine.
pub const STEPS_CONCURRENT_MAX: usize = 64;

/// Names one thing that a reconciler looks after. Keys of different reconcilers never meet, even if they are equal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The account and region that the thing lies in.
    pub scope: Scope,
    /// Its name within the scope, in whatever form its reconciler chooses.
    pub name: Arc<str>,
}

impl Key {
    /// Makes the key of `name` in a scope.
    pub fn new(scope: Scope, name: impl Into<Arc<str>>) -> Self {
        Self { scope, name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.scope.account, self.scope.region, self.name)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a step has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Everything is as wanted, or a later wake will say that it may be.
    Settled,
    /// There is more to do at once; other keys that wait get their turn first.
    Again,
    /// There may be something to do at that time. An earlier wake forgets it: the step that follows says anew.
    At(Timestamp),
    /// The step could not do its work. It is repeated after a growing, bounded back-off.
    Failed {
        /// What failed, with its causes, for the log and the status.
        why: String,
    },
}

/// Brings things closer to what is wanted, one key at a time.
#[async_trait]
pub trait Reconciler: Send + Sync {
    /// Returns the name by which it is woken and logged; no two reconcilers of a driver share one.
    fn name(&self) -> &'static str;

    /// Lists every key that may need a step. Asked at start and at each resync, so that nothing depends on having been
    /// told. Must not block.
    fn candidates(&self) -> Vec<Key>;

    /// Brings one key closer to what is wanted. Idempotent; trusts nothing it was told, not even that the key exists.
    async fn step(&self, key: &Key) -> Step;

    /// Returns how many of its steps may run at once.
    fn steps_max(&self) -> usize {
        STEPS_CONCURRENT_MAX
    }
}
