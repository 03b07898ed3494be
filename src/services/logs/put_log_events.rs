//! PutLogEvents: a batch of events into a stream.

use std::sync::Arc;
use std::time::Duration;

use api::logs as api;
use base::Timestamp;
use state::Cx;
use state::logs::{EVENT_OVERHEAD_BYTES, StreamName};

use crate::position::sequence_token;
use crate::{Result, invalid, log_group, log_stream, required};

/// How many bytes a batch has at most: messages in UTF-8, and 26 for each event.
const BATCH_BYTES_MAX: usize = 1_048_576;
/// From when on the first event of a batch to the last.
const BATCH_SPAN_MAX: Duration = Duration::from_hours(24);
/// How old an event may be.
const AGE_MAX: Duration = Duration::from_hours(14 * 24);
/// How far in the future an event may lie.
const LEAD_MAX: Duration = Duration::from_hours(2);
const DAY: Duration = Duration::from_hours(24);

/// Appends events. Those that are too old or too new are left out, and the answer says which.
pub(crate) async fn put_log_events(cx: &Cx, input: api::PutLogEventsRequest) -> Result<api::PutLogEventsResponse> {
    let group_name = input.log_group_name;
    let stream = required(input.log_stream_name, "logStreamName")?;
    let batch = parse(required(input.log_events, "logEvents")?)?;
    check(&batch)?;
    let group = log_group::find(cx, group_name, None)?;
    let kept = Kept::of(&batch, cx.now(), group.retention_days);
    let name = StreamName { group: group.name.clone(), stream };
    let accepted = batch.into_iter().take(kept.end).skip(kept.start);
    let append = |events: &mut state::logs::Events| {
        events.append_sorted(cx.now(), accepted);
        events.next_sequence()
    };
    let next = cx.state.logs.with_events_of(cx.scope(), &name, append).ok_or_else(log_stream::not_found)?;
    Ok(api::PutLogEventsResponse {
        next_sequence_token: Some(sequence_token(next)),
        rejected_log_events_info: kept.rejected,
        rejected_entity_info: None,
    })
}

type Batch = Vec<(Timestamp, Arc<str>)>;

fn parse(events: Vec<api::InputLogEvent>) -> Result<Batch> {
    let parse = |event: api::InputLogEvent| {
        let at = Timestamp::from_millis(required(event.timestamp, "timestamp")?);
        Ok((at, Arc::from(required(event.message, "message")?)))
    };
    events.into_iter().map(parse).collect()
}

