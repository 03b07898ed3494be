//! What is remembered of a deployment's failing tasks, and how many of them are too many.

use base::{TaskId, Timestamp};
use serde::{Deserialize, Serialize};

/// How many tasks of a deployment have failed. Each is counted once, whenever the server is killed: the count and the ids
/// of those that it holds are one record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Those since a task was last healthy; where the circuit breaker says so, all of them.
    pub failed: u32,
    /// When the last of these failed.
    pub failed_at: Option<Timestamp>,
    /// Those that ended before they ran, since a task last ran.
    pub unstarted: u32,
    /// When the last of these ended.
    pub unstarted_at: Option<Timestamp>,
    /// The tasks that are counted in already, as long as they are remembered.
    pub counted: Vec<TaskId>,
}

/// What happens to a deployment whose tasks fail again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitBreaker {
    /// Whether the service goes back to the last deployment that was completed.
    pub rolls_back: bool,
    /// How many failures are too many.
    #[serde(default)]
    pub threshold: FailureThreshold,
    /// Whether a healthy task makes the failures before it forgotten.
    #[serde(default = "yes")]
    pub resets_on_healthy_task: bool,
}

fn yes() -> bool {
    true
}

/// How many failures give a deployment up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureThreshold {
    /// Percents of the desired tasks, but within ECS's bounds.
    BoundedPercent(u32),
    /// Percents of the desired tasks.
    UnboundedPercent(u32),
    /// A number.
    Count(u32),
}

impl Default for FailureThreshold {
    fn default() -> Self {
        Self::BoundedPercent(50)
    }
}

impl FailureThreshold {
    /// The fewest and the most failures that a bounded share of the desired tasks can come to. (Spec 04: 3…200.)
    const BOUNDS: (u32, u32) = (3, 200);

    /// Returns the number of failures, which is at least 1. Shares are rounded up.
    pub fn of(self, desired_count: u32) -> u32 {
        let share = |percent: u32| {
            u32::try_from((u64::from(desired_count) * u64::from(percent)).div_ceil(100)).unwrap_or(u32::MAX)
        };
        match self {
            Self::BoundedPercent(percent) => share(percent).clamp(Self::BOUNDS.0, Self::BOUNDS.1),
            Self::UnboundedPercent(percent) => share(percent).max(1),
            Self::Count(count) => count.max(1),
        }
    }
}

/// The alarms that give a deployment up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmWatch {
    /// Their names.
    pub names: Vec<String>,
    /// Whether the service goes back to the last deployment that was completed.
    pub rolls_back: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_a_share_rounded_up_or_a_number() {
        use FailureThreshold::{BoundedPercent, Count, UnboundedPercent};
        let rows = [
            (FailureThreshold::default(), 0, 3),
            (FailureThreshold::default(), 1, 3),
            (FailureThreshold::default(), 6, 3),
            (FailureThreshold::default(), 7, 4),
            (FailureThreshold::default(), 25, 13),
            (FailureThreshold::default(), 400, 200),
            (FailureThreshold::default(), 5000, 200),
            (BoundedPercent(100), 10, 10),
            (BoundedPercent(1), 10, 3),
            (UnboundedPercent(50), 1, 1),
            (UnboundedPercent(50), 0, 1),
            (UnboundedPercent(50), 5, 3),
            (UnboundedPercent(100), 5000, 5000),
            (Count(1), 5000, 1),
            (Count(0), 1, 1),
            (Count(7), 1, 7),
        ];
        for (threshold, desired, expected) in rows {
            assert_eq!(threshold.of(desired), expected, "{threshold:?} of {desired}");
        }
    }
}
