//! Registries that send so little that it never ends.

use std::time::Duration;

/// How much of a blob must come in a stretch of waiting for it.
const BYTES_MIN: u64 = 64 * 1024;
/// How long such a stretch is. What it takes to unpack what came is not waiting.
const STRETCH: Duration = Duration::from_secs(60);

/// The least that a registry must send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    pub(super) bytes: u64,
    pub(super) stretch: Duration,
}

impl Default for Floor {
    fn default() -> Self {
        Self { bytes: BYTES_MIN, stretch: STRETCH }
    }
}

/// What has come in the stretch that is under way.
#[derive(Debug)]
pub(super) struct Flow {
    floor: Floor,
    waited: Duration,
    bytes: u64,
}

impl Flow {
    pub(super) fn new(floor: Floor) -> Self {
        Self { floor, waited: Duration::ZERO, bytes: 0 }
    }

    /// Notes that `bytes` came after `waited`. Says whether that is enough to go on.
    pub(super) fn note(&mut self, waited: Duration, bytes: usize) -> bool {
        self.waited += waited;
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.waited < self.floor.stretch {
            return true;
        }
        let is_enough = self.bytes >= self.floor.bytes;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_less_than_the_floor_in_a_stretch_is_too_slow() {
        let floor = Floor { bytes: 100, stretch: Duration::from_secs(10) };
        let rows = [
            ("one byte in long", vec![(11, 1)], false),
            ("drop by drop", vec![(3, 30), (3, 30), (3, 30), (3, 9)], false),
            ("just enough", vec![(3, 30), (3, 30), (3, 30), (3, 10)], true),
            ("much, then little", vec![(1, 1_000), (9, 0), (9, 1), (1, 1)], false),
            ("much without waiting", vec![(0, 10), (0, 10), (0, 10)], true),
            ("not long enough to say", vec![(9, 1)], true),
        ];
        for (name, came, expected) in rows {
            let mut flow = Flow::new(floor);
            let is_enough = came.iter().all(|(waited, bytes)| flow.note(Duration::from_secs(*waited), *bytes));
            assert_eq!(is_enough, expected, "{name}");
        }
    }
}
