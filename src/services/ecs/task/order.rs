//! What RunTask and StartTask have in common: tasks of one definition, as they were asked for.

use api::ecs as api;
use state::ecs::{
    Claim, Cluster, Launch, Overrides, Task, TaskDefinition, TaskNetwork, TaskSize, TaskStart, TaskVolume, Volume,
    VolumeSource,
};
use state::{Cx, Tag};

use super::overrides::{self, Overridden};
use crate::service::volume as service_volume;
use crate::{Result, document, invalid, tags};

/// What the namespace of a group begins with that only ECS's services use.
const SERVICE_GROUP: &str = "service:";

/// What was asked for, unchecked.
pub(super) struct Asked {
    pub(super) group: Option<String>,
    pub(super) started_by: Option<String>,
    pub(super) client_token: Option<String>,
    pub(super) overrides: Option<api::TaskOverride>,
    pub(super) is_exec_enabled: bool,
    pub(super) tags: Option<Vec<api::Tag>>,
    pub(super) propagate_tags: Option<api::PropagateTags>,
    pub(super) has_managed_tags: bool,
    pub(super) volumes: Option<Vec<api::TaskVolumeConfiguration>>,
}

/// Tasks that can be made: everything but where each one runs.
pub(super) struct Order<'a> {
    cluster: &'a Cluster,
    definition: &'a TaskDefinition,
    network: Option<TaskNetwork>,
    overrides: Overrides,
    size: TaskSize,
    group: String,
    started_by: Option<String>,
    client_token: Option<String>,
    is_exec_enabled: bool,
    tags: Vec<Tag>,
    volumes: Vec<TaskVolume>,
}

impl<'a> Order<'a> {
    /// Checks what was asked for.
    pub(super) fn parse(
        cluster: &'a Cluster,
        definition: &'a TaskDefinition,
        network: Option<TaskNetwork>,
        asked: Asked,
    ) -> Result<Self> {
        let Overridden { overrides, cpu_units, memory_mib, ephemeral_storage_gib } =
            overrides::parse(definition, asked.overrides)?;
        let has_task_role = definition.task_role_arn.is_some() || overrides.task_role_arn.is_some();
        if asked.is_exec_enabled && !has_task_role {
            // Seen: boto3#3173.
            return Err(invalid(
                "The execute command failed because a valid task role is not being used. Specify a valid task role in \
                 your task definition or as a task override and try again.",
            ));
        }
        if asked.group.as_deref().is_some_and(|group| group.starts_with(SERVICE_GROUP)) {
            // Seen in public repositories.
            return Err(invalid("Invalid namespace for group"));
        }
        let tags = task_tags(cluster, definition, asked.tags, asked.propagate_tags.as_ref(), asked.has_managed_tags)?;
        Ok(Self {
            cluster,
            definition,
            network,
            overrides,
            size: TaskSize { cpu_units, memory_mib, ephemeral_storage_gib },
            group: asked.group.unwrap_or_else(|| format!("family:{}", definition.name.family)),
            started_by: asked.started_by,
            client_token: asked.client_token,
            is_exec_enabled: asked.is_exec_enabled,
            tags,
            volumes: volumes(definition, asked.volumes)?,
        })
    }

    /// Makes a task for Fargate; nothing knows of it yet.
    pub(super) fn on_fargate(&self, cx: &Cx, platform_version: &str, provider: Option<String>) -> Task {
        let launch = Launch::Fargate { platform_version: platform_version.to_owned() };
        self.start(launch, provider, self.size).task(&cx.ids, cx.scope(), cx.now())
    }

    /// Makes a task for a container instance; nothing knows of it yet. It is as large as what it takes of it.
    pub(super) fn on_instance(&self, cx: &Cx, launch: Launch, provider: Option<String>) -> Task {
        let Claim { cpu_units, memory_mib, .. } = self.claim(launch.clone());
        let size = TaskSize { cpu_units: Some(cpu_units), memory_mib: Some(memory_mib), ..self.size };
        self.start(launch, provider, size).task(&cx.ids, cx.scope(), cx.now())
    }

    /// Returns what a task takes of a container instance.
    pub(super) fn claim(&self, launch: Launch) -> Claim {
        self.start(launch, None, self.size).claim()
    }

    /// Returns the group of the tasks.
    pub(super) fn group(&self) -> &str {
        &self.group
    }

    fn start(&self, launch: Launch, capacity_provider: Option<String>, size: TaskSize) -> TaskStart<'a> {
        TaskStart {
            cluster: self.cluster,
            definition: self.definition,
            overrides: self.overrides.clone(),
            size,
            group: self.group.clone(),
            started_by: self.started_by.clone(),
            launch,
            capacity_provider,
            network: self.network.clone(),
            client_token: self.client_token.clone(),
            is_exec_enabled: self.is_exec_enabled,
            tags: self.tags.clone(),
            volumes: self.volumes.clone(),
        }
    }
}

/// Checks who started a task. (The rules are RunTask's and StartTask's documentation; text unverified.)
pub(super) fn check_started_by(started_by: Option<&str>, chars_max: usize) -> Result<()> {
    let started_by = started_by.unwrap_or_default();
    let is_well_formed = started_by.chars().count() <= chars_max
        && started_by.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/".contains(&b));
    if is_well_formed {
        return Ok(());
    }
    Err(invalid(format!(
        "startedBy must have at most {chars_max} letters, numbers, hyphens, forward slashes, and underscores."
    )))
}

/// Checks the configuration of the volumes that a definition leaves to the start of a task.
fn volumes(definition: &TaskDefinition, given: Option<Vec<api::TaskVolumeConfiguration>>) -> Result<Vec<TaskVolume>> {
    let given = given.unwrap_or_default();
    let outliving = given.iter().filter_map(|volume| {
        let policy = volume.managed_ebs_volume.as_ref()?.termination_policy.as_ref()?;
        volume.name.clone().filter(|_| policy.delete_on_termination == Some(false))
    });
    let outliving = outliving.collect::<Vec<_>>();
    let given = given.into_iter().map(service_volume::of_service).collect::<Vec<_>>();
    if !given.is_empty() {
        service_volume::check(&document::read(&definition.document), &given)?;
    }
    let mut volumes = service_volume::of_tasks(&given);
    volumes.iter_mut().for_each(|volume| volume.outlives_task = outliving.contains(&volume.name));
    let is_missing = |volume: &&Volume| {
        volume.source == VolumeSource::AtLaunch && !volumes.iter().any(|given| given.name == volume.name)
    };
    match definition.volumes.iter().find(is_missing) {
        // Text unverified.
        Some(volume) => Err(invalid(format!(
            "The volume '{}' is configured at launch, and your request does not have a volume configuration for it.",
            volume.name
        ))),
        None => Ok(volumes),
    }
}

fn task_tags(
    cluster: &Cluster,
    definition: &TaskDefinition,
    given: Option<Vec<api::Tag>>,
    propagate: Option<&api::PropagateTags>,
    has_managed: bool,
) -> Result<Vec<Tag>> {
    let mut all = tags::parse(given)?;
    match propagate {
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
    if has_managed {
        all.push(Tag { key: "aws:ecs:clusterName".to_owned(), value: cluster.name.to_string() });
    }
    Ok(all)
}
