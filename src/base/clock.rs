//! Time: milliseconds since the epoch, and the clocks that tell it.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::{Deserialize, Serialize};

/// A point in time, in whole milliseconds since the Unix epoch: the precision that ECS reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Makes a timestamp of milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns the time from `earlier` to this point; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default())
    }

    /// Reads a time that is written as ISO 8601 does.
    pub fn parse_iso(text: &str) -> Option<Self> {
        DateTime::from_str(text, Format::DateTimeWithOffset).ok()?.to_millis().ok().map(Self)
    }

    /// Writes it as ISO 8601 does, in UTC, in whole seconds: `2026-01-01T00:00:00Z`.
    pub fn iso_seconds(self) -> String {
        let seconds = DateTime::from_secs(self.0.div_euclid(1000));
        seconds.fmt(Format::DateTime).unwrap_or_else(|_| self.to_string())
    }

    /// Writes it as ISO 8601 does, in UTC, with three digits of a second: `2026-01-01T00:00:00.000Z`.
    pub fn iso_millis(self) -> String {
        let seconds = self.iso_seconds();
        format!("{}.{:03}Z", seconds.trim_end_matches('Z'), self.0.rem_euclid(1000))
    }

    /// Returns the point that lies `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl From<Timestamp> for DateTime {
    fn from(at: Timestamp) -> Self {
        DateTime::from_millis(at.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0.div_euclid(1000), self.0.rem_euclid(1000))
    }
}

/// Tells the time. Handed to everything that needs it; see also `reconcile::Timer`, which waits for it.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still until it is told to advance.
#[derive(Debug)]
pub struct ManualClock {
    now_ms: AtomicI64,
    waiting: Mutex<Vec<(Timestamp, Waker)>>,
}

impl ManualClock {
    /// Makes a clock that stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { now_ms: AtomicI64::new(start.0), waiting: Mutex::default() }
    }

    /// Moves the clock forward and wakes whoever waits for a time that has now come.
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp(self.now_ms.fetch_add(by_ms, Ordering::SeqCst).saturating_add(by_ms));
        let due = waiting.extract_if(.., |(at, _)| *at <= now).map(|(_, waker)| waker).collect::<Vec<_>>();
        drop(waiting);
        due.into_iter().for_each(Waker::wake);
    }

    /// Returns ready if `at` has come, and otherwise has the waker woken when it comes.
    pub fn poll_reached(&self, at: Timestamp, waker: &Waker) -> Poll<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.now() >= at {
            return Poll::Ready(());
        }
        waiting.retain(|(_, known)| !known.will_wake(waker));
        waiting.push((at, waker.clone()));
        Poll::Pending
    }

    /// Returns the earliest time that somebody waits for.
    pub fn next_wait(&self) -> Option<Timestamp> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(at, _)| *at).min()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_or_without_its_milliseconds() {
        let at = Timestamp::from_millis(1_579_802_254_040);
        assert_eq!(at.iso_seconds(), "2020-01-23T17:57:34Z");
        assert_eq!(at.iso_millis(), "2020-01-23T17:57:34.040Z");
        assert_eq!(Timestamp::parse_iso("2020-01-23T17:57:34.040Z"), Some(at));
        assert_eq!(Timestamp::parse_iso("2020-01-23T18:57:34.040+01:00"), Some(at));
        assert_eq!(Timestamp::parse_iso("yesterday"), None);
    }

    #[test]
    fn a_manual_clock_wakes_at_the_time_and_not_before() {
        let clock = ManualClock::new(Timestamp::from_millis(1_000));
        let at = Timestamp::from_millis(1_500);
        assert_eq!(clock.poll_reached(at, Waker::noop()), Poll::Pending);
        clock.advance(Duration::from_millis(499));
        assert_eq!(clock.next_wait(), Some(at));
        clock.advance(Duration::from_millis(1));
        assert_eq!(clock.next_wait(), None);
        assert_eq!(clock.poll_reached(at, Waker::noop()), Poll::Ready(()));
    }
}
