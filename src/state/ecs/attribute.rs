//! An attribute of a container instance.

use serde::{Deserialize, Serialize};

/// A name, and perhaps a value, that says something of a container instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// The name, unique on its instance.
    pub name: String,
    /// The value.
    pub value: Option<String>,
    /// Whether PutAttributes set it. The others come from the agent, and leave with it.
    pub is_custom: bool,
}
