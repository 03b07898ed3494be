//! What a table's row must be able to do.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Label;

/// A row that an older version wrote and this one cannot read.
#[derive(Debug, thiserror::Error)]
#[error("a row of version {version} cannot be read")]
pub struct MigrationError {
    /// The version that the row carries.
    pub version: u32,
    /// The cause.
    #[source]
    pub source: serde_json::Error,
}

/// A row of a table. Its serialised form carries [`Record::VERSION`], so that a later version can migrate it.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + fmt::Debug + 'static {
    /// Raised whenever the serialised form changes in a way that serde's defaults do not bridge.
    const VERSION: u32 = 1;

    /// Returns what the row is found by besides its key; the same labels for the same row.
    fn labels(&self) -> Vec<Label> {
        Vec::new()
    }

    /// Reads a row that was written as `version`. The first version needs no more than serde.
    fn migrate(version: u32, value: serde_json::Value) -> Result<Self, MigrationError> {
        serde_json::from_value(value).map_err(|source| MigrationError { version, source })
    }
}

/// A tag. Keys are unique in a resource and keep the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// The key, 1 to 128 characters.
    pub key: String,
    /// The value, up to 256 characters.
    pub value: String,
}

impl Tag {
    /// Collects tags; the last of those with one key counts.
    pub fn last_of_each(tags: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut known = Vec::new();
        for tag in tags {
            Self::append(vec![tag], &mut known);
        }
        known
    }

    /// Adds tags behind those that are there; those whose keys are there go.
    pub fn append(tags: Vec<Self>, known: &mut Vec<Self>) {
        known.retain(|known| tags.iter().all(|tag| tag.key != known.key));
        known.extend(tags);
    }

    /// Puts tags among those that are there; one whose key is there replaces its value.
    pub fn put_all(tags: Vec<Self>, known: &mut Vec<Self>) {
        for tag in tags {
            match known.iter_mut().find(|known| known.key == tag.key) {
                Some(known) => known.value = tag.value,
                None => known.push(tag),
            }
        }
    }
}
