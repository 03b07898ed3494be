//! The records of AWS IAM and of the sessions that AWS STS gives: roles, policies, users, credentials.
//!
//! They belong to an account, whatever region asks: their rows lie in the [`home`] of the account. Keys are names in lower
//! case, as IAM tells names apart by more than case.

mod id;
mod policy;
mod role;
mod session;
mod user;

use std::sync::{Arc, Mutex, PoisonError};

use base::{Arn, Partition, Region, Scope};

use crate::Table;
use crate::journal::{Journal, JournalError};

pub use id::{EntityKind, account_in};
pub use policy::{Policy, PolicyVersion};
pub use role::{InstanceProfile, Role, RoleDeletion};
pub use session::{AccessKey, CredentialError, Principal, RoleSession, Secret, Session};
pub use user::User;

use session::LastSweep;

/// The tables of IAM and STS.
#[derive(Debug)]
pub struct Iam {
    /// Roles by their names in lower case.
    pub roles: Table<String, Role>,
    /// Instance profiles by their names in lower case.
    pub instance_profiles: Table<String, InstanceProfile>,
    /// The account's managed policies by their names in lower case.
    pub policies: Table<String, Policy>,
    /// Users by their names in lower case.
    pub users: Table<String, User>,
    /// Deletions of service-linked roles by their task ids.
    pub role_deletions: Table<String, RoleDeletion>,
    access_keys: Table<String, AccessKey>,
    sessions: Table<String, Session>,
    last_sweep: LastSweep,
    /// Held while something is changed that a check of other rows has allowed.
    changing: Mutex<()>,
}

/// Returns where the rows of an account lie: in the region where IAM itself is at home in the partition.
pub fn home(scope: &Scope) -> Scope {
    let region = match scope.region.partition() {
        Partition::Aws => "us-east-1",
        Partition::AwsCn => "cn-north-1",
        Partition::AwsUsGov => "us-gov-west-1",
    };
    Scope::new(scope.account, Region::parse(region).expect("it is the name of a region"))
}

impl Iam {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self {
            roles: Table::new("iam.roles", journal),
            instance_profiles: Table::new("iam.instance_profiles", journal),
            policies: Table::new("iam.policies", journal),
            users: Table::new("iam.users", journal),
            role_deletions: Table::new("iam.role_deletions", journal),
            access_keys: Table::new("iam.access_keys", journal),
            sessions: Table::new("iam.sessions", journal),
            last_sweep: LastSweep::default(),
            changing: Mutex::default(),
        }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.roles.load(journal)?;
        self.instance_profiles.load(journal)?;
        self.policies.load(journal)?;
        self.users.load(journal)?;
        self.role_deletions.load(journal)?;
        self.access_keys.load(journal)?;
        self.sessions.load(journal)
    }

    pub(crate) fn clear(&self) {
        self.sessions.clear();
        self.access_keys.clear();
        self.instance_profiles.clear();
        self.roles.clear();
        self.policies.clear();
        self.users.clear();
        self.role_deletions.clear();
    }

    /// Makes a change that a check of other rows allows, with no other such change in between.
    pub fn exclusively<T>(&self, change: impl FnOnce() -> T) -> T {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        change()
    }

    /// Finds a role by its ARN, whatever its account.
    pub fn role_of(&self, arn: &Arn) -> Option<Arc<Role>> {
        let name = arn.resource_of("role")?.rsplit('/').next()?;
        let role = self.roles.get(&home_of(arn)?, &name.to_lowercase())?;
        (role.arn == *arn).then_some(role)
    }

    /// Finds a managed policy of an account by its ARN.
    pub fn policy_of(&self, arn: &Arn) -> Option<Arc<Policy>> {
        let name = arn.resource_of("policy")?.rsplit('/').next()?;
        let policy = self.policies.get(&home_of(arn)?, &name.to_lowercase())?;
        (policy.arn == *arn).then_some(policy)
    }
}

/// Returns where the entity lies that an ARN of IAM names.
fn home_of(arn: &Arn) -> Option<Scope> {
    let region = match arn.as_str().split(':').nth(1)? {
        "aws" => "us-east-1",
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        _ => return None,
    };
    if arn.service() != "iam" {
        return None;
    }
    Some(Scope::new(arn.account()?, Region::parse(region)?))
}
