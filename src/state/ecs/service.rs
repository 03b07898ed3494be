//! A service: what was asked for, and how far its deployments have come.

use base::{Arn, ServiceDeploymentId, ServiceRevisionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Document, Label, Record, Tag};

use super::{
    AlarmWatch, CircuitBreaker, ClusterName, ServiceName, Shifting, Tally, TaskDefinitionName, TaskNetwork, TaskVolume,
};

/// How many events a service remembers: ECS shows the latest hundred.
pub const SERVICE_EVENTS_MAX: usize = 100;

/// What names a service: its cluster and its name. So the services of a cluster lie together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceKey {
    /// The cluster.
    pub cluster: ClusterName,
    /// The service.
    pub name: ServiceName,
}

impl ServiceKey {
    /// Returns a key that sorts before every other service of the cluster.
    pub fn first_of(cluster: &ClusterName) -> Self {
        Self { cluster: cluster.clone(), name: ServiceName::first() }
    }
}

/// A service. Handlers write what is wanted; the service controller writes `events`, what the deployments say about
/// their rollout, and takes away deployments that nothing is left of. `status` is theirs until DRAINING, its from there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Cluster and name.
    pub key: ServiceKey,
    /// Its ARN.
    pub arn: Arn,
    /// The ARN of its cluster.
    pub cluster_arn: Arn,
    /// Whether it is there.
    pub status: ServiceStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// The ARN of who made it.
    pub created_by: String,
    /// What tells a repetition of its CreateService from another one.
    pub creation: Creation,
    /// How its tasks are counted out.
    pub scheduling: SchedulingStrategy,
    /// Who deploys it.
    pub controller: DeploymentController,
    /// Whether a customer manages it, or ECS on behalf of an express gateway service.
    pub is_managed_by_ecs: bool,
    /// How many tasks it is to have; 0 for a daemon.
    pub desired_count: u32,
    /// What its tasks are; none if only its task sets say.
    pub workload: Option<Workload>,
    /// How one deployment follows another.
    pub rollout: RolloutPolicy,
    /// `placementConstraints` as they were sent; a JSON list.
    pub placement_constraints: Option<Document>,
    /// `placementStrategy` as it was sent; a JSON list.
    pub placement_strategy: Option<Document>,
    /// How long after its start a task's failed health checks do not count, in seconds.
    pub health_check_grace_period_s: Option<u32>,
    /// Whose tags its tasks get.
    pub tag_source: Option<TagSource>,
    /// Whether its tasks get the tags that name cluster and service.
    pub adds_managed_tags: bool,
    /// Whether ECS Exec was asked for.
    pub is_exec_enabled: bool,
    /// Whether its tasks are kept even over availability zones.
    pub rebalances_zones: bool,
    /// The role that ECS acts as towards load balancers.
    pub role_arn: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its deployments, the newest one, which is PRIMARY, first; none unless ECS deploys it.
    pub deployments: Vec<Deployment>,
    /// What has happened, the newest first.
    pub events: Vec<ServiceEvent>,
}

/// Whether a service is there. A deleted service can still be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceStatus {
    /// It is there.
    Active,
    /// It was deleted; its tasks are being stopped.
    Draining,
    /// It was deleted and nothing is left of it.
    Inactive,
}

impl ServiceStatus {
    /// Returns the status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// What tells a repetition of a creating request from another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creation {
    /// The client token, if one was given.
    pub client_token: Option<String>,
    /// A digest of the request, its token left out.
    pub request: u64,
}

/// How the tasks of a service are counted out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchedulingStrategy {
    /// As many as are desired.
    Replica,
    /// One on each container instance.
    Daemon,
}

impl SchedulingStrategy {
    /// Returns the strategy as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replica => "REPLICA",
            Self::Daemon => "DAEMON",
        }
    }
}

