//! The history of a service: its revisions, and the deployments of them.

use std::time::Duration;

use base::{Arn, ServiceDeploymentId, ServiceRevisionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Document, Record};

use super::{ServiceKey, Workload};

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
    /// Where it pauses, in the order of the stages.
    pub pauses: Vec<PauseHook>,
    /// What those have found who watch it.
    #[serde(default)]
    pub monitors: Monitors,
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

/// A stage at which a service deployment pauses until it is told to go on. The controller writes `paused_at`, and
/// `outcome` where it is that nobody said anything in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseHook {
    /// A UUID.
    pub id: String,
    /// The stage.
    pub stage: PauseStage,
    /// How long it pauses at most, in minutes.
    pub timeout_min: u32,
    /// What happens then.
    pub on_timeout: HookAction,
    /// When the deployment came here.
    pub paused_at: Option<Timestamp>,
    /// How it went on.
    pub outcome: Option<HookOutcome>,
}

/// A stage of a service deployment at which it can pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PauseStage {
    /// Before anything is done, while several revisions have tasks.
    ReconcileService,
    /// Before the new tasks are started.
    PreScaleUp,
    /// When the new tasks run.
    PostScaleUp,
    /// While test traffic goes over to them.
    TestTrafficShift,
    /// When test traffic has gone over.
    PostTestTrafficShift,
    /// Before production traffic goes over.
    PreProductionTrafficShift,
    /// While production traffic goes over to them.
    ProductionTrafficShift,
    /// When production traffic has gone over.
    PostProductionTrafficShift,
}

/// How a paused service deployment is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookAction {
    /// To the next stage.
    Continue,
    /// Back to where it came from.
    RollBack,
}

/// How a paused service deployment went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookOutcome {
    /// It was told to.
    Told(HookAction),
    /// Nobody told it in time.
    TimedOut,
}

impl PauseHook {
    /// Returns when it has paused for long enough.
    pub fn expires_at(&self) -> Option<Timestamp> {
        Some(self.paused_at?.plus(Duration::from_secs(u64::from(self.timeout_min) * 60)))
    }
}

impl ServiceDeployment {
    /// Returns where it pauses next, or has paused.
    pub fn next_pause(&self) -> Option<&PauseHook> {
        self.pauses.iter().find(|pause| pause.outcome.is_none()).filter(|_| !self.status.is_final())
    }

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
    pub fn resume(&mut self, id: &str, outcome: HookOutcome) -> Option<()> {
        let pause = self.pauses.iter_mut().find(|pause| pause.outcome.is_none() && pause.paused_at.is_some());
        pause.filter(|pause| pause.id == id)?.outcome = Some(outcome);
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
