//! Starts tasks of a service: which capacity each gets, which container instance, and what each inherits from the service.

use std::sync::Arc;

use base::{ContainerInstanceId, ServiceRevisionId, TaskId};
use state::Tag;
use state::ecs::{
    Claim, Cluster, ContainerInstance, ContainerInstanceKey, DeploymentController, InstanceKind, InstanceStatus,
    Launch, LaunchType, Occurrence, OccurrenceType, Overrides, PlacementObstacle, PlacementRules, SchedulingStrategy,
    Service, ServiceAction, ServiceCapacity, ServiceStatus, ServiceTask, ServiceTaskKey, TagSource, Task,
    TaskDefinition, TaskSet, TaskSize, TaskStart, Workload, ZONE_ATTRIBUTE, closest, deployment_id, next_provider,
};

use super::daemon_plan::{Daemon, Spot};
use super::network_interface;
use super::service::{OneService, driver_key, listed};
use super::service_plan::{Action, Known, Member, event, is_live, zones};

/// The platform version that `LATEST` means.
const PLATFORM_VERSION_LATEST: &str = "1.4.0";

/// What the tasks of one deployment or task set are started from.
struct Source<'a> {
    service: &'a Service,
    revision: &'a ServiceRevisionId,
    workload: &'a Workload,
    cluster: Arc<Cluster>,
    definition: Arc<TaskDefinition>,
}

