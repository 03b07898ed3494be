//! GetLogEvents: the events of one stream, page by page in both directions.

use std::collections::VecDeque;

use api::logs as api;
use state::Cx;
use state::logs::{LogEvent, StreamName};

use crate::event_page::{EVENTS_MAX, Room};
use crate::position::{PageToken, Position};
use crate::{Result, invalid_token, log_group, log_stream, page_size, required};

/// Reads a page of a stream. Without a token it is the latest one, or with `startFromHead` the first.
pub(crate) async fn get_log_events(cx: &Cx, input: api::GetLogEventsRequest) -> Result<api::GetLogEventsResponse> {
    let stream = required(input.log_stream_name, "logStreamName")?;
    let from = match input.next_token {
        Some(token) => From::Token(PageToken::parse(&token).ok_or_else(invalid_token)?),
        None if input.start_from_head.unwrap_or(false) => From::Head,
        None => From::Tail,
    };
    let wanted = Wanted {
        start_ms: input.start_time.unwrap_or(0),
        end_ms: input.end_time,
        limit: page_size(input.limit, EVENTS_MAX),
        from,
    };
    let group = log_group::find(cx, input.log_group_name, input.log_group_identifier)?;
    let name = StreamName { group: group.name.clone(), stream };
    let page = cx.state.logs.with_events_of(cx.scope(), &name, |events| wanted.page(events.sorted()));
    let page = page.ok_or_else(log_stream::not_found)?;
    Ok(api::GetLogEventsResponse {
        events: Some(page.events.iter().map(view).collect()),
        next_forward_token: Some(page.end.forward_token()),
        next_backward_token: Some(page.start.backward_token()),
    })
}

/// Which page is wanted.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// Inclusive.
    start_ms: i64,
    /// Exclusive.
    end_ms: Option<i64>,
    limit: usize,
    from: From,
}

#[derive(Clone, Copy, Debug)]
enum From {
    Head,
    Tail,
    Token(PageToken),
}

/// The events of a page, and the places where its neighbours begin.
#[derive(Debug)]
struct Page {
    events: Vec<LogEvent>,
    start: Position,
    end: Position,
}

impl Wanted {
    fn page(&self, sorted: &VecDeque<LogEvent>) -> Page {
        let first = Position::at_time(self.start_ms).index_in(sorted);
        let last = self.end_ms.map_or(sorted.len(), |end_ms| Position::at_time(end_ms).index_in(sorted));
        let (first, last) = match self.from {
            From::Head | From::Tail => (first, last),
            From::Token(PageToken::Forward(place)) => (first.max(place.index_in(sorted)), last),
            From::Token(PageToken::Backward(place)) => (first, last.min(place.index_in(sorted))),
        };
        let range = sorted.range(first..last.max(first));
        let mut room = Room::new(self.limit);
        let events = match self.from {
            From::Head | From::Token(PageToken::Forward(_)) => {
                range.take_while(|event| room.take(event)).cloned().collect::<Vec<_>>()
            }
            From::Tail | From::Token(PageToken::Backward(_)) => {
                let mut events = range.rev().take_while(|event| room.take(event)).cloned().collect::<Vec<_>>();
                events.reverse();
                events
            }
        };
        // An empty page leads nowhere: its tokens are the one that it was asked for with.
        let here = match self.from {
            From::Head | From::Tail => Position::at_time(self.start_ms),
            From::Token(PageToken::Forward(place) | PageToken::Backward(place)) => place,
        };
        Page {
            start: events.first().map_or(here, Position::before),
            end: events.last().map_or(here, Position::after),
            events,
        }
    }
}

