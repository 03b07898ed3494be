//! From lines of output to events of CloudWatch Logs: pure functions.
//!
//! Without a pattern each line is an event. With one, an event begins with a line that matches, and takes the lines after
//! it that do not, with their line ends, as the driver does; it ends at the size of an event, and after some seconds.

use std::time::Duration;

use base::Timestamp;
use state::ecs::PendingEvent;

use super::event_start::Pattern;

/// The longest message of an event: CloudWatch Logs' limit for an event, 256 KiB, less its 26 bytes of overhead.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 * 1024 - 26;
/// How long an event of several lines may grow. (The driver's interval between deliveries, after which it gives up waiting.)
pub(crate) const EVENT_GROWS_FOR: Duration = Duration::from_secs(5);

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// When its first line was written.
    pub(crate) at: Timestamp,
    /// What it says.
    pub(crate) message: String,
}

/// Joins lines to events.
pub(crate) struct Assembler<'a> {
    pattern: Option<&'a Pattern>,
    pending: Option<PendingEvent>,
    events: Vec<Event>,
}

impl<'a> Assembler<'a> {
    /// Goes on with an event that has begun.
    pub(crate) fn new(pattern: Option<&'a Pattern>, pending: Option<PendingEvent>) -> Self {
        Self { pattern, pending, events: Vec::new() }
    }

    /// Takes one line, without its line end.
    pub(crate) fn take(&mut self, at: Timestamp, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let Some(pattern) = self.pattern else {
            return self.emit(at, text.into_owned());
        };
        let begins = match &self.pending {
            None => true,
            Some(pending) => {
                pattern.is_match(line)
                    || at.since(pending.at) >= EVENT_GROWS_FOR
                    || pending.text.len() + text.len() > MESSAGE_BYTES_MAX
            }
        };
        if begins {
            self.flush();
        }
        let pending = self.pending.get_or_insert_with(|| PendingEvent { at, text: String::new() });
        pending.text.push_str(&text);
        // A line as long as an event has no room for its end.
        if text.len() < MESSAGE_BYTES_MAX {
            pending.text.push('\n');
        }
    }

    /// Ends the event that is growing.
    pub(crate) fn flush(&mut self) {
        if let Some(PendingEvent { at, text }) = self.pending.take() {
            self.emit(at, text);
        }
    }

    /// Ends the event that is growing if it has done so for long enough.
    pub(crate) fn flush_late(&mut self, now: Timestamp) {
        if self.pending.as_ref().is_some_and(|pending| now >= grows_until(pending)) {
            self.flush();
        }
    }

    /// Returns the events, and the one that is growing still.
    pub(crate) fn finish(self) -> (Vec<Event>, Option<PendingEvent>) {
        (self.events, self.pending)
    }

    /// Adds an event, or several of one that is too long. Empty lines are no events: PutLogEvents refuses them, and the
    /// driver leaves them out.
    fn emit(&mut self, at: Timestamp, mut message: String) {
        while message.len() > MESSAGE_BYTES_MAX {
            let rest = message.split_off(message.floor_char_boundary(MESSAGE_BYTES_MAX));
            self.events.push(Event { at, message });
            message = rest;
        }
        if !message.is_empty() {
            self.events.push(Event { at, message });
        }
    }
}

/// Returns when an event has grown for long enough.
pub(crate) fn grows_until(pending: &PendingEvent) -> Timestamp {
    pending.at.plus(EVENT_GROWS_FOR)
}

#[cfg(test)]
mod tests {
    use state::ecs::EventStart;

    use super::*;

