//! DescribeDaemonDeployments and ListDaemonDeployments.

use std::sync::Arc;

use api::ecs as api;
use base::{Page, Timestamp};
use state::Cx;
use state::ecs::{DaemonDeployment, DaemonDeploymentKey, DaemonDeploymentStatus, DaemonRevisionKey};

use super::{reference, revision};
use crate::{Result, document, page, required};

const LISTING: &str = "ListDaemonDeployments";
const PAGE_SIZE: page::Size = page::Size { default: 20, max: 100 };
/// How many failures the circuit breaker bears: the API reference's example.
const CIRCUIT_BREAKER_THRESHOLD: i32 = 10;

/// Describes deployments by ARN. Unknown ones are failures, not errors.
pub(crate) async fn describe_daemon_deployments(
    cx: &Cx,
    input: api::DescribeDaemonDeploymentsRequest,
) -> Result<api::DescribeDaemonDeploymentsResponse> {
    let arns = required(input.daemon_deployment_arns, "daemonDeploymentArns")?;
    revision::check_count(&arns, "daemonDeploymentArns")?;
    let (mut deployments, mut failures) = (Vec::new(), Vec::new());
    for arn in arns {
        match reference::find_deployment(cx, &arn)? {
            Some(deployment) => deployments.push(view(cx, &deployment)),
            None => failures.push(revision::missing(arn)),
        }
    }
    Ok(api::DescribeDaemonDeploymentsResponse { daemon_deployments: Some(deployments), failures: Some(failures) })
}

/// Lists the deployments of a daemon, the newest first.
pub(crate) async fn list_daemon_deployments(
    cx: &Cx,
    input: api::ListDaemonDeploymentsRequest,
) -> Result<api::ListDaemonDeploymentsResponse> {
    let daemon = reference::find(cx, &required(input.daemon_arn, "daemonArn")?)?;
    let request = page::request_of(PAGE_SIZE, LISTING, input.max_results, input.next_token.as_deref())?;
    let statuses = input.status.unwrap_or_default();
    let range = input.created_at.unwrap_or_default();
    let before = range.before.and_then(|at| at.to_millis().ok());
    let after = range.after.and_then(|at| at.to_millis().ok());
    let is_wanted = |deployment: &DaemonDeployment| {
        let at = deployment.created_at.as_millis();
        before.is_none_or(|before| at < before)
            && after.is_none_or(|after| at > after)
            && (statuses.is_empty() || statuses.contains(&status(deployment, cx.now())))
    };
    let from = match request.after {
        Some(id) => DaemonDeploymentKey { daemon: daemon.key.clone(), id },
        None => DaemonDeploymentKey::first_of(&daemon.key),
    };
    let deployments = cx.state.ecs.daemon_deployments.walk(cx.scope(), Some(from));
    let deployments = deployments.take_while(|(key, _)| key.daemon == daemon.key).map(|(_, deployment)| deployment);
    let found = deployments.filter(|deployment| is_wanted(deployment));
    let page = Page::cut(LISTING, request.size, found, |deployment| deployment.key.id.clone());
    let summaries = page.items.iter().map(|deployment| summary(cx, deployment)).collect();
    Ok(api::ListDaemonDeploymentsResponse { next_token: page.next, daemon_deployments: Some(summaries) })
}

fn status(deployment: &DaemonDeployment, now: Timestamp) -> api::DaemonDeploymentStatus {
    match deployment.status(now) {
        DaemonDeploymentStatus::Pending => api::DaemonDeploymentStatus::Pending,
        DaemonDeploymentStatus::InProgress => api::DaemonDeploymentStatus::InProgress,
        DaemonDeploymentStatus::Successful => api::DaemonDeploymentStatus::Successful,
        DaemonDeploymentStatus::Stopped => api::DaemonDeploymentStatus::Stopped,
    }
}

/// Words the status. The text of success is the API reference's example.
fn reason(deployment: &DaemonDeployment, now: Timestamp) -> Option<String> {
    match deployment.status(now) {
        DaemonDeploymentStatus::Pending | DaemonDeploymentStatus::InProgress => None,
        DaemonDeploymentStatus::Successful => Some("Deployment completed successfully.".to_owned()),
        DaemonDeploymentStatus::Stopped => Some("Deployment stopped due to new deployment.".to_owned()),
    }
}

