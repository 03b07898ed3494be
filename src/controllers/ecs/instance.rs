//! Container instances that this machine plays: machines in a VPC that no EC2 runs.
//!
//! An instance is an interface in a network namespace of its own. Its tasks run on this machine's node like any other,
//! joined to that namespace where their network mode says so.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use base::{Arn, ContainerInstanceId, Scope, SubnetId, TaskId};
use node::Platform;
use reconcile::{Key, Reconciler, Step};
use state::ec2::Subnet;
use state::ecs::{
    Attribute, Cluster, ClusterName, ClusterStatus, ContainerInstance, ContainerInstanceKey, InstanceHost,
    InstanceKind, InstanceStatus, Ports, Resources, ZONE_ATTRIBUTE,
};
use state::{Document, Tag};

use super::{INSTANCES, network_interface};
use crate::World;

/// What an instance has unless it is said: what the ECS agent registers of a t3.medium.
const INSTANCE_TYPE_DEFAULT: &str = "t3.medium";
const CPU_UNITS_DEFAULT: u32 = 2048;
const MEMORY_MIB_DEFAULT: u32 = 3884;
/// The ports that an instance keeps for itself: SSH, Docker and the agent, as the agent reserves them.
const PORTS_KEPT: [u16; 5] = [22, 2375, 2376, 51678, 51679];
/// The agent and the engine that an instance says it has: those of the image that attributes were taken from.
const VERSIONS: &str = r#"{"agentVersion":"1.103.0","agentHash":"00000000","dockerVersion":"DockerVersion: 25.0.13"}"#;
const AGENT_VERSION: &str = "1.103.0";
/// How many attributes of one's own an instance may have: PutAttributes' documented limit.
const ATTRIBUTES_MAX: usize = 10;

/// What the agent of an instance can do here. Names are the ECS agent's; what no definition could make true on this node
/// (privileged containers, GPUs, the drivers of Docker plug-ins) is left out, so that tasks that need it are not placed.
const CAPABILITIES: [&str; 42] = [
    "com.amazonaws.ecs.capability.docker-remote-api.1.17",
    "com.amazonaws.ecs.capability.docker-remote-api.1.18",
    "com.amazonaws.ecs.capability.docker-remote-api.1.19",
    "com.amazonaws.ecs.capability.docker-remote-api.1.20",
    "com.amazonaws.ecs.capability.docker-remote-api.1.21",
    "com.amazonaws.ecs.capability.docker-remote-api.1.22",
    "com.amazonaws.ecs.capability.docker-remote-api.1.23",
    "com.amazonaws.ecs.capability.docker-remote-api.1.24",
    "com.amazonaws.ecs.capability.docker-remote-api.1.25",
    "com.amazonaws.ecs.capability.docker-remote-api.1.29",
    "com.amazonaws.ecs.capability.docker-remote-api.1.44",
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.logging-driver.awsfirelens",
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.logging-driver.none",
    "com.amazonaws.ecs.capability.logging-driver.splunk",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.container-restart-policy",
    "ecs.capability.efs",
    "ecs.capability.efsAuth",
    "ecs.capability.env-files.s3",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.execution-role-ecr-pull",
    "ecs.capability.fault-injection",
    "ecs.capability.firelens.fluentbit",
    "ecs.capability.firelens.fluentd",
    "ecs.capability.firelens.options.config.file",
    "ecs.capability.firelens.options.config.s3",
    "ecs.capability.full-sync",
    "ecs.capability.network.container-port-range",
    "ecs.capability.pid-ipc-namespace-sharing",
    "ecs.capability.private-registry-authentication.secretsmanager",
    "ecs.capability.secrets.asm.bootstrap.log-driver",
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.secrets.ssm.bootstrap.log-driver",
    "ecs.capability.secrets.ssm.environment-variables",
    "ecs.capability.storage.ebs-task-volume-attach",
    "ecs.capability.task-cpu-mem-limit",
    "ecs.capability.task-eni",
];

/// A container instance that a cluster is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewInstance {
    /// The cluster: a name, which must then be that of one cluster only, or an ARN.
    pub cluster: String,
    /// CPU units for tasks.
    pub cpu_units: Option<u32>,
    /// Memory for tasks, in MiB.
    pub memory_mib: Option<u32>,
    /// The EC2 instance type that it says it is.
    pub instance_type: Option<String>,
    /// The capacity provider that it belongs to.
    pub capacity_provider: Option<String>,
    /// The subnet that it lies in; the first one of the default VPC if none is named.
    pub subnet: Option<String>,
    /// Attributes of one's own.
    pub attributes: Vec<(String, Option<String>)>,
}