/// Why a task was not placed.
enum NotPlaced {
    /// There is nowhere to place it.
    NoInstances,
    /// What came nearest, and what kept it from taking the task.
    Closest(Arc<ContainerInstance>, PlacementObstacle),
    /// The rules for placing cannot be read.
    BadRules,
}

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
        let deployed = service.deployments.iter().find(|deployment| deployment.revision == *revision);
        let of_task_set = || task_sets.iter().find(|task_set| task_set.key.id == *revision);
        let workload = deployed.map(|deployment| &deployment.workload);
        let Some(workload) = workload.or_else(|| of_task_set().map(|task_set| &task_set.workload)) else { return };
        let Some(source) = self.source(service, revision, workload) else { return };
        if workload.capacity.launch_type() != LaunchType::Fargate {
            self.await_room();
        }
        let own = members.iter().filter(|member| member.revision == *revision && member.task.stop.is_none());
        let mut providers = own.map(|member| member.task.capacity_provider.clone()).collect::<Vec<_>>();
        let own = members.iter().filter(|member| member.revision == *revision && is_live(member));
        let mut zones = own.map(|member| member.zone.clone()).collect::<Vec<_>>();
        let mut started = Vec::new();
        for _ in 0..count {
            let provider = next_of(workload, &providers);
            providers.push(provider.clone());
            match self.start_one(&source, provider, &mut zones) {
                Ok(task) => started.push(task),
                Err(why) => {
                    // The others are like it.
                    self.report_started(revision, &started);
                    self.report_not_placed(&why);
                    return;
                }
            }
        }
        self.report_started(revision, &started);
    }

    /// Starts a task of a deployment on each of these container instances, as far as they take it.
    pub(super) fn start_on(&self, service: &Service, revision: &ServiceRevisionId, instances: &[ContainerInstanceId]) {
        let deployed = service.deployments.iter().find(|deployment| deployment.revision == *revision);
        let Some(source) = deployed.and_then(|deployed| self.source(service, revision, &deployed.workload)) else {
            return;
        };
        self.await_room();
        let Ok(rules) = PlacementRules::of_service(service, &source.definition) else {
            return self.report_not_placed(&NotPlaced::BadRules);
        };
        let provider = next_of(source.workload, &[]);
        let (mut started, mut refused) = (Vec::new(), None);
        for id in instances {
            let key = ContainerInstanceKey { cluster: self.key.cluster.clone(), id: id.clone() };
            let Some(instance) = self.world.state.ecs.container_instances.get(self.scope, &key) else { continue };
            match self.claim(&source, &rules, &instance, provider.clone()) {
                Ok(task) => started.push(self.put(&source, task)),
                Err(obstacle) => refused = Some(NotPlaced::Closest(instance, obstacle)),
            }
        }
        self.report_started(revision, &started);
        if let Some(why) = refused {
            self.report_not_placed(&why);
        }
    }

    /// Says what to do next for a service that has a task on each container instance; none for any other.
    pub(super) fn daemon_plan(&self, known: &Known<'_>) -> Option<Vec<Action>> {
        let service = known.service;
        let is_daemon = service.scheduling == SchedulingStrategy::Daemon
            && service.status == ServiceStatus::Active
            && service.controller == DeploymentController::Ecs;
        let primary = service.primary().filter(|_| is_daemon)?;
        let definition = self.world.state.ecs.task_definitions.get(self.scope, &primary.workload.definition)?;
        self.await_room();
        let spots = self.spots(service, &definition);
        let mut actions = Vec::new();
        Daemon { known, primary, spots: &spots }.plan(&mut actions);
        Some(actions)
    }

    fn spots(&self, service: &Service, definition: &TaskDefinition) -> Vec<Spot> {
        let ecs = &self.world.state.ecs;
        let wanted = ecs.daemon_instances(self.scope, service, definition);
        let is_daemons = |claim: &Claim| {
            let name = claim.group.strip_prefix("service:").and_then(state::ecs::ServiceName::parse);
            let key = name.map(|name| state::ecs::ServiceKey { cluster: self.key.cluster.clone(), name });
            let other = key.and_then(|key| ecs.services.get(self.scope, &key));
            other.is_some_and(|other| other.scheduling == SchedulingStrategy::Daemon)
        };
        let spot = |instance: Arc<ContainerInstance>| Spot {
            is_wanted: wanted.iter().any(|known| known.key == instance.key),
            takes_tasks: instance.is_agent_connected,
            is_emptying: instance.status == InstanceStatus::Draining
                && instance.claims.values().any(|claim| !is_daemons(claim)),
            id: instance.key.id.clone(),
        };
        ecs.container_instances_of(self.scope, &self.key.cluster).map(spot).collect()
    }

    fn source<'a>(
        &self,
        service: &'a Service,
        revision: &'a ServiceRevisionId,
        workload: &'a Workload,
    ) -> Option<Source<'a>> {
        let ecs = &self.world.state.ecs;
        let cluster = ecs.clusters.get(self.scope, &self.key.cluster)?;
        let Some(definition) = ecs.task_definitions.get(self.scope, &workload.definition) else {
            tracing::warn!(service = %self.key.name, definition = %workload.definition, "no task definition");
            return None;
        };
        Some(Source { service, revision, workload, cluster, definition })
    }

    fn start_one(
        &self,
        source: &Source<'_>,
        provider: Option<String>,
        zones: &mut Vec<Option<String>>,
    ) -> Result<TaskId, NotPlaced> {
        let task = match source.workload.capacity.launch_type() {
            LaunchType::Fargate => {
                let mut task = self.task(source, fargate(source.workload), provider, None);
                self.spread(source.workload, &mut task, zones);
                task
            }
            LaunchType::Ec2 => self.place(source, InstanceKind::Ec2, provider)?,
            LaunchType::External => self.place(source, InstanceKind::External, provider)?,
            // Nobody makes such instances here.
            LaunchType::ManagedInstances => return Err(NotPlaced::NoInstances),
        };
        Ok(self.put(source, task))
    }

    /// Puts a task into a subnet of the availability zone that has the fewest, at random among several. `taken` are the
    /// zones of the tasks that are there already.
    fn spread(&self, workload: &Workload, task: &mut Task, taken: &mut Vec<Option<String>>) {
        let Some((network, eni)) = workload.network.as_ref().zip(task.eni.as_mut()) else { return };
        let zone = |subnet| network_interface::zone_of(self.world, self.scope, subnet);
        let offered = network.subnets.iter().map(zone).collect::<Vec<_>>();
        let poorest = zones::poorest(&offered, taken);
        let count = u128::try_from(poorest.len()).unwrap_or(u128::MAX);
        let Some(index) = self.world.ids.bits().checked_rem(count) else { return };
        let place = usize::try_from(index).ok().and_then(|index| poorest.get(index).copied());
        if let Some((place, subnet)) = place.and_then(|place| Some((place, network.subnets.get(place)?))) {
            eni.subnet = subnet.clone();
            taken.push(offered[place].clone());
        }
    }

    /// Makes a task on the instance that comes first among those that take it. It holds its part from then on.
    fn place(&self, source: &Source<'_>, kind: InstanceKind, provider: Option<String>) -> Result<Task, NotPlaced> {
        let ecs = &self.world.state.ecs;
        let rules = PlacementRules::of_service(source.service, &source.definition).map_err(|_| NotPlaced::BadRules)?;
        let mut instances = ecs.placement_candidates(self.scope, &self.key.cluster, kind, provider.as_deref());
        if instances.is_empty() {
            return Err(NotPlaced::NoInstances);
        }
        rules.sort(&mut instances, &source.service.group(), &mut || self.world.ids.bits());
        let mut refusals = Vec::new();
        for instance in instances {
            match self.claim(source, &rules, &instance, provider.clone()) {
                Ok(task) => return Ok(task),
                Err(obstacle) => refusals.push((instance, obstacle)),
            }
        }
        let nearest = closest(&refusals).cloned();
        Err(nearest.map_or(NotPlaced::NoInstances, |(instance, obstacle)| NotPlaced::Closest(instance, obstacle)))
    }

    /// Makes a task on an instance, which then holds its part.
    fn claim(
        &self,
        source: &Source<'_>,
        rules: &PlacementRules,
        instance: &ContainerInstance,
        provider: Option<String>,
    ) -> Result<Task, PlacementObstacle> {
        let claim = start(source, Launch::on(instance), None, None).claim();
        // Asked before the task is made, so that a refusal uses no identifier up.
        let running = |known: &ContainerInstance| self.running_on(known);
        if let Some(obstacle) = rules.obstacle(instance, &claim, &running) {
            return Err(obstacle);
        }
        let mut task = self.task(source, Launch::on(instance), provider, Some(&claim));
        task.availability_zone = instance.attribute(ZONE_ATTRIBUTE).flatten().map(str::to_owned);
        // Asked again of the instance as it is: another service may have been faster.
        let agrees = |instance: &ContainerInstance| match rules.obstacle(instance, &claim, &running) {
            Some(obstacle) => Err(obstacle),
            None => Ok(()),
        };
        let ecs = &self.world.state.ecs;
        match ecs.claim_instance(self.scope, &instance.key, &task.key.id, &claim, agrees) {
            Some(Ok(_)) => Ok(task),
            Some(Err(obstacle)) => Err(obstacle),
            None => Err(PlacementObstacle::Inactive),
        }
    }

    fn running_on(&self, instance: &ContainerInstance) -> i32 {
        self.world.state.ecs.count_tasks_on(self.scope, instance).running
    }

    fn task(&self, source: &Source<'_>, launch: Launch, provider: Option<String>, claim: Option<&Claim>) -> Task {
        start(source, launch, provider, claim).task(&self.world.ids, self.scope, self.now())
    }

    /// Puts a task in, its membership first.
    fn put(&self, source: &Source<'_>, task: Task) -> TaskId {
        let ecs = &self.world.state.ecs;
        let member = ServiceTaskKey { service: self.key.clone(), task: task.key.id.clone() };
        ecs.service_tasks.insert(self.scope, &member, ServiceTask { revision: source.revision.clone() });
        let task = ecs.put_task(self.scope, task);
        // Its instance may have been deregistered since it was claimed.
        ecs.settle_on_instance(self.scope, &task, self.now());
        member.task
    }

    fn report_started(&self, revision: &ServiceRevisionId, started: &[TaskId]) {
        if !started.is_empty() {
            self.report_of(revision, &format!("has started {} tasks: {}.", started.len(), listed(started)));
        }
    }

    /// Says why a task was not placed: as an event of the service, and to EventBridge, once for as long as it is so.
    fn report_not_placed(&self, why: &NotPlaced) {
        let words = words(why);
        let ecs = &self.world.state.ecs;
        let Some(service) = ecs.services.get(self.scope, &self.key) else { return };
        let since = service.primary().map_or(service.created_at, |primary| primary.updated_at);
        if !event::is_due(&service, &words, since, self.now()) {
            return;
        }
        let action = ServiceAction {
            service: service.arn.clone(),
            cluster: service.cluster_arn.clone(),
            kind: OccurrenceType::Error,
            name: "SERVICE_TASK_PLACEMENT_FAILURE".to_owned(),
            reason: match why {
                NotPlaced::NoInstances | NotPlaced::BadRules => None,
                NotPlaced::Closest(_, obstacle) => Some(obstacle.as_str().to_owned()),
            },
            tasks: Vec::new(),
            container_instances: match why {
                NotPlaced::NoInstances | NotPlaced::BadRules => Vec::new(),
                NotPlaced::Closest(instance, _) => vec![instance.arn.clone()],
            },
            capacity_providers: Vec::new(),
        };
        ecs.emit(self.scope, self.now(), Occurrence::ServiceAction(action));
        self.report(&words);
    }

    /// Has the service asked again when a container instance changes. Called before the instances are looked at, so that
    /// no change falls between.
    fn await_room(&self) {
        self.world.instances.wait(self.scope, &self.key.cluster, driver_key(self.scope, &self.key));
    }
}

