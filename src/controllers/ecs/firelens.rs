//! FireLens: the log router of a task, what it is given, and the handing over of the others' output to it.

mod configuration;

use std::path::PathBuf;
use std::sync::Arc;

use base::{Arn, ContainerId, Scope, Timestamp};
use node::{ContainerFile, ForwardBatch, Mount, MountSource, OutputLine};
use state::State;
use state::ecs::{
    Container, ContainerDefinition, ContainerStatus, FireLens, LogConfiguration, LogRouter, LogRouterKind,
    RouterConfiguration, Task, TaskDefinition,
};
use state::iam::Secret;

use self::configuration::Configuration;
use super::log_delivery::{self, Source};
use super::{reason, secret};
use crate::World;

/// The folder in which the router listens, as it sees it.
const SOCKET_FOLDER: &str = "/var/run";
/// The socket at which the router listens, as it sees it.
const SOCKET: &str = "/var/run/fluent.sock";
/// The volume for that folder. No volume of a definition can have such a name.
const VOLUME: &str = ".firelens";
/// Where containers of an awsvpc task find the router, besides at its socket.
const ENVIRONMENT: [(&str, &str); 2] = [("FLUENT_HOST", "127.0.0.1"), ("FLUENT_PORT", "24224")];
/// The largest configuration that is read from S3, in bytes. (AWS documents none.)
const CONFIGURATION_BYTES_MAX: u64 = 1024 * 1024;

/// What FireLens adds to a container when it starts.
#[derive(Default)]
pub(super) struct Additions {
    /// The router's configuration.
    pub(super) files: Vec<ContainerFile>,
    /// The folder of the router's socket.
    pub(super) mounts: Vec<Mount>,
    /// The values of the secret options of those that write to the router.
    pub(super) secrets: Vec<(String, Secret)>,
}

/// Returns what FireLens adds to a container, or AWS's words for why it cannot start.
pub(super) async fn additions(
    state: &Arc<State>,
    scope: &Scope,
    task: &Task,
    definition: &TaskDefinition,
    container: &ContainerDefinition,
    now: Timestamp,
) -> Result<Additions, String> {
    let Some(router) = &container.log_router else { return Ok(Additions::default()) };
    let secrets = routed(definition).flat_map(|(source, log)| {
        let options = log.secret_options.iter();
        options.map(move |option| (configuration::variable(&source.name, &option.name), option.value_from.as_str()))
    });
    let secrets = secrets.collect::<Vec<_>>();
    let pairs = secrets.iter().map(|(name, value_from)| (name.as_str(), *value_from));
    let secrets = secret::resolve_all(state, scope, pairs, now)?;
    let mut files = Vec::from_iter(external(state, router).await?);
    let written = Configuration { task, definition, router }.write();
    files.push(ContainerFile {
        destination: PathBuf::from(configuration::path(router.kind)),
        content: written.into_bytes(),
    });
    let mount = Mount {
        source: MountSource::Volume { name: VOLUME.to_owned(), size_bytes: None },
        destination: PathBuf::from(SOCKET_FOLDER),
        is_read_only: false,
    };
    Ok(Additions { files, mounts: vec![mount], secrets })
}

/// Returns the environment variables of a container that tell where its router is.
pub(super) fn environment(container: &ContainerDefinition) -> &'static [(&'static str, &'static str)] {
    match &container.log {
        Some(LogConfiguration::FireLens(_)) => &ENVIRONMENT,
        Some(LogConfiguration::AwsLogs(_) | LogConfiguration::Splunk(_) | LogConfiguration::Other { .. }) | None => &[],
    }
}

