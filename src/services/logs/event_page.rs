//! How much one page of events holds.

use state::logs::{EVENT_OVERHEAD_BYTES, LogEvent};

/// How many events a page of GetLogEvents or FilterLogEvents holds, both by default and at most.
pub(crate) const EVENTS_MAX: usize = 10_000;
/// How many bytes a page holds, counted as CloudWatch Logs counts: 1 MiB.
pub(crate) const BYTES_MAX: usize = 1_048_576;

/// What is left of a page's room.
#[derive(Debug)]
pub(crate) struct Room {
    events: usize,
    bytes: usize,
    is_empty: bool,
}

impl Room {
    /// Makes room for at most `events` events.
    pub(crate) fn new(events: usize) -> Self {
        Self { events, bytes: BYTES_MAX, is_empty: true }
    }

    /// Takes room for an event, if there is some. The first event always finds room: a page that could hold nothing
    /// would be asked for again and again.
    pub(crate) fn take(&mut self, event: &LogEvent) -> bool {
        let size = event.message.len() + EVENT_OVERHEAD_BYTES;
        if self.events == 0 || (size > self.bytes && !self.is_empty) {
            return false;
        }
        self.events -= 1;
        self.bytes = self.bytes.saturating_sub(size);
        self.is_empty = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use base::Timestamp;

    use super::*;

    #[track_caller]
    fn check(limit: usize, sizes: &[usize], expected: usize) {
        let mut room = Room::new(limit);
        let at = Timestamp::from_millis(0);
        let fits = |size: &&usize| {
            room.take(&LogEvent { sequence: 0, at, ingested_at: at, message: "x".repeat(**size).into() })
        };
        assert_eq!(sizes.iter().take_while(fits).count(), expected);
    }

    #[test]
    fn a_page_ends_by_count_or_by_size() {
        check(2, &[1, 1, 1], 2);
        check(9, &[BYTES_MAX - 26], 1);
        check(9, &[BYTES_MAX / 2 - 26, BYTES_MAX / 2 - 26, 1], 2);
        check(9, &[1, BYTES_MAX], 1);
        check(9, &[BYTES_MAX + 1, 1], 1);
    }
}
