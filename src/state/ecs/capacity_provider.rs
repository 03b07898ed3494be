//! A capacity provider that a user made. `FARGATE` and `FARGATE_SPOT` are everybody's and have no record.

use base::Arn;
use serde::{Deserialize, Serialize};

use crate::{Document, Record, Tag};

use super::{CapacityProviderName, ClusterName};

/// The capacity provider of Fargate whose tasks can be interrupted.
pub const FARGATE_SPOT: &str = "FARGATE_SPOT";

/// A capacity provider: where instances for tasks come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CapacityProvider {
    /// Its name, unique in the account and region.
    pub name: CapacityProviderName,
    /// Its ARN.
    pub arn: Arn,
    /// Whether it is there.
    pub status: CapacityProviderStatus,
    /// What became of the last change; none before the first one of an Auto Scaling group's provider.
    pub update: Option<CapacityProviderUpdate>,
    /// What kind it is.
    pub source: CapacitySource,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// Where a capacity provider has its instances from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapacitySource {
    /// From an Auto Scaling group of the user's.
    AutoScalingGroup {
        /// The group's ARN or name, as it was sent.
        group: String,
        /// Whether ECS sizes the group.
        is_scaling_managed: bool,
        /// Whether ECS drains instances before they end.
        is_draining_managed: bool,
        /// `autoScalingGroupProvider` as a response shows it.
        document: Document,
    },
    /// From ECS itself, for one cluster.
    ManagedInstances {
        /// The cluster that it belongs to.
        cluster: ClusterName,
        /// `managedInstancesProvider` as a response shows it.
        document: Document,
    },
}

/// Whether a capacity provider is there. A deleted one can still be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapacityProviderStatus {
    /// It can be used.
    Active,
    /// It was deleted.
    Inactive,
}

/// What became of a change of a capacity provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapacityProviderUpdate {
    /// It was made.
    Created,
    /// It was changed.
    Updated,
    /// It was deleted.
    Deleted,
    /// It could not be deleted.
    DeleteFailed {
        /// Why, in AWS's words.
        reason: String,
    },
}

impl Record for CapacityProvider {}
