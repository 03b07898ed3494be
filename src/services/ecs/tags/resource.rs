//! The resources that can be tagged, found by their ARN.

use base::Arn;
use state::ecs::{
    CapacityProvider, CapacityProviderName, CapacityProviderStatus, Cluster, ClusterName, ClusterStatus,
    ContainerInstance, ContainerInstanceKey, Daemon, DaemonKey, DaemonName, DaemonTaskDefinition, Family,
    InstanceStatus, Service, ServiceKey, ServiceName, ServiceStatus, Task, TaskDefinition, TaskDefinitionName, TaskKey,
    TaskSet, TaskSetKey,
};
use state::{Cx, Key, Record, Table, Tag};

use crate::{Error, Result, cluster, invalid};

/// The kinds of resources that can be tagged. A new kind implements [`Taggable`] and has its line here.
const KINDS: &[Kind] = &[
    Kind::of::<CapacityProvider>(),
    Kind::of::<Cluster>(),
    Kind::of::<ContainerInstance>(),
    Kind::of::<Daemon>(),
    Kind::of::<DaemonTaskDefinition>(),
    Kind::of::<Service>(),
    Kind::of::<Task>(),
    Kind::of::<TaskDefinition>(),
    Kind::of::<TaskSet>(),
];

/// A record that has tags and an ARN.
pub(crate) trait Taggable: Record {
    /// What its ARN calls it: `task` in `arn:aws:ecs:us-east-1:123456789012:task/default/0123…`.
    const WORD: &'static str;
    /// What its name in an ARN must begin with to be of the long form: whether with its cluster.
    const IS_IN_CLUSTER: bool = false;
    /// What its table is keyed by.
    type Key: Key;

    /// Returns its table.
    fn table(cx: &Cx) -> &Table<Self::Key, Self>;
    /// Reads what follows the word in its ARN.
    fn key(name: &str) -> Option<Self::Key>;
    /// Returns its tags.
    fn tags(&self) -> &Vec<Tag>;
    /// Returns its tags, to change them.
    fn tags_mut(&mut self) -> &mut Vec<Tag>;
    /// Refuses one that was deleted.
    fn check(&self) -> Result<()> {
        Ok(())
    }
    /// Makes the error of one that does not exist. (Text unverified.)
    fn missing() -> Error {
        let words = Self::WORD.replace('-', " ");
        Error::ResourceNotFound(format!("The specified {words} was not found. Specify a valid ARN and try again."))
    }
}

/// A change of tags that can be refused.
type Change<'a> = &'a mut dyn FnMut(&mut Vec<Tag>) -> Result<()>;