/// Why a cluster does not get an instance, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdded {
    /// There is no such cluster.
    #[error("there is no cluster {0}; make it with `aws ecs create-cluster`")]
    NoCluster(String),
    /// Several regions have one of that name.
    #[error("there are clusters {0} in several regions or accounts; name one by its ARN")]
    ManyClusters(String),
    /// There is no such subnet.
    #[error("there is no subnet {0} in the cluster's region; `aws ec2 describe-subnets` says which there are")]
    NoSubnet(String),
    /// There are too many attributes of one's own.
    #[error("an instance has at most {ATTRIBUTES_MAX} attributes of its own")]
    TooManyAttributes,
}

/// There is no such container instance on this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRemoved {
    /// Nobody knows it, or another machine's agent registered it.
    #[error("there is no container instance {0} on this machine; `neargate instance list` says which there are")]
    NoInstance(String),
    /// Tasks are on it.
    #[error("tasks are on the container instance {0}; drain it, stop them, or remove it with --force")]
    HasTasks(String),
}

/// Gives a cluster a container instance. Its agent is there as soon as its network is.
pub(crate) fn add(world: &World, wanted: &NewInstance) -> Result<Arc<ContainerInstance>, NotAdded> {
    let (scope, cluster) = cluster(world, &wanted.cluster)?;
    if wanted.attributes.len() > ATTRIBUTES_MAX {
        return Err(NotAdded::TooManyAttributes);
    }
    let subnet = subnet(world, &scope, wanted.subnet.as_deref())?;
    let group = world.state.ec2.default_security_group(&scope, &subnet.vpc);
    let key = ContainerInstanceKey { cluster: cluster.name.clone(), id: world.ids.container_instance() };
    let instance_type = wanted.instance_type.clone().unwrap_or_else(|| INSTANCE_TYPE_DEFAULT.to_owned());
    let instance = ContainerInstance {
        arn: Arn::new("ecs", &scope, &format!("container-instance/{}/{}", key.cluster, key.id)),
        key,
        kind: InstanceKind::Ec2,
        ec2_instance_id: Some(world.ids.ec2("i")),
        attributes: attributes(world, wanted, &subnet, &instance_type),
        instance_type: Some(instance_type),
        capacity_provider: wanted.capacity_provider.clone(),
        status: InstanceStatus::Active,
        registered_at: world.clock.now(),
        tags: Vec::<Tag>::new(),
        resources: Resources {
            cpu_units: wanted.cpu_units.unwrap_or(CPU_UNITS_DEFAULT),
            memory_mib: wanted.memory_mib.unwrap_or(MEMORY_MIB_DEFAULT),
            ports: Ports { tcp: PORTS_KEPT.into(), ..Ports::default() },
            gpus: Vec::new(),
        },
        claims: std::collections::BTreeMap::new(),
        version_info: Some(Document::new(VERSIONS)),
        agent_version: Some(AGENT_VERSION.to_owned()),
        is_agent_connected: false,
        agent_update: None,
        version: 1,
        host: Some(InstanceHost {
            subnet: subnet.id.clone(),
            security_groups: group.iter().map(|group| group.id.clone()).collect(),
            interface: None,
            address: None,
        }),
    };
    Ok(world.state.ecs.put_container_instance(&scope, instance))
}

/// Returns the container instances that this machine plays, but for those that were deregistered.
pub(crate) fn list(world: &World) -> Vec<Arc<ContainerInstance>> {
    local(world).into_iter().map(|(_, instance)| instance).collect()
}

/// Deregisters an instance, named by its id, the id of its machine or its ARN. With `is_forced` its tasks end first.
pub(crate) fn remove(world: &World, named: &str, is_forced: bool) -> Result<Arc<ContainerInstance>, NotRemoved> {
    let is_it = |instance: &ContainerInstance| {
        let names = [instance.key.id.as_str(), instance.arn.as_str()];
        names.contains(&named) || instance.ec2_instance_id.as_deref() == Some(named)
    };
    let found = local(world).into_iter().find(|(_, instance)| is_it(instance));
    let (scope, instance) = found.ok_or_else(|| NotRemoved::NoInstance(named.to_owned()))?;
    let ecs = &world.state.ecs;
    let retired = ecs.try_update_container_instance(&scope, &instance.key, |row| {
        if !is_forced && !row.claims.is_empty() {
            return Err(NotRemoved::HasTasks(named.to_owned()));
        }
        row.status = InstanceStatus::Inactive;
        row.is_agent_connected = false;
        Ok(())
    });
    let instance = retired.ok_or_else(|| NotRemoved::NoInstance(named.to_owned()))??;
    for task in ecs.tasks_on(&scope, &instance) {
        ecs.update_task(&scope, &task.key, |task| task.lose_instance(world.clock.now()));
    }
    Ok(instance)
}

