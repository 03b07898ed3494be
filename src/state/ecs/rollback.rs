//! Deployments of services that are given up, and the way back from them.

use std::sync::Arc;

use base::{Scope, ServiceRevisionId, Timestamp};

use super::{
    Deployment, Ecs, Rollback, RolloutState, Service, ServiceDeployment, ServiceDeploymentKey, ServiceDeploymentStatus,
    ServiceRevision, ServiceRevisionKey,
};

/// Why a deployment is given up, in the words of those who show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivingUp {
    /// What the deployment shows.
    pub rollout_reason: String,
    /// What the service deployment shows if the service does not go back.
    pub status_reason: String,
    /// What is shown of the way back; none if the service is not to go back.
    pub way_back: Option<WayBack>,
    /// What has found the deployment to be bad.
    pub found_by: Monitor,
}

/// What is shown of the way back from a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayBack {
    /// What the words begin with that the deployment shows to which the service goes back.
    pub rollout_reason: String,
    /// What the service deployment shows.
    pub status_reason: String,
}

/// What watches a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Monitor {
    /// The circuit breaker.
    CircuitBreaker,
    /// These alarms.
    Alarms(Vec<String>),
    /// Something else.
    Other,
}

impl Ecs {
    /// Gives the primary deployment of a service up, and makes the newest completed one the primary one again if it is
    /// asked to and there is one. A deployment that is a way back itself leads no further back. Returns the revision
    /// that the service goes back to.
    ///
    /// What the service deployment shows is written first: a server that is killed in between gives the deployment up
    /// again, and nothing is different.
    pub fn give_up_deployment(
        &self,
        scope: &Scope,
        service: &Service,
        why: &GivingUp,
        now: Timestamp,
    ) -> Option<ServiceRevisionId> {
        let primary = service.primary()?;
        let key = ServiceDeploymentKey { service: service.key.clone(), id: primary.service_deployment.clone() };
        let row = self.service_deployments.get(scope, &key);
        let is_way_back = row.as_ref().is_some_and(|row| row.target != primary.revision);
        let way_back = why.way_back.as_ref().filter(|_| !is_way_back);
        let back_to = way_back.and_then(|words| Some((words, self.last_completed(scope, service)?)));
        let shown = why.way_back.as_ref().filter(|_| is_way_back || back_to.is_some());
        let status_reason = shown.map_or(&why.status_reason, |way_back| &way_back.status_reason);
        self.service_deployments.update(scope, &key, |row| {
            row.status_reason = Some(status_reason.clone());
            row.updated_at = now;
            match &why.found_by {
                Monitor::CircuitBreaker => row.monitors.is_breaker_triggered = true,
                Monitor::Alarms(names) => row.monitors.triggered_alarms.clone_from(names),
                Monitor::Other => {}
            }
            if let Some((_, revision)) = &back_to {
                let (reason, revision) = (status_reason.clone(), revision.key.id.clone());
                row.rollback = Some(Rollback { reason, started_at: now, revision });
            }
        });
        self.services.update(scope, &service.key, |service| {
            let Some(current) = service.deployments.first_mut() else { return };
            if current.revision != primary.revision || current.rollout != RolloutState::InProgress {
                return;
            }
            current.rollout = RolloutState::Failed { reason: why.rollout_reason.clone() };
            current.updated_at = now;
            if let Some((words, revision)) = &back_to {
                let mut back = revision.deployment(&key, now);
                back.rollout_reason = Some(format!("{} {}.", words.rollout_reason, back.id()));
                service.deploy(back);
            }
        });
        back_to.map(|(_, revision)| revision.key.id.clone())
    }

    /// Finds the revision that a service goes back to: of those that were deployed to the end, the newest, the primary
    /// deployment's left out. An earlier service of the same name was another one.
    pub fn last_completed(&self, scope: &Scope, service: &Service) -> Option<Arc<ServiceRevision>> {
        let primary = &service.primary()?.revision;
        let find = |id: &ServiceRevisionId| {
            let key = ServiceRevisionKey { service: service.key.clone(), id: id.clone() };
            self.service_revisions.get(scope, &key)
        };
        let is_completed = |known: &&Deployment| known.rollout == RolloutState::Completed;
        let deployed = service.deployments.iter().skip(1).find(is_completed);
        if let Some(revision) = deployed.and_then(|known| find(&known.revision)) {
            return Some(revision);
        }
        let history = self.service_deployments_of(scope, &service.key).filter(|row| !row.is_of_deleted_service);
        let ended = history.filter_map(|row| Some((row.finished_at?, row.completed()?.clone())));
        let mut ended = ended.filter(|(_, revision)| revision != primary).collect::<Vec<_>>();
        ended.sort();
        ended.iter().rev().find_map(|(_, revision)| find(revision))
    }

    /// Does to the service what was asked of a service deployment when it was stopped: a server may have been killed
    /// between the two.
    pub fn carry_out_stop(&self, scope: &Scope, key: &ServiceDeploymentKey, now: Timestamp) {
        let Some(row) = self.service_deployments.get(scope, key) else { return };
        match row.status {
            ServiceDeploymentStatus::StopRequested | ServiceDeploymentStatus::RollbackRequested => {}
            ServiceDeploymentStatus::Pending
            | ServiceDeploymentStatus::InProgress
            | ServiceDeploymentStatus::Successful
            | ServiceDeploymentStatus::Stopped
            | ServiceDeploymentStatus::RollbackInProgress
            | ServiceDeploymentStatus::RollbackSuccessful
            | ServiceDeploymentStatus::RollbackFailed => return,
        }
        let back_to = row.rollback.as_ref().and_then(|rollback| {
            let revision = ServiceRevisionKey { service: key.service.clone(), id: rollback.revision.clone() };
            self.service_revisions.get(scope, &revision)
        });
        let reason = row.status_reason.as_deref().unwrap_or_default();
        self.services.update(scope, &key.service, |service| {
            let primary = service.primary().filter(|primary| primary.service_deployment == key.id);
            if primary.is_none_or(|primary| primary.revision != row.target) {
                return;
            }
            service.give_up(&key.id, reason, now);
            if let Some(revision) = &back_to {
                service.deploy(revision.deployment(key, now));
            }
        });
    }
}

impl ServiceRevision {
    /// Makes a deployment that brings the revision back.
    fn deployment(&self, of: &ServiceDeploymentKey, now: Timestamp) -> Deployment {
        Deployment::new(self.key.id.clone(), of.id.clone(), self.workload.clone(), self.created_at, now)
    }
}

impl ServiceDeployment {
    /// Returns the revision that the service had when this came to a good end.
    fn completed(&self) -> Option<&ServiceRevisionId> {
        match self.status {
            ServiceDeploymentStatus::Successful => Some(&self.target),
            ServiceDeploymentStatus::RollbackSuccessful => Some(&self.rollback.as_ref()?.revision),
            ServiceDeploymentStatus::Pending
            | ServiceDeploymentStatus::InProgress
            | ServiceDeploymentStatus::StopRequested
            | ServiceDeploymentStatus::Stopped
            | ServiceDeploymentStatus::RollbackRequested
            | ServiceDeploymentStatus::RollbackInProgress
            | ServiceDeploymentStatus::RollbackFailed => None,
        }
    }
}
