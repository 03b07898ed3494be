//! CreateTaskSet.

use api::ecs as api;
use state::Cx;
use state::ecs::{Creation, SchedulingStrategy, Service, TaskSet, TaskSetKey, TaskSetStatus, Workload};

use super::{reference, view};
use crate::service::{Parts, Purpose, check_client_token, parse_workload};
use crate::{Result, cluster, document, invalid, tags};

/// How many task sets a service may have at a time.
const TASK_SETS_MAX: usize = 5;

/// Makes a task set. The same client token makes it only once.
pub(crate) async fn create_task_set(
    cx: &Cx,
    mut input: api::CreateTaskSetRequest,
) -> Result<api::CreateTaskSetResponse> {
    let client_token = input.client_token.take();
    check_client_token(client_token.as_deref())?;
    let creation = Creation { client_token, request: document::digest(&input) };
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let service = reference::service_of(cx, input.cluster.take(), input.service.take())?;
    let known = cx.state.ecs.task_sets_of(cx.scope(), &service.key).collect::<Vec<_>>();
    let has_token =
        |known: &TaskSet| known.creation.client_token.is_some() && known.creation.client_token == creation.client_token;
    if let Some(known) = known.iter().find(|known| has_token(known)) {
        if known.creation.request == creation.request {
            return Ok(api::CreateTaskSetResponse { task_set: Some(view(cx, &service, known, true)) });
        }
        // The form of CreateService's words; unverified.
        return Err(invalid("Creation of task set was not idempotent."));
    }
    if known.len() >= TASK_SETS_MAX {
        // Seen, code and text: aws-samples/ecs-bg-external-controller#6, pipe-cd/pipecd#4692.
        return Err(invalid(format!(
            "{TASK_SETS_MAX} deployments exist on the service. Unable to create new TaskSet since this exceeds the \
             maximum limit."
        )));
    }
    let tags = tags::parse(input.tags.take())?;
    let scale_percent = scale(input.scale.as_ref())?;
    let external_id = input.external_id.take();
    let purpose = Purpose {
        cluster: &cluster,
        scheduling: SchedulingStrategy::Replica,
        controller: service.controller,
        rollout: None,
        known: None,
    };
    let workload = parse_workload(cx, &purpose, parts(input))?;
    let task_set = TaskSet { external_id, scale_percent, tags, ..new_task_set(cx, &service, workload, creation) };
    let task_set = cx.state.ecs.task_sets.insert(cx.scope(), &task_set.key.clone(), task_set);
    Ok(api::CreateTaskSetResponse { task_set: Some(view(cx, &service, &task_set, true)) })
}

/// Makes the task set that a service which CodeDeploy deploys begins with.
pub(crate) fn make_first(cx: &Cx, service: &Service) {
    let Some(workload) = service.workload.clone() else { return };
    let creation = Creation { client_token: None, request: 0 };
    let task_set = TaskSet {
        status: TaskSetStatus::Primary,
        scale_percent: 100.0,
        ..new_task_set(cx, service, workload, creation)
    };
    cx.state.ecs.task_sets.insert(cx.scope(), &task_set.key.clone(), task_set);
}

fn new_task_set(cx: &Cx, service: &Service, workload: Workload, creation: Creation) -> TaskSet {
    let key = TaskSetKey { service: service.key.clone(), id: cx.ids.service_revision() };
    TaskSet {
        arn: reference::new_arn(cx, service, &key.id),
        key,
        status: TaskSetStatus::Active,
        creation,
        external_id: None,
        workload,
        scale_percent: 0.0,
        tags: Vec::new(),
        created_at: cx.now(),
        updated_at: cx.now(),
        is_steady: false,
        steady_at: cx.now(),
    }
}

fn parts(input: api::CreateTaskSetRequest) -> Parts {
    Parts {
        task_definition: input.task_definition,
        launch_type: input.launch_type,
        strategy: input.capacity_provider_strategy.filter(|strategy| !strategy.is_empty()),
        platform_version: input.platform_version,
        network_configuration: input.network_configuration,
        load_balancers: input.load_balancers,
        service_registries: input.service_registries,
        service_connect: None,
        volumes: None,
        vpc_lattice: None,
    }
}

/// Reads a scale: a percentage; none is 0. (Text unverified.)
pub(super) fn scale(scale: Option<&api::Scale>) -> Result<f64> {
    let percent = scale.and_then(|scale| scale.value).unwrap_or(0.0);
    if (0.0..=100.0).contains(&percent) { Ok(percent) } else { Err(invalid("scale value must be between 0 and 100.")) }
}