fn view(event: &LogEvent) -> api::OutputLogEvent {
    api::OutputLogEvent {
        timestamp: Some(event.at.as_millis()),
        message: Some(event.message.to_string()),
        ingestion_time: Some(event.ingested_at.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW_MS, answer, append, cx, fails, send, streams};

    fn request() -> api::GetLogEventsRequest {
        api::GetLogEventsRequest {
            log_group_name: Some("g".to_owned()),
            log_stream_name: Some("s".to_owned()),
            ..Default::default()
        }
    }

    fn get(cx: &Cx, input: api::GetLogEventsRequest) -> (String, Option<String>, Option<String>) {
        let response = answer(get_log_events(cx, input)).unwrap();
        let messages = response.events.unwrap().into_iter().map(|event| event.message.unwrap());
        (messages.collect::<Vec<_>>().join(" "), response.next_forward_token, response.next_backward_token)
    }

    fn with_events(events: &[(i64, &str)]) -> Cx {
        let cx = cx();
        streams(&cx, "g", &["s"]);
        append(&cx, "g", "s", events);
        cx
    }

    const FIVE: &[(i64, &str)] = &[(1, "a"), (2, "b"), (2, "c"), (3, "d"), (4, "e")];

    #[test]
    fn an_event_is_shown_with_both_its_times() {
        let cx = with_events(&[(-7, "hello")]);
        let (status, body) = send(&cx, "GetLogEvents", r#"{"logGroupName":"g","logStreamName":"s"}"#);
        assert_eq!(status, 200);
        let event = format!(r#"{{"timestamp":{},"message":"hello","ingestionTime":{NOW_MS}}}"#, NOW_MS - 7);
        assert!(body.starts_with(&format!(r#"{{"events":[{event}],"nextForwardToken":"f/"#)), "{body}");
    }

    #[test]
    fn without_a_token_the_latest_events_come_unless_the_head_is_asked_for() {
        let cx = with_events(FIVE);
        assert_eq!(get(&cx, request()).0, "a b c d e");
        assert_eq!(get(&cx, api::GetLogEventsRequest { limit: Some(2), ..request() }).0, "d e");
        let head = api::GetLogEventsRequest { limit: Some(2), start_from_head: Some(true), ..request() };
        assert_eq!(get(&cx, head).0, "a b");
    }

    #[test]
    fn the_start_is_part_of_the_window_and_the_end_is_not() {
        let cx = with_events(FIVE);
        for (start, end, expected) in [
            (Some(2), None, "b c d e"),
            (None, Some(2), "a"),
            (Some(2), Some(4), "b c d"),
            (Some(3), Some(3), ""),
            (Some(4), Some(2), ""),
            (Some(9), None, ""),
        ] {
            let at = |offset: Option<i64>| offset.map(|offset| NOW_MS + offset);
            let input = api::GetLogEventsRequest { start_time: at(start), end_time: at(end), ..request() };
            assert_eq!(get(&cx, input).0, expected, "{start:?} {end:?}");
        }
    }

    #[test]
    fn pages_forward_cover_the_stream_and_end_in_the_same_token() {
        let cx = with_events(FIVE);
        let input = |next_token| api::GetLogEventsRequest {
            limit: Some(2),
            start_from_head: Some(true),
            next_token,
            ..request()
        };
        let (first, token, _) = get(&cx, input(None));
        let (second, token, _) = get(&cx, input(token));
        let (third, token, _) = get(&cx, input(token));
        assert_eq!([first, second, third], ["a b", "c d", "e"]);
        let (rest, same, back) = get(&cx, input(token.clone()));
        assert_eq!((rest.as_str(), &same), ("", &token));
        assert_eq!(get(&cx, input(back)).0, "d e");
        append(&cx, "g", "s", &[(4, "f"), (5, "g")]);
        assert_eq!(get(&cx, input(token)).0, "f g");
    }

    #[test]
    fn pages_backward_cover_the_stream_and_end_in_the_same_token() {
        let cx = with_events(FIVE);
        let input = |next_token| api::GetLogEventsRequest { limit: Some(2), next_token, ..request() };
        let (first, _, token) = get(&cx, input(None));
        append(&cx, "g", "s", &[(9, "new")]);
        let (second, forward, token) = get(&cx, input(token));
        let (third, _, token) = get(&cx, input(token));
        assert_eq!([first, second, third], ["d e", "b c", "a"]);
        assert_eq!(get(&cx, input(forward)).0, "d e");
        let (rest, _, same) = get(&cx, input(token.clone()));
        assert_eq!((rest.as_str(), same), ("", token));
    }

    #[test]
    fn an_empty_stream_has_tokens_that_find_later_events() {
        let cx = with_events(&[]);
        let (none, token, _) = get(&cx, request());
        assert_eq!(none, "");
        append(&cx, "g", "s", FIVE);
        assert_eq!(get(&cx, api::GetLogEventsRequest { next_token: token, ..request() }).0, "a b c d e");
    }

    #[test]
    fn a_page_ends_at_its_size_on_the_side_it_was_asked_from() {
        let half = "x".repeat(600_000);
        let cx = with_events(&[(1, &half), (2, "mid"), (3, &half)]);
        let (tail, _, token) = get(&cx, request());
        assert_eq!(tail, format!("mid {half}"));
        assert_eq!(get(&cx, api::GetLogEventsRequest { next_token: token, ..request() }).0, half);
        let head = api::GetLogEventsRequest { start_from_head: Some(true), ..request() };
        assert_eq!(get(&cx, head).0, format!("{half} mid"));
    }

    #[test]
    fn group_stream_and_token_must_be_good() {
        let cx = with_events(&[]);
        let call = |input| answer(get_log_events(&cx, input));
        let with = |group: &str, stream: &str| api::GetLogEventsRequest {
            log_group_name: Some(group.to_owned()),
            log_stream_name: Some(stream.to_owned()),
            ..Default::default()
        };
        fails(call(with("x", "s")), "ResourceNotFoundException", "The specified log group does not exist.");
        fails(call(with("g", "x")), "ResourceNotFoundException", "The specified log stream does not exist.");
        let token = api::GetLogEventsRequest { next_token: Some("f/1".to_owned()), ..request() };
        fails(call(token), "InvalidParameterException", "The specified nextToken is invalid.");
        let (status, body) = send(&cx, "GetLogEvents", r#"{"logGroupName":"g","logStreamName":"s","limit":10001}"#);
        assert_eq!(status, 400);
        assert!(body.contains("Value '10001' at 'limit' failed to satisfy constraint"), "{body}");
        let both = api::GetLogEventsRequest { log_group_identifier: Some("g".to_owned()), ..request() };
        let message = "LogGroup name and LogGroup ARN are mutually exclusive parameters.";
        fails(call(both), "InvalidParameterException", message);
        let by_identifier = api::GetLogEventsRequest {
            log_group_name: None,
            log_group_identifier: Some("arn:aws:logs:us-east-1:123456789012:log-group:g".to_owned()),
            ..request()
        };
        assert!(call(by_identifier).is_ok());
    }
}
