//! Log streams.

use std::sync::Arc;

use api::logs as api;
use base::{Page, PageToken};
use state::Cx;
use state::logs::{LogStream, StreamName};

use crate::position::sequence_token;
use crate::{Error, Result, invalid, invalid_token, log_group, page_size, required};

/// The page size of DescribeLogStreams, both by default and at most.
const PAGE_SIZE: usize = 50;
const BY_NAME: &str = "DescribeLogStreams";
const BY_LAST_EVENT: &str = "DescribeLogStreams/LastEventTime";

/// Makes a log stream.
pub(crate) async fn create_log_stream(cx: &Cx, input: api::CreateLogStreamRequest) -> Result<()> {
    let group = log_group::find(cx, input.log_group_name, None)?;
    let name = StreamName { group: group.name.clone(), stream: required(input.log_stream_name, "logStreamName")? };
    let (_, is_new) = cx.state.logs.make_stream(cx.scope(), &name, cx.now());
    if !is_new {
        return Err(Error::ResourceAlreadyExists("The specified log stream already exists".to_owned()));
    }
    Ok(())
}

/// Lists the streams of a group, by name or by the time of the last event.
pub(crate) async fn describe_log_streams(
    cx: &Cx,
    input: api::DescribeLogStreamsRequest,
) -> Result<api::DescribeLogStreamsResponse> {
    let size = page_size(input.limit, PAGE_SIZE);
    let prefix = input.log_stream_name_prefix.unwrap_or_default();
    let is_by_last_event = input.order_by == Some(api::OrderBy::LastEventTime);
    if is_by_last_event && !prefix.is_empty() {
        return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let listing = if is_by_last_event { BY_LAST_EVENT } else { BY_NAME };
    let after = input.next_token.map(|token| PageToken::decode(listing, &token)).transpose();
    let after = after.map_err(|_| invalid_token())?;
    let group = log_group::find(cx, input.log_group_name, input.log_group_identifier)?;
    let descending = input.descending.unwrap_or(false);
    let page = if is_by_last_event {
        page_by_last_event(cx, &group.name, after, descending, size)
    } else {
        page_by_name(cx, &group.name, &prefix, after, descending, size)
    };
    let log_streams = page.items.iter().map(|stream| view(cx, stream)).collect();
    Ok(api::DescribeLogStreamsResponse { log_streams: Some(log_streams), next_token: page.next })
}

/// Makes the error of a stream that does not exist.
pub(crate) fn not_found() -> Error {
    Error::ResourceNotFound("The specified log stream does not exist.".to_owned())
}

/// Walks the streams of a group whose names begin with a prefix, in the order of their names, from a name on.
pub(crate) fn starting_with(
    cx: &Cx,
    group: &str,
    prefix: &str,
    from: Option<&str>,
) -> impl Iterator<Item = Arc<LogStream>> {
    let (group, prefix) = (group.to_owned(), prefix.to_owned());
    let stream = from.unwrap_or_default().max(&prefix).to_owned();
    let rows = cx.state.logs.streams.walk_from(cx.scope(), StreamName { group: group.clone(), stream });
    rows.take_while(move |(name, _)| name.group == group && name.stream.starts_with(&prefix)).map(|(_, row)| row)
}

fn page_by_name(
    cx: &Cx,
    group: &str,
    prefix: &str,
    after: Option<String>,
    descending: bool,
    size: usize,
) -> Page<Arc<LogStream>> {
    let key = |stream: &Arc<LogStream>| stream.name.stream.clone();
    if !descending {
        let streams = starting_with(cx, group, prefix, after.as_deref());
        let rest = streams.filter(|stream| after.as_ref() != Some(&stream.name.stream));
        return Page::cut(BY_NAME, size, rest, key);
    }
    let streams = starting_with(cx, group, prefix, None);
    let mut rest =
        streams.take_while(|stream| after.as_ref().is_none_or(|after| stream.name.stream < *after)).collect::<Vec<_>>();
    rest.reverse();
    Page::cut(BY_NAME, size, rest, key)
}

/// Streams without events count as those whose last event is the oldest.
fn page_by_last_event(
    cx: &Cx,
    group: &str,
    after: Option<String>,
    descending: bool,
    size: usize,
) -> Page<Arc<LogStream>> {
    let streams = cx.state.logs.streams_of(cx.scope(), group);
    let mut keyed = streams.map(|stream| (last_event_key(cx, &stream), stream)).collect::<Vec<_>>();
    keyed.sort_by(|(left, _), (right, _)| if descending { right.cmp(left) } else { left.cmp(right) });
    let rest = keyed
        .into_iter()
        .filter(|(key, _)| after.as_ref().is_none_or(|after| if descending { key < after } else { key > after }));
    let page = Page::cut(BY_LAST_EVENT, size, rest, |(key, _)| key.clone());
    Page { items: page.items.into_iter().map(|(_, stream)| stream).collect(), next: page.next }
}

fn last_event_key(cx: &Cx, stream: &LogStream) -> String {
    let last = cx.state.logs.with_events_of(cx.scope(), &stream.name, |events| events.sorted().back().map(|e| e.at));
    let last_ms = last.flatten().map_or(0, |at| at.as_millis());
    format!("{last_ms:020} {}", stream.name.stream)
}

fn view(cx: &Cx, stream: &LogStream) -> api::LogStream {
    let mut view = api::LogStream {
        log_stream_name: Some(stream.name.stream.clone()),
        creation_time: Some(stream.created_at.as_millis()),
        arn: Some(stream.arn.to_string()),
        // AWS has answered 0 here since 2019; the group has the figure.
        stored_bytes: Some(0),
        ..api::LogStream::default()
    };
    cx.state.logs.with_events_of(cx.scope(), &stream.name, |events| {
        view.first_event_timestamp = events.sorted().front().map(|event| event.at.as_millis());
        view.last_event_timestamp = events.sorted().back().map(|event| event.at.as_millis());
        view.last_ingestion_time = events.last_ingestion().map(|at| at.as_millis());
        view.upload_sequence_token = Some(sequence_token(events.next_sequence()));
    });
    view
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW_MS, answer, append, cx, fails, group, send, streams};

    fn request() -> api::DescribeLogStreamsRequest {
        api::DescribeLogStreamsRequest { log_group_name: Some("g".to_owned()), ..Default::default() }
    }

    fn describe(cx: &Cx, input: api::DescribeLogStreamsRequest) -> (Vec<String>, Option<String>) {
        let response = answer(describe_log_streams(cx, input)).unwrap();
        let names = response.log_streams.unwrap().into_iter().map(|stream| stream.log_stream_name.unwrap());
        (names.collect(), response.next_token)
    }

    #[test]
    fn a_stream_is_described_with_the_times_of_its_events() {
        let cx = cx();
        streams(&cx, "g", &["empty", "full"]);
        append(&cx, "g", "full", &[(-5, "a"), (7, "b")]);
        let streams = answer(describe_log_streams(&cx, request())).unwrap().log_streams.unwrap();
        assert_eq!(streams[0].first_event_timestamp, None);
        assert_eq!(streams[0].last_ingestion_time, None);
        let full = &streams[1];
        assert_eq!((full.first_event_timestamp, full.last_event_timestamp), (Some(NOW_MS - 5), Some(NOW_MS + 7)));
        assert_eq!((full.creation_time, full.last_ingestion_time), (Some(NOW_MS), Some(NOW_MS)));
        assert_eq!(full.arn.as_deref(), Some("arn:aws:logs:us-east-1:123456789012:log-group:g:log-stream:full"));
        assert_eq!(full.upload_sequence_token.as_ref().unwrap().len(), 56);
    }

    #[test]
    fn a_stream_needs_a_group_and_a_free_name() {
        let cx = cx();
        let create = || send(&cx, "CreateLogStream", r#"{"logGroupName":"g","logStreamName":"s"}"#);
        let (status, body) = create();
        assert_eq!(status, 400);
        assert!(body.contains(r#""ResourceNotFoundException","message":"The specified log group does not exist.""#));
        group(&cx, "g");
        assert_eq!(create(), (200, "{}".to_owned()));
        let (status, body) = create();
        assert_eq!(status, 400);
        assert!(
            body.contains(r#""ResourceAlreadyExistsException","message":"The specified log stream already exists""#)
        );
    }

    #[test]
    fn a_name_holds_neither_colon_nor_asterisk() {
        let cx = cx();
        group(&cx, "g");
        for name in ["a:b", "a*"] {
            let body = format!(r#"{{"logGroupName":"g","logStreamName":"{name}"}}"#);
            let (status, body) = send(&cx, "CreateLogStream", &body);
            assert_eq!(status, 400);
            assert!(body.contains("Member must satisfy regular expression pattern: [^:*]*"), "{body}");
        }
    }

    #[test]
    fn streams_are_listed_by_name_in_both_directions() {
        let cx = cx();
        streams(&cx, "g", &["b", "a", "c", "ab"]);
        streams(&cx, "g2", &["z"]);
        assert_eq!(describe(&cx, request()).0, ["a", "ab", "b", "c"]);
        let with_prefix = api::DescribeLogStreamsRequest { log_stream_name_prefix: Some("a".to_owned()), ..request() };
        assert_eq!(describe(&cx, with_prefix.clone()).0, ["a", "ab"]);
        let down = api::DescribeLogStreamsRequest { descending: Some(true), ..with_prefix };
        assert_eq!(describe(&cx, down).0, ["ab", "a"]);
    }

    #[test]
    fn streams_are_listed_by_their_last_event() {
        let cx = cx();
        streams(&cx, "g", &["a", "b", "c", "d"]);
        append(&cx, "g", "a", &[(9, "x")]);
        append(&cx, "g", "b", &[(1, "x"), (3, "x")]);
        append(&cx, "g", "d", &[(3, "x")]);
        let by_time = api::DescribeLogStreamsRequest { order_by: Some(api::OrderBy::LastEventTime), ..request() };
        assert_eq!(describe(&cx, by_time.clone()).0, ["c", "b", "d", "a"]);
        let down = api::DescribeLogStreamsRequest { descending: Some(true), limit: Some(2), ..by_time.clone() };
        let (first, next_token) = describe(&cx, down.clone());
        assert_eq!(first, ["a", "d"]);
        let rest = api::DescribeLogStreamsRequest { next_token: next_token.clone(), ..down };
        assert_eq!(describe(&cx, rest), (vec!["b".to_owned(), "c".to_owned()], None));
        let other = api::DescribeLogStreamsRequest { next_token, ..request() };
        let other = answer(describe_log_streams(&cx, other));
        fails(other, "InvalidParameterException", "The specified nextToken is invalid.");
        let prefix = api::DescribeLogStreamsRequest { log_stream_name_prefix: Some("a".to_owned()), ..by_time };
        let prefix = answer(describe_log_streams(&cx, prefix));
        fails(prefix, "InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.");
    }

    #[test]
    fn pages_by_name_go_on_in_both_directions() {
        let cx = cx();
        let names = (0..7).map(|n| format!("s{n}")).collect::<Vec<_>>();
        streams(&cx, "g", &names.iter().map(String::as_str).collect::<Vec<_>>());
        for descending in [false, true] {
            let (mut seen, mut next_token) = (Vec::new(), None);
            loop {
                let descending = Some(descending);
                let input = api::DescribeLogStreamsRequest { limit: Some(3), next_token, descending, ..request() };
                let (names, next) = describe(&cx, input);
                seen.extend(names);
                next_token = next;
                if next_token.is_none() {
                    break;
                }
            }
            let mut expected = names.clone();
            if descending {
                expected.reverse();
            }
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn a_group_is_named_by_name_or_arn_and_not_by_both() {
        let cx = cx();
        streams(&cx, "/g", &["s"]);
        let arn = "arn:aws:logs:us-east-1:123456789012:log-group:/g".to_owned();
        let by_arn = api::DescribeLogStreamsRequest { log_group_identifier: Some(arn.clone()), ..Default::default() };
        assert_eq!(describe(&cx, by_arn).0, ["s"]);
        let both = api::DescribeLogStreamsRequest { log_group_identifier: Some(arn), ..request() };
        let both = answer(describe_log_streams(&cx, both));
        fails(both, "InvalidParameterException", "LogGroup name and LogGroup ARN are mutually exclusive parameters.");
        let neither = answer(describe_log_streams(&cx, Default::default()));
        fails(neither, "InvalidParameterException", "Either logGroupName or logGroupIdentifier must be specified.");
        let missing = answer(describe_log_streams(&cx, request()));
        fails(missing, "ResourceNotFoundException", "The specified log group does not exist.");
    }
}
