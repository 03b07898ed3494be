//! Starts tasks of a service: which capacity each gets, and what each inherits from the service.

use std::sync::Arc;

use base::ServiceRevisionId;
use state::Tag;
use state::ecs::{
    Cluster, Launch, Overrides, Service, ServiceCapacity, ServiceTask, ServiceTaskKey, TagSource, TaskDefinition,
    TaskSet, TaskSize, TaskStart, Workload, deployment_id, next_provider,
};

use super::service::{OneService, listed};
use super::service_plan::Member;

/// The platform version that `LATEST` means.
const PLATFORM_VERSION_LATEST: &str = "1.4.0";

impl OneService<'_> {
    /// Starts tasks of a deployment or task set.
    pub(super) fn start(
        &self,
        service: &Service,
        revision: &ServiceRevisionId,
        count: usize,
        task_sets: &[Arc<TaskSet>],
        members: &[Member],
    ) {
        let ecs = &self.world.state.ecs;
        let deployed = service.deployments.iter().find(|deployment| deployment.revision == *revision);
        let of_task_set = || task_sets.iter().find(|task_set| task_set.key.id == *revision);
        let workload = deployed.map(|deployment| &deployment.workload);
        let Some(workload) = workload.or_else(|| of_task_set().map(|task_set| &task_set.workload)) else { return };
        let Some(cluster) = ecs.clusters.get(self.scope, &self.key.cluster) else { return };
        let Some(definition) = ecs.task_definitions.get(self.scope, &workload.definition) else {
            tracing::warn!(service = %self.key.name, definition = %workload.definition, "no task definition");
            return;
        };
        let own = members.iter().filter(|member| member.revision == *revision && member.task.stop.is_none());
        let mut providers = own.map(|member| member.task.capacity_provider.clone()).collect::<Vec<_>>();
        let mut started = Vec::new();
        for _ in 0..count {
            let provider = next_of(workload, &providers);
            providers.push(provider.clone());
            let start = task_start(service, &cluster, &definition, workload, revision, provider);
            let task = start.task(&self.world.ids, self.scope, self.now());
            let member = ServiceTaskKey { service: self.key.clone(), task: task.key.id.clone() };
            ecs.service_tasks.insert(self.scope, &member, ServiceTask { revision: revision.clone() });
            ecs.put_task(self.scope, task);
            started.push(member.task);
        }
        self.report(&format!("has started {} tasks: {}.", started.len(), listed(&started)));
    }
}

/// Chooses the capacity provider of one more task.
fn next_of(workload: &Workload, given: &[Option<String>]) -> Option<String> {
    let ServiceCapacity::Providers { strategy, .. } = &workload.capacity else { return None };
    let count = |name: &str| given.iter().filter(|given| given.as_deref() == Some(name)).count();
    let counts = strategy.iter().map(|share| u64::try_from(count(&share.provider)).unwrap_or(u64::MAX));
    let next = next_provider(strategy, &counts.collect::<Vec<_>>())?;
    strategy.get(next).map(|share| share.provider.clone())
}

fn task_start<'a>(
    service: &Service,
    cluster: &'a Cluster,
    definition: &'a TaskDefinition,
    workload: &Workload,
    revision: &ServiceRevisionId,
    capacity_provider: Option<String>,
) -> TaskStart<'a> {
    let version = workload.platform_version.as_deref().filter(|version| *version != "LATEST");
    TaskStart {
        cluster,
        definition,
        overrides: Overrides::default(),
        size: TaskSize::of(definition),
        group: service.group(),
        started_by: Some(deployment_id(revision)),
        launch: Launch::Fargate { platform_version: version.unwrap_or(PLATFORM_VERSION_LATEST).to_owned() },
        capacity_provider,
        network: workload.network.clone(),
        client_token: None,
        is_exec_enabled: service.is_exec_enabled,
        tags: tags(service, definition),
        volumes: workload.task_volumes.clone(),
    }
}

fn tags(service: &Service, definition: &TaskDefinition) -> Vec<Tag> {
    let mut tags = match service.tag_source {
        None => Vec::new(),
        Some(TagSource::TaskDefinition) => definition.tags.clone(),
        Some(TagSource::Service) => service.tags.clone(),
    };
    if service.adds_managed_tags {
        tags.push(Tag { key: "aws:ecs:clusterName".to_owned(), value: service.key.cluster.to_string() });
        tags.push(Tag { key: "aws:ecs:serviceName".to_owned(), value: service.key.name.to_string() });
    }
    tags
}
