//! Roles, and the instance profiles that hand them to instances.

use std::collections::BTreeMap;

use base::{Arn, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Record, Tag};

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name, as it was given.
    pub name: String,
    /// Its path, `/` or `/…/`.
    pub path: String,
    /// Its id, `AROA…`.
    pub id: String,
    /// Its ARN.
    pub arn: Arn,
    /// What it is for.
    pub description: Option<String>,
    /// Who may assume it: a policy document in JSON, as it was given.
    pub assume_role_policy: String,
    /// How long a session may last, in seconds; 3600 to 43200.
    pub max_session_duration_s: u32,
    /// The policy that bounds it.
    pub permissions_boundary: Option<Arn>,
    /// The policies that are its own, by name.
    pub inline_policies: BTreeMap<String, String>,
    /// The managed policies that are attached to it, in the order in which they were.
    pub attached_policies: Vec<Arn>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// An instance profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceProfile {
    /// Its name, as it was given.
    pub name: String,
    /// Its path, `/` or `/…/`.
    pub path: String,
    /// Its id, `AIPA…`.
    pub id: String,
    /// Its ARN.
    pub arn: Arn,
    /// The name of its role; it has one at most.
    pub role: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// That a service-linked role was deleted, which is asked about later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleDeletion {
    /// When it was.
    pub deleted_at: Timestamp,
}

impl Record for Role {}
impl Record for InstanceProfile {}
impl Record for RoleDeletion {}
