//! A container instance: a machine with an agent, registered in a cluster, and what of it is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use base::{Arn, ContainerInstanceId, EniId, Scope, SecurityGroupId, SubnetId, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Document, Label, Record, Tag};

use super::{
    Attribute, ClusterName, Ecs, LaunchType, PlacementRules, Service, Task, TaskDefinition, TaskKey, TaskStatus,
};

/// The ports that are chosen where a definition leaves that to the machine: the API's documentation of `hostPort`.
const DYNAMIC_PORTS: std::ops::RangeInclusive<u16> = 49153..=65535;

/// What names a container instance: its cluster and its id. So the instances of a cluster lie together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerInstanceKey {
    /// The cluster.
    pub cluster: ClusterName,
    /// The instance.
    pub id: ContainerInstanceId,
}

impl ContainerInstanceKey {
    /// Returns a key that sorts before every instance of the cluster.
    pub fn first_of(cluster: &ClusterName) -> Self {
        Self { cluster: cluster.clone(), id: ContainerInstanceId::new("") }
    }
}

/// A container instance. Its agent, through RegisterContainerInstance, writes what the machine is and has; the other
/// handlers write status, custom attributes, tags and claims.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContainerInstance {
    /// Cluster and id.
    pub key: ContainerInstanceKey,
    /// Its ARN.
    pub arn: Arn,
    /// Whose machine it is.
    pub kind: InstanceKind,
    /// The machine's id: `i-…` of EC2, `mi-…` of Systems Manager. None if the agent did not say it.
    pub ec2_instance_id: Option<String>,
    /// The EC2 instance type, which cannot change.
    pub instance_type: Option<String>,
    /// The capacity provider that the machine belongs to.
    pub capacity_provider: Option<String>,
    /// Whether tasks can be placed on it.
    pub status: InstanceStatus,
    /// When it was registered first.
    pub registered_at: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// What it has for tasks.
    pub resources: Resources,
    /// What is taken, by task. A claim is there before its task is, and goes when the task has stopped.
    pub claims: BTreeMap<TaskId, Claim>,
    /// `versionInfo` as a response shows it.
    pub version_info: Option<Document>,
    /// The version of its agent.
    pub agent_version: Option<String>,
    /// Its attributes, in the order in which they came.
    pub attributes: Vec<Attribute>,
    /// Whether its agent is there to take tasks.
    pub is_agent_connected: bool,
    /// How far the update of its agent is, if one was asked for.
    pub agent_update: Option<AgentUpdate>,
    /// Counts the changes that ECS emits events for, from 1.
    pub version: i64,
    /// Where this machine plays the instance, if it does: then no agent registers or reports.
    #[serde(default)]
    pub host: Option<InstanceHost>,
}

/// The place in a VPC of a container instance that this machine plays. Whoever adds the instance writes the wanted half,
/// the controller of instances the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceHost {
    /// The subnet that it lies in.
    pub subnet: SubnetId,
    /// The security groups of its interface.
    pub security_groups: Vec<SecurityGroupId>,
    /// Its interface; none before it was made and after it was taken away.
    pub interface: Option<EniId>,
    /// Its private address.
    pub address: Option<Ipv4Addr>,
}

/// Whose machine a container instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceKind {
    /// An instance of EC2.
    Ec2,
    /// The user's own, through ECS Anywhere.
    External,
}

/// Whether tasks can be placed on a container instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceStatus {
    /// They can.
    Active,
    /// Those that are there may end; no others come.
    Draining,
    /// It was deregistered. It can still be described.
    Inactive,
}

impl InstanceStatus {
    /// Returns what finds the instances of this status.
    pub fn label(self) -> Label {
        Label::new(&[self.as_str()])
    }

    /// Returns what finds all but the deregistered ones.
    pub fn registered() -> Label {
        Label::new(&["registered"])
    }

    /// Returns the status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// How far the update of an agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentUpdate {
    /// It was asked for.
    Pending,
    /// The agent has registered again, with a newer version.
    Updated,
}

impl AgentUpdate {
    /// Returns the status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Updated => "UPDATED",
        }
    }
}

/// What a machine has for tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU units; 1,024 are one processor.
    pub cpu_units: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The ports that the machine itself has taken.
    pub ports: Ports,
    /// The ids of its GPUs.
    pub gpus: Vec<String>,
}

/// Ports of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// Of TCP.
    pub tcp: BTreeSet<u16>,
    /// Of UDP.
    pub udp: BTreeSet<u16>,
}