/// Words why a task was not placed, as events do. (The form of the closest instance is the Developer Guide's; the one on
/// expressions is unverified.)
fn words(why: &NotPlaced) -> String {
    let what = "was unable to place a task because no container instance met all of its requirements.";
    match why {
        NotPlaced::NoInstances => format!("{what} Reason: No Container Instances were found in your cluster."),
        NotPlaced::Closest(instance, obstacle) => {
            let (id, explanation) = (&instance.key.id, obstacle.explanation());
            format!(
                "{what} The closest matching (container-instance {id}) {explanation} For more information, see the \
                 Troubleshooting section of the Amazon ECS Developer Guide."
            )
        }
        NotPlaced::BadRules => format!("{what} Reason: The placement constraint expression is invalid."),
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

fn fargate(workload: &Workload) -> Launch {
    let version = workload.platform_version.as_deref().filter(|version| *version != "LATEST");
    Launch::Fargate { platform_version: version.unwrap_or(PLATFORM_VERSION_LATEST).to_owned() }
}

/// Says how a task is started. On a container instance it is as large as what it takes of it.
fn start<'a>(
    source: &'a Source<'_>,
    launch: Launch,
    capacity_provider: Option<String>,
    claim: Option<&Claim>,
) -> TaskStart<'a> {
    let Source { service, revision, workload, cluster, definition } = source;
    let size = TaskSize::of(definition);
    let size = match claim {
        Some(claim) => TaskSize { cpu_units: Some(claim.cpu_units), memory_mib: Some(claim.memory_mib), ..size },
        None => size,
    };
    TaskStart {
        cluster,
        definition,
        overrides: Overrides::default(),
        size,
        group: service.group(),
        started_by: Some(deployment_id(revision)),
        launch,
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
