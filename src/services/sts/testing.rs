//! What the tests of the operations share.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use base::{AccountId, Arn, Caller, Ids, ManualClock, Region, Scope, SequentialEntropy, Timestamp};
use state::Cx;
use state::iam::{Role, home};

use crate::Result;

/// A context and its clock.
pub(crate) struct Bed {
    pub(crate) cx: Cx,
    pub(crate) clock: Arc<ManualClock>,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::at("us-east-1")
    }

    pub(crate) fn at(region: &str) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_767_225_600_000)));
        let cx = Cx {
            state: state::State::in_memory(),
            clock: Arc::clone(&clock) as Arc<dyn base::Clock>,
            ids: Ids::new(Arc::new(SequentialEntropy::default())),
            caller: Caller {
                scope: Scope::new(AccountId::parse("123456789012").unwrap(), Region::parse(region).unwrap()),
                access_key_id: None,
                request_id: "id-1".to_owned(),
                host: None,
            },
        };
        Self { cx, clock }
    }

    pub(crate) fn answer<'a, T, F: Future<Output = T> + 'a>(&'a self, handler: impl FnOnce(&'a Cx) -> F) -> T {
        answer(handler(&self.cx))
    }

    /// Makes a role of an ARN whose id is `AROA` and its name.
    pub(crate) fn make_role(&self, arn: &str, max_session_duration_s: u32) {
        let name = arn.rsplit('/').next().unwrap().to_owned();
        let role = Role {
            name: name.clone(),
            path: "/team/".to_owned(),
            id: format!("AROA{}", name.to_uppercase()),
            arn: Arn::parse(arn).unwrap(),
            description: None,
            assume_role_policy: "{}".to_owned(),
            max_session_duration_s,
            permissions_boundary: None,
            inline_policies: BTreeMap::new(),
            attached_policies: Vec::new(),
            created_at: self.cx.now(),
            tags: Vec::new(),
        };
        self.cx.state.iam.roles.insert(&home(self.cx.scope()), &name, role);
    }
}

pub(crate) fn answer<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a handler waits for nothing"),
    }
}

#[track_caller]
pub(crate) fn fails<T: Debug>(result: Result<T>, code: &str, status: u16, message: &str) {
    let error = wire::ApiError::from(result.unwrap_err());
    assert_eq!((error.code(), error.message(), error.status()), (code, message, status));
}
