//! Tells of a pull that takes long, now and then, in the server's log.

use std::time::Duration;

use node::PullProgress;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How long a pull is under way before its progress is told.
const FIRST_AFTER: Duration = Duration::from_secs(5);
/// How often it is told from then on.
const AGAIN_AFTER: Duration = Duration::from_secs(15);

/// Waits for `work`, and calls `tell` with how far it is, as long as it goes on.
pub(crate) async fn told_while<T>(
    work: impl Future<Output = T>,
    progress: impl Fn() -> PullProgress,
    tell: impl Fn(&PullProgress),
) -> T {
    let mut work = std::pin::pin!(work);
    let mut times = interval_at(Instant::now() + FIRST_AFTER, AGAIN_AFTER);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = times.tick() => tell(&progress()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_long_pull_is_told_of_now_and_then_and_a_short_one_is_not() {
        for (seconds, expected) in [(4, vec![]), (19, vec![1]), (21, vec![1, 2]), (36, vec![1, 2, 3])] {
            let (told, bytes) = (RefCell::new(Vec::new()), Cell::new(0));
            let progress = || {
                bytes.set(bytes.get() + 1);
                PullProgress { bytes_done: bytes.get(), ..PullProgress::default() }
            };
            let work = tokio::time::sleep(Duration::from_secs(seconds));
            told_while(work, progress, |progress| told.borrow_mut().push(progress.bytes_done)).await;
            assert_eq!(told.into_inner(), expected, "{seconds} s");
        }
    }
}
