//! ExecuteCommand.
//!
//! Every check is ECS's. No agent runs in containers yet, so the request that passes them all is answered as ECS answers
//! while the agent has no connection.

use api::ecs as api;
use state::Cx;
use state::ecs::{Container, ContainerStatus, Launch, Task, TaskStatus};

use crate::{Error, Result, cluster, invalid, required, task};

/// Opens a session in a container of a running task.
pub(crate) async fn execute_command(cx: &Cx, input: api::ExecuteCommandRequest) -> Result<api::ExecuteCommandResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    if input.interactive != Some(true) {
        return Err(invalid("Interactive is the only mode supported currently."));
    }
    if required(input.command, "command")?.is_empty() {
        // Text unverified.
        return Err(invalid("command can not be blank."));
    }
    let key = task::parse_reference(cx, &cluster, &required(input.task, "task")?)?;
    let task = cx.state.ecs.tasks.get(cx.scope(), &key);
    let task = task.ok_or_else(|| invalid("The referenced task was not found."))?;
    let container = choose(&task, input.container.as_deref())?;
    if !has_agent(&task, container) {
        // The apostrophe is AWS's own.
        return Err(invalid(
            "The execute command failed because execute command was not enabled when the task was run or the execute \
             command agent isn’t running. Wait and try again or run a new task with execute command enabled and try \
             again.",
        ));
    }
    Err(Error::TargetNotConnected("The execute command failed due to an internal error. Try again later.".to_owned()))
}

/// Finds the container that a request names. A task of one container needs no name. (Texts unverified.)
fn choose<'a>(task: &'a Task, name: Option<&str>) -> Result<&'a Container> {
    match (name, task.containers.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(invalid("The container name must be specified for a task with multiple containers.")),
        (Some(name), containers) => containers
            .iter()
            .find(|container| container.name == name)
            .ok_or_else(|| invalid(format!("The container {name} was not found in the task."))),
    }
}

/// Returns whether the agent should run in a container. On Fargate the platform starts it; elsewhere the instance's own
/// agent does, and reports it.
fn has_agent(task: &Task, container: &Container) -> bool {
    let is_running = task.last_status == TaskStatus::Running && container.status == ContainerStatus::Running;
    let is_reported = container.exec_agent.as_ref().is_some_and(|agent| agent.status == "RUNNING");
    let is_on_fargate = matches!(task.launch, Launch::Fargate { .. });
    task.is_exec_enabled && task.stop.is_none() && is_running && (is_on_fargate || is_reported)
}