fn local(world: &World) -> Vec<(Scope, Arc<ContainerInstance>)> {
    let table = &world.state.ecs.container_instances;
    let rows = table.keys().into_iter().filter_map(|(scope, key)| Some((scope.clone(), table.get(&scope, &key)?)));
    rows.filter(|(_, row)| row.host.is_some() && row.status != InstanceStatus::Inactive).collect()
}

fn cluster(world: &World, named: &str) -> Result<(Scope, Arc<Cluster>), NotAdded> {
    let table = &world.state.ecs.clusters;
    let rows = table.keys().into_iter().filter_map(|(scope, name)| Some((scope.clone(), table.get(&scope, &name)?)));
    let is_it = |cluster: &Cluster| cluster.name.as_str() == named || cluster.arn.as_str() == named;
    let mut rows = rows.filter(|(_, cluster)| cluster.status == ClusterStatus::Active && is_it(cluster));
    match (rows.next(), rows.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err(NotAdded::ManyClusters(named.to_owned())),
        (None, _) => Err(NotAdded::NoCluster(named.to_owned())),
    }
}

fn subnet(world: &World, scope: &Scope, named: Option<&str>) -> Result<Arc<Subnet>, NotAdded> {
    world.state.ec2.make_default_vpc(scope);
    let subnets = &world.state.ec2.subnets;
    let found = match named {
        Some(named) => subnets.get(scope, &SubnetId::new(named)),
        None => {
            let mut defaults =
                subnets.walk(scope, None).map(|(_, subnet)| subnet).filter(|s| s.is_default).collect::<Vec<_>>();
            defaults.sort_by(|left, right| left.availability_zone.cmp(&right.availability_zone));
            defaults.into_iter().next()
        }
    };
    found.ok_or_else(|| NotAdded::NoSubnet(named.unwrap_or("of the default VPC").to_owned()))
}

fn attributes(world: &World, wanted: &NewInstance, subnet: &Subnet, instance_type: &str) -> Vec<Attribute> {
    let architecture = match Platform::host() {
        Platform::LinuxAmd64 => "x86_64",
        Platform::LinuxArm64 => "arm64",
    };
    let image = world.ids.ec2("ami");
    let of_machine = [
        (ZONE_ATTRIBUTE, subnet.availability_zone.as_str()),
        ("ecs.ami-id", &image),
        ("ecs.cpu-architecture", architecture),
        ("ecs.instance-type", instance_type),
        ("ecs.os-family", "LINUX"),
        ("ecs.os-type", "linux"),
        ("ecs.subnet-id", subnet.id.as_str()),
        ("ecs.vpc-id", subnet.vpc.as_str()),
    ];
    let capabilities = CAPABILITIES.into_iter().map(|name| (name.to_owned(), None, false));
    let of_machine = of_machine.into_iter().map(|(name, value)| (name.to_owned(), Some(value.to_owned()), false));
    let mut attributes = Vec::<Attribute>::new();
    let own = wanted.attributes.iter().map(|(name, value)| (name.clone(), value.clone(), true));
    for (name, value, is_custom) in capabilities.chain(of_machine).chain(own) {
        // What the user says of an instance wins: an instance may say that it is in another zone.
        attributes.retain(|known| known.name != name);
        attributes.push(Attribute { name, value, is_custom });
    }
    attributes
}

/// Gives each container instance of this machine its place in the network, and takes it away.
pub(crate) struct InstanceReconciler {
    world: World,
    /// Those whose place in the network this process has seen to: every task that comes or goes changes their row.
    attached: Mutex<BTreeSet<Key>>,
}

