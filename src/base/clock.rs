//! Time: milliseconds since the epoch, and the clocks that tell it.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
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

    /// Reads a date and time with an offset from UTC; none if it is none, or lies outside what can be told.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let at = DateTime::from_str(text, Format::DateTimeWithOffset).ok()?;
        at.to_millis().ok().map(Self)
    }

    /// Writes the date and time, in UTC.
    pub fn to_rfc3339(self) -> String {
        let written = DateTime::from(self).fmt(Format::DateTime);
        // Only years after 9999 cannot be written so.
        written.unwrap_or_else(|_| self.to_string())
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
    waiting: Mutex<Waiting>,
}

/// Who waits for what time; those of one time in the order in which they came.
#[derive(Debug, Default)]
struct Waiting {
    wakers: BTreeMap<(Timestamp, u64), Waker>,
    came: u64,
}

impl ManualClock {
    /// Makes a clock that stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { now_ms: AtomicI64::new(start.0), waiting: Mutex::default() }
    }

    /// Moves the clock forward and wakes whoever waits for a time that has now come.
    pub fn advance(&self, by: Duration) {
        self.advance_to(self.now().plus(by));
    }

    /// Moves the clock forward to a point in time, unless it is past that already, and wakes like
    /// [`ManualClock::advance`].
    pub fn advance_to(&self, to: Timestamp) {
        let mut waiting = self.waiting();
        let now = Timestamp(self.now_ms.fetch_max(to.0, Ordering::SeqCst).max(to.0));
        let mut due = Vec::new();
        while let Some(first) = waiting.wakers.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove());
        }
        drop(waiting);
        due.into_iter().for_each(Waker::wake);
    }

    /// Resolves once the clock shows `at` or later.
    pub fn reached(self: &Arc<Self>, at: Timestamp) -> Reached {
        Reached { clock: Arc::clone(self), at, place: None }
    }

    /// Returns the earliest time that somebody waits for.
    pub fn next_wait(&self) -> Option<Timestamp> {
        self.waiting().wakers.first_key_value().map(|((at, _), _)| *at)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a time of a [`ManualClock`]; dropping it ends the wait.
#[derive(Debug)]
pub struct Reached {
    clock: Arc<ManualClock>,
    at: Timestamp,
    /// Its place among those who wait for the same time.
    place: Option<u64>,
}

impl Future for Reached {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let clock = Arc::clone(&self.clock);
        // Locked over the look too: a clock that is moved after it finds the waker.
        let mut waiting = clock.waiting();
        if clock.now() >= self.at {
            return Poll::Ready(());
        }
        let place = self.place.unwrap_or(waiting.came);
        waiting.came = waiting.came.max(place + 1);
        waiting.wakers.insert((self.at, place), cx.waker().clone());
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.clock.waiting().wakers.remove(&(self.at, place));
        }
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

    fn poll(wait: &mut Reached) -> Poll<()> {
        Pin::new(wait).poll(&mut Context::from_waker(Waker::noop()))
    }

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
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000)));
        let at = Timestamp::from_millis(1_500);
        let mut wait = clock.reached(at);
        assert_eq!(poll(&mut wait), Poll::Pending);
        clock.advance(Duration::from_millis(499));
        assert_eq!(clock.next_wait(), Some(at));
        clock.advance(Duration::from_millis(1));
        assert_eq!(clock.next_wait(), None);
        assert_eq!(poll(&mut wait), Poll::Ready(()));
    }

    #[test]
    fn each_wait_is_for_its_own_time_and_one_that_is_dropped_is_forgotten() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let mut waits = [30, 20, 20, 10].map(|millis| clock.reached(Timestamp::from_millis(millis)));
        for wait in &mut waits {
            assert_eq!((poll(wait), poll(wait)), (Poll::Pending, Poll::Pending));
        }
        let [mut last, one, mut other, first] = waits;
        drop(first);
        assert_eq!(clock.next_wait(), Some(Timestamp::from_millis(20)));
        drop(one);
        clock.advance(Duration::from_millis(20));
        assert_eq!((poll(&mut other), poll(&mut last)), (Poll::Ready(()), Poll::Pending));
        assert_eq!(clock.next_wait(), Some(Timestamp::from_millis(30)));
    }

    #[test]
    fn a_manual_clock_is_never_moved_back() {
        let clock = ManualClock::new(Timestamp::from_millis(5));
        clock.advance_to(Timestamp::from_millis(4));
        assert_eq!(clock.now(), Timestamp::from_millis(5));
    }

    #[test]
    fn a_time_is_read_as_it_is_written() {
        let at = Timestamp::from_millis(1_767_225_600_250);
        assert_eq!(at.to_rfc3339(), "2026-01-01T00:00:00.25Z");
        assert_eq!(Timestamp::from_rfc3339("2026-01-01T00:00:00.25Z"), Some(at));
        assert_eq!(Timestamp::from_rfc3339("2026-01-01T02:00:00.250+02:00"), Some(at));
        assert_eq!(Timestamp::from_rfc3339("tomorrow"), None);
    }
}
