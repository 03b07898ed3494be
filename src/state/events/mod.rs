//! The records of EventBridge.

use base::Scope;

/// The rules of all buses.
#[derive(Debug, Default)]
pub struct Rules {}

impl Rules {
    /// Returns whether an enabled rule of the default bus may want an event of that source and type.
    pub fn may_want(&self, _scope: &Scope, _source: &str, _detail_type: &str) -> bool {
        false
    }
}
