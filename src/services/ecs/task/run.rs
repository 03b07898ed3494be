//! RunTask.

use std::sync::Arc;

use api::ecs as api;
use state::Cx;
use state::ecs::{Cluster, InstanceKind, PlacementRules, RunToken, Started, Task, TaskDefinition};

use super::capacity::{self, Capacity};
use super::order::{self, Asked, Order};
use super::placement;
use super::{network, view};
use crate::{Error, Result, cluster, container_instance, document, invalid, required, task_definition};

/// How many tasks one call may start.
const COUNT_MAX: i32 = 10;
/// The platform version that `LATEST` means.
const PLATFORM_VERSION_LATEST: &str = "1.4.0";
/// The platform versions that can be asked for.
const PLATFORM_VERSIONS: [&str; 3] = ["LATEST", PLATFORM_VERSION_LATEST, "1.3.0"];
const STARTED_BY_CHARS_MAX: usize = 128;
const CLIENT_TOKEN_CHARS_MAX: usize = 64;

/// Starts tasks and answers at once, before they run. The same client token starts them only once.
pub(crate) async fn run_task(cx: &Cx, input: api::RunTaskRequest) -> Result<api::RunTaskResponse> {
    check_words(&input)?;
    let request = document::digest(&input);
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let count = input.count.unwrap_or(1);
    if !(1..=COUNT_MAX).contains(&count) {
        // Text unverified.
        return Err(invalid(format!("Invalid task count. The task count must be between 1 and {COUNT_MAX}.")));
    }
    let count = usize::try_from(count).unwrap_or(1);
    let token = input.client_token.clone();
    let known = token.as_ref().and_then(|token| cx.state.ecs.run_tokens.get(cx.scope(), token));
    let (tasks, failures) = match known {
        Some(known) => (started(cx, &known, request)?, Vec::new()),
        None => {
            let (tasks, failures) = plan(cx, &cluster, input, count)?;
            (start(cx, token, request, tasks)?, failures)
        }
    };
    let tasks = tasks.iter().map(|task| view::task(task, true)).collect();
    Ok(api::RunTaskResponse { tasks: Some(tasks), failures: Some(failures) })
}

/// Makes the records of the tasks, and says why there are no more of them. Those on container instances hold their part
/// from then on.
fn plan(
    cx: &Cx,
    cluster: &Cluster,
    mut input: api::RunTaskRequest,
    count: usize,
) -> Result<(Vec<Task>, Vec<api::Failure>)> {
    let capacity = capacity::of(cx, cluster, &input, count)?;
    let definition = task_definition::find_active(cx, &required(input.task_definition.take(), "taskDefinition")?)?;
    check_capacity(&definition, &input, &capacity)?;
    let network = network::parse(cx, definition.network_mode, input.network_configuration.take())?;
    match capacity {
        Capacity::Fargate(providers) => {
            let version = platform_version(input.platform_version.as_deref())?;
            let order = Order::parse(cluster, &definition, network, asked(input))?;
            let tasks = providers.into_iter().map(|provider| order.on_fargate(cx, &version, provider));
            Ok((tasks.collect(), Vec::new()))
        }
        Capacity::Instances { kind, providers } => {
            let (constraints, strategy) = (input.placement_constraints.take(), input.placement_strategy.take());
            let rules = placement::rules(&definition, constraints, strategy)?;
            let order = Order::parse(cluster, &definition, network, asked(input))?;
            place(cx, cluster, kind, &rules, &order, providers)
        }
    }
}

/// Places tasks one after the other, until one finds no place: the others are like it.
fn place(
    cx: &Cx,
    cluster: &Cluster,
    kind: InstanceKind,
    rules: &PlacementRules,
    order: &Order<'_>,
    providers: Vec<Option<String>>,
) -> Result<(Vec<Task>, Vec<api::Failure>)> {
    let mut tasks = Vec::new();
    for provider in providers {
        let provider_name = provider.as_deref();
        let instances = cx.state.ecs.placement_candidates(cx.scope(), &cluster.name, kind, provider_name);
        if instances.is_empty() && tasks.is_empty() {
            return Err(invalid("No Container Instances were found in your cluster."));
        }
        match placement::place(cx, instances, rules, order, provider) {
            Ok(task) => tasks.push(task),
            Err(failures) => return Ok((tasks, failures)),
        }
    }
    Ok((tasks, Vec::new()))
}

