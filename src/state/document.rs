//! A JSON document that is kept as it came and only echoed.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// JSON text. Cheap to clone; read again by the service that wrote it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(Arc<str>);

impl Document {
    /// Takes JSON text.
    pub fn new(json: impl Into<Arc<str>>) -> Self {
        Self(json.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Document {
    fn from(json: String) -> Self {
        Self::new(json)
    }
}

impl AsRef<str> for Document {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Environment variables are in here: never into a log.
        write!(f, "Document({} bytes)", self.0.len())
    }
}
