//! The handle by which anybody wakes a reconciler.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::Key;
use crate::queue::Queue;

/// Wakes reconcilers. Cheap to clone; made before the driver, so that state and nodes can hold it from their start.
#[derive(Clone, Default)]
pub struct Wakeups {
    shared: Arc<Shared>,
}

/// What the driver, its handle and the wakers share.
#[derive(Default)]
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    /// Tells the driver that there is something to start.
    pub(crate) work: Notify,
    /// Tells whoever waits that the driver came to rest or has ended.
    pub(crate) rest: Notify,
}

impl Shared {
    /// Returns the queue. A panic elsewhere cannot leave it half-changed: no caller's code runs under the lock.
    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wakeups {
    /// Makes a handle without a driver yet; wakes are kept for it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a step of `key` by the reconciler of that name.
    ///
    /// May be called from any thread, never blocks for long, and costs the same however many keys there are. A key that
    /// already waits is not queued again, so the queue is bounded by the number of keys. After shutdown it does nothing.
    pub fn wake(&self, reconciler: &'static str, key: Key) {
        // The driver is told after the lock is free again, so that it does not run into it.
        let has_work = self.shared.queue().wake(reconciler, key);
        if has_work {
            self.shared.work.notify_one();
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl std::fmt::Debug for Wakeups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wakeups").finish_non_exhaustive()
    }
}
