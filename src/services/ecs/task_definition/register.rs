//! RegisterTaskDefinition: from a request to a revision.

use api::ecs as api;
use base::Arn;
use state::ecs::{ContainerDefinition, Family, TaskDefinition, TaskDefinitionName, TaskDefinitionStatus};
use state::{Cx, Document};

use super::{compatibility, defaults, dependency, fargate, parse, requires_attributes, validate, view, volume};
use crate::{Error, Result, client, document, required, tags};

/// The largest definition, as JSON.
const DEFINITION_BYTES_MAX: usize = 65_536;
/// The most revisions of a family.
const REVISIONS_MAX: u32 = 1_000_000;

/// Registers the next revision of a family.
pub(crate) async fn register_task_definition(
    cx: &Cx,
    input: api::RegisterTaskDefinitionRequest,
) -> Result<api::RegisterTaskDefinitionResponse> {
    if input.tags.as_ref().is_some_and(Vec::is_empty) {
        return Err(client("Tags can not be empty"));
    }
    let tags = tags::parse(input.tags.clone())?;
    let family = required(input.family.clone(), "family")?;
    let family = Family::parse(&family).ok_or_else(|| client("Family contains invalid characters."))?;
    let (cpu_units, memory_mib) = check(&input)?;
    let requires_fargate = requires_fargate(&input);
    // One that asked for the check has passed it already.
    let is_fargate_compatible = requires_fargate || fargate::check(&input, cpu_units, memory_mib).is_ok();

    let mut definition = defaults::fill(input, cpu_units, memory_mib);
    definition.compatibilities = Some(compatibility::of(&definition, is_fargate_compatible));
    definition.requires_attributes = Some(requires_attributes::of(&definition));
    let json = document::write::<Document>(&definition);
    if json.as_str().len() > DEFINITION_BYTES_MAX {
        return Err(client(format!(
            "Actual length: '{}'. Max allowed length is '{DEFINITION_BYTES_MAX}' bytes.",
            json.as_str().len()
        )));
    }

    let revision = cx.state.ecs.next_revision(cx.scope(), &family);
    if revision > REVISIONS_MAX {
        return Err(Error::LimitExceeded(format!("The family {family} has reached {REVISIONS_MAX} revisions.")));
    }
    let name = TaskDefinitionName { family, revision };
    let network_mode = parse::network_mode(definition.network_mode.as_ref());
    let defined = definition.container_definitions.as_deref().unwrap_or_default();
    let waits = dependency::of(defined);
    let containers = defined
        .iter()
        .zip(waits)
        .map(|(container, depends_on)| ContainerDefinition { depends_on, ..parse::container(container, network_mode) });
    let record = TaskDefinition {
        arn: Arn::new("ecs", cx.scope(), &format!("task-definition/{name}")),
        status: TaskDefinitionStatus::Active,
        registered_at: cx.now(),
        deregistered_at: None,
        delete_requested_at: None,
        registered_by: cx.principal().arn.to_string(),
        tags,
        document: json,
        requires_fargate,
        is_fargate_compatible,
        network_mode,
        cpu_units,
        memory_mib,
        ephemeral_storage_gib: parse::ephemeral_storage_gib(definition.ephemeral_storage.as_ref()),
        execution_role_arn: definition.execution_role_arn.clone(),
        task_role_arn: definition.task_role_arn.clone(),
        shares_pids: definition.pid_mode == Some(api::PidMode::Task),
        volumes: volume::volumes(definition.volumes.as_deref()),
        allows_fault_injection: definition.enable_fault_injection == Some(true),
        cpu_architecture: parse::cpu_architecture(definition.runtime_platform.as_ref()),
        containers: containers.collect(),
        name: name.clone(),
    };
    let record = cx.state.ecs.task_definitions.insert(cx.scope(), &name, record);
    Ok(api::RegisterTaskDefinitionResponse {
        task_definition: Some(view(&record)),
        tags: (!record.tags.is_empty()).then(|| tags::view(&record.tags)),
    })
}

/// Checks a definition, and returns its CPU units and its memory in MiB.
pub(crate) fn check(input: &api::RegisterTaskDefinitionRequest) -> Result<(Option<u32>, Option<u32>)> {
    let (cpu_units, memory_mib) = validate::sizes(input)?;
    if requires_fargate(input) {
        fargate::check(input, cpu_units, memory_mib)?;
    }
    validate::check(input, cpu_units, memory_mib)?;
    Ok((cpu_units, memory_mib))
}

fn requires_fargate(input: &api::RegisterTaskDefinitionRequest) -> bool {
    input.requires_compatibilities.iter().flatten().any(|c| *c == api::Compatibility::Fargate)
}