impl Ports {
    fn meets(&self, other: &Self) -> bool {
        !self.tcp.is_disjoint(&other.tcp) || !self.udp.is_disjoint(&other.udp)
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.tcp.extend(&other.tcp);
        self.udp.extend(&other.udp);
    }
}

/// What one task takes of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The task's group: what a distinct instance is distinct by.
    pub group: String,
    /// CPU units.
    pub cpu_units: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Ports of the machine.
    pub ports: Ports,
    /// How many GPUs.
    pub gpus: u32,
    /// Ports of the machine that were chosen for the task when it began. Others keep off them too.
    #[serde(default)]
    pub chosen_ports: Ports,
}

/// Why a machine cannot take a task for want of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Of CPU units.
    Cpu,
    /// Of memory.
    Memory,
    /// A port is taken.
    Ports,
    /// Of GPUs.
    Gpu,
}

impl Shortage {
    /// Returns the reason as RunTask's failures spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "RESOURCE:CPU",
            Self::Memory => "RESOURCE:MEMORY",
            Self::Ports => "RESOURCE:PORTS",
            Self::Gpu => "RESOURCE:GPU",
        }
    }
}

impl Record for ContainerInstance {
    fn labels(&self) -> Vec<Label> {
        let registered = (self.status != InstanceStatus::Inactive).then(InstanceStatus::registered);
        registered.into_iter().chain([self.status.label()]).collect()
    }
}

impl ContainerInstance {
    /// Returns the value of an attribute; the outer none if there is no such attribute.
    pub fn attribute(&self, name: &str) -> Option<Option<&str>> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.value.as_deref())
    }

    /// Returns what is not taken. Its ports are those that are.
    pub fn remaining(&self) -> Resources {
        let mut rest = self.resources.clone();
        for claim in self.claims.values() {
            rest.cpu_units = rest.cpu_units.saturating_sub(claim.cpu_units);
            rest.memory_mib = rest.memory_mib.saturating_sub(claim.memory_mib);
            rest.ports.join(&claim.ports);
            let gpus = rest.gpus.len().saturating_sub(usize::try_from(claim.gpus).unwrap_or(usize::MAX));
            rest.gpus.truncate(gpus);
        }
        rest
    }

    /// Says what is wanting for a claim; none if it can be made.
    pub fn shortage(&self, claim: &Claim) -> Option<Shortage> {
        let rest = self.remaining();
        let wants = [
            (claim.cpu_units > rest.cpu_units, Shortage::Cpu),
            (claim.memory_mib > rest.memory_mib, Shortage::Memory),
            (rest.ports.meets(&claim.ports) || self.chosen_ports().meets(&claim.ports), Shortage::Ports),
            (usize::try_from(claim.gpus).is_ok_and(|gpus| gpus > rest.gpus.len()), Shortage::Gpu),
        ];
        wants.into_iter().find_map(|(is_wanting, shortage)| is_wanting.then_some(shortage))
    }

    /// Returns the ports that were chosen for tasks. (Responses do not show them: the API's documentation of `hostPort`.)
    pub fn chosen_ports(&self) -> Ports {
        let mut ports = Ports::default();
        self.claims.values().for_each(|claim| ports.join(&claim.chosen_ports));
        ports
    }

    /// Returns the keys of the tasks that hold something of it.
    pub fn tasks(&self) -> impl Iterator<Item = TaskKey> {
        self.claims.keys().map(|id| TaskKey { cluster: self.key.cluster.clone(), id: id.clone() })
    }

    /// Makes a change, and counts it and tells of it if ECS emits an event for it.
    fn change(&mut self, change: impl FnOnce(&mut Self), tell: impl FnOnce(&Self)) {
        let face = |known: &Self| (known.status, known.is_agent_connected, known.agent_update, known.claims.len());
        let before = face(self);
        change(self);
        if face(self) != before {
            self.version += 1;
            tell(self);
        }
    }
}

/// How many tasks are on an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstanceTasks {
    /// Those that run and are to go on.
    pub running: i32,
    /// Those on their way to run.
    pub pending: i32,
}

impl Ecs {
    /// Walks the container instances of a cluster in the order of their ids, deregistered ones too.
    pub fn container_instances_of(
        &self,
        scope: &Scope,
        cluster: &ClusterName,
    ) -> impl Iterator<Item = Arc<ContainerInstance>> {
        let cluster = cluster.clone();
        self.container_instances
            .walk_from(scope, ContainerInstanceKey::first_of(&cluster))
            .take_while(move |(key, _)| key.cluster == cluster)
            .map(|(_, instance)| instance)
    }

