//! What a handler is given.

use std::sync::Arc;

use base::{Caller, Clock, Ids, Scope, Timestamp};

use crate::State;
use crate::iam::Principal;

/// The context of one request: who asks, what is known, what time it is.
#[derive(Clone, Debug)]
pub struct Cx {
    /// Every record.
    pub state: Arc<State>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// New identifiers.
    pub ids: Ids,
    /// Who asks.
    pub caller: Caller,
}

impl Cx {
    /// Returns the account and region that the request acts in.
    pub fn scope(&self) -> &Scope {
        &self.caller.scope
    }

    /// Returns who asks: the root of the account, a user, or a session of a role.
    pub fn principal(&self) -> Principal {
        self.state.iam.principal_of(&self.caller)
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
