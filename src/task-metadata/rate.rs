//! How often somebody may ask: a bucket of tokens for each, filled by the clock.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use base::Timestamp;

/// The parts of a token: what a bucket gains in one millisecond at one token a second.
const PARTS: u64 = 1_000;
/// How many buckets are kept before the full ones, which nobody misses, are thrown away.
const BUCKETS_MAX: usize = 4_096;

/// A rate and a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// How many tokens there are at most.
    pub(crate) burst: u64,
    /// How many milliseconds a thousand tokens take.
    pub(crate) per_thousand_ms: u64,
}

/// Buckets by who asks.
pub(crate) struct Buckets<K> {
    rate: Rate,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    parts: u64,
    at: Timestamp,
}

impl<K: Eq + Hash> Buckets<K> {
    /// Makes buckets that are all full.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes a token; false if there is none.
    pub(crate) fn take(&self, key: K, now: Timestamp) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX {
            buckets.retain(|_, bucket| self.filled(*bucket, now) < self.full());
        }
        let bucket = buckets.entry(key).or_insert_with(|| Bucket { parts: self.full(), at: now });
        let parts = self.filled(*bucket, now);
        if parts < PARTS {
            // Left as it is: less than a part would be lost at each attempt.
            return false;
        }
        *bucket = Bucket { parts: parts - PARTS, at: now.max(bucket.at) };
        true
    }

    fn full(&self) -> u64 {
        self.rate.burst * PARTS
    }

    fn filled(&self, bucket: Bucket, now: Timestamp) -> u64 {
        let passed_ms = u64::try_from(now.since(bucket.at).as_millis()).unwrap_or(u64::MAX);
        let gained = passed_ms.saturating_mul(PARTS * 1_000) / self.rate.per_thousand_ms;
        bucket.parts.saturating_add(gained).min(self.full())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_given_and_then_the_rate() {
        let buckets = Buckets::new(Rate { burst: 3, per_thousand_ms: 25_000 });
        let given = |ms| (0..10).filter(|_| buckets.take("a", Timestamp::from_millis(ms))).count();
        assert_eq!(given(0), 3);
        assert_eq!(given(24), 0);
        assert_eq!(given(25), 1);
        assert_eq!(given(75), 2);
        assert_eq!(given(100_000), 3);
        assert!(buckets.take("b", Timestamp::from_millis(0)), "others have their own");
    }

    #[test]
    fn full_buckets_are_not_kept_for_ever() {
        let buckets = Buckets::new(Rate { burst: 1, per_thousand_ms: 1_000 });
        for peer in 0..3 * BUCKETS_MAX {
            buckets.take(peer, Timestamp::from_millis(i64::try_from(peer).unwrap() * 10));
        }
        assert!(buckets.buckets.lock().unwrap().len() <= BUCKETS_MAX);
    }
}
