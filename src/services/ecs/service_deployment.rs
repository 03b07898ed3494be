//! The deployments that services have had: described, listed, stopped, continued.

use std::cmp::Reverse;
use std::sync::Arc;

use api::ecs as api;
use base::{Arn, Page, ServiceDeploymentId, ServiceRevisionId, Timestamp};
use state::Cx;
use state::ecs::{
    ClusterName, FailureThreshold, Hook, HookAction, HookOutcome, HookTarget, LifecycleStage, Service,
    ServiceDeployment, ServiceDeploymentKey, ServiceDeploymentStatus, ServiceKey, ServiceName, Traffic,
};

use crate::service::{self, Counts};
use crate::{Error, Result, cluster, document, invalid, page, required};

/// How many deployments one call may name.
const DESCRIBE_MAX: usize = 20;
const LISTING: &str = "ListServiceDeployments";
const PAGE: page::Size = page::Size { default: 20, max: 100 };

/// Describes deployments by their ARNs. Unknown ones are failures, not errors.
pub(crate) async fn describe_service_deployments(
    cx: &Cx,
    input: api::DescribeServiceDeploymentsRequest,
) -> Result<api::DescribeServiceDeploymentsResponse> {
    let wanted = required(input.service_deployment_arns, "serviceDeploymentArns")?;
    check_count(wanted.len(), "serviceDeploymentArns")?;
    let (mut deployments, mut failures) = (Vec::new(), Vec::new());
    for arn in wanted {
        let key = parse(cx, &arn)?;
        match key.and_then(|key| cx.state.ecs.service_deployments.get(cx.scope(), &key)) {
            Some(deployment) => deployments.push(view(cx, &deployment)),
            None => failures.push(missing(arn)),
        }
    }
    Ok(api::DescribeServiceDeploymentsResponse { service_deployments: Some(deployments), failures: Some(failures) })
}

/// Lists the deployments of a service, the newest first.
pub(crate) async fn list_service_deployments(
    cx: &Cx,
    input: api::ListServiceDeploymentsRequest,
) -> Result<api::ListServiceDeploymentsResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let service = service::find(cx, &cluster, &required(input.service, "service")?)?;
    let request = page::request_of(PAGE, LISTING, input.max_results, input.next_token.as_deref())?;
    let statuses = input.status.unwrap_or_default();
    let (before, after) = input.created_at.map(|range| (range.before, range.after)).unwrap_or_default();
    let wants = |row: &ServiceDeployment| {
        (statuses.is_empty() || statuses.iter().any(|status| status.as_str() == row.status.as_str()))
            && before.is_none_or(|before| before > row.created_at.into())
            && after.is_none_or(|after| after < row.created_at.into())
    };
    // A service remembers a hundred deployments, so they are sorted as a whole.
    let order = |row: &ServiceDeployment| Reverse((row.created_at, row.key.id.clone()));
    let mut rows = cx.state.ecs.service_deployments_of(cx.scope(), &service.key).collect::<Vec<_>>();
    rows.sort_by_key(|row| order(row));
    let last = request.after.as_deref().map(parse_place).transpose()?;
    let rest = rows.into_iter().filter(|row| last.as_ref().is_none_or(|last| order(row) > Reverse(last.clone())));
    let page = Page::cut(LISTING, request.size, rest.filter(|row| wants(row)), |row| {
        format!("{}/{}", row.created_at.as_millis(), row.key.id)
    });
    let brief = |row: &Arc<ServiceDeployment>| brief(cx, row);
    Ok(api::ListServiceDeploymentsResponse {
        service_deployments: Some(page.items.iter().map(brief).collect()),
        next_token: page.next,
    })
}

/// Asks for a deployment to stop: by default the service goes back to the revision that it had before.
pub(crate) async fn stop_service_deployment(
    cx: &Cx,
    input: api::StopServiceDeploymentRequest,
) -> Result<api::StopServiceDeploymentResponse> {
    let arn = required(input.service_deployment_arn, "serviceDeploymentArn")?;
    let key = parse(cx, &arn)?.ok_or_else(not_found)?;
    let rolls_back = input.stop_type != Some(api::StopServiceDeploymentStopType::Abort);
    stop(cx, &key, rolls_back)?;
    Ok(api::StopServiceDeploymentResponse { service_deployment_arn: Some(arn) })
}

