//! An account setting: what the account, or one user or role of it, has chosen for a region.

use base::Arn;
use serde::{Deserialize, Serialize};

use crate::Record;

/// What names a setting: who has it, and what it is called. So the settings of a principal lie together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountSettingKey {
    /// The user, role or root user; the root user's settings are everybody's who has none of their own.
    pub principal: Arn,
    /// The name of the setting, as the API spells it.
    pub name: String,
}

/// What was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSetting {
    /// The value, one of those that the setting can have.
    pub value: String,
}

impl Record for AccountSetting {}
