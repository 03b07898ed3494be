//! Task definitions: registered, described, listed, deregistered.

mod compatibility;
mod container;
mod defaults;
mod delete;
mod dependency;
mod fargate;
mod logging;
mod parse;
mod reference;
mod register;
mod requires_attributes;
mod size;
mod validate;
mod volume;

use std::ops::Bound;

use api::ecs as api;
use base::Page;
use state::Cx;
use state::ecs::{Family, TaskDefinition, TaskDefinitionName, TaskDefinitionStatus};

use crate::{Error, Result, client, document, invalid, page, required, tags};

pub(crate) use delete::delete_task_definitions;
pub(crate) use parse::environment;
pub(crate) use reference::{Reference, find_active};
pub(crate) use register::{check, register_task_definition};
pub(crate) use size::{parse_cpu, parse_memory};

const LISTING: &str = "ListTaskDefinitions";
const FAMILY_LISTING: &str = "ListTaskDefinitionFamilies";

/// Describes one revision, active or not; a family alone means its newest active revision.
pub(crate) async fn describe_task_definition(
    cx: &Cx,
    input: api::DescribeTaskDefinitionRequest,
) -> Result<api::DescribeTaskDefinitionResponse> {
    let reference = Reference::parse(cx, &required(input.task_definition, "taskDefinition")?)?;
    let definition = reference.find(cx).ok_or_else(not_described)?;
    let wants_tags = input.include.unwrap_or_default().contains(&api::TaskDefinitionField::Tags);
    Ok(api::DescribeTaskDefinitionResponse {
        task_definition: Some(view(&definition)),
        tags: wants_tags.then(|| tags::view(&definition.tags)),
    })
}

/// Makes a revision inactive. What was started from it goes on; doing it again changes nothing.
pub(crate) async fn deregister_task_definition(
    cx: &Cx,
    input: api::DeregisterTaskDefinitionRequest,
) -> Result<api::DeregisterTaskDefinitionResponse> {
    let reference = Reference::parse(cx, &required(input.task_definition, "taskDefinition")?)?;
    // The text is moto's, as is the order: a missing revision is told before a missing family.
    let name = reference.name().ok_or_else(|| client("Revision is missing."))?;
    let now = cx.now();
    let deregister = |definition: &mut TaskDefinition| {
        // One that is being deleted stays so.
        if definition.status == TaskDefinitionStatus::Active {
            definition.status = TaskDefinitionStatus::Inactive;
            definition.deregistered_at = Some(now);
        }
    };
    let definition = cx.state.ecs.task_definitions.update(cx.scope(), &name, deregister).ok_or_else(not_described)?;
    Ok(api::DeregisterTaskDefinitionResponse { task_definition: Some(view(&definition)) })
}

/// Lists the ARNs of one status, by default ACTIVE, sorted by family and revision.
pub(crate) async fn list_task_definitions(
    cx: &Cx,
    input: api::ListTaskDefinitionsRequest,
) -> Result<api::ListTaskDefinitionsResponse> {
    let request = page::request(LISTING, input.max_results, input.next_token.as_deref())?;
    let wanted = match input.status.unwrap_or(api::TaskDefinitionStatus::Active) {
        api::TaskDefinitionStatus::Active => Some(TaskDefinitionStatus::Active),
        api::TaskDefinitionStatus::Inactive => Some(TaskDefinitionStatus::Inactive),
        api::TaskDefinitionStatus::DeleteInProgress => Some(TaskDefinitionStatus::DeleteInProgress),
        api::TaskDefinitionStatus::Other(_) => None,
    };
    let is_descending = input.sort == Some(api::SortOrder::Desc);
    // Despite its name, familyPrefix is a whole family name.
    let family = input.family_prefix.as_deref().map(Family::parse);
    let after = request.after.as_deref().map(|key| parse_name(key).ok_or_else(|| invalid("Invalid token.")));
    let after = after.transpose()?;
    let stretch = match family {
        None => Some((Bound::Unbounded, Bound::Unbounded)),
        Some(family) => family.map(|family| family.revisions()),
    };
    let page = match (wanted, stretch) {
        (Some(status), Some(stretch)) => {
            let rest = page::rest_of(stretch, after, is_descending);
            let (table, label) = (&cx.state.ecs.task_definitions, Some(status.label()));
            let found: Box<dyn Iterator<Item = _>> = if is_descending {
                Box::new(table.walk_back(cx.scope(), label, rest))
            } else {
                Box::new(table.walk_between(cx.scope(), label, rest))
            };
            let found = found.map(|(_, definition)| definition).filter(|definition| definition.status == status);
            Page::cut(LISTING, request.size, found, |definition| definition.name.to_string())
        }
        (None, _) | (_, None) => Page { items: Vec::new(), next: None },
    };
    let arns = page.items.iter().map(|definition| definition.arn.to_string()).collect();
    Ok(api::ListTaskDefinitionsResponse { task_definition_arns: Some(arns), next_token: page.next })
}