/// A [`Taggable`] without its type.
struct Kind {
    word: &'static str,
    is_in_cluster: bool,
    read: fn(&Cx, &str) -> Result<Vec<Tag>>,
    change: fn(&Cx, &str, Change<'_>) -> Result<()>,
}

impl Kind {
    const fn of<T: Taggable>() -> Self {
        Self { word: T::WORD, is_in_cluster: T::IS_IN_CLUSTER, read: read::<T>, change: change_one::<T> }
    }
}

/// Returns the tags of the resource of an ARN.
pub(super) fn tags_of(cx: &Cx, arn: &str) -> Result<Vec<Tag>> {
    let (kind, name) = find(cx, arn)?;
    (kind.read)(cx, &name)
}

/// Changes the tags of the resource of an ARN, unless the change is refused.
pub(super) fn change(cx: &Cx, arn: &str, change: Change<'_>) -> Result<()> {
    let (kind, name) = find(cx, arn)?;
    (kind.change)(cx, &name, change)
}

/// Finds what kind of resource an ARN names, and how. One of another region has a name that nothing has.
fn find(cx: &Cx, text: &str) -> Result<(&'static Kind, String)> {
    // Seen for an ARN of another service: boto3#2774.
    let not_ours = || invalid("The ARN provided is invalid.");
    let arn = Arn::parse(text).filter(|arn| arn.service() == "ecs").ok_or_else(not_ours)?;
    if arn.account() != Some(cx.scope().account) {
        return Err(invalid("AccountIDs mismatch"));
    }
    let (word, name) = arn.resource().split_once('/').ok_or_else(not_ours)?;
    let kind = KINDS.iter().find(|kind| kind.word == word).ok_or_else(not_ours)?;
    if kind.is_in_cluster && !name.contains('/') {
        // Seen: boto3#2473, pulumi-aws#930.
        return Err(invalid("Long arn format must be used for tagging operations"));
    }
    let is_here = arn.region().as_ref() == Some(&cx.scope().region);
    Ok((kind, if is_here { name.to_owned() } else { String::new() }))
}

fn read<T: Taggable>(cx: &Cx, name: &str) -> Result<Vec<Tag>> {
    let record = T::key(name).and_then(|key| T::table(cx).get(cx.scope(), &key)).ok_or_else(T::missing)?;
    record.check()?;
    Ok(record.tags().clone())
}

fn change_one<T: Taggable>(cx: &Cx, name: &str, change: Change<'_>) -> Result<()> {
    let key = T::key(name).ok_or_else(T::missing)?;
    let changed = T::table(cx).try_update(cx.scope(), &key, |record| {
        record.check()?;
        change(record.tags_mut())
    });
    changed.ok_or_else(T::missing)?.map(|_| ())
}

impl Taggable for CapacityProvider {
    const WORD: &'static str = "capacity-provider";
    type Key = CapacityProviderName;

    fn table(cx: &Cx) -> &Table<Self::Key, Self> {
        &cx.state.ecs.capacity_providers
    }

    fn key(name: &str) -> Option<Self::Key> {
        CapacityProviderName::parse(name)
    }

    fn tags(&self) -> &Vec<Tag> {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Vec<Tag> {
        &mut self.tags
    }

    fn check(&self) -> Result<()> {
        match self.status {
            CapacityProviderStatus::Active => Ok(()),
            CapacityProviderStatus::Inactive => Err(Self::missing()),
        }
    }
}

impl Taggable for Cluster {
    const WORD: &'static str = "cluster";
    type Key = ClusterName;

    fn table(cx: &Cx) -> &Table<Self::Key, Self> {
        &cx.state.ecs.clusters
    }

    fn key(name: &str) -> Option<Self::Key> {
        ClusterName::parse(name)
    }

    fn tags(&self) -> &Vec<Tag> {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Vec<Tag> {
        &mut self.tags
    }

    fn check(&self) -> Result<()> {
        match self.status {
            ClusterStatus::Active => Ok(()),
            // Seen: Terraform's provider looks for it.
            ClusterStatus::Inactive => {
                Err(invalid("The specified cluster is inactive. Specify an active cluster and try again."))
            }
        }
    }

    fn missing() -> Error {
        cluster::not_found()
    }
}

impl Taggable for Daemon {
    const WORD: &'static str = "daemon";
    const IS_IN_CLUSTER: bool = true;
    type Key = DaemonKey;

    fn table(cx: &Cx) -> &Table<Self::Key, Self> {
        &cx.state.ecs.daemons
    }

    fn key(name: &str) -> Option<Self::Key> {
        let (cluster, name) = name.split_once('/')?;
        Some(DaemonKey { cluster: ClusterName::parse(cluster)?, name: DaemonName::parse(name)? })
    }

    fn tags(&self) -> &Vec<Tag> {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Vec<Tag> {
        &mut self.tags
    }

    fn check(&self) -> Result<()> {
        if self.is_deleting { Err(Self::missing()) } else { Ok(()) }
    }
}

impl Taggable for DaemonTaskDefinition {
    const WORD: &'static str = "daemon-task-definition";
    type Key = TaskDefinitionName;

    fn table(cx: &Cx) -> &Table<Self::Key, Self> {
        &cx.state.ecs.daemon_task_definitions
    }

