//! RunTask.

use std::sync::Arc;

use api::ecs as api;
use state::ecs::{Cluster, Launch, RunToken, Task, TaskDefinition, TaskSize, TaskStart};
use state::{Cx, Tag};

use super::capacity::{self, Capacity};
use super::overrides::{self, Overridden};
use super::{network, view};
use crate::{Error, Result, cluster, document, invalid, required, tags, task_definition};

/// How many tasks one call may start.
const COUNT_MAX: i32 = 10;
/// The platform version that `LATEST` means.
const PLATFORM_VERSION_LATEST: &str = "1.4.0";
/// The platform versions that can be asked for.
const PLATFORM_VERSIONS: [&str; 3] = ["LATEST", PLATFORM_VERSION_LATEST, "1.3.0"];
const STARTED_BY_CHARS_MAX: usize = 128;
const CLIENT_TOKEN_CHARS_MAX: usize = 64;

/// Starts tasks and answers at once, in PROVISIONING. The same client token starts them only once.
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
    let tasks = plan(cx, &cluster, input, count)?;
    let tasks = start(cx, token, request, tasks)?;
    let tasks = tasks.iter().map(|task| view::task(task, true)).collect();
    Ok(api::RunTaskResponse { tasks: Some(tasks), failures: Some(Vec::new()) })
}

/// Makes the records of the tasks; nothing is changed yet.
fn plan(cx: &Cx, cluster: &Cluster, mut input: api::RunTaskRequest, count: usize) -> Result<Vec<Task>> {
    let capacity = capacity::of(cx, cluster, &input, count)?;
    let definition = task_definition::find_active(cx, &required(input.task_definition.take(), "taskDefinition")?)?;
    if matches!(capacity, Capacity::Fargate(_)) && !definition.is_fargate_compatible {
        return Err(invalid("Task definition does not support launch_type FARGATE."));
    }
    let platform_version = platform_version(input.platform_version.as_deref())?;
    let network = network::parse(cx, definition.network_mode, input.network_configuration.take())?;
    // The request itself is checked before anybody looks for a place to run.
    let Capacity::Fargate(providers) = capacity else {
        return Err(invalid("No Container Instances were found in your cluster."));
    };
    let Overridden { overrides, cpu_units, memory_mib, ephemeral_storage_gib } =
        overrides::parse(&definition, input.overrides.take())?;
    let has_task_role = definition.task_role_arn.is_some() || overrides.task_role_arn.is_some();
    if input.enable_execute_command == Some(true) && !has_task_role {
        // The rule is RunTask's documentation; text unverified.
        return Err(invalid(
            "The service couldn't run the task because enableExecuteCommand needs a task role in the task definition.",
        ));
    }
    let tags = task_tags(&input, cluster, &definition)?;
    let task = |capacity_provider| {
        let start = TaskStart {
            cluster,
            definition: &definition,
            overrides: overrides.clone(),
            size: TaskSize { cpu_units, memory_mib, ephemeral_storage_gib },
            group: input.group.clone().unwrap_or_else(|| format!("family:{}", definition.name.family)),
            started_by: input.started_by.clone(),
            launch: Launch::Fargate { platform_version: platform_version.clone() },
            capacity_provider,
            network: network.clone(),
            client_token: input.client_token.clone(),
            is_exec_enabled: input.enable_execute_command.unwrap_or(false),
            tags: tags.clone(),
        };
        start.task(&cx.ids, cx.scope(), cx.now())
    };
    Ok(providers.into_iter().map(task).collect())
}

/// Puts the tasks in, unless their client token has started some already.
fn start(cx: &Cx, token: Option<String>, request: u64, tasks: Vec<Task>) -> Result<Vec<Arc<Task>>> {
    let table = &cx.state.ecs.tasks;
    if let Some(token) = token {
        let keys = || tasks.iter().map(|task| task.key.clone()).collect();
        let row = || RunToken { request, tasks: keys() };
        let (known, is_new) = cx.state.ecs.run_tokens.get_or_insert_with(cx.scope(), &token, row);
        if !is_new {
            let started = known.tasks.iter().filter_map(|key| table.get(cx.scope(), key)).collect::<Vec<_>>();
            return if known.request == request { Ok(started) } else { Err(conflict(&started)) };
        }
    }
    Ok(tasks.into_iter().map(|task| table.insert(cx.scope(), &task.key.clone(), task)).collect())
}

/// Checks the free text of a request.
fn check_words(input: &api::RunTaskRequest) -> Result<()> {
    let started_by = input.started_by.as_deref().unwrap_or_default();
    let is_started_by = started_by.chars().count() <= STARTED_BY_CHARS_MAX
        && started_by.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/".contains(&b));
    if !is_started_by {
        // The rule is RunTask's documentation; text unverified.
        return Err(invalid(
            "startedBy must have at most 128 letters, numbers, hyphens, forward slashes, and underscores.",
        ));
    }
    let token = input.client_token.as_deref().unwrap_or_default();
    if token.len() > CLIENT_TOKEN_CHARS_MAX || !token.bytes().all(|b| (33..=126).contains(&b)) {
        return Err(invalid("clientToken must have at most 64 ASCII characters from 33 to 126."));
    }
    Ok(())
}

fn task_tags(input: &api::RunTaskRequest, cluster: &Cluster, definition: &TaskDefinition) -> Result<Vec<Tag>> {
    let mut all = tags::parse(input.tags.clone())?;
    match &input.propagate_tags {
        None | Some(api::PropagateTags::None) => {}
        Some(api::PropagateTags::TaskDefinition) => {
            // The request's own tags win.
            for tag in &definition.tags {
                if !all.iter().any(|known| known.key == tag.key) {
                    all.push(tag.clone());
                }
            }
        }
        Some(api::PropagateTags::Service | api::PropagateTags::Other(_)) => {
            // The rule is RunTask's documentation; text unverified.
            return Err(invalid("propagateTags SERVICE is not supported for RunTask."));
        }
    }
    if input.enable_ecs_managed_tags == Some(true) {
        all.push(Tag { key: "aws:ecs:clusterName".to_owned(), value: cluster.name.to_string() });
    }
    Ok(all)
}

/// Returns the platform version that tasks get: never LATEST.
pub(crate) fn platform_version(asked: Option<&str>) -> Result<String> {
    match asked {
        None | Some("LATEST") => Ok(PLATFORM_VERSION_LATEST.to_owned()),
        Some(version) if PLATFORM_VERSIONS.contains(&version) => Ok(version.to_owned()),
        // Text unverified.
        Some(version) => Err(Error::PlatformUnknown(format!("The platform version {version} does not exist."))),
    }
}

fn conflict(started: &[Arc<Task>]) -> Error {
    Error::Conflict(api::ConflictException {
        resource_ids: Some(started.iter().map(|task| task.arn.to_string()).collect()),
        // Text unverified.
        message: Some("The client token has been used with other parameters.".to_owned()),
    })
}