fn check(batch: &Batch) -> Result<()> {
    let bytes = batch.iter().map(|(_, message)| message.len() + EVENT_OVERHEAD_BYTES).sum::<usize>();
    if bytes > BATCH_BYTES_MAX {
        return Err(invalid(format!("Upload too large: {bytes} bytes exceeds limit of {BATCH_BYTES_MAX}")));
    }
    if !batch.is_sorted_by_key(|(at, _)| *at) {
        return Err(invalid("Log events in a single PutLogEvents request must be in chronological order."));
    }
    let is_too_long = match batch.as_slice() {
        [(first, _), .., (last, _)] => last.since(*first) > BATCH_SPAN_MAX,
        _ => false,
    };
    if is_too_long {
        return Err(invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    Ok(())
}

/// Which events of a batch are accepted, and what the client is told about the others.
#[derive(Debug, PartialEq)]
struct Kept {
    start: usize,
    end: usize,
    rejected: Option<api::RejectedLogEventsInfo>,
}

impl Kept {
    fn of(batch: &Batch, now: Timestamp, retention_days: Option<i32>) -> Self {
        let before = |age: Duration| {
            let oldest = i64::try_from(age.as_millis()).map_or(i64::MIN, |age| now.as_millis().saturating_sub(age));
            batch.partition_point(|(at, _)| at.as_millis() < oldest)
        };
        let too_old = before(AGE_MAX);
        let retention = retention_days.and_then(|days| u32::try_from(days).ok()).map(|days| DAY * days);
        let expired = retention.map_or(0, before);
        let end = batch.partition_point(|(at, _)| *at <= now.plus(LEAD_MAX));
        let index = |index: usize| i32::try_from(index).unwrap_or(i32::MAX);
        let info = api::RejectedLogEventsInfo {
            too_new_log_event_start_index: (end < batch.len()).then(|| index(end)),
            too_old_log_event_end_index: (too_old > 0).then(|| index(too_old)),
            expired_log_event_end_index: (expired > too_old).then(|| index(expired)),
        };
        let rejected = (info != api::RejectedLogEventsInfo::default()).then_some(info);
        Self { start: too_old.max(expired), end, rejected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW_MS, answer, cx, fails, send, stream, streams};

    const HOUR_MS: i64 = 3_600_000;

    fn request(events: impl IntoIterator<Item = (i64, String)>) -> api::PutLogEventsRequest {
        let event = |(timestamp, message)| api::InputLogEvent { timestamp: Some(timestamp), message: Some(message) };
        api::PutLogEventsRequest {
            log_group_name: Some("g".to_owned()),
            log_stream_name: Some("s".to_owned()),
            log_events: Some(events.into_iter().map(event).collect()),
            ..Default::default()
        }
    }

    fn put(cx: &Cx, offsets_ms: &[i64]) -> Result<api::PutLogEventsResponse> {
        let events = offsets_ms.iter().map(|offset| (NOW_MS + offset, format!("{offset}")));
        answer(put_log_events(cx, request(events)))
    }

    fn messages(cx: &Cx) -> Vec<String> {
        let copy = |events: &mut state::logs::Events| events.sorted().iter().map(|e| e.message.to_string()).collect();
        cx.state.logs.with_events(cx.scope(), &stream("g", "s"), copy)
    }

    fn with_stream() -> Cx {
        let cx = cx();
        streams(&cx, "g", &["s"]);
        cx
    }

    #[test]
    fn events_are_appended_and_the_next_token_grows() {
        let cx = with_stream();
        let first = put(&cx, &[-2, -1]).unwrap();
        let second = put(&cx, &[-3, -2, 0]).unwrap();
        assert!(first.next_sequence_token.unwrap() < second.next_sequence_token.unwrap());
        assert_eq!(second.rejected_log_events_info, None);
        assert_eq!(messages(&cx), ["-3", "-2", "-2", "-1", "0"]);
        // Tokens are no longer looked at: any will do.
        let body = format!(
            r#"{{"logGroupName":"g","logStreamName":"s","sequenceToken":"x","logEvents":[{{"timestamp":{NOW_MS},"message":"m"}}]}}"#
        );
        assert_eq!(send(&cx, "PutLogEvents", &body).0, 200);
    }

    #[test]
    fn group_and_stream_must_exist() {
        let cx = cx();
        fails(put(&cx, &[0]), "ResourceNotFoundException", "The specified log group does not exist.");
        streams(&cx, "g", &[]);
        fails(put(&cx, &[0]), "ResourceNotFoundException", "The specified log stream does not exist.");
    }

    #[test]
    fn a_batch_is_refused_whole() {
        let cx = with_stream();
        let code = "InvalidParameterException";
        fails(put(&cx, &[0, -1]), code, "Log events in a single PutLogEvents request must be in chronological order.");
        fails(
            put(&cx, &[-24 * HOUR_MS - 1, 0]),
            code,
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        );
        put(&cx, &[-24 * HOUR_MS, 0]).unwrap();
        let large = |size: usize| answer(put_log_events(&cx, request([(NOW_MS, "x".repeat(size))])));
        fails(large(1_048_551), code, "Upload too large: 1048577 bytes exceeds limit of 1048576");
        large(1_048_550).unwrap();
        assert_eq!(messages(&cx).len(), 3);
    }

    #[test]
    fn the_model_bounds_count_and_messages() {
        let cx = with_stream();
        let body = |events: &str| format!(r#"{{"logGroupName":"g","logStreamName":"s","logEvents":[{events}]}}"#);
        let event = format!(r#"{{"timestamp":{NOW_MS},"message":"m"}}"#);
        for (events, expected) in [
            (vec![event.as_str(); 10_001].join(","), "Member must have length less than or equal to 10000"),
            (String::new(), "Member must have length greater than or equal to 1"),
            (
                event.replace("\"m\"", "\"\""),
                "'logEvents.1.member.message' failed to satisfy constraint: Member must have length greater than or equal to 1",
            ),
            (event.replace("1800", "-1800"), "Member must have value greater than or equal to 0"),
        ] {
            let (status, text) = send(&cx, "PutLogEvents", &body(&events));
            assert_eq!(status, 400);
            assert!(text.contains("InvalidParameterException") && text.contains(expected), "{expected}");
        }
        assert_eq!(send(&cx, "PutLogEvents", &body(&vec![event.as_str(); 10_000].join(","))).0, 200);
        assert_eq!(messages(&cx).len(), 10_000);
    }

    /// Checks which of the events at some offsets are kept, and what is said of too new, too old and expired ones.
    #[track_caller]
    fn check_kept(
        offsets_ms: &[i64],
        retention_days: Option<i32>,
        kept: std::ops::Range<usize>,
        indexes: [Option<i32>; 3],
    ) {
        let batch = offsets_ms.iter().map(|ms| (Timestamp::from_millis(NOW_MS + ms), Arc::from("m"))).collect();
        let found = Kept::of(&batch, Timestamp::from_millis(NOW_MS), retention_days);
        assert_eq!(found.start..found.end, kept);
        let info = found.rejected.unwrap_or_default();
        let found =
            [info.too_new_log_event_start_index, info.too_old_log_event_end_index, info.expired_log_event_end_index];
        assert_eq!(found, indexes);
    }

    #[test]
    fn events_are_kept_from_two_weeks_ago_to_two_hours_ahead() {
        let day = 24 * HOUR_MS;
        check_kept(&[0], None, 0..1, [None, None, None]);
        check_kept(&[-14 * day, 2 * HOUR_MS], None, 0..2, [None, None, None]);
        check_kept(&[-14 * day - 1, -14 * day], None, 1..2, [None, Some(1), None]);
        check_kept(&[0, 2 * HOUR_MS + 1], None, 0..1, [Some(1), None, None]);
        check_kept(&[-day - 1, -1], Some(1), 1..2, [None, None, Some(1)]);
        check_kept(&[-15 * day, -2 * day, 0, 3 * HOUR_MS], Some(1), 2..3, [Some(3), Some(1), Some(2)]);
    }

    #[test]
    fn too_old_and_too_new_events_are_left_out_and_named() {
        let cx = with_stream();
        let info = put(&cx, &[-HOUR_MS, 3 * HOUR_MS]).unwrap().rejected_log_events_info.unwrap();
        assert_eq!(info.too_new_log_event_start_index, Some(1));
        assert_eq!(messages(&cx).len(), 1);
        let all = put(&cx, &[3 * HOUR_MS]).unwrap();
        assert_eq!(all.rejected_log_events_info.unwrap().too_new_log_event_start_index, Some(0));
        assert_eq!(messages(&cx).len(), 1);
    }

    #[test]
    fn batches_from_many_threads_all_arrive_in_order() {
        let cx = with_stream();
        std::thread::scope(|threads| {
            for thread in 0..8_i64 {
                let cx = &cx;
                threads.spawn(move || {
                    for batch in 0..50_i64 {
                        put(cx, &[batch - 100, batch - 100 + thread, batch]).unwrap();
                    }
                });
            }
        });
        cx.state.logs.with_events(cx.scope(), &stream("g", "s"), |events| {
            assert_eq!(events.sorted().len(), 8 * 50 * 3);
            assert_eq!(events.next_sequence(), 8 * 50 * 3);
            assert!(events.sorted().iter().is_sorted_by_key(|event| (event.at, event.sequence)));
        });
    }
}