/// Lists family names by prefix. ACTIVE families have an active revision, INACTIVE ones have none; by default both.
pub(crate) async fn list_task_definition_families(
    cx: &Cx,
    input: api::ListTaskDefinitionFamiliesRequest,
) -> Result<api::ListTaskDefinitionFamiliesResponse> {
    let request = page::request(FAMILY_LISTING, input.max_results, input.next_token.as_deref())?;
    let wants_active = match input.status {
        None | Some(api::TaskDefinitionFamilyStatus::All | api::TaskDefinitionFamilyStatus::Other(_)) => None,
        Some(api::TaskDefinitionFamilyStatus::Active) => Some(true),
        Some(api::TaskDefinitionFamilyStatus::Inactive) => Some(false),
    };
    let prefix = input.family_prefix.unwrap_or_default();
    let after = request.after.as_deref().and_then(Family::parse);
    let after = after.map(|family| TaskDefinitionName { family, revision: u32::MAX });
    let rest = page::rest_of(Family::revisions_of_prefix(&prefix), after, false);
    // A family whose last revision was deleted is a number to go on from, and not shown.
    let status = wants_active.filter(|wants| *wants).map(|_| TaskDefinitionStatus::Active);
    let found = cx.state.ecs.families_with(cx.scope(), status, rest);
    let found =
        found.filter(|family| wants_active != Some(false) || cx.state.ecs.latest_active(cx.scope(), family).is_none());
    let page = Page::cut(FAMILY_LISTING, request.size, found, |family| family.to_string());
    let families = page.items.iter().map(ToString::to_string).collect();
    Ok(api::ListTaskDefinitionFamiliesResponse { families: Some(families), next_token: page.next })
}

/// Checks that Fargate has a task of that size; for tasks whose size was overridden.
pub(crate) fn check_fargate_size(cpu_units: Option<u32>, memory_mib: Option<u32>) -> Result<()> {
    size::fargate(cpu_units, memory_mib, None).map(|_| ())
}

/// Shapes a definition for a response.
pub(crate) fn view(definition: &TaskDefinition) -> api::TaskDefinition {
    let status = match definition.status {
        TaskDefinitionStatus::Active => api::TaskDefinitionStatus::Active,
        TaskDefinitionStatus::Inactive => api::TaskDefinitionStatus::Inactive,
        TaskDefinitionStatus::DeleteInProgress => api::TaskDefinitionStatus::DeleteInProgress,
    };
    api::TaskDefinition {
        task_definition_arn: Some(definition.arn.to_string()),
        revision: i32::try_from(definition.name.revision).ok(),
        status: Some(status),
        registered_at: Some(definition.registered_at.into()),
        deregistered_at: definition.deregistered_at.map(Into::into),
        delete_requested_at: definition.delete_requested_at.map(Into::into),
        registered_by: Some(definition.registered_by.clone()),
        ..document::read(&definition.document)
    }
}

fn not_described() -> Error {
    client("Unable to describe task definition.")
}

fn parse_name(text: &str) -> Option<TaskDefinitionName> {
    let (family, revision) = text.rsplit_once(':')?;
    Some(TaskDefinitionName { family: Family::parse(family)?, revision: revision.parse().ok()? })
}
