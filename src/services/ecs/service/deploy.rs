//! A new deployment of a service: its revision, and the rows of its history.

use base::Arn;
use state::Cx;
use state::ecs::{
    Deployment, RolloutState, Service, ServiceDeployment, ServiceDeploymentKey, ServiceDeploymentStatus,
    ServiceRevision, ServiceRevisionKey, Workload,
};

/// How many deployments of a service are remembered: a bound for the table, which AWS has as a time of 90 days.
const DEPLOYMENTS_KEPT_MAX: usize = 100;

/// Makes a revision of `workload` and a deployment of it the primary one of the service, and remembers both.
pub(super) fn deploy(cx: &Cx, service: &mut Service, workload: Workload) {
    let now = cx.now();
    let revision = cx.ids.service_revision();
    let key = ServiceDeploymentKey { service: service.key.clone(), id: cx.ids.service_deployment() };
    let path = format!("{}/{}", service.key.cluster, service.key.name);
    let row = ServiceDeployment {
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
        key: key.clone(),
    };
    let revision_key = ServiceRevisionKey { service: service.key.clone(), id: revision.clone() };
    let revision_row = ServiceRevision {
        arn: Arn::new("ecs", cx.scope(), &format!("service-revision/{path}/{revision}")),
        created_at: now,
        workload: workload.clone(),
        key: revision_key.clone(),
    };
    forget_oldest(cx, service);
    cx.state.ecs.service_revisions.insert(cx.scope(), &revision_key, revision_row);
    cx.state.ecs.service_deployments.insert(cx.scope(), &key, row);
    service.deploy(Deployment {
        revision,
        service_deployment: key.id,
        workload,
        created_at: now,
        updated_at: now,
        rollout: RolloutState::InProgress,
    });
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
