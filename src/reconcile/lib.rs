//! The driver that runs reconcilers, and nothing of what they reconcile: no state, no node, no AWS beyond a key's scope.
//!
//! A [`Reconciler`] brings one key closer to what is wanted. It is told *that* it should look, never *what* changed, so
//! there is one code path whether or not anybody told it anything, and a restart needs no other.
//!
//! - [`Wakeups`] is held by whoever notices a change. A wake carries no data and is never lost: one that arrives while
//!   its key's step runs causes another step after it.
//! - [`Driver`] starts steps: different keys concurrently under a limit, one key never twice at once.
//! - [`Timer`] waits for times that steps ask for, for back-off after failures, and for the resync.

mod backoff;
mod driver;
mod queue;
mod reconciler;
mod status;
mod timer;
mod wakeups;

pub use driver::{Driver, DriverHandle, SHUTDOWN_WAIT_MAX};
pub use queue::RESYNC_EVERY;
pub use reconciler::{Key, Reconciler, STEPS_CONCURRENT_MAX, Step};
pub use status::{Failure, Status};
pub use timer::{ManualTimer, Sleep, SystemTimer, Timer};
pub use wakeups::Wakeups;