/// Who deploys a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentController {
    /// ECS itself.
    Ecs,
    /// CodeDeploy, through task sets.
    CodeDeploy,
    /// Somebody else, through task sets.
    External,
}

/// Whose tags the tasks of a service get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TagSource {
    /// Those of the task definition.
    TaskDefinition,
    /// Those of the service.
    Service,
}

/// How one deployment of a service follows another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutPolicy {
    /// `deploymentConfiguration` with its defaults, as responses show it.
    pub document: Document,
    /// How many tasks must stay healthy, in percent of those desired.
    pub minimum_healthy_percent: u32,
    /// How many tasks there may be, in percent of those desired.
    pub maximum_percent: u32,
    /// What happens to a deployment whose tasks fail; none lets it go on for ever.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// The alarms that give a deployment up.
    #[serde(default)]
    pub alarms: Option<AlarmWatch>,
    /// How long a deployment is watched by its alarms when its tasks are up, in minutes.
    #[serde(default)]
    pub bake_time_min: u32,
    /// How traffic goes over from one deployment to the next; none if tasks take the place of others one by one.
    #[serde(default)]
    pub shifting: Option<Shifting>,
}

/// What the tasks of a service or task set are: everything that a service revision holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// The task definition.
    pub definition: TaskDefinitionName,
    /// Its ARN.
    pub definition_arn: Arn,
    /// Where the tasks run.
    pub capacity: ServiceCapacity,
    /// The platform version as it was asked for; only on Fargate.
    pub platform_version: Option<String>,
    /// The network that the tasks join.
    pub network: Option<TaskNetwork>,
    /// `networkConfiguration` as responses show it.
    pub network_configuration: Option<Document>,
    /// `loadBalancers`; a JSON list.
    pub load_balancers: Option<Document>,
    /// `serviceRegistries`; a JSON list.
    pub service_registries: Option<Document>,
    /// `serviceConnectConfiguration`.
    pub service_connect: Option<Document>,
    /// The namespace of Service Connect, a name or an ARN.
    pub namespace: Option<String>,
    /// `volumeConfigurations`; a JSON list.
    pub volumes: Option<Document>,
    /// The EBS volumes that each task gets.
    #[serde(default)]
    pub task_volumes: Vec<TaskVolume>,
    /// `vpcLatticeConfigurations`; a JSON list.
    pub vpc_lattice: Option<Document>,
}

/// Where the tasks of a service run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceCapacity {
    /// By a launch type.
    LaunchType(LaunchType),
    /// Through capacity providers.
    Providers {
        /// The strategy.
        strategy: Vec<ProviderShare>,
        /// What kind of capacity the providers are.
        launch_type: LaunchType,
    },
}

impl ServiceCapacity {
    /// Returns the kind of capacity, whichever way it was named.
    pub fn launch_type(&self) -> LaunchType {
        match self {
            Self::LaunchType(launch_type) | Self::Providers { launch_type, .. } => *launch_type,
        }
    }
}

/// A kind of capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LaunchType {
    /// Fargate.
    Fargate,
    /// Container instances on EC2.
    Ec2,
    /// Container instances of one's own.
    External,
    /// Instances that ECS manages.
    ManagedInstances,
}

impl LaunchType {
    /// Returns the launch type as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fargate => "FARGATE",
            Self::Ec2 => "EC2",
            Self::External => "EXTERNAL",
            Self::ManagedInstances => "MANAGED_INSTANCES",
        }
    }
}

/// The share of one capacity provider in a strategy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderShare {
    /// The provider's name.
    pub provider: String,
    /// How many tasks it gets before all others.
    pub base: u32,
    /// Its part of the tasks that come after.
    pub weight: u32,
}

