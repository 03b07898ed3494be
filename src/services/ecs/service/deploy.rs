//! A new deployment of a service: its revision, and the rows of its history.

use api::ecs as api;
use base::Arn;
use state::Cx;
use state::ecs::{
    Deployment, HookAction, Monitors, PauseHook, PauseStage, Service, ServiceDeployment, ServiceDeploymentKey,
    ServiceDeploymentStatus, ServiceRevision, ServiceRevisionKey, Workload,
};

use crate::{Result, document, invalid};

/// How many deployments of a service may have tasks at a time.
const DEPLOYMENTS_ACTIVE_MAX: usize = 5;
/// How many deployments of a service are remembered: a bound for the table, which AWS has as a time of 90 days.
const DEPLOYMENTS_KEPT_MAX: usize = 100;
/// How long a deployment pauses at most unless its hook says, in minutes.
const PAUSE_DEFAULT_MIN: u32 = 1440;

/// The rows of history that a new deployment makes.
pub(super) struct History {
    revision: ServiceRevision,
    deployment: ServiceDeployment,
}

/// Makes a deployment of `workload` the primary one of the service. Its history is remembered when the service has been
/// written.
pub(super) fn deploy(cx: &Cx, service: &mut Service, workload: Workload) -> Result<History> {
    if service.deployments.len() >= DEPLOYMENTS_ACTIVE_MAX {
        // The text was seen (aws/containers-roadmap#2836); its code is unverified.
        return Err(invalid(format!(
            "{DEPLOYMENTS_ACTIVE_MAX} active deployments exist, unable to create new deployment."
        )));
    }
    let now = cx.now();
    let revision = cx.ids.service_revision();
    let key = ServiceDeploymentKey { service: service.key.clone(), id: cx.ids.service_deployment() };
    let path = format!("{}/{}", service.key.cluster, service.key.name);
    let history = History {
        deployment: ServiceDeployment {
            arn: Arn::new("ecs", cx.scope(), &format!("service-deployment/{path}/{}", key.id)),
            sources: service.deployments.iter().map(|deployment| deployment.revision.clone()).collect(),
            target: revision.clone(),
            deployment_configuration: service.rollout.document.clone(),
            has_circuit_breaker: service.rollout.circuit_breaker.is_some(),
            created_at: now,
            started_at: None,
            finished_at: None,
            stopped_at: None,
            updated_at: now,
            status: ServiceDeploymentStatus::Pending,
            status_reason: None,
            rollback: None,
            pauses: pauses(cx, service),
            monitors: Monitors::default(),
            key: key.clone(),
        },
        revision: ServiceRevision {
            arn: Arn::new("ecs", cx.scope(), &format!("service-revision/{path}/{revision}")),
            created_at: now,
            workload: workload.clone(),
            key: ServiceRevisionKey { service: service.key.clone(), id: revision.clone() },
        },
    };
    service.deploy(Deployment::new(revision, key.id, workload, now, now));
    Ok(history)
}

/// Lists where a deployment pauses. Hooks that call functions are not called yet; their stages pass by.
fn pauses(cx: &Cx, service: &Service) -> Vec<PauseHook> {
    let configuration: api::DeploymentConfiguration = document::read(&service.rollout.document);
    let mut pauses = Vec::new();
    for hook in configuration.lifecycle_hooks.iter().flatten() {
        if hook.target_type != Some(api::DeploymentLifecycleHookTargetType::Pause) {
            continue;
        }
        let timeout = hook.timeout_configuration.as_ref();
        let minutes = timeout.and_then(|timeout| u32::try_from(timeout.timeout_in_minutes?).ok());
        let continues =
            timeout.and_then(|timeout| timeout.action.as_ref()) == Some(&api::DeploymentLifecycleHookAction::Continue);
        for stage in hook.lifecycle_stages.iter().flatten().filter_map(stage) {
            // With one revision there is nothing to reconcile.
            if stage == PauseStage::ReconcileService && service.deployments.is_empty() {
                continue;
            }
            pauses.push(PauseHook {
                id: cx.ids.uuid(),
                stage,
                timeout_min: minutes.unwrap_or(PAUSE_DEFAULT_MIN),
                on_timeout: if continues { HookAction::Continue } else { HookAction::RollBack },
                paused_at: None,
                outcome: None,
            });
        }
    }
    pauses.sort_by_key(|pause| pause.stage);
    pauses
}

fn stage(stage: &api::DeploymentLifecycleHookStage) -> Option<PauseStage> {
    Some(match stage {
        api::DeploymentLifecycleHookStage::ReconcileService => PauseStage::ReconcileService,
        api::DeploymentLifecycleHookStage::PreScaleUp => PauseStage::PreScaleUp,
        api::DeploymentLifecycleHookStage::PostScaleUp => PauseStage::PostScaleUp,
        api::DeploymentLifecycleHookStage::TestTrafficShift => PauseStage::TestTrafficShift,
        api::DeploymentLifecycleHookStage::PostTestTrafficShift => PauseStage::PostTestTrafficShift,
        api::DeploymentLifecycleHookStage::PreProductionTrafficShift => PauseStage::PreProductionTrafficShift,
        api::DeploymentLifecycleHookStage::ProductionTrafficShift => PauseStage::ProductionTrafficShift,
        api::DeploymentLifecycleHookStage::PostProductionTrafficShift => PauseStage::PostProductionTrafficShift,
        // The model's check has refused others.
        api::DeploymentLifecycleHookStage::Other(_) => return None,
    })
}

/// Remembers a deployment and its revision.
pub(super) fn remember(cx: &Cx, service: &Service, history: History) {
    forget_oldest(cx, service);
    let History { revision, deployment } = history;
    cx.state.ecs.service_revisions.insert(cx.scope(), &revision.key.clone(), revision);
    cx.state.ecs.service_deployments.insert(cx.scope(), &deployment.key.clone(), deployment);
}

/// Makes room for one more row of history.
fn forget_oldest(cx: &Cx, service: &Service) {
    let ecs = &cx.state.ecs;
    let mut known = ecs.service_deployments_of(cx.scope(), &service.key).collect::<Vec<_>>();
    if known.len() < DEPLOYMENTS_KEPT_MAX {
        return;
    }
    known.sort_by_key(|row| row.created_at);
    let is_in_use = |row: &ServiceDeployment| {
        let mut live = service.deployments.iter();
        live.any(|deployment| deployment.service_deployment == row.key.id || deployment.revision == row.target)
    };
    let excess = known.len() + 1 - DEPLOYMENTS_KEPT_MAX;
    for row in known.iter().filter(|row| !is_in_use(row)).take(excess) {
        ecs.service_deployments.remove(cx.scope(), &row.key);
        let revision = ServiceRevisionKey { service: row.key.service.clone(), id: row.target.clone() };
        ecs.service_revisions.remove(cx.scope(), &revision);
    }
}