    const S: i64 = 1000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::new(&EventStart::Pattern(text.to_owned())).unwrap()
    }

    /// Runs lines of `(ms, text)` through, in pages of every size; the result must not depend on it.
    fn events(pattern: Option<&Pattern>, lines: &[(i64, &str)]) -> (Vec<(i64, String)>, Option<String>) {
        let run = |page: usize| {
            let (mut all, mut pending) = (Vec::new(), None);
            for lines in lines.chunks(page) {
                let mut assembler = Assembler::new(pattern, pending);
                lines.iter().for_each(|(ms, line)| assembler.take(at(*ms), line.as_bytes()));
                let (events, left) = assembler.finish();
                all.extend(events.into_iter().map(|event| (event.at.as_millis(), event.message)));
                pending = left;
            }
            (all, pending.map(|pending| pending.text))
        };
        let whole = run(lines.len().max(1));
        for page in 1..lines.len() {
            assert_eq!(run(page), whole, "in pages of {page}");
        }
        whole
    }

    #[test]
    fn without_a_pattern_each_line_is_an_event_but_empty_ones() {
        let lines = [(1, "one"), (2, ""), (3, "three"), (3, " ")];
        let expected = [(1, "one".to_owned()), (3, "three".to_owned()), (3, " ".to_owned())];
        assert_eq!(events(None, &lines), (expected.to_vec(), None));
    }

    #[test]
    fn lines_are_joined_as_their_pattern_says() {
        struct Case {
            name: &'static str,
            lines: &'static [(i64, &'static str)],
            events: &'static [(i64, &'static str)],
            pending: Option<&'static str>,
        }
        let cases = [
            Case { name: "nothing", lines: &[], events: &[], pending: None },
            Case { name: "one start", lines: &[(1, "# a")], events: &[], pending: Some("# a\n") },
            Case {
                name: "a trace",
                lines: &[(1, "# a"), (2, " at b"), (3, " at c"), (4, "# d")],
                events: &[(1, "# a\n at b\n at c\n")],
                pending: Some("# d\n"),
            },
            Case {
                name: "lines before the first start are an event",
                lines: &[(1, "x"), (2, "y"), (3, "# a")],
                events: &[(1, "x\ny\n")],
                pending: Some("# a\n"),
            },
            Case {
                name: "every line a start",
                lines: &[(1, "# a"), (1, "# b"), (2, "# c")],
                events: &[(1, "# a\n"), (1, "# b\n")],
                pending: Some("# c\n"),
            },
            Case {
                name: "empty lines are kept inside",
                lines: &[(1, "# a"), (2, ""), (3, "b"), (4, "# c")],
                events: &[(1, "# a\n\nb\n")],
                pending: Some("# c\n"),
            },
            Case {
                name: "a line after the event's time begins another one",
                lines: &[(0, "# a"), (4999, "b"), (5 * S, "c"), (6 * S, "d")],
                events: &[(0, "# a\nb\n")],
                pending: Some("c\nd\n"),
            },
            Case {
                name: "lines whose clock was set back go with the event",
                lines: &[(9 * S, "# a"), (0, "b")],
                events: &[],
                pending: Some("# a\nb\n"),
            },
        ];
        let pattern = pattern("^#");
        for case in cases {
            let expected = case.events.iter().map(|(at, message)| (*at, (*message).to_owned())).collect::<Vec<_>>();
            let expected = (expected, case.pending.map(str::to_owned));
            assert_eq!(events(Some(&pattern), case.lines), expected, "{}", case.name);
        }
    }

    #[test]
    fn an_event_ends_at_its_size_and_nothing_is_lost() {
        let pattern = pattern("^#");
        let long = "x".repeat(100_000);
        let lines = [(1, "#"), (2, &*long), (3, &*long), (4, &*long), (5, &*long)];
        let (found, pending) = events(Some(&pattern), &lines);
        let lengths = found.iter().map(|(at, message)| (*at, message.len())).collect::<Vec<_>>();
        assert_eq!(lengths, [(1, 200_004)]);
        assert_eq!(pending.unwrap().len(), 200_002);
    }

    #[test]
    fn a_line_as_long_as_an_event_is_one() {
        let pattern = pattern("^#");
        let full = "x".repeat(MESSAGE_BYTES_MAX);
        let (found, pending) = events(Some(&pattern), &[(1, "# a"), (2, &full), (3, "b")]);
        assert_eq!(found, [(1, "# a\n".to_owned()), (2, full)]);
        assert_eq!(pending.as_deref(), Some("b\n"));
    }

    #[test]
    fn a_message_that_is_too_long_comes_in_pieces_of_whole_characters() {
        // Bytes that are no text take three each when they are replaced.
        for line in [vec![0xff; MESSAGE_BYTES_MAX], "é".repeat(MESSAGE_BYTES_MAX).into_bytes()] {
            let mut assembler = Assembler::new(None, None);
            assembler.take(at(1), &line);
            let (events, _) = assembler.finish();
            assert!(events.len() > 1 && events.iter().all(|event| event.message.len() <= MESSAGE_BYTES_MAX));
            let text = events.into_iter().map(|event| event.message).collect::<String>();
            assert_eq!(text, String::from_utf8_lossy(&line));
        }
    }

    #[test]
    fn a_growing_event_ends_in_time() {
        let pattern = pattern("^#");
        for (now, is_over) in [(0, false), (4999, false), (5 * S, true), (60 * S, true)] {
            let mut assembler = Assembler::new(Some(&pattern), None);
            assembler.take(at(0), b"# a");
            assembler.flush_late(at(now));
            assert_eq!(assembler.finish().0.len(), usize::from(is_over), "{now}");
        }
    }

    #[test]
    fn what_is_left_is_an_event_when_the_output_ends() {
        let pending = Some(PendingEvent { at: at(1), text: "a\nb\n".to_owned() });
        let mut assembler = Assembler::new(None, pending);
        assembler.flush();
        assembler.flush();
        let (events, pending) = assembler.finish();
        assert_eq!(events, [Event { at: at(1), message: "a\nb\n".to_owned() }]);
        assert!(pending.is_none());
    }
}
