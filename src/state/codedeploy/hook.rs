//! Functions that have a say in a deployment.

use base::Timestamp;
use serde::{Deserialize, Serialize};

/// A function that has its say, or had it. The controller writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookExecution {
    /// Its id, which the function is told and answers with.
    pub id: String,
    /// The lifecycle event.
    pub event: String,
    /// The function: its name or ARN.
    pub function: String,
    /// Until when its answer is waited for.
    pub expires_at: Timestamp,
    /// How far its call is.
    pub call: HookCall,
}

/// How far the call of a function is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookCall {
    /// It is to be called.
    Due {
        /// When.
        at: Timestamp,
        /// How often that has failed.
        failures: u32,
    },
    /// It has been called.
    Made,
    /// It cannot be called.
    Impossible {
        /// Why not.
        why: String,
    },
}

/// What a function has said. The handler writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookAnswer {
    /// The execution's id.
    pub id: String,
    /// Whether the deployment may go on.
    pub has_succeeded: bool,
}
