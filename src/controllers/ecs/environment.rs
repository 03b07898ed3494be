//! What is fetched for a container's environment when it starts, and is kept nowhere: secrets, and files of S3.

use std::sync::Arc;

use base::{Arn, Scope, Timestamp};
use node::ContainerFile;
use state::State;
use state::ecs::{ContainerDefinition, ContainerOverride};
use state::iam::Secret;
use state::s3::ReadError;

use super::{environment_file, reason, secret};

/// The largest environment file that is read, in bytes. (AWS documents none.)
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What was fetched for one container.
#[derive(Default)]
pub(super) struct Fetched {
    /// The variables of its files.
    pub(super) files: Vec<(String, String)>,
    /// Its secrets.
    pub(super) secrets: Vec<(String, Secret)>,
    /// What it sees as files.
    pub(super) seen: Vec<ContainerFile>,
}

/// Fetches what a container's environment needs, or gives AWS's words for why it cannot be had.
pub(super) async fn fetch(
    state: &Arc<State>,
    scope: &Scope,
    container: &ContainerDefinition,
    overrides: Option<&ContainerOverride>,
    now: Timestamp,
) -> Result<Fetched, String> {
    let secrets = container.secrets.iter().map(|secret| (secret.name.as_str(), secret.value_from.as_str()));
    let secrets = secret::resolve_all(state, scope, secrets, now)?;
    // What the override names comes first, and so wins.
    let files = overrides.into_iter().flat_map(|overrides| &overrides.environment_files);
    let files = files.chain(&container.environment_files).cloned().collect::<Vec<_>>();
    if files.is_empty() {
        return Ok(Fetched { files: Vec::new(), secrets, seen: Vec::new() });
    }
    let state = Arc::clone(state);
    let read = move || files.iter().map(|arn| read_file(&state, arn)).collect::<Result<Vec<_>, _>>();
    let files =
        tokio::task::spawn_blocking(read).await.map_err(|error| reason::no_environment_file(&error.to_string()))?;
    Ok(Fetched { files: environment_file::merge(files?), secrets, seen: Vec::new() })
}

fn read_file(state: &State, arn: &str) -> Result<Vec<(String, String)>, String> {
    let resource = Arn::parse(arn).map(|arn| arn.resource().to_owned()).unwrap_or_default();
    let (bucket, key) = resource.split_once('/').unwrap_or((&resource, ""));
    let bytes = state.s3.read(bucket, key, FILE_BYTES_MAX).map_err(|error| {
        let cause = match &error {
            ReadError::NoSuchBucket => format!("NoSuchBucket: {error}"),
            ReadError::NoSuchKey => format!("NoSuchKey: {error}"),
            ReadError::TooLarge { .. } | ReadError::Io(_) => error.to_string(),
        };
        reason::no_environment_file(&cause)
    })?;
    environment_file::parse(&bytes).map_err(|error| reason::no_environment_file(&format!("{key} {error}")))
}
