//! Users.

use base::{Arn, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Record, Tag};

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its name, as it was given.
    pub name: String,
    /// Its path, `/` or `/…/`.
    pub path: String,
    /// Its id, `AIDA…`.
    pub id: String,
    /// Its ARN.
    pub arn: Arn,
    /// The policy that bounds it.
    pub permissions_boundary: Option<Arn>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
}

impl Record for User {}
