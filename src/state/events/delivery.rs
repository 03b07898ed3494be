//! What is still to be delivered to a target.

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Record;

use super::Target;

/// How many deliveries wait for one target at most; what comes beyond them is dropped. EventBridge has no such limit, but
/// a machine has.
pub const DELIVERIES_PER_QUEUE_MAX: usize = 2_000;
/// How often a delivery is tried again unless its target says otherwise, as in EventBridge.
pub const RETRY_ATTEMPTS_DEFAULT: u32 = 185;
/// How old an event may become unless its target says otherwise, in seconds: 24 hours, as in EventBridge.
pub const RETRY_AGE_DEFAULT_S: u32 = 86_400;

/// For how long a delivery is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How often after the first time.
    pub attempts: u32,
    /// How old the event may be by then, in seconds.
    pub age_s: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: RETRY_ATTEMPTS_DEFAULT, age_s: RETRY_AGE_DEFAULT_S }
    }
}

/// What names a delivery: the queue of its target, and its place there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeliveryKey {
    /// The queue: one for each target of a rule, and one for each schedule.
    pub queue: String,
    /// Its place.
    pub number: u64,
}

/// A delivery. What is to be delivered stays as it was when the event came, whatever becomes of its rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// Where to.
    pub target: Target,
    /// What: the event, or what the target makes of it.
    pub payload: String,
    /// What tells it from any other, for targets that are not to do it twice.
    pub token: String,
    /// Who tasks that it starts are started by.
    pub started_by: String,
    /// Over how many buses the event came.
    pub hops: u8,
    /// When the event happened.
    pub at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is to be tried next.
    pub due_at: Timestamp,
}

impl Record for Delivery {}