/// Chooses the provider of one more task, where each provider has been `given` so many already: bases are filled first,
/// then the task goes to the provider that is furthest behind its weight. None if no provider takes any more.
pub fn next_provider(strategy: &[ProviderShare], given: &[u64]) -> Option<usize> {
    let given = |i: usize| given.get(i).copied().unwrap_or_default();
    let behind_base = (0..strategy.len()).find(|&i| given(i) < u64::from(strategy[i].base));
    behind_base.or_else(|| {
        let weighted = (0..strategy.len()).filter(|&i| strategy[i].weight > 0);
        // The least (given beyond base + 1) / weight, compared crosswise to stay in whole numbers.
        let load = |i: usize| given(i).saturating_sub(u64::from(strategy[i].base)) + 1;
        let weight = |i: usize| u64::from(strategy[i].weight);
        weighted.min_by(|&a, &b| (load(a) * weight(b)).cmp(&(load(b) * weight(a))))
    })
}

/// A deployment of a service by ECS itself: one revision and its tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The revision that it deploys, which names the deployment too.
    pub revision: ServiceRevisionId,
    /// The service deployment that it belongs to.
    pub service_deployment: ServiceDeploymentId,
    /// What its tasks are.
    pub workload: Workload,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its rollout came to the state it is in.
    pub updated_at: Timestamp,
    /// How far it has come.
    pub rollout: RolloutState,
    /// Why it is in progress, in words, where it is not for being new.
    #[serde(default)]
    pub rollout_reason: Option<String>,
    /// How many of its tasks have failed.
    #[serde(default)]
    pub tally: Tally,
    /// The alarms that were in ALARM when it began: they do not give it up. None before it has begun.
    #[serde(default)]
    pub ignored_alarms: Option<Vec<String>>,
    /// Since when its tasks are up and its alarms are watched.
    #[serde(default)]
    pub baking_since: Option<Timestamp>,
}

/// How far a deployment has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloutState {
    /// Its tasks are being started.
    InProgress,
    /// The service has reached a steady state with it.
    Completed,
    /// It was given up, and starts no tasks any more.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What has happened to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEvent {
    /// A UUID.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// In words.
    pub message: String,
}

/// What names the membership of a task in a service. So the tasks of a service lie together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceTaskKey {
    /// The service.
    pub service: ServiceKey,
    /// The task.
    pub task: base::TaskId,
}

/// The membership of a task in a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceTask {
    /// The deployment or task set that it belongs to.
    pub revision: ServiceRevisionId,
}

impl Record for Service {
    fn labels(&self) -> Vec<Label> {
        if self.status != ServiceStatus::Active {
            return Vec::new();
        }
        let workload = self.workload.as_ref();
        let filters = [
            Some(ServiceFilter::None),
            Some(ServiceFilter::Scheduling(self.scheduling)),
            Some(ServiceFilter::ManagedByEcs(self.is_managed_by_ecs)),
            workload.map(|workload| ServiceFilter::LaunchType(workload.capacity.launch_type())),
            workload.and_then(|workload| workload.namespace.as_deref()).map(ServiceFilter::Namespace),
        ];
        let alarms = self.rollout.alarms.iter().flat_map(|alarms| &alarms.names);
        let alarms = alarms.map(|name| ServiceFilter::Alarm(name));
        filters.into_iter().flatten().chain(alarms).map(ServiceFilter::label).collect()
    }
}

/// What active services can be listed by. Others are looked for among these.
#[derive(Clone, Copy, Debug)]
pub enum ServiceFilter<'a> {
    /// All of them.
    None,
    /// How their tasks are counted out.
    Scheduling(SchedulingStrategy),
    /// Who manages them.
    ManagedByEcs(bool),
    /// The kind of capacity.
    LaunchType(LaunchType),
    /// The namespace of Service Connect, over all clusters.
    Namespace(&'a str),
    /// An alarm that gives its deployments up, over all clusters.
    Alarm(&'a str),
}

impl ServiceFilter<'_> {
    /// Returns what finds these services.
    pub fn label(self) -> Label {
        match self {
            Self::None => Label::new(&["ACTIVE"]),
            Self::Scheduling(strategy) => Label::new(&["ACTIVE", "scheduling", strategy.as_str()]),
            Self::ManagedByEcs(is_managed) => {
                Label::new(&["ACTIVE", "managed", if is_managed { "ECS" } else { "CUSTOMER" }])
            }
            Self::LaunchType(launch_type) => Label::new(&["ACTIVE", "launch type", launch_type.as_str()]),
            Self::Namespace(namespace) => Label::new(&["ACTIVE", "namespace", namespace]),
            Self::Alarm(name) => Label::new(&["ACTIVE", "alarm", name]),
        }
    }
}
impl Record for ServiceTask {}

