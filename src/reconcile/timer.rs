//! Waiting for a point in time, by the same clock that tells it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, ManualClock, SystemClock, Timestamp};

/// The longest single sleep: when the machine's clock is set or the machine was suspended, a wait is late by no more.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Resolves when a point in time has come.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits for points in time; the companion of a [`Clock`].
pub trait Timer: Send + Sync + fmt::Debug {
    /// Resolves once the clock shows `at` or later.
    fn sleep_until(&self, at: Timestamp) -> Sleep;
}

/// Waits by the machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemTimer;

impl Timer for SystemTimer {
    fn sleep_until(&self, at: Timestamp) -> Sleep {
        Box::pin(async move {
            loop {
                let left = at.since(SystemClock.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(SLEEP_MAX)).await;
            }
        })
    }
}

/// Waits by a clock that somebody advances.
#[derive(Clone, Debug)]
pub struct ManualTimer(Arc<ManualClock>);

impl ManualTimer {
    /// Waits by `clock`.
    pub fn new(clock: Arc<ManualClock>) -> Self {
        Self(clock)
    }
}

impl Timer for ManualTimer {
    fn sleep_until(&self, at: Timestamp) -> Sleep {
        Box::pin(self.0.reached(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_timer_returns_at_the_time_and_not_before() {
        let at = SystemClock.now().plus(Duration::from_millis(15));
        SystemTimer.sleep_until(at).await;
        assert!(SystemClock.now() >= at);
    }

    #[tokio::test]
    async fn a_time_that_has_passed_is_not_waited_for() {
        SystemTimer.sleep_until(Timestamp::from_millis(0)).await;
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(5)));
        ManualTimer::new(clock).sleep_until(Timestamp::from_millis(5)).await;
    }
}
