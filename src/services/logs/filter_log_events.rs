//! FilterLogEvents: the events of many streams in one order, those that match a pattern.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use api::logs as api;
use base::PageToken;
use state::Cx;
use state::logs::{LogEvent, StreamName};

use crate::event_page::{EVENTS_MAX, Room};
use crate::filter_pattern::FilterPattern;
use crate::position::{Position, event_id};
use crate::{Result, invalid, invalid_token, log_group, log_stream, page_size};

/// How many events one request looks at. As in AWS, a page may be empty and have a successor.
const SCANNED_MAX: usize = 200_000;
/// How many events are copied out of a stream at a time.
const CHUNK: usize = 64;
const LISTING: &str = "FilterLogEvents";

/// Reads a page of the events that match, of all streams of a group or of some.
pub(crate) async fn filter_log_events(
    cx: &Cx,
    input: api::FilterLogEventsRequest,
) -> Result<api::FilterLogEventsResponse> {
    let pattern = FilterPattern::parse(input.filter_pattern.as_deref().unwrap_or_default())?;
    let after = input.next_token.map(|token| Place::decode(&token).ok_or_else(invalid_token)).transpose()?;
    let group = log_group::find(cx, input.log_group_name, input.log_group_identifier)?;
    let streams = choose(cx, &group.name, input.log_stream_names, input.log_stream_name_prefix)?;
    let start = Position::at_time(input.start_time.unwrap_or(0));
    // Unlike that of GetLogEvents, the end is part of the window.
    let end = input.end_time.map(|end_ms| Position::at(end_ms, u64::MAX));
    let mut merged = Merged::new(cx, streams, |stream| {
        let from = after.as_ref().map_or(start, |after| after.start_of(stream).max(start));
        (from, end)
    });
    let mut room = Room::new(page_size(input.limit, EVENTS_MAX));
    let mut events = Vec::new();
    let mut last = after;
    for _ in 0..SCANNED_MAX {
        let Some((stream, event)) = merged.peek() else { break };
        if pattern.matches(&event.message) {
            if !room.take(event) {
                break;
            }
            events.push(view(&stream.stream, event));
        }
        last = Some(Place::of(&stream.stream, event));
        merged.advance();
    }
    let has_more = merged.peek().is_some();
    Ok(api::FilterLogEventsResponse {
        events: Some(events),
        // AWS fills this list no longer.
        searched_log_streams: Some(Vec::new()),
        next_token: last.filter(|_| has_more).map(|last| last.encode()),
    })
}

/// Returns the streams to search, sorted by name.
fn choose(cx: &Cx, group: &str, names: Option<Vec<String>>, prefix: Option<String>) -> Result<Vec<StreamName>> {
    let Some(names) = names else {
        let prefix = prefix.unwrap_or_default();
        let streams = log_stream::starting_with(cx, group, &prefix, None);
        return Ok(streams.map(|stream| stream.name.clone()).collect());
    };
    if prefix.is_some() {
        // Text unverified.
        return Err(invalid("logStreamNamePrefix and logStreamNames are mutually exclusive parameters."));
    }
    let mut names = names.into_iter().map(|stream| StreamName { group: group.to_owned(), stream }).collect::<Vec<_>>();
    names.sort();
    names.dedup();
    if names.iter().any(|name| cx.state.logs.streams.get(cx.scope(), name).is_none()) {
        return Err(log_stream::not_found());
    }
    Ok(names)
}

/// The event that a page has come to, among those of all streams: by time, then by stream, then by arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    at_ms: i64,
    sequence: u64,
    stream: String,
}

impl Place {
    fn of(stream: &str, event: &LogEvent) -> Self {
        Self { at_ms: event.at.as_millis(), sequence: event.sequence, stream: stream.to_owned() }
    }

    /// Returns where a stream goes on after this event.
    fn start_of(&self, stream: &str) -> Position {
        match stream.cmp(&self.stream) {
            std::cmp::Ordering::Less => Position::at_time(self.at_ms.saturating_add(1)),
            std::cmp::Ordering::Equal => Position::at(self.at_ms, self.sequence.saturating_add(1)),
            std::cmp::Ordering::Greater => Position::at_time(self.at_ms),
        }
    }

    fn encode(&self) -> String {
        PageToken::new(LISTING, format!("{} {} {}", self.at_ms, self.sequence, self.stream)).to_string()
    }

    fn decode(token: &str) -> Option<Self> {
        let text = PageToken::decode(LISTING, token).ok()?;
        let mut parts = text.splitn(3, ' ');
        Some(Self {
            at_ms: parts.next()?.parse().ok()?,
            sequence: parts.next()?.parse().ok()?,
            stream: parts.next()?.to_owned(),
        })
    }
}