/// Tells a deployment that has paused how to go on: by default to the next stage.
pub(crate) async fn continue_service_deployment(
    cx: &Cx,
    input: api::ContinueServiceDeploymentRequest,
) -> Result<api::ContinueServiceDeploymentResponse> {
    let arn = required(input.service_deployment_arn, "serviceDeploymentArn")?;
    let key = parse(cx, &arn)?.ok_or_else(not_found)?;
    let hook = required(input.hook_id, "hookId")?;
    let action = match input.action {
        Some(api::DeploymentLifecycleHookAction::Rollback) => HookAction::RollBack,
        // The model's check has refused others.
        None | Some(api::DeploymentLifecycleHookAction::Continue | api::DeploymentLifecycleHookAction::Other(_)) => {
            HookAction::Continue
        }
    };
    let resume = |row: &mut ServiceDeployment| row.resume(&hook, action).ok_or(());
    let resumed = cx.state.ecs.service_deployments.try_update(cx.scope(), &key, resume).ok_or_else(not_found)?;
    // Text unverified.
    resumed.map_err(|()| invalid(format!("The service deployment is not paused at the lifecycle hook {hook}.")))?;
    if action == HookAction::RollBack {
        stop(cx, &key, true)?;
    }
    Ok(api::ContinueServiceDeploymentResponse { service_deployment_arn: Some(arn) })
}

fn stop(cx: &Cx, key: &ServiceDeploymentKey, rolls_back: bool) -> Result<()> {
    // Text unverified.
    let reason = "Service deployment was stopped by a user request.";
    let stopped = cx.state.ecs.stop_service_deployment(cx.scope(), key, rolls_back, reason, cx.now());
    stopped.ok_or_else(not_found)?.map_err(|status| conflict(cx, key, status))
}

/// Reads the ARN of a deployment. None means that none of this account and region can be meant.
fn parse(cx: &Cx, text: &str) -> Result<Option<ServiceDeploymentKey>> {
    let (service, id) = match parse_history(cx, text, "service-deployment")? {
        Some(parsed) => parsed,
        None => return Ok(None),
    };
    Ok(Some(ServiceDeploymentKey { service, id: ServiceDeploymentId::new(id) }))
}

/// Reads `<kind>/<cluster>/<service>/<id>` out of an ARN.
pub(crate) fn parse_history(cx: &Cx, text: &str, kind: &str) -> Result<Option<(ServiceKey, String)>> {
    let arn = Arn::parse(text).ok_or_else(|| invalid("The ARN provided is invalid."))?;
    if arn.account() != Some(cx.scope().account) {
        return Err(invalid("AccountIDs mismatch"));
    }
    let path = arn.resource_of(kind).ok_or_else(|| invalid("The ARN provided is invalid."))?;
    let mut parts = path.splitn(3, '/');
    let names = parts.next().and_then(ClusterName::parse).zip(parts.next().and_then(ServiceName::parse));
    let (Some((cluster, name)), Some(id)) = (names, parts.next()) else {
        return Err(invalid("The ARN provided is invalid."));
    };
    let is_here = arn.region().as_ref() == Some(&cx.scope().region);
    Ok(is_here.then(|| (ServiceKey { cluster, name }, id.to_owned())))
}

/// Checks how many ARNs a call names. (Texts unverified.)
pub(crate) fn check_count(count: usize, member: &str) -> Result<()> {
    match count {
        0 => Err(invalid(format!("{member} can not be empty."))),
        count if count > DESCRIBE_MAX => {
            Err(invalid(format!("{member} cannot have more than {DESCRIBE_MAX} elements.")))
        }
        _ => Ok(()),
    }
}

