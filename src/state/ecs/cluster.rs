//! A cluster.

use base::{Arn, Scope, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Document, Label, Record, Tag};

use super::ClusterName;

/// A cluster: a name for tasks to run under.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its ARN.
    pub arn: Arn,
    /// Whether it is there.
    pub status: ClusterStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// `settings` as they were sent, completed with the defaults; a JSON list.
    pub settings: Option<Document>,
    /// `configuration` as it was sent.
    pub configuration: Option<Document>,
    /// `serviceConnectDefaults` as a response shows it.
    pub service_connect_defaults: Option<Document>,
    /// The names of its capacity providers.
    pub capacity_providers: Vec<String>,
    /// `defaultCapacityProviderStrategy` as a response shows it; a JSON list.
    pub default_capacity_provider_strategy: Option<Document>,
    /// What ECS attached to the cluster for its capacity providers and its namespace.
    #[serde(default)]
    pub attachments: Vec<ClusterAttachment>,
}

/// Something that ECS attached to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterAttachment {
    /// Its id, a UUID.
    pub id: String,
    /// What it is.
    pub kind: ClusterAttachmentKind,
}

/// What ECS attaches to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterAttachmentKind {
    /// The namespace of Service Connect.
    ServiceConnect,
    /// The scaling policy of a capacity provider whose scaling is managed.
    ScalingPolicy {
        /// The capacity provider.
        provider: String,
        /// The policy's name.
        policy: String,
    },
    /// The life cycle hook of a capacity provider whose draining is managed.
    ManagedDraining {
        /// The capacity provider.
        provider: String,
    },
}

/// Whether a cluster is there. A deleted cluster can still be described for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterStatus {
    /// Tasks can run in it.
    Active,
    /// It was deleted.
    Inactive,
}

impl Record for Cluster {
    fn labels(&self) -> Vec<Label> {
        vec![self.status.label()]
    }
}

impl ClusterStatus {
    /// Returns what finds the clusters of this status.
    pub fn label(self) -> Label {
        Label::new(&[match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
        }])
    }
}

impl Cluster {
    /// Makes an active cluster without settings of its own.
    pub fn new(scope: &Scope, name: ClusterName, now: Timestamp, tags: Vec<Tag>) -> Self {
        Self {
            arn: Arn::new("ecs", scope, &format!("cluster/{name}")),
            name,
            status: ClusterStatus::Active,
            created_at: now,
            tags,
            settings: None,
            configuration: None,
            service_connect_defaults: None,
            capacity_providers: Vec::new(),
            default_capacity_provider_strategy: None,
            attachments: Vec::new(),
        }
    }
}
