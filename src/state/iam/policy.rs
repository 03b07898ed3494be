//! Managed policies of the account.

use base::{Arn, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Record, Tag};

/// A managed policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name, as it was given.
    pub name: String,
    /// Its path, `/` or `/…/`.
    pub path: String,
    /// Its id, `ANPA…`.
    pub id: String,
    /// Its ARN.
    pub arn: Arn,
    /// What it is for.
    pub description: Option<String>,
    /// Its versions, oldest first; never none.
    pub versions: Vec<PolicyVersion>,
    /// The number of the version that is in force.
    pub default_version: u32,
    /// The number that the next version gets.
    pub next_version: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its versions were last changed.
    pub updated_at: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A version of a managed policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// Its number: 1 for `v1`.
    pub number: u32,
    /// The policy document in JSON, as it was given.
    pub document: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Record for Policy {}
