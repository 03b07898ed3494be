//! What the tests of the operations share.

use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use base::{AccountId, Caller, Ids, ManualClock, Region, Scope, SequentialEntropy, Timestamp};
use bytes::Bytes;
use http::Request;
use state::Cx;

use crate::{Error, Result};

/// Where the clock of the tests stands.
pub(crate) const NOW_MS: i64 = 1_800_000_000_000;

pub(crate) fn cx() -> Cx {
    Cx {
        state: state::State::in_memory(),
        clock: Arc::new(ManualClock::new(Timestamp::from_millis(NOW_MS))),
        ids: Ids::new(Arc::new(SequentialEntropy::default())),
        caller: Caller {
            scope: Scope::new(AccountId::parse("123456789012").unwrap(), Region::default()),
            access_key_id: None,
            request_id: "id-1".to_owned(),
            host: None,
        },
    }
}

pub(crate) fn answer<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a handler waits for nothing"),
    }
}

/// Sends a request as a client would and returns status and body.
pub(crate) fn send(cx: &Cx, operation: &str, body: &str) -> (u16, String) {
    let routed = wire::Routed {
        service: wire::service_named("logs").unwrap(),
        protocol: wire::Protocol::Json11,
        operation: operation.to_owned(),
    };
    let request = Request::new(Bytes::copy_from_slice(body.as_bytes()));
    let response = answer(wire::handle(&[&crate::SERVICE], &routed, &request, cx, "id-1"));
    (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
}

#[track_caller]
pub(crate) fn fails<T: Debug>(result: Result<T>, code: &str, message: &str) {
    let error: Error = result.unwrap_err();
    let error = wire::ApiError::from(error);
    assert_eq!((error.code(), error.message(), error.status()), (code, message, 400));
}

pub(crate) fn group(cx: &Cx, name: &str) {
    cx.state.logs.make_group(cx.scope(), name, cx.now());
}

/// Makes the streams of a group, and the group.
pub(crate) fn streams(cx: &Cx, group_name: &str, names: &[&str]) {
    group(cx, group_name);
    for name in names {
        cx.state.logs.make_stream(cx.scope(), &stream(group_name, name), cx.now());
    }
}

pub(crate) fn stream(group: &str, stream: &str) -> state::logs::StreamName {
    state::logs::StreamName { group: group.to_owned(), stream: stream.to_owned() }
}

/// Appends events at milliseconds from the clock's time.
pub(crate) fn append(cx: &Cx, group: &str, stream_name: &str, events: &[(i64, &str)]) {
    cx.state.logs.with_events(cx.scope(), &stream(group, stream_name), |rows| {
        for (offset_ms, message) in events {
            rows.append(Timestamp::from_millis(NOW_MS + offset_ms), cx.now(), (*message).into());
        }
    });
}
