//! How the deployments of a service go, written down and said: failures, the end, the way back.

use base::{ServiceRevisionId, TaskId, Timestamp};
use state::ecs::{
    Deployment, DeploymentChange, GivingUp, Monitor, Occurrence, OccurrenceType, RolloutState, Service, ServiceAction,
    ServiceDeployment, ServiceDeploymentKey, ServiceEvent, Tally, TaskSetKey, WayBack, deployment_id,
};

use super::reason;
use super::service::OneService;
use super::service_plan::{Cause, Member, Obstacle, event};

impl OneService<'_> {
    /// Writes how many tasks of the primary deployment have failed, and says so of those that could not be placed.
    pub(super) fn count(&self, service: &Service, members: &[Member], tally: &Tally, failed: &[TaskId]) {
        let Some(primary) = service.primary() else { return };
        let failed = members.iter().filter(|member| failed.contains(&member.task.key.id));
        for member in failed.filter(|member| member.task.started_at.is_none()) {
            let reason = member.task.stop.as_ref().map(|stop| stop.reason.as_str()).unwrap_or_default();
            if !reason::is_placement_failure(reason) {
                continue;
            }
            self.report_once(&format!("was unable to place a task. Reason: {}.", reason.trim_end_matches('.')));
            self.act(service, OccurrenceType::Error, "SERVICE_TASK_PLACEMENT_FAILURE", Some(reason.to_owned()));
        }
        self.with_primary(&primary.clone(), |primary| primary.tally = tally.clone());
        self.with_current(service, |row| row.monitors.failures = row.monitors.failures.max(tally.failed));
    }

    /// Writes that the primary deployment has begun.
    pub(super) fn begin(&self, service: &Service, ignored_alarms: Vec<String>) {
        let Some(primary) = service.primary() else { return };
        let reason = primary.rollout_reason.clone();
        let reason = reason.unwrap_or_else(|| format!("ECS deployment {} in progress.", primary.id()));
        self.change(service, primary, OccurrenceType::Info, "SERVICE_DEPLOYMENT_IN_PROGRESS", reason);
        self.with_primary(primary, |primary| primary.ignored_alarms = Some(ignored_alarms));
    }

    /// Writes that the primary deployment's tasks are up.
    pub(super) fn bake(&self, service: &Service) {
        let Some(primary) = service.primary() else { return };
        let now = self.now();
        self.with_primary(primary, |primary| {
            primary.baking_since.get_or_insert(now);
        });
    }

    /// Gives the primary deployment up; the service goes back to the last completed one if it was asked to.
    pub(super) fn give_up(&self, service: &Service, cause: Cause) {
        let Some(primary) = service.primary() else { return };
        let policy = &service.rollout;
        let (found_by, name, what, rolls_back) = match cause {
            Cause::CircuitBreaker => {
                let rolls_back = policy.circuit_breaker.is_some_and(|breaker| breaker.rolls_back);
                (Monitor::CircuitBreaker, "circuit breaker", "tasks failed to start.", rolls_back)
            }
            // The words for alarms are unverified.
            Cause::Alarms(names) => {
                let rolls_back = policy.alarms.as_ref().is_some_and(|alarms| alarms.rolls_back);
                (Monitor::Alarms(names), "alarms", "alarm detected.", rolls_back)
            }
        };
        let status_reason = match &found_by {
            Monitor::CircuitBreaker => "the circuit breaker threshold was exceeded",
            Monitor::Alarms(_) | Monitor::Other => "an alarm was detected",
        };
        let why = GivingUp {
            rollout_reason: format!("ECS deployment {name}: {what}"),
            status_reason: format!("Service deployment stopped because {status_reason}."),
            way_back: rolls_back.then(|| WayBack {
                rollout_reason: format!("ECS deployment {name}: rolling back to deploymentId"),
                status_reason: format!("Service deployment rolled back because {status_reason}."),
            }),
            found_by,
        };
        let told = match why.found_by {
            // The event has words of its own: Developer Guide, "service deployment state change events".
            Monitor::CircuitBreaker => format!("ECS deployment {name}: task failed to start."),
            Monitor::Alarms(_) | Monitor::Other => why.rollout_reason.clone(),
        };
        self.change(service, primary, OccurrenceType::Error, "SERVICE_DEPLOYMENT_FAILED", told);
        let threshold = policy.circuit_breaker.map(|breaker| breaker.threshold.of(service.desired_count));
        self.with_current(service, |row| row.monitors.threshold = threshold);
        let back_to = self.world.state.ecs.give_up_deployment(self.scope, service, &why, self.now());
        self.report(&format!("(deployment {}) deployment failed: {what}", primary.id()));
        if let Some(revision) = back_to {
            self.report(&format!("rolling back to deployment {}.", deployment_id(&revision)));
        }
    }

    /// Writes that the primary deployment is done.
    pub(super) fn complete(&self, service: &Service) {
        let Some(primary) = service.primary() else { return };
        let now = self.now();
        let reason = format!("ECS deployment {} completed.", primary.id());
        self.change(service, primary, OccurrenceType::Info, "SERVICE_DEPLOYMENT_COMPLETED", reason);
        let is_written = self.with_primary(primary, |primary| {
            primary.rollout = RolloutState::Completed;
            primary.updated_at = now;
            primary.tally.failed = 0;
        });
        if !is_written {
            return;
        }
        self.report(&format!("(deployment {}) deployment completed.", primary.id()));
    }

    /// Says that the service has all that it wants.
    pub(super) fn be_steady(&self, service: &Service) {
        self.act(service, OccurrenceType::Info, "SERVICE_STEADY_STATE", None);
        self.report(event::STEADY);
    }

    /// Says what keeps the service from what it wants.
    pub(super) fn report_obstacle(&self, service: &Service, obstacle: &Obstacle) {
        if *obstacle == Obstacle::KeepsFailing {
            self.act(service, OccurrenceType::Warn, "SERVICE_TASK_START_IMPAIRED", None);
        }
        self.report(&obstacle.words());
    }

    /// Adds an event unless the same was said only some hours ago, in the course of this deployment.
    pub(super) fn report_once(&self, what: &str) {
        let Some(service) = self.world.state.ecs.services.get(self.scope, &self.key) else { return };
        let since = service.primary().map_or(service.created_at, |primary| primary.updated_at);
        if event::is_due(&service, what, since, self.now()) {
            self.report(what);
        }
    }

    pub(super) fn report(&self, what: &str) {
        let (id, at) = (self.world.ids.uuid(), self.now());
        self.update(|service| {
            let message = event::message(service, what);
            service.add_event(ServiceEvent { id, at, message });
        });
    }

    /// Adds an event of a deployment or task set; one of a task set bears its id.
    pub(super) fn report_of(&self, revision: &ServiceRevisionId, what: &str) {
        if !self.is_task_set(revision) {
            return self.report(what);
        }
        let (id, at) = (self.world.ids.uuid(), self.now());
        self.update(|service| {
            let message = event::message_of_task_set(service, revision, what);
            service.add_event(ServiceEvent { id, at, message });
        });
    }

    /// Whether a revision is a task set's id, and not a deployment's.
    pub(super) fn is_task_set(&self, revision: &ServiceRevisionId) -> bool {
        let key = TaskSetKey { service: self.key.clone(), id: revision.clone() };
        self.world.state.ecs.task_sets.get(self.scope, &key).is_some()
    }

    fn act(&self, service: &Service, kind: OccurrenceType, name: &str, reason: Option<String>) {
        let action = ServiceAction {
            service: service.arn.clone(),
            cluster: service.cluster_arn.clone(),
            kind,
            name: name.to_owned(),
            reason,
            tasks: Vec::new(),
            container_instances: Vec::new(),
            capacity_providers: Vec::new(),
        };
        self.emit(Occurrence::ServiceAction(action));
    }

    pub(super) fn change(&self, service: &Service, of: &Deployment, kind: OccurrenceType, name: &str, reason: String) {
        let (service, name) = (service.arn.clone(), name.to_owned());
        self.emit(Occurrence::DeploymentChange(DeploymentChange { service, kind, name, deployment: of.id(), reason }));
    }

    /// Says to EventBridge what is going to be written.
    fn emit(&self, occurrence: Occurrence) {
        self.world.state.ecs.emit(self.scope, self.now(), occurrence);
    }

    /// Changes the primary deployment, if it is still the one that was planned for, and returns whether it is.
    fn with_primary(&self, planned: &Deployment, change: impl FnOnce(&mut Deployment)) -> bool {
        let mut is_changed = false;
        self.update(|service| {
            let primary = service.deployments.first_mut();
            let is_same =
                |primary: &&mut Deployment| primary.revision == planned.revision && began(primary) == began(planned);
            if let Some(primary) = primary.filter(is_same) {
                change(primary);
                is_changed = true;
            }
        });
        is_changed
    }

    /// Changes the history's row of the primary deployment.
    fn with_current(&self, service: &Service, change: impl FnOnce(&mut ServiceDeployment)) {
        let Some(primary) = service.primary() else { return };
        let key = ServiceDeploymentKey { service: self.key.clone(), id: primary.service_deployment.clone() };
        self.world.state.ecs.service_deployments.update(self.scope, &key, change);
    }
}

/// What tells a deployment that was brought back from the same one before.
fn began(deployment: &Deployment) -> (&base::ServiceDeploymentId, Timestamp) {
    (&deployment.service_deployment, deployment.updated_at)
}

#[cfg(test)]
#[path = "service_outcome_tests.rs"]
mod tests;
