//! An event bus.

use base::{Arn, Scope, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Document, Record, Tag};

/// The bus that every account has in every region, and that AWS's own events are on.
pub const DEFAULT_BUS: &str = "default";

/// An event bus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bus {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: Arn,
    /// What it is for, in the user's words.
    pub description: Option<String>,
    /// The key that it is said to be encrypted with.
    pub kms_key: Option<String>,
    /// Where it is said to send what cannot be delivered, as it was given.
    pub dead_letter: Option<Document>,
    /// What it is said to log, as it was given.
    pub log_config: Option<Document>,
    /// The statements of its resource policy, by their ids; a statement is as it was put.
    pub policy: Vec<(String, Document)>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When it was made; none for a default bus.
    pub created_at: Option<Timestamp>,
    /// When it was last changed; none for a default bus.
    pub modified_at: Option<Timestamp>,
}

impl Record for Bus {}

impl Bus {
    /// Makes a bus of which only the name is known.
    pub fn new(scope: &Scope, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            arn: Arn::new("events", scope, &format!("event-bus/{name}")),
            description: None,
            kms_key: None,
            dead_letter: None,
            log_config: None,
            policy: Vec::new(),
            tags: Vec::new(),
            created_at: None,
            modified_at: None,
        }
    }

    /// Makes the default bus as it is when nobody has changed it.
    pub fn default_of(scope: &Scope) -> Self {
        Self::new(scope, DEFAULT_BUS)
    }
}