/// The events of many streams in one order.
struct Merged<'a> {
    cx: &'a Cx,
    cursors: Vec<Cursor>,
    /// Time, stream and sequence of the next event of each stream that has one.
    heads: BinaryHeap<Reverse<(i64, usize, u64)>>,
}

/// What is left of a stream.
struct Cursor {
    stream: StreamName,
    /// Copied events, the next one last.
    copied: Vec<LogEvent>,
    from: Position,
    end: Option<Position>,
}

impl<'a> Merged<'a> {
    fn new(cx: &'a Cx, streams: Vec<StreamName>, window: impl Fn(&str) -> (Position, Option<Position>)) -> Self {
        let cursor = |stream: StreamName| {
            let (from, end) = window(&stream.stream);
            Cursor { stream, copied: Vec::new(), from, end }
        };
        let cursors = streams.into_iter().map(cursor).collect::<Vec<_>>();
        let mut merged = Self { cx, heads: BinaryHeap::with_capacity(cursors.len()), cursors };
        (0..merged.cursors.len()).for_each(|index| merged.push_head(index));
        merged
    }

    fn peek(&self) -> Option<(&StreamName, &LogEvent)> {
        let Reverse((_, index, _)) = self.heads.peek()?;
        let cursor = self.cursors.get(*index)?;
        Some((&cursor.stream, cursor.copied.last()?))
    }

    fn advance(&mut self) {
        let Some(Reverse((_, index, _))) = self.heads.pop() else { return };
        if let Some(cursor) = self.cursors.get_mut(index) {
            cursor.copied.pop();
        }
        self.push_head(index);
    }

    fn push_head(&mut self, index: usize) {
        let Some(cursor) = self.cursors.get_mut(index) else { return };
        if cursor.copied.is_empty() {
            cursor.refill(self.cx);
        }
        if let Some(event) = cursor.copied.last() {
            self.heads.push(Reverse((event.at.as_millis(), index, event.sequence)));
        }
    }
}

impl Cursor {
    fn refill(&mut self, cx: &Cx) {
        let copy = |events: &mut state::logs::Events| {
            let sorted = events.sorted();
            let first = self.from.index_in(sorted);
            let last = self.end.map_or(sorted.len(), |end| end.index_in(sorted)).min(first.saturating_add(CHUNK));
            sorted.range(first..last.max(first)).rev().cloned().collect::<Vec<_>>()
        };
        self.copied = cx.state.logs.with_events_of(cx.scope(), &self.stream, copy).unwrap_or_default();
        if let Some(last) = self.copied.first() {
            self.from = Position::after(last);
        }
    }
}