    /// Counts the container instances of a cluster that are active or draining.
    pub fn count_container_instances(&self, scope: &Scope, cluster: &ClusterName) -> i32 {
        let instances = self.container_instances_of(scope, cluster);
        let registered = instances.filter(|instance| instance.status != InstanceStatus::Inactive);
        i32::try_from(registered.count()).unwrap_or(i32::MAX)
    }

    /// Changes a container instance, and raises its version if the change is one that ECS emits an event for.
    pub fn update_container_instance(
        &self,
        scope: &Scope,
        key: &ContainerInstanceKey,
        change: impl FnOnce(&mut ContainerInstance),
    ) -> Option<Arc<ContainerInstance>> {
        let tell = |changed: &ContainerInstance| self.outbox.instance_changes(scope, changed);
        self.container_instances.update(scope, key, |instance| instance.change(change, tell))
    }

    /// Puts a new container instance in. ECS emits an event for it.
    pub fn put_container_instance(&self, scope: &Scope, instance: ContainerInstance) -> Arc<ContainerInstance> {
        self.outbox.instance_changes(scope, &instance);
        self.container_instances.insert(scope, &instance.key.clone(), instance)
    }

    /// Changes a container instance in the same way, if `change` agrees; on its error the row stays as it was.
    pub fn try_update_container_instance<E>(
        &self,
        scope: &Scope,
        key: &ContainerInstanceKey,
        change: impl FnOnce(&mut ContainerInstance) -> Result<(), E>,
    ) -> Option<Result<Arc<ContainerInstance>, E>> {
        self.container_instances.try_update(scope, key, |instance| {
            let mut changed = Ok(());
            let tell = |changed: &ContainerInstance| self.outbox.instance_changes(scope, changed);
            instance.change(|instance| changed = change(instance), tell);
            changed
        })
    }

    /// Claims a part of an instance for a task that is not there yet, if `agrees` sees no reason against it in the
    /// instance as it is at that moment. None if there is no such instance.
    pub fn claim_instance<E>(
        &self,
        scope: &Scope,
        key: &ContainerInstanceKey,
        task: &TaskId,
        claim: &Claim,
        agrees: impl FnOnce(&ContainerInstance) -> Result<(), E>,
    ) -> Option<Result<Arc<ContainerInstance>, E>> {
        self.container_instances.try_update(scope, key, |instance| {
            agrees(instance)?;
            let claim = |instance: &mut ContainerInstance| {
                instance.claims.insert(task.clone(), claim.clone());
            };
            instance.change(claim, |changed| self.outbox.instance_changes(scope, changed));
            Ok(())
        })
    }

    /// Chooses ports of an instance for a task that holds a claim there: runs of so many of TCP and of UDP. Each run is
    /// without gaps, and lies behind those before it. What was chosen once stays.
    ///
    /// # Errors
    ///
    /// If there is no room for a run: its length. Without such a claim there is none for a single port.
    pub fn choose_ports(
        &self,
        scope: &Scope,
        key: &ContainerInstanceKey,
        task: &TaskId,
        tcp: &[u16],
        udp: &[u16],
    ) -> Result<Ports, u16> {
        let count = |runs: &[u16]| runs.iter().map(|length| usize::from(*length)).sum::<usize>();
        let mut chosen = Err(1);
        self.update_container_instance(scope, key, |instance| {
            let mut taken = instance.remaining().ports;
            taken.join(&instance.chosen_ports());
            let Some(claim) = instance.claims.get_mut(task) else { return };
            let known = &claim.chosen_ports;
            chosen = if known.tcp.len() == count(tcp) && known.udp.len() == count(udp) {
                Ok(known.clone())
            } else {
                let found = free_runs(&taken.tcp, tcp);
                found.and_then(|tcp| Ok(Ports { tcp, udp: free_runs(&taken.udp, udp)? }))
            };
            claim.chosen_ports = chosen.clone().unwrap_or_default();
        });
        chosen
    }

    /// Returns the instances that tasks of a kind of capacity are placed on: the active ones, and with a capacity provider
    /// those of it or of none, since nobody says here which Auto Scaling group a machine is from.
    pub fn placement_candidates(
        &self,
        scope: &Scope,
        cluster: &ClusterName,
        kind: InstanceKind,
        provider: Option<&str>,
    ) -> Vec<Arc<ContainerInstance>> {
        let suits = |instance: &Arc<ContainerInstance>| {
            let of_provider = instance.capacity_provider.as_deref();
            let is_its = provider.is_none() || of_provider.is_none() || of_provider == provider;
            instance.status == InstanceStatus::Active && instance.kind == kind && is_its
        };
        self.container_instances_of(scope, cluster).filter(suits).collect()
    }

