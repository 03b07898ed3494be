//! What containers had used when they were last looked at: a rate needs two looks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::ContainerId;
use node::{ContainerStats, InterfaceStats};

/// How far apart the two looks are that a rate is made of, if the container was looked at that often.
const INTERVAL: Duration = Duration::from_secs(10);
/// How many containers are remembered; beyond it all are forgotten, and their next looks are first ones.
const CONTAINERS_MAX: usize = 8_192;

/// One look at a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) container: ContainerStats,
    pub(crate) interface: Option<InterfaceStats>,
}

/// The last looks at each container.
#[derive(Default)]
pub(crate) struct Samples {
    known: Mutex<HashMap<ContainerId, Kept>>,
}

struct Kept {
    older: Option<Sample>,
    newer: Sample,
}

impl Samples {
    /// Takes note of a look and returns the one before, to be compared with.
    pub(crate) fn take(&self, container: &ContainerId, sample: &Sample) -> Option<Sample> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CONTAINERS_MAX && !known.contains_key(container) {
            known.clear();
        }
        let Some(kept) = known.get_mut(container) else {
            known.insert(container.clone(), Kept { older: None, newer: sample.clone() });
            return None;
        };
        if sample.container.at.since(kept.newer.container.at) >= INTERVAL {
            kept.older = Some(std::mem::replace(&mut kept.newer, sample.clone()));
            return kept.older.clone();
        }
        // Looked at more often: compared with what is at least that old, as far as there is such a look.
        let earlier = kept.older.as_ref().unwrap_or(&kept.newer);
        (earlier.container.at < sample.container.at).then(|| earlier.clone())
    }
}

#[cfg(test)]
mod tests {
    use base::Timestamp;

    use super::*;
    use crate::stats::tests::stats_at;

    #[test]
    fn a_look_is_compared_with_one_about_ten_seconds_before() {
        let samples = Samples::default();
        let look = |second: i64| {
            let sample = Sample { container: stats_at(Timestamp::from_millis(second * 1000)), interface: None };
            let before = samples.take(&ContainerId::new("c"), &sample);
            before.map(|before| before.container.at.as_millis() / 1000)
        };
        let looks = [0, 0, 4, 9, 12, 13, 21, 22, 60, 61].map(|second| (second, look(second)));
        assert_eq!(
            looks,
            [
                (0, None),
                (0, None),
                (4, Some(0)),
                (9, Some(0)),
                (12, Some(0)),
                (13, Some(0)),
                (21, Some(0)),
                (22, Some(12)),
                (60, Some(22)),
                (61, Some(22)),
            ]
        );
    }
}
