//! What a task is started with, whoever starts it.

use base::{Arn, Ids, Scope, Timestamp};

use crate::Tag;

use super::{
    AttachmentStatus, Claim, Cluster, Container, ContainerDefinition, ContainerHealth, ContainerStatus, Eni, Launch,
    Overrides, Task, TaskDefinition, TaskKey, TaskNetwork, TaskStatus, TaskVolume,
};

/// How long a container may take to stop unless its definition says otherwise, in seconds.
const STOP_TIMEOUT_DEFAULT_S: u32 = 30;
/// The ephemeral storage of a task that asks for none, in GiB.
pub const EPHEMERAL_STORAGE_DEFAULT_GIB: u32 = 20;

/// What a task is started with.
#[derive(Clone, Debug)]
pub struct TaskStart<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The definition.
    pub definition: &'a TaskDefinition,
    /// What the caller changes of the definition.
    pub overrides: Overrides,
    /// How large the task is.
    pub size: TaskSize,
    /// `family:<family>`, `service:<name>`, or what the caller gives.
    pub group: String,
    /// Who starts it, in the caller's words.
    pub started_by: Option<String>,
    /// Where it runs.
    pub launch: Launch,
    /// The capacity provider that is asked for, if one is.
    pub capacity_provider: Option<String>,
    /// Its place in a VPC; none unless the network mode is awsvpc.
    pub network: Option<TaskNetwork>,
    /// The client token of the RunTask.
    pub client_token: Option<String>,
    /// Whether ECS Exec is asked for.
    pub is_exec_enabled: bool,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The EBS volumes that it is to have.
    pub volumes: Vec<TaskVolume>,
}

/// How large a task is, overrides applied.
#[derive(Clone, Copy, Debug)]
pub struct TaskSize {
    /// The CPU limit in CPU units.
    pub cpu_units: Option<u32>,
    /// The memory limit in MiB.
    pub memory_mib: Option<u32>,
    /// The ephemeral storage in GiB.
    pub ephemeral_storage_gib: u32,
}

impl TaskSize {
    /// Returns the size that a definition says.
    pub fn of(definition: &TaskDefinition) -> Self {
        Self {
            cpu_units: definition.cpu_units,
            memory_mib: definition.memory_mib,
            ephemeral_storage_gib: definition.ephemeral_storage_gib.unwrap_or(EPHEMERAL_STORAGE_DEFAULT_GIB),
        }
    }
}

impl TaskStart<'_> {
    /// Returns what the task takes of a container instance: its own size, or else what its containers ask for.
    pub fn claim(&self) -> Claim {
        let mut claim = Claim { group: self.group.clone(), ..Claim::default() };
        for container in &self.definition.containers {
            let changed = self.overrides.containers.iter().find(|entry| entry.name == container.name);
            let cpu_units = changed.and_then(|entry| entry.cpu_units).unwrap_or(container.cpu_units);
            let hard_mib = changed.and_then(|entry| entry.memory_mib).or(container.memory_mib);
            let soft_mib = changed.and_then(|entry| entry.memory_reservation_mib).or(container.memory_reservation_mib);
            claim.cpu_units = claim.cpu_units.saturating_add(cpu_units);
            claim.memory_mib = claim.memory_mib.saturating_add(soft_mib.or(hard_mib).unwrap_or(0));
            claim.ports.join(&container.host_ports);
            claim.gpus = claim.gpus.saturating_add(container.gpus);
        }
        claim.cpu_units = self.size.cpu_units.unwrap_or(claim.cpu_units);
        claim.memory_mib = self.size.memory_mib.unwrap_or(claim.memory_mib);
        claim
    }

    /// Makes the record of a new task with identifiers of its own: in PROVISIONING, or where nothing is to be
    /// provisioned for a container instance, in PENDING.
    pub fn task(self, ids: &Ids, scope: &Scope, now: Timestamp) -> Task {
        let is_on_instance = self.launch.container_instance().is_some();
        let has_interface = self.network.is_some();
        let is_pending = is_on_instance && !has_interface;
        let key = TaskKey { cluster: self.cluster.name.clone(), id: ids.task() };
        let containers = self.definition.containers.iter();
        let containers = containers.map(|container| self.container(container, &key, ids, scope, now)).collect();
        Task {
            arn: Arn::new("ecs", scope, &format!("task/{}/{}", key.cluster, key.id)),
            key,
            cluster_arn: self.cluster.arn.clone(),
            definition: self.definition.name.clone(),
            definition_arn: self.definition.arn.clone(),
            group: self.group,
            started_by: self.started_by,
            launch: self.launch,
            capacity_provider: self.capacity_provider,
            cpu_units: self.size.cpu_units,
            memory_mib: self.size.memory_mib,
            ephemeral_storage_gib: self.size.ephemeral_storage_gib,
            overrides: self.overrides,
            eni: self.network.as_ref().and_then(|network| eni(network, ids)),
            network: self.network,
            client_token: self.client_token,
            is_exec_enabled: self.is_exec_enabled,
            tags: self.tags,
            created_at: now,
            stop: None,
            protected_until: None,
            volumes: self.volumes,
            last_status: if is_pending { TaskStatus::Pending } else { TaskStatus::Provisioning },
            version: 1,
            availability_zone: None,
            // The agent of an instance that tasks are placed on is there.
            connectivity_at: is_on_instance.then_some(now),
            pull_started_at: None,
            pull_stopped_at: None,
            started_at: None,
            execution_stopped_at: None,
            stopped_at: None,
            credentials: None,
            execution_credentials: None,
            containers,
        }
    }

    fn container(
        &self,
        container: &ContainerDefinition,
        task: &TaskKey,
        ids: &Ids,
        scope: &Scope,
        now: Timestamp,
    ) -> Container {
        let changed = self.overrides.containers.iter().find(|entry| entry.name == container.name);
        let path = format!("container/{}/{}/{}", task.cluster, task.id, ids.uuid());
        Container {
            id: ids.container(&task.id),
            arn: Arn::new("ecs", scope, &path),
            name: container.name.clone(),
            image: container.image.clone(),
            image_digest: None,
            is_essential: container.is_essential,
            stop_timeout_s: container.stop_timeout_s.unwrap_or(STOP_TIMEOUT_DEFAULT_S),
            status: ContainerStatus::Pending,
            exit_code: None,
            reason: None,
            started_at: None,
            finished_at: None,
            stop_signalled_at: None,
            cpu_units: changed.and_then(|entry| entry.cpu_units).unwrap_or(container.cpu_units),
            memory_mib: changed.and_then(|entry| entry.memory_mib).or(container.memory_mib),
            memory_reservation_mib: changed
                .and_then(|entry| entry.memory_reservation_mib)
                .or(container.memory_reservation_mib),
            agent_runtime_id: None,
            network_bindings: Vec::new(),
            exec_agent: None,
            stop_signal: None,
            health: container.health_check.as_ref().map(|_| ContainerHealth::new(now)),
            has_restart_policy: container.restart_policy.is_some(),
            restart_count: 0,
            restarted_at: None,
            restarting_after: None,
        }
    }
}

/// Chooses a subnet, at random as AWS does.
fn eni(network: &TaskNetwork, ids: &Ids) -> Option<Eni> {
    let count = u128::try_from(network.subnets.len()).ok()?;
    let index = usize::try_from(ids.bits().checked_rem(count)?).ok()?;
    Some(Eni {
        attachment_id: ids.uuid(),
        subnet: network.subnets.get(index)?.clone(),
        status: AttachmentStatus::Precreated,
        interface: None,
        address: None,
        mac: None,
        private_dns_name: None,
    })
}
