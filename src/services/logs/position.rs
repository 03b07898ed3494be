//! Where in a stream a page begins or ends. A place is named by the event beside it and not by an index, so that tokens
//! outlive new events and the loss of old ones.

use std::collections::VecDeque;

use state::logs::LogEvent;

/// How many digits each part of a token or of an event's id has; 56 together, as in AWS.
const PART_DIGITS: usize = 20;
const TAIL_DIGITS: usize = 16;
const TAIL_MAX: u64 = 10_u64.pow(16);

/// A place between two events of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    at_ms: i64,
    sequence: u64,
}

/// Where a client wants to go on, as a token says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageToken {
    /// With what follows a place: `f/…`.
    Forward(Position),
    /// With what lies before a place: `b/…`.
    Backward(Position),
}

impl Position {
    /// Makes the place before everything that happens at a time.
    pub(crate) fn at_time(at_ms: i64) -> Self {
        Self { at_ms, sequence: 0 }
    }

    /// Makes the place before the event of a sequence number at a time.
    pub(crate) fn at(at_ms: i64, sequence: u64) -> Self {
        Self { at_ms, sequence }
    }

    /// Makes the place before an event.
    pub(crate) fn before(event: &LogEvent) -> Self {
        Self { at_ms: event.at.as_millis(), sequence: event.sequence }
    }

    /// Makes the place after an event.
    pub(crate) fn after(event: &LogEvent) -> Self {
        Self { at_ms: event.at.as_millis(), sequence: event.sequence.saturating_add(1) }
    }

    /// Returns the index of the first event that follows, by binary search.
    pub(crate) fn index_in(self, sorted: &VecDeque<LogEvent>) -> usize {
        sorted.partition_point(|event| Self::before(event) < self)
    }

    /// Renders the token that goes on with what follows.
    pub(crate) fn forward_token(self) -> String {
        format!("f/{}/s", self.digits(0))
    }

    /// Renders the token that goes on with what lies before.
    pub(crate) fn backward_token(self) -> String {
        format!("b/{}/s", self.digits(0))
    }

    fn digits(self, tail: u64) -> String {
        let Self { at_ms, sequence } = self;
        format!("{at_ms:0PART_DIGITS$}{sequence:0PART_DIGITS$}{tail:0TAIL_DIGITS$}")
    }
}

impl PageToken {
    /// Reads a token; none if no page of events had it.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        let (direction, rest) = token.split_once('/')?;
        let digits = rest.strip_suffix("/s")?;
        let (place, tail) = digits.split_at_checked(2 * PART_DIGITS)?;
        let (at_ms, sequence) = place.split_at_checked(PART_DIGITS)?;
        let is_whole = tail.len() == TAIL_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
        let position = Position { at_ms: at_ms.parse().ok()?, sequence: sequence.parse().ok()? };
        match direction {
            "f" if is_whole => Some(Self::Forward(position)),
            "b" if is_whole => Some(Self::Backward(position)),
            _ => None,
        }
    }
}

/// Makes the id of an event: 56 digits that sort as the events of its stream do, and differ between streams.
pub(crate) fn event_id(stream: &str, event: &LogEvent) -> String {
    // FNV-1a: spreads the names of streams, no more.
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    Position::before(event).digits(stream.bytes().fold(0xcbf2_9ce4_8422_2325, hash) % TAIL_MAX)
}

/// Renders a sequence token. AWS still hands them out, and no longer looks at them.
pub(crate) fn sequence_token(next_sequence: u64) -> String {
    Position { at_ms: 0, sequence: next_sequence }.digits(0)
}

#[cfg(test)]
mod tests {
    use base::Timestamp;

    use super::*;

    fn event(at_ms: i64, sequence: u64) -> LogEvent {
        let at = Timestamp::from_millis(at_ms);
        LogEvent { sequence, at, ingested_at: at, message: "m".into() }
    }

    #[test]
    fn a_token_is_read_back() {
        for position in
            [Position::at_time(0), Position::after(&event(1_800_000_000_000, 41)), Position::at(i64::MAX, u64::MAX)]
        {
            assert_eq!(PageToken::parse(&position.forward_token()), Some(PageToken::Forward(position)));
            assert_eq!(PageToken::parse(&position.backward_token()), Some(PageToken::Backward(position)));
        }
        assert_eq!(Position::at_time(0).forward_token().len(), 60);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let digits = "0".repeat(56);
        for bad in [
            "",
            "f/",
            "f//s",
            "x",
            &format!("x/{digits}/s"),
            &format!("f/{digits}"),
            &format!("f/0{digits}/s"),
            &format!("f/-{}/s", &digits[1..]),
            &format!("f/{}é/s", &digits[2..]),
        ] {
            assert_eq!(PageToken::parse(bad), None, "{bad}");
        }
        assert!(PageToken::parse(&format!("b/{digits}/s")).is_some());
    }

    #[test]
    fn a_place_is_found_between_its_events() {
        let sorted = VecDeque::from([event(1, 0), event(5, 1), event(5, 3), event(9, 2)]);
        for (position, index) in [
            (Position::at_time(0), 0),
            (Position::at_time(1), 0),
            (Position::at_time(2), 1),
            (Position::at_time(5), 1),
            (Position::at(5, 2), 2),
            (Position::after(&event(5, 3)), 3),
            (Position::at_time(10), 4),
        ] {
            assert_eq!(position.index_in(&sorted), index, "{position:?}");
        }
    }

    #[test]
    fn ids_sort_as_events_do_and_differ_between_streams() {
        let ids = [event(1, 7), event(5, 1), event(5, 10)].map(|event| event_id("a", &event));
        assert!(ids.is_sorted() && ids.iter().all(|id| id.len() == 56));
        assert_ne!(event_id("a", &event(1, 1)), event_id("b", &event(1, 1)));
    }
}