    /// Returns the instances that a service has a task on each of: those that have what its tasks ask for, whatever is
    /// taken of them. None if its constraints cannot be read.
    pub fn daemon_instances(
        &self,
        scope: &Scope,
        service: &Service,
        definition: &TaskDefinition,
    ) -> Vec<Arc<ContainerInstance>> {
        let launch_type = service.workload.as_ref().map(|workload| workload.capacity.launch_type());
        let kind = match launch_type {
            Some(LaunchType::Ec2) => InstanceKind::Ec2,
            Some(LaunchType::External) => InstanceKind::External,
            Some(LaunchType::Fargate | LaunchType::ManagedInstances) | None => return Vec::new(),
        };
        let Ok(rules) = PlacementRules::of_service(service, definition) else { return Vec::new() };
        // No task is in this group: that of the service itself keeps none away.
        let nobody = Claim::default();
        let running = |instance: &ContainerInstance| self.count_tasks_on(scope, instance).running;
        let mut instances = self.placement_candidates(scope, &service.key.cluster, kind, None);
        instances.retain(|instance| rules.mismatch(instance, &nobody, &running).is_none());
        instances
    }

    /// Ends a task that was put in while its container instance was deregistered; none if nothing was to be done.
    pub fn settle_on_instance(&self, scope: &Scope, task: &Task, now: Timestamp) -> Option<Arc<Task>> {
        let id = task.launch.container_instance()?.clone();
        let key = ContainerInstanceKey { cluster: task.key.cluster.clone(), id };
        let is_there = |instance: &Arc<ContainerInstance>| instance.status != InstanceStatus::Inactive;
        if self.container_instances.get(scope, &key).is_some_and(|instance| is_there(&instance)) {
            return None;
        }
        self.update_task(scope, &task.key, |task| task.lose_instance(now))
    }

    /// Gives back what a task holds of its container instance.
    pub fn release_claim(&self, scope: &Scope, task: &Task) {
        let Some(id) = task.launch.container_instance() else { return };
        let key = ContainerInstanceKey { cluster: task.key.cluster.clone(), id: id.clone() };
        if self.container_instances.get(scope, &key).is_some_and(|known| known.claims.contains_key(&task.key.id)) {
            self.update_container_instance(scope, &key, |instance| {
                instance.claims.remove(&task.key.id);
            });
        }
    }

    /// Gives back what is held for tasks that never came to be, because the server ended between claim and task.
    pub(super) fn drop_dead_claims(&self) {
        for (scope, key) in self.container_instances.keys() {
            let Some(instance) = self.container_instances.get(&scope, &key) else { continue };
            let live = self.tasks_on(&scope, &instance);
            let is_live = |id: &TaskId| live.iter().any(|t| t.key.id == *id && t.last_status != TaskStatus::Stopped);
            if !instance.claims.keys().all(is_live) {
                self.update_container_instance(&scope, &key, |row| row.claims.retain(|id, _| is_live(id)));
            }
        }
    }

    /// Returns the tasks that hold something of an instance.
    pub fn tasks_on(&self, scope: &Scope, instance: &ContainerInstance) -> Vec<Arc<Task>> {
        instance.tasks().filter_map(|key| self.tasks.get(scope, &key)).collect()
    }

    /// Counts the tasks on an instance.
    pub fn count_tasks_on(&self, scope: &Scope, instance: &ContainerInstance) -> InstanceTasks {
        let mut count = InstanceTasks::default();
        for task in self.tasks_on(scope, instance) {
            match task.last_status {
                TaskStatus::Running if task.stop.is_none() => count.running += 1,
                TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating => count.pending += 1,
                TaskStatus::Running
                | TaskStatus::Deactivating
                | TaskStatus::Stopping
                | TaskStatus::Deprovisioning
                | TaskStatus::Stopped => {}
            }
        }
        count
    }
}