#[async_trait]
impl Reconciler for InstanceReconciler {
    fn name(&self) -> &'static str {
        INSTANCES
    }

    fn candidates(&self) -> Vec<Key> {
        let table = &self.world.state.ecs.container_instances;
        table.keys().iter().map(|(scope, key)| key_of(scope, key)).collect()
    }

    async fn step(&self, key: &Key) -> Step {
        let Some(name) = instance_of(key) else { return Step::Settled };
        let table = &self.world.state.ecs.container_instances;
        let Some(instance) = table.get(&key.scope, &name) else { return Step::Settled };
        let Some(host) = &instance.host else { return Step::Settled };
        let is_there = instance.is_agent_connected && host.interface.is_some();
        let done = match instance.status {
            InstanceStatus::Active | InstanceStatus::Draining if is_there && self.attached().contains(key) => Ok(()),
            InstanceStatus::Active | InstanceStatus::Draining => {
                let joined = self.join(&key.scope, &instance, host).await;
                joined.map(|()| {
                    self.attached().insert(key.clone());
                })
            }
            InstanceStatus::Inactive if instance.claims.is_empty() => {
                self.attached().remove(key);
                self.leave(&key.scope, &instance, host).await
            }
            // Its tasks are still ending.
            InstanceStatus::Inactive => Ok(()),
        };
        match done {
            Ok(()) => Step::Settled,
            Err(why) => Step::Failed { why },
        }
    }
}

impl InstanceReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world, attached: Mutex::default() }
    }

    fn attached(&self) -> MutexGuard<'_, BTreeSet<Key>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an instance its interface; then its agent is there.
    async fn join(&self, scope: &Scope, instance: &ContainerInstance, host: &InstanceHost) -> Result<(), String> {
        let world = &self.world;
        if host.interface.is_none() {
            let subnet = world.state.ec2.subnets.get(scope, &host.subnet).ok_or("the subnet is gone")?;
            // The interface's record and the instance's are kept together, so that neither is without the other.
            world.state.together(|| {
                let description = format!("Primary network interface of {}", instance.arn);
                let made = network_interface::record(world, scope, &subnet, &host.security_groups, description);
                let made = made.ok_or("the subnet has no free address")?;
                world.state.ecs.update_container_instance(scope, &instance.key, |row| {
                    if let Some(host) = &mut row.host {
                        host.interface = Some(made.id.clone());
                        host.address = Some(made.address);
                    }
                });
                Ok::<(), String>(())
            })?;
        }
        let known = world.state.ecs.container_instances.get(scope, &instance.key);
        let Some(host) = known.as_ref().and_then(|row| row.host.as_ref()) else { return Ok(()) };
        self.attach(scope, instance, host).await?;
        world.state.ecs.update_container_instance(scope, &instance.key, |row| {
            row.is_agent_connected = row.status != InstanceStatus::Inactive;
        });
        Ok(())
    }

    /// Makes the instance's namespace. Repeating it changes nothing.
    async fn attach(&self, scope: &Scope, instance: &ContainerInstance, host: &InstanceHost) -> Result<(), String> {
        let world = &self.world;
        let spec = host.interface.as_ref().and_then(|id| network_interface::spec_of(world, scope, id));
        let spec = spec.ok_or("the interface's records are gone")?;
        let attached = world.node.network.attach(&sandbox_of(&instance.key.id), &spec).await;
        attached.map(drop).map_err(|error| error.to_string())
    }

    async fn leave(&self, scope: &Scope, instance: &ContainerInstance, host: &InstanceHost) -> Result<(), String> {
        let world = &self.world;
        let Some(interface) = &host.interface else { return Ok(()) };
        let detached = world.node.network.detach(&sandbox_of(&instance.key.id)).await;
        detached.map_err(|error| error.to_string())?;
        world.state.together(|| {
            network_interface::remove_record(world, scope, interface);
            world.state.ecs.update_container_instance(scope, &instance.key, |row| {
                if let Some(host) = &mut row.host {
                    host.interface = None;
                    host.address = None;
                }
            });
        });
        Ok(())
    }
}

/// Returns the name by which the node knows an instance: that of a sandbox without containers.
pub(super) fn sandbox_of(instance: &ContainerInstanceId) -> TaskId {
    TaskId::new(instance.as_str())
}

/// Makes the driver's key of an instance: `<cluster>/<id>`.
pub(super) fn key_of(scope: &Scope, instance: &ContainerInstanceKey) -> Key {
    Key::new(scope.clone(), format!("{}/{}", instance.cluster, instance.id))
}

fn instance_of(key: &Key) -> Option<ContainerInstanceKey> {
    let (cluster, id) = key.name.split_once('/')?;
    Some(ContainerInstanceKey { cluster: ClusterName::parse(cluster)?, id: ContainerInstanceId::new(id) })
}