    fn key(name: &str) -> Option<Self::Key> {
        TaskDefinition::key(name)
    }

    fn tags(&self) -> &Vec<Tag> {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Vec<Tag> {
        &mut self.tags
    }
}

impl Taggable for Service {
    const WORD: &'static str = "service";
    const IS_IN_CLUSTER: bool = true;
    type Key = ServiceKey;

    fn table(cx: &Cx) -> &Table<Self::Key, Self> {
        &cx.state.ecs.services
    }

    fn key(name: &str) -> Option<Self::Key> {
        let (cluster, name) = name.split_once('/')?;
        Some(ServiceKey { cluster: ClusterName::parse(cluster)?, name: ServiceName::parse(name)? })
    }

    fn tags(&self) -> &Vec<Tag> {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Vec<Tag> {
        &mut self.tags
    }

    fn check(&self) -> Result<()> {
        match self.status {
            ServiceStatus::Active | ServiceStatus::Draining => Ok(()),
            // The form of the cluster's; unverified.
            ServiceStatus::Inactive => {
                Err(invalid("The specified service is inactive. Specify an active service and try again."))
            }
        }
    }
}

impl Taggable for ContainerInstance {
    const WORD: &'static str = "container-instance";
    const IS_IN_CLUSTER: bool = true;
    type Key = ContainerInstanceKey;

    fn table(cx: &Cx) -> &Table<Self::Key, Self> {
        &cx.state.ecs.container_instances
    }

    fn key(name: &str) -> Option<Self::Key> {
        let (cluster, id) = name.split_once('/')?;
        Some(ContainerInstanceKey { cluster: ClusterName::parse(cluster)?, id: base::ContainerInstanceId::new(id) })
    }

    fn tags(&self) -> &Vec<Tag> {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Vec<Tag> {
        &mut self.tags
    }

    fn check(&self) -> Result<()> {
        match self.status {
            InstanceStatus::Active | InstanceStatus::Draining => Ok(()),
            InstanceStatus::Inactive => Err(Self::missing()),
        }
    }
}

impl Taggable for Task {
    const WORD: &'static str = "task";
    const IS_IN_CLUSTER: bool = true;
    type Key = TaskKey;

    fn table(cx: &Cx) -> &Table<Self::Key, Self> {
        &cx.state.ecs.tasks
    }

    fn key(name: &str) -> Option<Self::Key> {
        let (cluster, id) = name.split_once('/')?;
        Some(TaskKey { cluster: ClusterName::parse(cluster)?, id: base::TaskId::new(id) })
    }

    fn tags(&self) -> &Vec<Tag> {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Vec<Tag> {
        &mut self.tags
    }
}

impl Taggable for TaskDefinition {
    const WORD: &'static str = "task-definition";
    type Key = TaskDefinitionName;

    fn table(cx: &Cx) -> &Table<Self::Key, Self> {
        &cx.state.ecs.task_definitions
    }

    fn key(name: &str) -> Option<Self::Key> {
        let (family, revision) = name.split_once(':')?;
        Some(TaskDefinitionName { family: Family::parse(family)?, revision: revision.parse().ok()? })
    }

    fn tags(&self) -> &Vec<Tag> {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Vec<Tag> {
        &mut self.tags
    }
}

impl Taggable for TaskSet {
    const WORD: &'static str = "task-set";
    const IS_IN_CLUSTER: bool = true;
    type Key = TaskSetKey;

    fn table(cx: &Cx) -> &Table<Self::Key, Self> {
        &cx.state.ecs.task_sets
    }

    fn key(name: &str) -> Option<Self::Key> {
        let (service, id) = name.split_once("/ecs-svc/")?;
        Some(TaskSetKey { service: Service::key(service)?, id: base::ServiceRevisionId::new(id) })
    }

    fn tags(&self) -> &Vec<Tag> {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Vec<Tag> {
        &mut self.tags
    }
}