fn view(stream: &str, event: &LogEvent) -> api::FilteredLogEvent {
    api::FilteredLogEvent {
        log_stream_name: Some(stream.to_owned()),
        timestamp: Some(event.at.as_millis()),
        message: Some(event.message.to_string()),
        ingestion_time: Some(event.ingested_at.as_millis()),
        event_id: Some(event_id(stream, event)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW_MS, answer, append, cx, fails, send, stream, streams};

    fn request() -> api::FilterLogEventsRequest {
        api::FilterLogEventsRequest { log_group_name: Some("g".to_owned()), ..Default::default() }
    }

    fn filter(cx: &Cx, input: api::FilterLogEventsRequest) -> (String, Option<String>) {
        let response = answer(filter_log_events(cx, input)).unwrap();
        let messages = response.events.unwrap().into_iter().map(|event| event.message.unwrap());
        (messages.collect::<Vec<_>>().join(" "), response.next_token)
    }

    fn with_streams() -> Cx {
        let cx = cx();
        streams(&cx, "g", &["web/a", "web/b", "db/a"]);
        append(&cx, "g", "web/a", &[(1, "w1"), (4, "w4"), (4, "w4b")]);
        append(&cx, "g", "web/b", &[(2, "v2"), (4, "v4")]);
        append(&cx, "g", "db/a", &[(0, "d0"), (4, "d4"), (9, "d9")]);
        cx
    }

    #[test]
    fn events_of_all_streams_come_in_the_order_of_time() {
        let cx = with_streams();
        assert_eq!(filter(&cx, request()), ("d0 w1 v2 d4 w4 w4b v4 d9".to_owned(), None));
    }

    #[test]
    fn an_event_is_shown_with_stream_and_id() {
        let cx = cx();
        streams(&cx, "g", &["s"]);
        append(&cx, "g", "s", &[(-3, "m")]);
        let (status, body) = send(&cx, "FilterLogEvents", r#"{"logGroupName":"g","interleaved":true}"#);
        assert_eq!(status, 200);
        let start = format!(
            r#"{{"events":[{{"logStreamName":"s","timestamp":{},"message":"m","ingestionTime":{NOW_MS},"eventId":""#,
            NOW_MS - 3
        );
        assert!(body.starts_with(&start), "{body}");
        assert!(body.ends_with(r#""}],"searchedLogStreams":[]}"#), "{body}");
    }

    #[test]
    fn streams_are_chosen_by_name_or_prefix() {
        let cx = with_streams();
        let names = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        let by_name = api::FilterLogEventsRequest { log_stream_names: names(&["web/b", "db/a", "db/a"]), ..request() };
        assert_eq!(filter(&cx, by_name.clone()).0, "d0 v2 d4 v4 d9");
        let by_prefix = api::FilterLogEventsRequest { log_stream_name_prefix: Some("web/".to_owned()), ..request() };
        assert_eq!(filter(&cx, by_prefix).0, "w1 v2 w4 w4b v4");
        let missing = api::FilterLogEventsRequest { log_stream_names: names(&["db/a", "x"]), ..request() };
        let missing = answer(filter_log_events(&cx, missing));
        fails(missing, "ResourceNotFoundException", "The specified log stream does not exist.");
        let both = api::FilterLogEventsRequest { log_stream_name_prefix: Some("web".to_owned()), ..by_name };
        let message = "logStreamNamePrefix and logStreamNames are mutually exclusive parameters.";
        fails(answer(filter_log_events(&cx, both)), "InvalidParameterException", message);
    }

    #[test]
    fn start_and_end_are_both_part_of_the_window() {
        let cx = with_streams();
        let at = |offset| Some(NOW_MS + offset);
        let window = api::FilterLogEventsRequest { start_time: at(2), end_time: at(4), ..request() };
        assert_eq!(filter(&cx, window).0, "v2 d4 w4 w4b v4");
        let backwards = api::FilterLogEventsRequest { start_time: at(4), end_time: at(2), ..request() };
        assert_eq!(filter(&cx, backwards), (String::new(), None));
    }

    #[test]
    fn pages_of_any_size_show_every_event_once() {
        let cx = with_streams();
        for limit in 1..=8 {
            let (mut seen, mut next_token) = (Vec::new(), None);
            loop {
                let input = api::FilterLogEventsRequest { limit: Some(limit), next_token, ..request() };
                let (messages, next) = filter(&cx, input);
                seen.push(messages);
                next_token = next;
                if next_token.is_none() {
                    break;
                }
            }
            assert_eq!(seen.join(" "), "d0 w1 v2 d4 w4 w4b v4 d9", "{limit}");
            assert_eq!(seen.len(), 8_usize.div_ceil(usize::try_from(limit).unwrap()));
        }
    }

    #[test]
    fn a_page_of_matches_counts_matches_alone() {
        let cx = with_streams();
        let input = |next_token| api::FilterLogEventsRequest {
            filter_pattern: Some("?w4 ?d4".to_owned()),
            limit: Some(2),
            next_token,
            ..request()
        };
        let (first, token) = filter(&cx, input(None));
        assert_eq!(first, "d4 w4");
        append(&cx, "g", "db/a", &[(20, "d40")]);
        assert_eq!(filter(&cx, input(token)), ("w4b d40".to_owned(), None));
    }

    #[test]
    fn one_request_looks_at_a_bounded_number_of_events() {
        let cx = cx();
        streams(&cx, "g", &["s"]);
        let last = i64::try_from(SCANNED_MAX).unwrap();
        cx.state.logs.with_events(cx.scope(), &stream("g", "s"), |events| {
            let at = base::Timestamp::from_millis;
            let batch = (0..=last).map(|n| (at(NOW_MS + n), if n == last { "needle" } else { "hay" }.into()));
            events.append_sorted(cx.now(), batch);
        });
        let input = |next_token| api::FilterLogEventsRequest {
            filter_pattern: Some("needle".to_owned()),
            next_token,
            ..request()
        };
        let (none, token) = filter(&cx, input(None));
        assert_eq!(none, "");
        assert_eq!(filter(&cx, input(Some(token.unwrap()))), ("needle".to_owned(), None));
    }

    #[test]
    fn group_pattern_and_token_must_be_good() {
        let cx = cx();
        let call = |input| answer(filter_log_events(&cx, input));
        fails(call(request()), "ResourceNotFoundException", "The specified log group does not exist.");
        streams(&cx, "g", &[]);
        let token = api::FilterLogEventsRequest { next_token: Some("x".to_owned()), ..request() };
        fails(call(token), "InvalidParameterException", "The specified nextToken is invalid.");
        let pattern = api::FilterLogEventsRequest { filter_pattern: Some("a:b".to_owned()), ..request() };
        fails(call(pattern), "InvalidParameterException", "Invalid character(s) in term ':'");
        let neither = api::FilterLogEventsRequest::default();
        let message = "Either logGroupName or logGroupIdentifier must be specified.";
        fails(call(neither), "InvalidParameterException", message);
    }
}
