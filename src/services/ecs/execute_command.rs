//! ExecuteCommand.
//!
//! The session that it opens is a record; the gateway serves the data channel behind its address. Every check is ECS's.

use api::ecs as api;
use base::{Region, Scope};
use state::Cx;
use state::ecs::{
    Cluster, Container, ContainerStatus, ExecSession, Launch, LogConfiguration, Task, TaskStatus, TooManyExecSessions,
    Transcript,
};
use state::iam::Secret;

use crate::{Error, Result, client, cluster, document, invalid, required, task};

/// The name of a managed agent's state, or of what ECS Exec needs in a container.
const RUNNING: &str = "RUNNING";
/// Where a request was sent that does not say it.
const HOST_UNKNOWN: &str = "localhost:4566";

/// Opens a session in a container of a running task.
pub(crate) async fn execute_command(cx: &Cx, input: api::ExecuteCommandRequest) -> Result<api::ExecuteCommandResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    if input.interactive != Some(true) {
        return Err(invalid("Interactive is the only mode supported currently."));
    }
    let command = required(input.command, "command")?;
    if command.is_empty() {
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
    if !matches!(task.launch, Launch::Fargate { .. }) {
        // The agent of another machine would hold the other end of the channel, and there is no endpoint for it.
        return Err(Error::TargetNotConnected(
            "The execute command failed due to an internal error. Try again later.".to_owned(),
        ));
    }
    let session = ExecSession {
        id: cx.ids.ec2("ecs-execute-command"),
        token: Secret::new(format!("{:032x}{:032x}", cx.ids.bits(), cx.ids.bits())),
        scope: cx.scope().clone(),
        container: container.id.clone(),
        command,
        transcript: transcript(cx, &cluster, &task, container),
        opened_at: cx.now(),
    };
    let answer = api::ExecuteCommandResponse {
        cluster_arn: Some(cluster.arn.to_string()),
        container_arn: Some(container.arn.to_string()),
        container_name: Some(container.name.clone()),
        interactive: Some(true),
        session: Some(api::Session {
            session_id: Some(session.id.clone()),
            stream_url: Some(stream_url(cx, &session.id)),
            token_value: Some(session.token.expose().to_owned()),
        }),
        task_arn: Some(task.arn.to_string()),
    };
    cx.state.ecs.exec_sessions.open(session).map_err(|TooManyExecSessions { per_container_max }| {
        client(format!(
            "Unable to start new execute sessions because the maximum session limit of {per_container_max} has been \
             reached."
        ))
    })?;
    Ok(answer)
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
    let is_reported = container.exec_agent.as_ref().is_some_and(|agent| agent.status == RUNNING);
    let is_on_fargate = matches!(task.launch, Launch::Fargate { .. });
    task.is_exec_enabled && task.stop.is_none() && is_running && (is_on_fargate || is_reported)
}

/// Returns the address of the data channel: this server's own, by the name that the client knows it by. AWS's is that of
/// another service, `wss://ssmmessages.<region>.amazonaws.com`, of the same path.
fn stream_url(cx: &Cx, id: &str) -> String {
    let host = cx.caller.host.as_deref().unwrap_or(HOST_UNKNOWN);
    format!("ws://{host}/v1/data-channel/{id}?role=publish_subscribe")
}

/// Returns what is kept of a session in a container: what the cluster says, or by default what the container's own log
/// configuration says.
fn transcript(cx: &Cx, cluster: &Cluster, task: &Task, container: &Container) -> Transcript {
    let configuration = cluster.configuration.as_ref().map(document::read::<api::ClusterConfiguration>);
    let exec = configuration.and_then(|all| all.execute_command_configuration).unwrap_or_default();
    match exec.logging.unwrap_or(api::ExecuteCommandLogging::Default) {
        api::ExecuteCommandLogging::Override => {
            let target = exec.log_configuration.unwrap_or_default();
            Transcript {
                log_group: target.cloud_watch_log_group_name.map(|group| (cx.scope().clone(), group)),
                bucket: target.s3_bucket_name.map(|bucket| (bucket, target.s3_key_prefix.unwrap_or_default())),
            }
        }
        api::ExecuteCommandLogging::Default => {
            Transcript { log_group: log_group_of(cx, task, container), bucket: None }
        }
        api::ExecuteCommandLogging::None | api::ExecuteCommandLogging::Other(_) => Transcript::default(),
    }
}

/// Returns the log group that a container's `awslogs` driver writes to.
fn log_group_of(cx: &Cx, task: &Task, container: &Container) -> Option<(Scope, String)> {
    let definition = cx.state.ecs.task_definitions.get(cx.scope(), &task.definition)?;
    let defined = definition.containers.iter().find(|defined| defined.name == container.name)?;
    match defined.log.as_ref()? {
        LogConfiguration::AwsLogs(log) => {
            let region = Region::parse(&log.region).unwrap_or_else(|| cx.scope().region.clone());
            Some((Scope::new(cx.scope().account, region), log.group.clone()))
        }
        LogConfiguration::Splunk(_) | LogConfiguration::FireLens(_) | LogConfiguration::Other { .. } => None,
    }
}
