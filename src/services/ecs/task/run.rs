//! RunTask.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use api::ecs as api;
use base::Arn;
use state::ecs::{
    AttachmentStatus, Cluster, Container, ContainerStatus, Eni, Launch, Task, TaskDefinition, TaskKey, TaskNetwork,
    TaskStatus,
};
use state::{Cx, Tag};

use super::capacity::{self, Capacity};
use super::overrides::{self, Overridden};
use super::{network, view};
use crate::{Error, Result, cluster, document, invalid, required, tags, task_definition};

/// How many tasks one call may start.
const COUNT_MAX: i32 = 10;
/// How long a container may take to stop unless its definition says otherwise, in seconds.
const STOP_TIMEOUT_DEFAULT_S: u32 = 30;
/// The platform version that `LATEST` means.
const PLATFORM_VERSION_LATEST: &str = "1.4.0";
/// The platform versions that can be asked for.
const PLATFORM_VERSIONS: [&str; 3] = ["LATEST", PLATFORM_VERSION_LATEST, "1.3.0"];
const STARTED_BY_CHARS_MAX: usize = 128;
const CLIENT_TOKEN_CHARS_MAX: usize = 64;

/// Starts tasks and answers at once, in PROVISIONING. The same client token starts them only once.
pub(crate) async fn run_task(cx: &Cx, input: api::RunTaskRequest) -> Result<api::RunTaskResponse> {
    check_words(&input)?;
    let request = digest(&input);
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
        let key = TaskKey { cluster: cluster.name.clone(), id: cx.ids.task() };
        let arn = Arn::new("ecs", cx.scope(), &format!("task/{}/{}", key.cluster, key.id));
        Task {
            containers: containers(cx, &definition, &overrides, &key),
            key,
            arn,
            cluster_arn: cluster.arn.clone(),
            definition: definition.name.clone(),
            definition_arn: definition.arn.clone(),
            group: input.group.clone().unwrap_or_else(|| format!("family:{}", definition.name.family)),
            started_by: input.started_by.clone(),
            launch: Launch::Fargate { platform_version: platform_version.clone() },
            capacity_provider,
            cpu_units,
            memory_mib,
            ephemeral_storage_gib,
            overrides: overrides.clone(),
            network: network.clone(),
            client_token: input.client_token.clone(),
            is_exec_enabled: input.enable_execute_command.unwrap_or(false),
            tags: tags.clone(),
            created_at: cx.now(),
            stop: None,
            last_status: TaskStatus::Provisioning,
            version: 1,
            availability_zone: None,
            connectivity_at: None,
            pull_started_at: None,
            pull_stopped_at: None,
            started_at: None,
            execution_stopped_at: None,
            stopped_at: None,
            eni: network.as_ref().and_then(|network| eni(cx, network)),
        }
    };
    Ok(providers.into_iter().map(task).collect())
}

/// Puts the tasks in, unless their client token has started some already.
fn start(cx: &Cx, token: Option<String>, request: u64, tasks: Vec<Task>) -> Result<Vec<Arc<Task>>> {
    let started = cx.state.together(|| cx.state.ecs.start_tasks(cx.scope(), token.as_deref(), request, tasks));
    started.map_err(|others| conflict(&others))
}

fn containers(
    cx: &Cx,
    definition: &TaskDefinition,
    overrides: &state::ecs::Overrides,
    task: &TaskKey,
) -> Vec<Container> {
    let container = |container: &state::ecs::ContainerDefinition| {
        let changed = overrides.containers.iter().find(|entry| entry.name == container.name);
        let path = format!("container/{}/{}/{}", task.cluster, task.id, cx.ids.uuid());
        Container {
            id: cx.ids.container(&task.id),
            arn: Arn::new("ecs", cx.scope(), &path),
            name: container.name.clone(),
            image: container.image.clone(),
            image_digest: None,
            is_essential: container.is_essential,
            stop_timeout_s: container.stop_timeout_s.unwrap_or(STOP_TIMEOUT_DEFAULT_S),
            status: ContainerStatus::Pending,
            exit_code: None,
            reason: None,
            started_at: None,
            finished_at: None,
            stop_signalled_at: None,
            cpu_units: changed.and_then(|entry| entry.cpu_units).unwrap_or(container.cpu_units),
            memory_mib: changed.and_then(|entry| entry.memory_mib).or(container.memory_mib),
            memory_reservation_mib: changed
                .and_then(|entry| entry.memory_reservation_mib)
                .or(container.memory_reservation_mib),
        }
    };
    definition.containers.iter().map(container).collect()
}

/// Chooses a subnet, at random as AWS does.
fn eni(cx: &Cx, network: &TaskNetwork) -> Option<Eni> {
    let count = u128::try_from(network.subnets.len()).ok()?;
    let index = usize::try_from(cx.ids.bits().checked_rem(count)?).ok()?;
    Some(Eni {
        attachment_id: cx.ids.uuid(),
        subnet: network.subnets.get(index)?.clone(),
        status: AttachmentStatus::Precreated,
        interface: None,
        address: None,
        mac: None,
        private_dns_name: None,
    })
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

fn platform_version(asked: Option<&str>) -> Result<String> {
    match asked {
        None | Some("LATEST") => Ok(PLATFORM_VERSION_LATEST.to_owned()),
        Some(version) if PLATFORM_VERSIONS.contains(&version) => Ok(version.to_owned()),
        // Text unverified.
        Some(version) => Err(Error::PlatformUnknown(format!("The platform version {version} does not exist."))),
    }
}

/// Tells one request from another that bears the same client token.
fn digest(input: &api::RunTaskRequest) -> u64 {
    let mut hasher = DefaultHasher::new();
    document::write(input).as_str().hash(&mut hasher);
    hasher.finish()
}

fn conflict(started: &[Arc<Task>]) -> Error {
    Error::Conflict(api::ConflictException {
        resource_ids: Some(started.iter().map(|task| task.arn.to_string()).collect()),
        // Text unverified.
        message: Some("The client token has been used with other parameters.".to_owned()),
    })
}
