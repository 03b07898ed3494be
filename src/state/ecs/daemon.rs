//! Daemons: one task on each managed instance of some capacity providers, their definitions, revisions and deployments.

use std::time::Duration;

use base::{Arn, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Document, Label, Record, Tag};

use super::{ClusterName, Creation, DaemonName, TaskDefinitionName};

/// How long a deployment waits before its first step.
const DEPLOYMENT_START_DELAY: Duration = Duration::from_secs(1);

/// What names a daemon: its cluster and its name. So the daemons of a cluster lie together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DaemonKey {
    /// The cluster.
    pub cluster: ClusterName,
    /// The daemon.
    pub name: DaemonName,
}

impl DaemonKey {
    /// Returns a key that sorts before every other daemon of the cluster.
    pub fn first_of(cluster: &ClusterName) -> Self {
        Self { cluster: cluster.clone(), name: DaemonName::first() }
    }
}

/// What names a revision of a daemon.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DaemonRevisionKey {
    /// The daemon.
    pub daemon: DaemonKey,
    /// The revision: 19 digits.
    pub id: String,
}

/// What names a deployment of a daemon.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DaemonDeploymentKey {
    /// The daemon.
    pub daemon: DaemonKey,
    /// The deployment: 21 characters, such that the newest sorts first.
    pub id: String,
}

impl DaemonDeploymentKey {
    /// Returns a key that sorts before every deployment of the daemon.
    pub fn first_of(daemon: &DaemonKey) -> Self {
        Self { daemon: daemon.clone(), id: String::new() }
    }
}

/// A daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Daemon {
    /// Cluster and name.
    pub key: DaemonKey,
    /// Its ARN.
    pub arn: Arn,
    /// The ARN of its cluster.
    pub cluster_arn: Arn,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Whether its deletion was asked for.
    pub is_deleting: bool,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The definition of its current revision.
    pub definition: TaskDefinitionName,
    /// The newest revision.
    pub revision: DaemonRevisionKey,
    /// The newest deployment.
    pub deployment: DaemonDeploymentKey,
    /// What tells a repetition of its CreateDaemon from another one.
    pub creation: Creation,
}

/// A daemon's settings at the time of a deployment. They never change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DaemonRevision {
    /// Daemon and id.
    pub key: DaemonRevisionKey,
    /// Its ARN.
    pub arn: Arn,
    /// When it was made.
    pub created_at: Timestamp,
    /// The definition's ARN.
    pub definition_arn: Arn,
    /// The name and the image of each container.
    pub images: Vec<(String, String)>,
    /// The ARNs of the capacity providers.
    pub capacity_providers: Vec<Arn>,
    /// Whether the daemon's tags go to its tasks.
    pub propagates_tags: bool,
    /// Whether its tasks get ECS's own tags.
    pub has_managed_tags: bool,
    /// Whether ECS Exec is on for its tasks.
    pub is_exec_enabled: bool,
}

/// A deployment of a daemon's revision. No managed instance exists here, so it goes by the clock alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DaemonDeployment {
    /// Daemon and id.
    pub key: DaemonDeploymentKey,
    /// Its ARN.
    pub arn: Arn,
    /// The ARN of the cluster.
    pub cluster_arn: Arn,
    /// The revision to deploy.
    pub target: DaemonRevisionKey,
    /// The revisions that it replaces.
    pub sources: Vec<DaemonRevisionKey>,
    /// `deploymentConfiguration` as a response shows it.
    pub configuration: Document,
    /// How long it waits after its last step.
    pub bake_time: Duration,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a later deployment took its place.
    pub stopped_at: Option<Timestamp>,
}

/// Where a deployment of a daemon is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonDeploymentStatus {
    /// It has not begun.
    Pending,
    /// It goes on.
    InProgress,
    /// It is done.
    Successful,
    /// A later deployment took its place.
    Stopped,
}

impl DaemonDeployment {
    /// Returns when its first step is taken, whether that has been or is to come.
    pub fn starts_at(&self) -> Timestamp {
        self.created_at.plus(DEPLOYMENT_START_DELAY)
    }

    /// Returns when it is done unless it is stopped, whether that has been or is to come.
    pub fn finishes_at(&self) -> Timestamp {
        self.starts_at().plus(self.bake_time)
    }

    /// Returns where it is at a time.
    pub fn status(&self, now: Timestamp) -> DaemonDeploymentStatus {
        match self.stopped_at {
            Some(_) => DaemonDeploymentStatus::Stopped,
            None if now >= self.finishes_at() => DaemonDeploymentStatus::Successful,
            None if now >= self.starts_at() => DaemonDeploymentStatus::InProgress,
            None => DaemonDeploymentStatus::Pending,
        }
    }
}

/// One revision of a daemon task definition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DaemonTaskDefinition {
    /// Family and revision.
    pub name: TaskDefinitionName,
    /// Its ARN.
    pub arn: Arn,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// The ARN of who registered it.
    pub registered_by: String,
    /// When its deletion was asked for.
    pub delete_requested_at: Option<Timestamp>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The definition with the service's defaults filled in, as responses show it; without the fields above.
    pub document: Document,
    /// The name and the image of each container.
    pub images: Vec<(String, String)>,
}

impl Record for Daemon {}
impl Record for DaemonRevision {}
impl Record for DaemonDeployment {}
impl Record for DaemonTaskDefinition {
    fn labels(&self) -> Vec<Label> {
        if self.delete_requested_at.is_none() { vec![Self::active()] } else { vec![Self::deleted()] }
    }
}

impl DaemonTaskDefinition {
    /// Returns what finds those that daemons can be made from.
    pub fn active() -> Label {
        Label::new(&["ACTIVE"])
    }

    /// Returns what finds those whose deletion was asked for.
    pub fn deleted() -> Label {
        Label::new(&["deleted"])
    }
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region, Scope};

    use super::*;

    #[test]
    fn a_deployment_goes_by_the_clock_until_another_takes_its_place() {
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        let daemon = DaemonKey { cluster: ClusterName::default_cluster(), name: DaemonName::parse("agent").unwrap() };
        let mut deployment = DaemonDeployment {
            key: DaemonDeploymentKey { daemon: daemon.clone(), id: "a".to_owned() },
            arn: Arn::new("ecs", &scope, "daemon-deployment/default/agent/a"),
            cluster_arn: Arn::new("ecs", &scope, "cluster/default"),
            target: DaemonRevisionKey { daemon, id: "1".to_owned() },
            sources: Vec::new(),
            configuration: Document::new("{}"),
            bake_time: Duration::from_secs(60),
            created_at: Timestamp::from_millis(0),
            stopped_at: None,
        };
        for (at_ms, status) in [
            (0, DaemonDeploymentStatus::Pending),
            (999, DaemonDeploymentStatus::Pending),
            (1_000, DaemonDeploymentStatus::InProgress),
            (60_999, DaemonDeploymentStatus::InProgress),
            (61_000, DaemonDeploymentStatus::Successful),
        ] {
            assert_eq!(deployment.status(Timestamp::from_millis(at_ms)), status, "{at_ms}");
        }
        deployment.stopped_at = Some(Timestamp::from_millis(500));
        assert_eq!(deployment.status(Timestamp::from_millis(61_000)), DaemonDeploymentStatus::Stopped);
    }
}