/// Returns the task's router, and what it is to be handed of the lines that begin at an offset. Lines whose router has ended
/// are lost with it.
pub(super) fn batch(source: &Source<'_>, from: u64, lines: Vec<OutputLine>) -> Option<(ContainerId, ForwardBatch)> {
    let Source { task, definition, container, .. } = *source;
    let router = definition.containers.iter().find_map(|known| {
        let of_task = task.containers.iter().find(|container| container.name == known.name)?;
        Some((of_task, known.log_router.as_ref()?.kind))
    });
    let Some((router, kind)) = router.filter(|(router, _)| router.status != ContainerStatus::Stopped) else {
        tracing::warn!(task = %task.key.id, container = %container.name, lines = lines.len(), "output is lost: its router has ended");
        return None;
    };
    let batch = ForwardBatch {
        socket: PathBuf::from(SOCKET),
        tag: format!("{}-firelens-{}", container.name, task.key.id),
        // Fluentd acknowledges nothing at a Unix socket.
        chunk: match kind {
            LogRouterKind::FluentBit => Some(chunk(container, from)),
            LogRouterKind::Fluentd => None,
        },
        labels: vec![
            ("container_id".to_owned(), container.id.to_string()),
            ("container_name".to_owned(), container.name.clone()),
        ],
        lines,
    };
    Some((router.id.clone(), batch))
}

/// Says whether a container is a router that has output to come of containers that have ended, so that it must not be asked
/// to end yet.
pub(super) async fn is_awaited(
    world: &World,
    scope: &Scope,
    task: &Task,
    definition: &TaskDefinition,
    place: usize,
) -> bool {
    let Some(router) = task.containers.get(place) else { return false };
    if !definition.containers.iter().any(|known| known.name == router.name && known.log_router.is_some()) {
        return false;
    }
    for (source, _) in routed(definition).filter(|(source, _)| source.name != router.name) {
        let Some(container) = task.containers.iter().find(|known| known.name == source.name) else { continue };
        if container.status != ContainerStatus::Stopped {
            continue;
        }
        let Some(state) = world.node.runtime.container(&container.id).await else { continue };
        if !log_delivery::is_delivered(&world.state, scope, &container.id, state.output_end) {
            return true;
        }
    }
    false
}

/// Walks the containers that write to the router.
fn routed(definition: &TaskDefinition) -> impl Iterator<Item = (&ContainerDefinition, &FireLens)> {
    definition.containers.iter().filter_map(|container| match container.log.as_ref()? {
        LogConfiguration::FireLens(log) => Some((container, log)),
        LogConfiguration::AwsLogs(_) | LogConfiguration::Splunk(_) | LogConfiguration::Other { .. } => None,
    })
}

/// Names a batch: by the end of the container's id, which no two containers of a task share, and the offset.
fn chunk(container: &Container, from: u64) -> String {
    let (_, number) = container.id.as_str().rsplit_once('-').unwrap_or_default();
    format!("{number}-{from:x}")
}

/// Reads the configuration that a definition has in S3.
async fn external(state: &Arc<State>, router: &LogRouter) -> Result<Option<ContainerFile>, String> {
    let Some(RouterConfiguration::S3 { arn }) = &router.configuration else { return Ok(None) };
    let resource = Arn::parse(arn).map(|arn| arn.resource().to_owned()).unwrap_or_default();
    let state = Arc::clone(state);
    let read = move || {
        let (bucket, key) = resource.split_once('/').unwrap_or((&resource, ""));
        state.s3.read(bucket, key, CONFIGURATION_BYTES_MAX).map_err(|error| error.to_string())
    };
    let content = tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string()).flatten();
    let content = content.map_err(|cause| reason::no_router_configuration(&cause))?;
    Ok(Some(ContainerFile { destination: PathBuf::from(configuration::external_path(router.kind)), content }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecs::samples;

    #[test]
    fn a_batch_has_a_name_of_its_own_that_is_short() {
        let task = samples::task(vec![samples::container("a"), samples::container("b")]);
        let [one, other] = [0, 1].map(|place| chunk(&task.containers[place], u64::MAX));
        assert!(one != other && one.len() <= 31, "{one} {other}");
        assert_ne!(chunk(&task.containers[0], 0), chunk(&task.containers[0], 1));
    }
}