impl Deployment {
    /// Makes a deployment that begins now. It may bring back a revision that was deployed before.
    pub fn new(
        revision: ServiceRevisionId,
        service_deployment: ServiceDeploymentId,
        workload: Workload,
        created_at: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self {
            revision,
            service_deployment,
            workload,
            created_at,
            updated_at: now,
            rollout: RolloutState::InProgress,
            rollout_reason: None,
            tally: Tally::default(),
            ignored_alarms: None,
            baking_since: None,
        }
    }

    /// Returns the id that clients see, which its tasks bear as `startedBy`.
    pub fn id(&self) -> String {
        deployment_id(&self.revision)
    }
}

/// Returns the id of a deployment or task set as clients see it.
pub fn deployment_id(revision: &ServiceRevisionId) -> String {
    format!("ecs-svc/{revision}")
}

impl Service {
    /// Returns the group that its tasks bear.
    pub fn group(&self) -> String {
        format!("service:{}", self.key.name)
    }

    /// Returns whether the service, or a deployment of it, needs a task definition.
    pub fn uses(&self, definition: &TaskDefinitionName) -> bool {
        let deployed = self.deployments.iter().map(|deployment| &deployment.workload);
        let mut workloads = self.workload.iter().chain(deployed);
        self.status != ServiceStatus::Inactive && workloads.any(|workload| workload.definition == *definition)
    }

    /// Returns the deployment that the service is to end up with.
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.first()
    }

    /// Makes a deployment the primary one, and its workload the service's.
    pub fn deploy(&mut self, deployment: Deployment) {
        self.workload = Some(deployment.workload.clone());
        self.deployments.retain(|known| known.revision != deployment.revision);
        self.deployments.insert(0, deployment);
    }

    /// Gives the primary deployment up, if it belongs to that service deployment.
    pub(super) fn give_up(&mut self, id: &ServiceDeploymentId, reason: &str, now: Timestamp) {
        let primary = self.deployments.first_mut();
        if let Some(primary) = primary.filter(|primary| primary.service_deployment == *id) {
            primary.rollout = RolloutState::Failed { reason: reason.to_owned() };
            primary.updated_at = now;
        }
    }

    /// Adds an event; the oldest one makes room for it.
    pub fn add_event(&mut self, event: ServiceEvent) {
        self.events.insert(0, event);
        self.events.truncate(SERVICE_EVENTS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_fill_bases_first_and_then_go_by_weight() {
        let rows: [(&[(u32, u32)], &str); 5] = [
            (&[(0, 1)], "0000"),
            (&[(0, 1), (0, 1)], "0101"),
            (&[(1, 0), (0, 1)], "0111"),
            (&[(2, 1), (0, 4)], "0011"),
            (&[(1, 0)], "0"),
        ];
        for (shares, expected) in rows {
            let share = |&(base, weight): &(u32, u32)| ProviderShare { provider: String::new(), base, weight };
            let strategy = shares.iter().map(share).collect::<Vec<_>>();
            let mut given = vec![0; strategy.len()];
            let mut order = String::new();
            while let Some(next) = next_provider(&strategy, &given).filter(|_| order.len() < 4) {
                given[next] += 1;
                order += &next.to_string();
            }
            assert_eq!(order, expected, "{shares:?}");
        }
    }
}