/// Puts the tasks in, unless their client token has started some meanwhile.
fn start(cx: &Cx, token: Option<String>, request: u64, tasks: Vec<Task>) -> Result<Vec<Arc<Task>>> {
    let token = token.filter(|_| !tasks.is_empty());
    let claimed = tasks.clone();
    let release = || claimed.iter().for_each(|task| cx.state.ecs.release_claim(cx.scope(), task));
    match cx.state.together(|| cx.state.ecs.start_tasks(cx.scope(), token.as_deref(), request, tasks)) {
        Started::Now(tasks) => {
            Ok(tasks.into_iter().map(|task| container_instance::settle(cx, &task).unwrap_or(task)).collect())
        }
        Started::Before(tasks) => {
            release();
            Ok(tasks)
        }
        Started::Otherwise(tasks) => {
            release();
            Err(conflict(&tasks))
        }
    }
}

/// Puts a task in.
pub(super) fn insert(cx: &Cx, task: Task) -> Arc<Task> {
    let task = cx.state.ecs.put_task(cx.scope(), task);
    container_instance::settle(cx, &task).unwrap_or(task)
}

/// Returns the tasks that a client token has started, if the request is the same.
fn started(cx: &Cx, known: &RunToken, request: u64) -> Result<Vec<Arc<Task>>> {
    let tasks = known.tasks.iter().filter_map(|key| cx.state.ecs.tasks.get(cx.scope(), key)).collect::<Vec<_>>();
    if known.request == request { Ok(tasks) } else { Err(conflict(&tasks)) }
}

/// Checks the free text of a request.
fn check_words(input: &api::RunTaskRequest) -> Result<()> {
    order::check_started_by(input.started_by.as_deref(), STARTED_BY_CHARS_MAX)?;
    let token = input.client_token.as_deref().unwrap_or_default();
    if token.len() > CLIENT_TOKEN_CHARS_MAX || !token.bytes().all(|b| (33..=126).contains(&b)) {
        return Err(invalid("clientToken must have at most 64 ASCII characters from 33 to 126."));
    }
    Ok(())
}

/// Checks that the definition, and what else was asked for, suits where the tasks are to run.
fn check_capacity(definition: &TaskDefinition, input: &api::RunTaskRequest, capacity: &Capacity) -> Result<()> {
    let has_constraints = input.placement_constraints.as_ref().is_some_and(|list| !list.is_empty());
    let has_strategy = input.placement_strategy.as_ref().is_some_and(|list| !list.is_empty());
    // The texts on placement and versions are CreateService's: PF, PFr.
    match capacity {
        Capacity::Fargate(_) if !definition.is_fargate_compatible => {
            Err(invalid("Task definition does not support launch_type FARGATE."))
        }
        Capacity::Fargate(_) if has_constraints => {
            Err(invalid("Placement constraints are not supported with FARGATE launch type."))
        }
        Capacity::Fargate(_) if has_strategy => {
            Err(invalid("Placement strategies are not supported with FARGATE launch type."))
        }
        Capacity::Instances { kind: InstanceKind::External, .. } if !supports_external(definition) => {
            Err(invalid("Task definition does not support launch_type EXTERNAL."))
        }
        Capacity::Instances { .. } if input.platform_version.is_some() => {
            Err(invalid("The platform version must be null when specifying an EC2 launch type"))
        }
        // Before the network is looked at, like everything that the request says of itself.
        Capacity::Fargate(_) => platform_version(input.platform_version.as_deref()).map(drop),
        Capacity::Instances { .. } => Ok(()),
    }
}

fn supports_external(definition: &TaskDefinition) -> bool {
    let shown = document::read::<api::TaskDefinition>(&definition.document);
    shown.compatibilities.unwrap_or_default().contains(&api::Compatibility::External)
}

fn asked(input: api::RunTaskRequest) -> Asked {
    Asked {
        group: input.group,
        started_by: input.started_by,
        client_token: input.client_token,
        overrides: input.overrides,
        is_exec_enabled: input.enable_execute_command.unwrap_or(false),
        tags: input.tags,
        propagate_tags: input.propagate_tags,
        has_managed_tags: input.enable_ecs_managed_tags == Some(true),
        volumes: input.volume_configurations,
    }
}

/// Returns the platform version that tasks get: never LATEST.
pub(crate) fn platform_version(asked: Option<&str>) -> Result<String> {
    match asked {
        None | Some("LATEST") => Ok(PLATFORM_VERSION_LATEST.to_owned()),
        Some(version) if PLATFORM_VERSIONS.contains(&version) => Ok(version.to_owned()),
        // Seen: jenkinsci/amazon-ecs-plugin#218.
        Some(_) => Err(Error::PlatformUnknown("The specified platform does not exist.".to_owned())),
    }
}

fn conflict(started: &[Arc<Task>]) -> Error {
    Error::Conflict(api::ConflictException {
        resource_ids: Some(started.iter().map(|task| task.arn.to_string()).collect()),
        // Text unverified.
        message: Some("The client token has been used with other parameters.".to_owned()),
    })
}
