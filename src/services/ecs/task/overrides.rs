//! What RunTask changes of a definition.

use api::ecs as api;
use state::ecs::{ContainerOverride, EPHEMERAL_STORAGE_DEFAULT_GIB, Overrides, TaskDefinition};

use crate::task_definition::{parse_cpu, parse_memory};
use crate::{Result, document, invalid};

/// The longest overrides, as JSON.
const OVERRIDES_CHARS_MAX: usize = 8192;

/// Overrides, and the task's size with them applied.
pub(super) struct Overridden {
    pub(super) overrides: Overrides,
    pub(super) cpu_units: Option<u32>,
    pub(super) memory_mib: Option<u32>,
    pub(super) ephemeral_storage_gib: u32,
}

/// Checks overrides against the definition, and completes them: one entry a container, in the definition's order.
pub(super) fn parse(definition: &TaskDefinition, input: Option<api::TaskOverride>) -> Result<Overridden> {
    let mut input = input.unwrap_or_default();
    if document::write::<String>(&input).len() > OVERRIDES_CHARS_MAX {
        return Err(invalid(format!("Container Overrides length must be at most {OVERRIDES_CHARS_MAX}")));
    }
    let given = input.container_overrides.take().unwrap_or_default();
    for entry in &given {
        let name = entry.name.as_deref().unwrap_or_default();
        if !definition.containers.iter().any(|container| container.name == name) {
            return Err(invalid(format!(
                "Override for container named {name} is not a container in the TaskDefinition."
            )));
        }
    }
    let cpu_units = input.cpu.as_deref().map(parse_cpu).transpose()?.or(definition.cpu_units);
    let memory_mib = input.memory.as_deref().map(parse_memory).transpose()?.or(definition.memory_mib);
    if input.cpu.is_some() || input.memory.is_some() {
        // The task still has to be of a size that Fargate has.
        crate::task_definition::check_fargate_size(cpu_units, memory_mib)?;
    }
    // Zero is what some clients send for a member that was not set: it overrides nothing.
    let is_size = |number: Option<i32>| number.is_none_or(|number| number >= 0);
    for entry in &given {
        // Text as in RegisterTaskDefinition; unverified for overrides.
        if !(is_size(entry.memory) && is_size(entry.memory_reservation)) {
            let name = entry.name.as_deref().unwrap_or_default();
            return Err(invalid(format!("Invalid 'memory' setting for container '{name}'.")));
        }
    }
    for entry in &given {
        // Text as in RegisterTaskDefinition; unverified for overrides.
        let variables = entry.environment.iter().flatten().flat_map(|pair| [&pair.name, &pair.value]).flatten();
        let has_nul = |text: &String| text.contains('\0');
        let name = entry.name.as_deref().unwrap_or_default();
        if entry.command.iter().flatten().any(has_nul) {
            return Err(invalid(format!("Invalid 'command' setting for container '{name}'.")));
        }
        if variables.into_iter().any(has_nul) {
            return Err(invalid(format!("Invalid 'environment' setting for container '{name}'.")));
        }
    }
    let storage = input.ephemeral_storage.as_ref().and_then(|storage| storage.size_in_gi_b);
    let storage = storage.and_then(|gib| u32::try_from(gib).ok()).or(definition.ephemeral_storage_gib);
    let containers = given.iter().map(container).collect();
    let entry_of = |name: &String| {
        let known = given.iter().find(|entry| entry.name.as_ref() == Some(name)).cloned();
        known.unwrap_or_else(|| api::ContainerOverride { name: Some(name.clone()), ..Default::default() })
    };
    let shown = api::TaskOverride {
        container_overrides: Some(definition.containers.iter().map(|container| entry_of(&container.name)).collect()),
        inference_accelerator_overrides: Some(input.inference_accelerator_overrides.take().unwrap_or_default()),
        ..input
    };
    Ok(Overridden {
        overrides: Overrides {
            document: Some(document::write(&shown)),
            containers,
            execution_role_arn: shown.execution_role_arn,
            task_role_arn: shown.task_role_arn,
        },
        cpu_units,
        memory_mib,
        ephemeral_storage_gib: storage.unwrap_or(EPHEMERAL_STORAGE_DEFAULT_GIB),
    })
}

fn container(entry: &api::ContainerOverride) -> ContainerOverride {
    let positive =
        |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
    ContainerOverride {
        name: entry.name.clone().unwrap_or_default(),
        command: entry.command.clone().filter(|command| !command.is_empty()),
        environment: crate::task_definition::environment(entry.environment.as_deref()),
        environment_files: entry.environment_files.iter().flatten().filter_map(|file| file.value.clone()).collect(),
        cpu_units: positive(entry.cpu),
        memory_mib: positive(entry.memory),
        memory_reservation_mib: positive(entry.memory_reservation),
    }
}
