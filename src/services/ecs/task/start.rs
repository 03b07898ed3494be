//! StartTask.

use api::ecs as api;
use state::Cx;
use state::ecs::{Cluster, InstanceStatus};

use super::order::{self, Asked, Order};
use super::placement;
use super::{network, run, view};
use crate::{Result, client, cluster, container_instance, invalid, required, task_definition};

/// How many instances one call may name.
const INSTANCES_MAX: usize = 10;
/// The limit is StartTask's documentation; RunTask's is another.
const STARTED_BY_CHARS_MAX: usize = 36;

/// Starts a task on each of the named container instances. Those that cannot take it are failures, not errors.
pub(crate) async fn start_task(cx: &Cx, mut input: api::StartTaskRequest) -> Result<api::StartTaskResponse> {
    order::check_started_by(input.started_by.as_deref(), STARTED_BY_CHARS_MAX)?;
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let instances = input.container_instances.take().unwrap_or_default();
    if instances.is_empty() {
        // The text is DescribeContainerInstances': moto.
        return Err(client("Container Instances cannot be empty."));
    }
    if instances.len() > INSTANCES_MAX {
        return Err(invalid(format!("Container Instances cannot have more than {INSTANCES_MAX} elements.")));
    }
    let definition = task_definition::find_active(cx, &required(input.task_definition.take(), "taskDefinition")?)?;
    let network = network::parse(cx, definition.network_mode, input.network_configuration.take())?;
    // Whoever names the instance has placed the task: only what the instance must be able to do is checked.
    let rules = placement::required(&definition)?;
    let order = Order::parse(&cluster, &definition, network, asked(input))?;
    let keys = instances.iter().map(|named| container_instance::parse_reference(cx, &cluster, named));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for (named, key) in instances.iter().zip(keys) {
        match cx.state.ecs.container_instances.get(cx.scope(), &key) {
            None => failures.push(failure(cx, &cluster, named, "MISSING")),
            Some(instance) if instance.status == InstanceStatus::Inactive => {
                failures.push(failure(cx, &cluster, named, "INACTIVE"));
            }
            Some(instance) => match placement::claim(cx, &instance, &rules, &order, None) {
                Ok(task) => tasks.push(view::task(&run::insert(cx, task), true)),
                Err(failure) => failures.push(failure),
            },
        }
    }
    Ok(api::StartTaskResponse { tasks: Some(tasks), failures: Some(failures) })
}

fn asked(input: api::StartTaskRequest) -> Asked {
    Asked {
        group: input.group,
        started_by: input.started_by,
        client_token: None,
        overrides: input.overrides,
        is_exec_enabled: input.enable_execute_command.unwrap_or(false),
        tags: input.tags,
        propagate_tags: input.propagate_tags,
        has_managed_tags: input.enable_ecs_managed_tags == Some(true),
        volumes: input.volume_configurations,
    }
}

fn failure(cx: &Cx, cluster: &Cluster, named: &str, reason: &str) -> api::Failure {
    api::Failure {
        arn: Some(container_instance::arn_of(cx, cluster, named)),
        reason: Some(reason.to_owned()),
        detail: None,
    }
}
