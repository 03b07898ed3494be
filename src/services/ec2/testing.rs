//! What the tests of the operations share.

use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use api::ec2 as api;
use base::{AccountId, Caller, Ids, ManualClock, Region, Scope, SequentialEntropy, Timestamp};
use bytes::Bytes;
use http::Request;
use state::Cx;

use crate::Result;

pub(crate) fn cx() -> Cx {
    Cx {
        state: state::State::in_memory(),
        clock: Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000))),
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

/// Sends a form as a client would and returns status and body.
pub(crate) fn send(cx: &Cx, operation: &str, form: &str) -> (u16, String) {
    let routed = wire::Routed {
        service: wire::service_named("ec2").unwrap(),
        protocol: wire::Protocol::Ec2,
        operation: operation.to_owned(),
    };
    let request = Request::new(Bytes::from(format!("Action={operation}&Version=2016-11-15&{form}")));
    let response = answer(wire::handle(&[&crate::SERVICE], &routed, &request, cx, "id-1"));
    (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
}

/// Sends a form that is refused and returns code and message.
#[track_caller]
pub(crate) fn refused(cx: &Cx, operation: &str, form: &str) -> (String, String) {
    let (status, body) = send(cx, operation, form);
    assert_eq!(status, 400, "{body}");
    let element = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>")).unwrap();
        let (text, _) = rest.split_once(&format!("</{name}>")).unwrap();
        text.replace("&apos;", "'").replace("&quot;", "\"")
    };
    (element("Code"), element("Message"))
}

#[track_caller]
pub(crate) fn fails<T: Debug>(result: Result<T>, code: &str, message: &str) {
    let error = wire::ApiError::from(result.unwrap_err());
    assert_eq!((error.code(), error.message(), error.status()), (code, message, 400));
}

/// Makes filters of one value each.
pub(crate) fn filter(filters: &[(&str, &str)]) -> Option<Vec<api::Filter>> {
    let filter = |(name, value): &(&str, &str)| api::Filter {
        name: Some((*name).to_owned()),
        values: Some(vec![(*value).to_owned()]),
    };
    Some(filters.iter().map(filter).collect())
}