/// Finds runs of free ports, each behind the one before it; or else the length of the run for which there is no room.
fn free_runs(taken: &BTreeSet<u16>, runs: &[u16]) -> Result<BTreeSet<u16>, u16> {
    let mut chosen = BTreeSet::new();
    let mut ports = DYNAMIC_PORTS;
    for length in runs {
        let mut run = Vec::with_capacity(usize::from(*length));
        while run.len() < usize::from(*length) {
            let port = ports.next().ok_or(*length)?;
            if taken.contains(&port) {
                run.clear();
            } else {
                run.push(port);
            }
        }
        chosen.extend(run);
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};

    use super::*;

    fn instance(claims: &[Claim]) -> ContainerInstance {
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        let key = ContainerInstanceKey { cluster: ClusterName::default_cluster(), id: ContainerInstanceId::new("1") };
        ContainerInstance {
            key,
            arn: Arn::new("ecs", &scope, "container-instance/default/1"),
            kind: InstanceKind::Ec2,
            ec2_instance_id: None,
            instance_type: None,
            capacity_provider: None,
            status: InstanceStatus::Active,
            registered_at: Timestamp::from_millis(0),
            tags: Vec::new(),
            resources: Resources {
                cpu_units: 1024,
                memory_mib: 2000,
                ports: Ports { tcp: [22].into(), udp: BTreeSet::new() },
                gpus: vec!["g".to_owned()],
            },
            claims: claims.iter().enumerate().map(|(n, claim)| (TaskId::new(n.to_string()), claim.clone())).collect(),
            version_info: None,
            agent_version: None,
            attributes: Vec::new(),
            is_agent_connected: true,
            agent_update: None,
            version: 1,
            host: None,
        }
    }

    fn claim(cpu_units: u32, memory_mib: u32, tcp: &[u16], udp: &[u16], gpus: u32) -> Claim {
        let ports = Ports { tcp: tcp.iter().copied().collect(), udp: udp.iter().copied().collect() };
        Claim { cpu_units, memory_mib, ports, gpus, ..Claim::default() }
    }

    #[test]
    fn a_claim_is_short_of_the_first_thing_that_is_taken() {
        let held = [claim(512, 500, &[80], &[53], 0), claim(256, 500, &[], &[], 1)];
        let rows = [
            (claim(256, 1000, &[8080], &[80], 0), None),
            (claim(257, 1001, &[80], &[], 1), Some(Shortage::Cpu)),
            (claim(256, 1001, &[80], &[], 1), Some(Shortage::Memory)),
            (claim(0, 0, &[80], &[], 1), Some(Shortage::Ports)),
            (claim(0, 0, &[22], &[], 0), Some(Shortage::Ports)),
            (claim(0, 0, &[53], &[53], 0), Some(Shortage::Ports)),
            (claim(0, 0, &[53], &[], 1), Some(Shortage::Gpu)),
        ];
        for (wanted, expected) in rows {
            assert_eq!(instance(&held).shortage(&wanted), expected, "{wanted:?}");
        }
        assert_eq!(instance(&[]).shortage(&claim(1024, 2000, &[80], &[22], 1)), None);
    }

    #[test]
    fn what_remains_is_what_no_task_holds() {
        let rest = instance(&[claim(512, 500, &[80], &[53], 1)]).remaining();
        assert_eq!((rest.cpu_units, rest.memory_mib, rest.gpus.len()), (512, 1500, 0));
        assert_eq!(rest.ports, Ports { tcp: [22, 80].into(), udp: [53].into() });
    }

    #[test]
    fn concurrent_claims_take_no_more_than_there_is() {
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        let state = crate::State::in_memory();
        let key = instance(&[]).key;
        state.ecs.container_instances.insert(&scope, &key, instance(&[]));
        let wanted = claim(64, 1, &[], &[], 0);
        let take = &|id: String| {
            let agrees = |row: &ContainerInstance| row.shortage(&wanted).map_or(Ok(()), Err);
            state.ecs.claim_instance(&scope, &key, &TaskId::new(id), &wanted, agrees).unwrap().is_ok()
        };
        let taken = std::thread::scope(|threads| {
            let threads =
                (0..4).map(|thread| threads.spawn(move || (0..20).filter(|n| take(format!("{thread}-{n}"))).count()));
            threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(taken, 16);
        assert_eq!(state.ecs.container_instances.get(&scope, &key).unwrap().remaining().cpu_units, 0);
    }

    #[test]
    fn runs_of_ports_are_without_gaps_and_in_order() {
        let taken = BTreeSet::from([49153, 49155, 49158]);
        let rows: [(&[u16], &[u16]); 4] = [
            (&[], &[]),
            (&[1, 1], &[49154, 49156]),
            (&[2, 1, 2], &[49156, 49157, 49159, 49160, 49161]),
            (&[3], &[49159, 49160, 49161]),
        ];
        for (runs, expected) in rows {
            let found = free_runs(&taken, runs).unwrap();
            assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{runs:?}");
        }
        assert_eq!(free_runs(&taken, &[1, 16_383]), Err(16_383));
    }

    #[test]
    fn a_claim_without_its_task_is_given_back_at_a_start() {
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        let state = crate::State::in_memory();
        let row = instance(&[claim(64, 1, &[], &[], 0)]);
        let key = row.key.clone();
        state.ecs.container_instances.insert(&scope, &key, row);
        state.ecs.drop_dead_claims();
        assert!(state.ecs.container_instances.get(&scope, &key).unwrap().claims.is_empty());
    }
}