/// The times that a deployment has come to.
struct Times {
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

fn times(deployment: &DaemonDeployment, now: Timestamp) -> Times {
    let until = deployment.stopped_at.unwrap_or(now);
    let is_done = deployment.status(now) == DaemonDeploymentStatus::Successful;
    Times {
        started_at: Some(deployment.starts_at()).filter(|at| *at <= until),
        finished_at: Some(deployment.finishes_at()).filter(|_| is_done),
    }
}

fn summary(cx: &Cx, deployment: &Arc<DaemonDeployment>) -> api::DaemonDeploymentSummary {
    let Times { started_at, finished_at } = times(deployment, cx.now());
    api::DaemonDeploymentSummary {
        daemon_deployment_arn: Some(deployment.arn.to_string()),
        daemon_arn: Some(reference::daemon_arn(cx.scope(), &deployment.key.daemon).to_string()),
        cluster_arn: Some(deployment.cluster_arn.to_string()),
        status: Some(status(deployment, cx.now())),
        status_reason: reason(deployment, cx.now()),
        target_daemon_revision_arn: Some(reference::revision_arn(cx.scope(), &deployment.target).to_string()),
        created_at: Some(deployment.created_at.into()),
        started_at: started_at.map(Into::into),
        stopped_at: deployment.stopped_at.map(Into::into),
        finished_at: finished_at.map(Into::into),
    }
}

fn view(cx: &Cx, deployment: &DaemonDeployment) -> api::DaemonDeployment {
    let Times { started_at, finished_at } = times(deployment, cx.now());
    let configuration = document::read::<api::DaemonDeploymentConfiguration>(&deployment.configuration);
    let alarms = configuration.alarms.clone().unwrap_or_default();
    let has_ended = finished_at.is_some() || deployment.stopped_at.is_some();
    let monitors = if has_ended {
        api::DaemonDeploymentRollbackMonitorsStatus::MonitoringComplete
    } else {
        api::DaemonDeploymentRollbackMonitorsStatus::Monitoring
    };
    let disabled = api::DaemonDeploymentRollbackMonitorsStatus::Disabled;
    api::DaemonDeployment {
        daemon_deployment_arn: Some(deployment.arn.to_string()),
        cluster_arn: Some(deployment.cluster_arn.to_string()),
        status: Some(status(deployment, cx.now())),
        status_reason: reason(deployment, cx.now()),
        target_daemon_revision: Some(detail(cx, &deployment.target)),
        source_daemon_revisions: Some(deployment.sources.iter().map(|source| detail(cx, source)).collect()),
        circuit_breaker: Some(api::DaemonCircuitBreaker {
            failure_count: Some(0),
            status: Some(monitors.clone()),
            threshold: Some(CIRCUIT_BREAKER_THRESHOLD),
        }),
        alarms: Some(api::DaemonDeploymentAlarms {
            status: Some(if alarms.enable == Some(true) { monitors } else { disabled }),
            alarm_names: Some(alarms.alarm_names.unwrap_or_default()),
            triggered_alarm_names: Some(Vec::new()),
        }),
        rollback: None,
        deployment_configuration: Some(configuration),
        created_at: Some(deployment.created_at.into()),
        started_at: started_at.map(Into::into),
        stopped_at: deployment.stopped_at.map(Into::into),
        finished_at: finished_at.map(Into::into),
    }
}

fn detail(cx: &Cx, revision: &DaemonRevisionKey) -> api::DaemonDeploymentRevisionDetail {
    let record = cx.state.ecs.daemon_revisions.get(cx.scope(), revision);
    let provider = |arn: &base::Arn| api::DaemonDeploymentCapacityProvider {
        arn: Some(arn.to_string()),
        running_instance_count: Some(0),
        draining_instance_count: Some(0),
    };
    let providers = record.iter().flat_map(|record| &record.capacity_providers);
    api::DaemonDeploymentRevisionDetail {
        arn: Some(reference::revision_arn(cx.scope(), revision).to_string()),
        capacity_providers: Some(providers.map(provider).collect()),
        total_running_instance_count: Some(0),
        total_draining_instance_count: Some(0),
    }
}