/// The failure of something that is not there.
pub(crate) fn missing(arn: String) -> api::Failure {
    api::Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

fn not_found() -> Error {
    // Text unverified.
    Error::ServiceDeploymentNotFound("The service deployment was not found.".to_owned())
}

fn conflict(cx: &Cx, key: &ServiceDeploymentKey, status: ServiceDeploymentStatus) -> Error {
    let row = cx.state.ecs.service_deployments.get(cx.scope(), key);
    Error::Conflict(api::ConflictException {
        resource_ids: row.map(|row| vec![row.arn.to_string()]),
        // Text unverified.
        message: Some(format!("The service deployment cannot be stopped because its status is {}.", status.as_str())),
    })
}

fn parse_place(text: &str) -> Result<(Timestamp, ServiceDeploymentId)> {
    let place = text
        .split_once('/')
        .and_then(|(at, id)| Some((Timestamp::from_millis(at.parse().ok()?), ServiceDeploymentId::new(id))));
    place.ok_or_else(|| invalid("Invalid token."))
}

fn brief(cx: &Cx, row: &ServiceDeployment) -> api::ServiceDeploymentBrief {
    let path = format!("service/{}/{}", row.key.service.cluster, row.key.service.name);
    api::ServiceDeploymentBrief {
        service_deployment_arn: Some(row.arn.to_string()),
        service_arn: Some(Arn::new("ecs", cx.scope(), &path).to_string()),
        cluster_arn: Some(cluster_arn(cx, &row.key.service)),
        started_at: row.started_at.map(Into::into),
        created_at: Some(row.created_at.into()),
        finished_at: row.finished_at.map(Into::into),
        target_service_revision_arn: Some(service::revision_arn(cx, &row.key.service, &row.target).to_string()),
        status: Some(api::ServiceDeploymentStatus::from(row.status.as_str())),
        status_reason: row.status_reason.clone(),
    }
}

fn cluster_arn(cx: &Cx, service: &ServiceKey) -> String {
    Arn::new("ecs", cx.scope(), &format!("cluster/{}", service.cluster)).to_string()
}

fn view(cx: &Cx, row: &ServiceDeployment) -> api::ServiceDeployment {
    let counts = service::counts(cx, &row.key.service);
    let known = cx.state.ecs.services.get(cx.scope(), &row.key.service);
    let desired = known.as_ref().map_or(0, |service| service.desired_count);
    let primary = known.as_ref().and_then(|service| service.primary()).map(|primary| primary.revision.clone());
    let summary = |id: &ServiceRevisionId| {
        let counts = counts.get(id).copied().unwrap_or_default();
        let is_wanted = primary.as_ref() == Some(id);
        summary(cx, row, id, counts, if is_wanted { i32::try_from(desired).ok() } else { None })
    };
    let brief = brief(cx, row);
    api::ServiceDeployment {
        service_deployment_arn: brief.service_deployment_arn,
        service_arn: brief.service_arn,
        cluster_arn: brief.cluster_arn,
        created_at: brief.created_at,
        started_at: brief.started_at,
        finished_at: brief.finished_at,
        stopped_at: row.stopped_at.map(Into::into),
        updated_at: Some(row.updated_at.into()),
        source_service_revisions: Some(row.sources.iter().map(summary).collect()),
        target_service_revision: Some(summary(&row.target)),
        status: brief.status,
        status_reason: brief.status_reason,
        lifecycle_stage: lifecycle_stage(row),
        lifecycle_hook_details: Some(row.shift.iter().flat_map(|shift| &shift.hooks).filter_map(hook).collect()),
        deployment_configuration: Some(document::read(&row.deployment_configuration)),
        rollback: row.rollback.as_ref().map(|rollback| api::Rollback {
            reason: Some(rollback.reason.clone()),
            started_at: Some(rollback.started_at.into()),
            service_revision_arn: Some(service::revision_arn(cx, &row.key.service, &rollback.revision).to_string()),
        }),
        deployment_circuit_breaker: Some(circuit_breaker(row, known.as_deref())),
        alarms: alarms(row),
    }
}

fn summary(
    cx: &Cx,
    row: &ServiceDeployment,
    id: &ServiceRevisionId,
    counts: Counts,
    requested: Option<i32>,
) -> api::ServiceRevisionSummary {
    let shift = row.shift.as_ref();
    let weight = |traffic| shift.map(|shift| shift.weight_of(traffic, id, &row.target).percent());
    api::ServiceRevisionSummary {
        arn: Some(service::revision_arn(cx, &row.key.service, id).to_string()),
        requested_task_count: Some(requested.unwrap_or(counts.wanted)),
        running_task_count: Some(counts.running),
        pending_task_count: Some(counts.pending),
        requested_test_traffic_weight: weight(Traffic::Test),
        requested_production_traffic_weight: weight(Traffic::Production),
    }
}

fn circuit_breaker(row: &ServiceDeployment, service: Option<&Service>) -> api::ServiceDeploymentCircuitBreaker {
    let breaker = service.and_then(|service| Some((service.rollout.circuit_breaker?, service.desired_count)));
    let now = breaker.map(|(breaker, desired_count)| breaker.threshold.of(desired_count));
    let usual = || FailureThreshold::default().of(service.map_or(0, |service| service.desired_count));
    let threshold = row.monitors.threshold.or(now).unwrap_or_else(usual);
    api::ServiceDeploymentCircuitBreaker {
        status: Some(monitor_status(row, row.has_circuit_breaker, row.monitors.is_breaker_triggered)),
        failure_count: i32::try_from(row.monitors.failures).ok(),
        threshold: i32::try_from(threshold).ok(),
    }
}

fn monitor_status(
    row: &ServiceDeployment,
    is_on: bool,
    is_triggered: bool,
) -> api::ServiceDeploymentRollbackMonitorsStatus {
    match (is_on, is_triggered, row.status.is_final()) {
        (false, _, _) => api::ServiceDeploymentRollbackMonitorsStatus::Disabled,
        (true, true, _) => api::ServiceDeploymentRollbackMonitorsStatus::Triggered,
        (true, false, false) => api::ServiceDeploymentRollbackMonitorsStatus::Monitoring,
        (true, false, true) => api::ServiceDeploymentRollbackMonitorsStatus::MonitoringComplete,
    }
}

/// Says at which stage the deployment is, or has come to an end. (That a rolling one shows none is unverified.)
fn lifecycle_stage(row: &ServiceDeployment) -> Option<api::ServiceDeploymentLifecycleStage> {
    row.shift.as_ref()?.stage.map(LifecycleStage::as_str).map(api::ServiceDeploymentLifecycleStage::from)
}

/// Shapes a hook; one that the deployment has not come to, or that could not be asked, is not shown.
fn hook(hook: &Hook) -> Option<api::DeploymentLifecycleHookDetail> {
    let expires_at = hook.expires_at?;
    let (target_type, target_arn, waiting) = match &hook.target {
        HookTarget::Pause => {
            (api::DeploymentLifecycleHookTargetType::Pause, None, api::DeploymentLifecycleHookStatus::AwaitingAction)
        }
        HookTarget::Lambda { function, .. } => (
            api::DeploymentLifecycleHookTargetType::AwsLambda,
            Some(function.clone()),
            api::DeploymentLifecycleHookStatus::InProgress,
        ),
    };
    let status = match &hook.outcome {
        None => waiting,
        Some(HookOutcome::Told(HookAction::Continue) | HookOutcome::Succeeded) => {
            api::DeploymentLifecycleHookStatus::Succeeded
        }
        Some(HookOutcome::Told(HookAction::RollBack) | HookOutcome::Failed { .. }) => {
            api::DeploymentLifecycleHookStatus::Failed
        }
        Some(HookOutcome::TimedOut) => api::DeploymentLifecycleHookStatus::TimedOut,
        Some(HookOutcome::Skipped) => return None,
    };
    Some(api::DeploymentLifecycleHookDetail {
        hook_id: Some(hook.id.clone()),
        target_type: Some(target_type),
        target_arn,
        status: Some(status),
        expires_at: Some(expires_at.into()),
        timeout_action: Some(match hook.on_timeout {
            HookAction::Continue => api::DeploymentLifecycleHookAction::Continue,
            HookAction::RollBack => api::DeploymentLifecycleHookAction::Rollback,
        }),
    })
}

fn alarms(row: &ServiceDeployment) -> Option<api::ServiceDeploymentAlarms> {
    let configuration: api::DeploymentConfiguration = document::read(&row.deployment_configuration);
    let alarms = configuration.alarms?;
    let triggered = &row.monitors.triggered_alarms;
    let status = monitor_status(row, alarms.enable == Some(true), !triggered.is_empty());
    Some(api::ServiceDeploymentAlarms {
        status: Some(status),
        alarm_names: alarms.alarm_names,
        triggered_alarm_names: Some(triggered.clone()),
    })
}
