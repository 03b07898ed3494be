//! The history of a service: its revisions, and the deployments of them.

use base::{Arn, ServiceDeploymentId, ServiceRevisionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Document, Record};

use super::{HookAction, HookOutcome, HookTarget, ServiceKey, Shift, Workload};

/// What names a revision of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceRevisionKey {
    /// The service.
    pub service: ServiceKey,
    /// The revision.
    pub id: ServiceRevisionId,
}

/// A revision of a service. It never changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceRevision {
    /// Service and id.
    pub key: ServiceRevisionKey,
    /// Its ARN.
    pub arn: Arn,
    /// When it was made.
    pub created_at: Timestamp,
    /// What its tasks are.
    pub workload: Workload,
}

/// What names a deployment of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceDeploymentKey {
    /// The service.
    pub service: ServiceKey,
    /// The deployment.
    pub id: ServiceDeploymentId,
}

/// A deployment of a service. The service controller writes how it goes; a handler that is asked to stop it says so in
/// `status`, `status_reason` and `rollback`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceDeployment {
    /// Service and id.
    pub key: ServiceDeploymentKey,
    /// Its ARN.
    pub arn: Arn,
    /// The revisions that had tasks when it was made.
    pub sources: Vec<ServiceRevisionId>,
    /// The revision that it deploys.
    pub target: ServiceRevisionId,
    /// `deploymentConfiguration` when it was made.
    pub deployment_configuration: Document,
    /// Whether the circuit breaker watches it.
    pub has_circuit_breaker: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its first step was taken.
    pub started_at: Option<Timestamp>,
    /// When it came to an end.
    pub finished_at: Option<Timestamp>,
    /// When it was stopped before its end.
    pub stopped_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// How it goes.
    pub status: ServiceDeploymentStatus,
    /// Why, in words.
    pub status_reason: Option<String>,
    /// The way back, once it is taken.
    pub rollback: Option<Rollback>,
    /// How traffic goes over to it; none if its tasks take the place of others one by one.
    #[serde(default)]
    pub shift: Option<Shift>,
    /// What those have found who watch it.
    #[serde(default)]
    pub monitors: Monitors,
    /// Whether its service was deleted since. One that is made anew by the same name has no part in it. The controller
    /// writes it.
    #[serde(default)]
    pub is_of_deleted_service: bool,
}

/// What those have found who watch a service deployment. The controller writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Monitors {
    /// How many tasks have failed.
    pub failures: u32,
    /// How many failures were too many when it came to its end; until then that goes by the desired tasks.
    pub threshold: Option<u32>,
    /// Whether the circuit breaker has given it up.
    pub is_breaker_triggered: bool,
    /// The alarms that have given it up.
    pub triggered_alarms: Vec<String>,
}

impl ServiceDeployment {
    /// Writes that it is to stop, and where the service goes back to. On the error, it cannot be stopped any more.
    pub(super) fn ask_to_stop(
        &mut self,
        back_to: Option<ServiceRevisionId>,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), ServiceDeploymentStatus> {
        match self.status {
            ServiceDeploymentStatus::Pending | ServiceDeploymentStatus::InProgress => {}
            status => return Err(status),
        }
        self.status = match &back_to {
            Some(_) => ServiceDeploymentStatus::RollbackRequested,
            None => ServiceDeploymentStatus::StopRequested,
        };
        self.status_reason = Some(reason.to_owned());
        self.updated_at = now;
        self.rollback = back_to.map(|revision| Rollback { reason: reason.to_owned(), started_at: now, revision });
        Ok(())
    }

    /// Writes how the pause `id` went on. None if it does not pause there now.
    pub fn resume(&mut self, id: &str, action: HookAction) -> Option<()> {
        let hooks = self.shift.iter_mut().flat_map(|shift| &mut shift.hooks).filter(|_| !self.status.is_final());
        let mut paused = hooks.filter(|hook| hook.target == HookTarget::Pause && hook.is_under_way());
        paused.find(|hook| hook.id == id)?.outcome = Some(HookOutcome::Told(action));
        Some(())
    }
}

/// The way back from a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// Why it is taken.
    pub reason: String,
    /// When it was taken.
    pub started_at: Timestamp,
    /// The revision that it leads to.
    pub revision: ServiceRevisionId,
}

/// How a service deployment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceDeploymentStatus {
    /// Nothing was done for it yet.
    Pending,
    /// Its tasks are being started.
    InProgress,
    /// The service has reached a steady state with it.
    Successful,
    /// It is to be stopped where it is.
    StopRequested,
    /// It was stopped where it was.
    Stopped,
    /// It is to be taken back.
    RollbackRequested,
    /// It is being taken back.
    RollbackInProgress,
    /// It was taken back.
    RollbackSuccessful,
    /// It could not be taken back.
    RollbackFailed,
}

impl ServiceDeploymentStatus {
    /// Returns the status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Successful => "SUCCESSFUL",
            Self::StopRequested => "STOP_REQUESTED",
            Self::Stopped => "STOPPED",
            Self::RollbackRequested => "ROLLBACK_REQUESTED",
            Self::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
            Self::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
            Self::RollbackFailed => "ROLLBACK_FAILED",
        }
    }

    /// Returns whether it has come to an end.
    pub fn is_final(self) -> bool {
        match self {
            Self::Successful | Self::Stopped | Self::RollbackSuccessful | Self::RollbackFailed => true,
            Self::Pending
            | Self::InProgress
            | Self::StopRequested
            | Self::RollbackRequested
            | Self::RollbackInProgress => false,
        }
    }
}

impl Record for ServiceRevision {}
impl Record for ServiceDeployment {}
