//! A new deployment of a service: its revision, and the rows of its history.

use api::ecs as api;
use base::Arn;
use state::Cx;
use state::ecs::{
    Deployment, Hook, HookAction, HookStage, HookTarget, Monitors, Service, ServiceDeployment, ServiceDeploymentKey,
    ServiceDeploymentStatus, ServiceRevision, ServiceRevisionKey, Shift, Workload,
};

use crate::{Result, document, invalid};

/// How many deployments of a service may have tasks at a time.
const DEPLOYMENTS_ACTIVE_MAX: usize = 5;
/// How many deployments of a service are remembered: a bound for the table, which AWS has as a time of 90 days.
const DEPLOYMENTS_KEPT_MAX: usize = 100;
/// How long a deployment waits for a hook unless that says, in minutes.
const HOOK_TIMEOUT_DEFAULT_MIN: u32 = 1440;

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
            shift: shift(cx, service),
            monitors: Monitors::default(),
            is_of_deleted_service: false,
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

/// Says how traffic comes over to a new deployment, and who has a say at which stage.
fn shift(cx: &Cx, service: &Service) -> Option<Shift> {
    let policy = service.rollout.shifting?;
    let configuration: api::DeploymentConfiguration = document::read(&service.rollout.document);
    let mut hooks = Vec::new();
    for hook in configuration.lifecycle_hooks.unwrap_or_default() {
        let timeout = hook.timeout_configuration.as_ref();
        let minutes = timeout.and_then(|timeout| u32::try_from(timeout.timeout_in_minutes?).ok());
        let continues =
            timeout.and_then(|timeout| timeout.action.as_ref()) == Some(&api::DeploymentLifecycleHookAction::Continue);
        let target = match hook.target_type {
            Some(api::DeploymentLifecycleHookTargetType::Pause) => HookTarget::Pause,
            // The model's check has refused others.
            None
            | Some(
                api::DeploymentLifecycleHookTargetType::AwsLambda | api::DeploymentLifecycleHookTargetType::Other(_),
            ) => HookTarget::Lambda {
                function: hook.hook_target_arn.unwrap_or_default(),
                details: hook.hook_details.as_ref().map(|details| document::write(details)),
            },
        };
        hooks.extend(hook.lifecycle_stages.iter().flatten().filter_map(stage).map(|stage| Hook {
            id: cx.ids.uuid(),
            stage,
            target: target.clone(),
            timeout_min: minutes.unwrap_or(HOOK_TIMEOUT_DEFAULT_MIN),
            on_timeout: if continues { HookAction::Continue } else { HookAction::RollBack },
            is_back: false,
            begun_at: None,
            expires_at: None,
            call_at: None,
            call_failures: 0,
            outcome: None,
        }));
    }
    hooks.sort_by_key(|hook| hook.stage);
    Some(Shift::new(policy, hooks))
}

fn stage(stage: &api::DeploymentLifecycleHookStage) -> Option<HookStage> {
    Some(match stage {
        api::DeploymentLifecycleHookStage::ReconcileService => HookStage::ReconcileService,
        api::DeploymentLifecycleHookStage::PreScaleUp => HookStage::PreScaleUp,
        api::DeploymentLifecycleHookStage::PostScaleUp => HookStage::PostScaleUp,
        api::DeploymentLifecycleHookStage::TestTrafficShift => HookStage::TestTrafficShift,
        api::DeploymentLifecycleHookStage::PostTestTrafficShift => HookStage::PostTestTrafficShift,
        api::DeploymentLifecycleHookStage::PreProductionTrafficShift => HookStage::PreProductionTrafficShift,
        api::DeploymentLifecycleHookStage::ProductionTrafficShift => HookStage::ProductionTrafficShift,
        api::DeploymentLifecycleHookStage::PostProductionTrafficShift => HookStage::PostProductionTrafficShift,
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
