//! Daemon task definitions: registered, described, listed, deleted.

use std::cell::LazyCell;
use std::collections::HashSet;
use std::sync::Arc;

use api::ecs as api;
use base::{Arn, Page};
use state::ecs::{DaemonTaskDefinition, Family, FamilyRevisions, TaskDefinitionName};
use state::{Cx, Document};

use super::reference;
use crate::{Error, Result, client, document, invalid, page, required, tags, task_definition};

const LISTING: &str = "ListDaemonTaskDefinitions";
/// The largest definition, as JSON: that of task definitions.
const DEFINITION_BYTES_MAX: usize = 65_536;
/// The most revisions of a family: that of task definitions.
const REVISIONS_MAX: u32 = 1_000_000;
/// The health check's defaults, in seconds and times.
const HEALTH_INTERVAL_S: i32 = 30;
const HEALTH_TIMEOUT_S: i32 = 5;
const HEALTH_RETRIES: i32 = 3;

/// Registers the next revision of a family. The rules are those of task definitions.
pub(crate) async fn register_daemon_task_definition(
    cx: &Cx,
    input: api::RegisterDaemonTaskDefinitionRequest,
) -> Result<api::RegisterDaemonTaskDefinitionResponse> {
    let tags = tags::parse(input.tags.clone())?;
    let family = required(input.family.clone(), "family")?;
    let family = Family::parse(&family).ok_or_else(|| client("Family contains invalid characters."))?;
    // The members that there are have the names and the meaning of a task definition's.
    let (cpu_units, memory_mib) = task_definition::check(&document::read(&document::write::<Document>(&input)))?;
    let definition = fill(input, cpu_units, memory_mib);
    let json = document::write::<Document>(&definition);
    if json.as_str().len() > DEFINITION_BYTES_MAX {
        return Err(client(format!(
            "Actual length: '{}'. Max allowed length is '{DEFINITION_BYTES_MAX}' bytes.",
            json.as_str().len()
        )));
    }
    let revision = next_revision(cx, &family);
    if revision > REVISIONS_MAX {
        return Err(Error::LimitExceeded(format!("The family {family} has reached {REVISIONS_MAX} revisions.")));
    }
    let image = |container: &api::DaemonContainerDefinition| {
        (container.name.clone().unwrap_or_default(), container.image.clone().unwrap_or_default())
    };
    let name = TaskDefinitionName { family, revision };
    let record = DaemonTaskDefinition {
        arn: Arn::new("ecs", cx.scope(), &format!("daemon-task-definition/{name}")),
        registered_at: cx.now(),
        registered_by: cx.principal().arn.to_string(),
        delete_requested_at: None,
        tags,
        document: json,
        images: definition.container_definitions.iter().flatten().map(image).collect(),
        name: name.clone(),
    };
    let record = cx.state.ecs.daemon_task_definitions.insert(cx.scope(), &name, record);
    Ok(api::RegisterDaemonTaskDefinitionResponse { daemon_task_definition_arn: Some(record.arn.to_string()) })
}

/// Describes one revision, deleted or not; a family alone means its newest active revision.
pub(crate) async fn describe_daemon_task_definition(
    cx: &Cx,
    input: api::DescribeDaemonTaskDefinitionRequest,
) -> Result<api::DescribeDaemonTaskDefinitionResponse> {
    let (family, revision) = parse(cx, &required(input.daemon_task_definition, "daemonTaskDefinition")?)?;
    let definition = match revision {
        Some(revision) => get(cx, family, revision),
        None => family.and_then(|family| cx.state.ecs.latest_active_daemon_definition(cx.scope(), &family)),
    };
    let definition = definition.ok_or_else(not_described)?;
    let is_in_use = |name: &TaskDefinitionName| definitions_in_use(cx).contains(name);
    Ok(api::DescribeDaemonTaskDefinitionResponse { daemon_task_definition: Some(view(&definition, &is_in_use)) })
}

/// Deletes a revision: no daemon can be made from it any more, and those that were go on.
pub(crate) async fn delete_daemon_task_definition(
    cx: &Cx,
    input: api::DeleteDaemonTaskDefinitionRequest,
) -> Result<api::DeleteDaemonTaskDefinitionResponse> {
    let (family, revision) = parse(cx, &required(input.daemon_task_definition, "daemonTaskDefinition")?)?;
    let revision = revision.ok_or_else(|| client("Revision is missing."))?;
    let definition = get(cx, family, revision).ok_or_else(not_described)?;
    let now = cx.now();
    let delete = |row: &mut DaemonTaskDefinition| match row.delete_requested_at {
        Some(_) => Err(inactive()),
        None => {
            row.delete_requested_at = Some(now);
            Ok(())
        }
    };
    let deleted = cx.state.ecs.daemon_task_definitions.try_update(cx.scope(), &definition.name, delete);
    let deleted = deleted.unwrap_or_else(|| Err(not_described()))?;
    Ok(api::DeleteDaemonTaskDefinitionResponse { daemon_task_definition_arn: Some(deleted.arn.to_string()) })
}

/// Lists revisions of one status, by default ACTIVE, sorted by family and revision.
pub(crate) async fn list_daemon_task_definitions(
    cx: &Cx,
    input: api::ListDaemonTaskDefinitionsRequest,
) -> Result<api::ListDaemonTaskDefinitionsResponse> {
    let request = page::request(LISTING, input.max_results, input.next_token.as_deref())?;
    let after = request.after.as_deref().map(|key| parse_name(key).ok_or_else(|| invalid("Invalid token.")));
    let after = after.transpose()?;
    let is_descending = input.sort == Some(api::SortOrder::Desc);
    let only_last = input.revision == Some(api::DaemonTaskDefinitionRevisionFilter::LastRegistered);
    let wanted = input.status.unwrap_or(api::DaemonTaskDefinitionStatusFilter::Active);
    let in_use = LazyCell::new(|| definitions_in_use(cx));
    let is_in_use = |name: &TaskDefinitionName| in_use.contains(name);
    let prefix = input.family_prefix.unwrap_or_default();
    let is_wanted = |definition: &DaemonTaskDefinition| {
        let is_last = || cx.state.ecs.daemon_families.get(cx.scope(), &definition.name.family);
        has_status(definition, &wanted, &is_in_use)
            && definition.name.family.as_str().starts_with(&prefix)
            && input.family.as_deref().is_none_or(|family| definition.name.family.as_str() == family)
            && (!only_last || is_last().is_some_and(|family| family.last == definition.name.revision))
    };
    // What lies outside of the family or the prefix need not be looked at.
    let stretch = Family::revisions_of_prefix(input.family.as_deref().unwrap_or(&prefix));
    let rest = page::rest_of(stretch, after, is_descending);
    let label = match wanted {
        api::DaemonTaskDefinitionStatusFilter::Active => Some(DaemonTaskDefinition::active()),
        api::DaemonTaskDefinitionStatusFilter::DeleteInProgress => Some(DaemonTaskDefinition::deleted()),
        api::DaemonTaskDefinitionStatusFilter::All | api::DaemonTaskDefinitionStatusFilter::Other(_) => None,
    };
    let table = &cx.state.ecs.daemon_task_definitions;
    let near: Box<dyn Iterator<Item = _>> = if is_descending {
        Box::new(table.walk_back(cx.scope(), label, rest))
    } else {
        Box::new(table.walk_between(cx.scope(), label, rest))
    };
    let found = near.map(|(_, definition)| definition).filter(|definition| is_wanted(definition));
    let page = Page::cut(LISTING, request.size, found, |definition| definition.name.to_string());
    let summaries = page.items.iter().map(|definition| summary(definition, &is_in_use)).collect();
    Ok(api::ListDaemonTaskDefinitionsResponse { daemon_task_definitions: Some(summaries), next_token: page.next })
}

/// Finds a definition that a daemon can be made from.
pub(super) fn find_active(cx: &Cx, text: &str) -> Result<Arc<DaemonTaskDefinition>> {
    let (family, revision) = parse(cx, text)?;
    let definition = match revision {
        Some(revision) => get(cx, family, revision),
        None => family.and_then(|family| cx.state.ecs.latest_active_daemon_definition(cx.scope(), &family)),
    };
    let definition = definition.ok_or_else(|| client("DaemonTaskDefinition not found."))?;
    if definition.delete_requested_at.is_some() { Err(inactive()) } else { Ok(definition) }
}

/// Shapes a request as the definition that responses show: the defaults are those of the API reference's example.
fn fill(
    input: api::RegisterDaemonTaskDefinitionRequest,
    cpu_units: Option<u32>,
    memory_mib: Option<u32>,
) -> api::DaemonTaskDefinition {
    let container = |mut container: api::DaemonContainerDefinition| {
        container.cpu.get_or_insert(0);
        container.essential.get_or_insert(true);
        container.environment.get_or_insert_default();
        container.mount_points.get_or_insert_default();
        container.secrets.get_or_insert_default();
        if let Some(check) = &mut container.health_check {
            check.interval.get_or_insert(HEALTH_INTERVAL_S);
            check.timeout.get_or_insert(HEALTH_TIMEOUT_S);
            check.retries.get_or_insert(HEALTH_RETRIES);
        }
        container
    };
    let containers = input.container_definitions.unwrap_or_default();
    api::DaemonTaskDefinition {
        family: input.family,
        task_role_arn: input.task_role_arn,
        execution_role_arn: input.execution_role_arn,
        container_definitions: Some(containers.into_iter().map(container).collect()),
        volumes: Some(input.volumes.unwrap_or_default()),
        cpu: cpu_units.map(|units| units.to_string()),
        memory: memory_mib.map(|mib| mib.to_string()),
        ..api::DaemonTaskDefinition::default()
    }
}

/// Takes the next revision number of a family.
fn next_revision(cx: &Cx, family: &Family) -> u32 {
    let families = &cx.state.ecs.daemon_families;
    let (row, is_new) = families.get_or_insert_with(cx.scope(), family, || FamilyRevisions { last: 1 });
    if is_new {
        return row.last;
    }
    let row = families.update(cx.scope(), family, |row| row.last += 1);
    row.expect("families are removed only by a reset, together with everything else").last
}

/// Reads a family, `family:revision` or an ARN of this account. A family of impossible form is one that is missing.
fn parse(cx: &Cx, text: &str) -> Result<(Option<Family>, Option<u32>)> {
    let name = if text.starts_with("arn:") {
        let arn = Arn::parse(text).ok_or_else(|| invalid("The ARN provided is invalid."))?;
        if arn.account() != Some(cx.scope().account) {
            return Err(invalid("AccountIDs mismatch"));
        }
        let is_here = arn.service() == "ecs" && arn.region().as_ref() == Some(&cx.scope().region);
        arn.resource_of("daemon-task-definition").filter(|_| is_here).unwrap_or_default().to_owned()
    } else {
        text.to_owned()
    };
    let Some((family, revision)) = name.rsplit_once(':') else { return Ok((Family::parse(&name), None)) };
    let number = revision.parse().map_err(|_| invalid(format!("Invalid revision number. Number: {revision}")))?;
    Ok((Family::parse(family), Some(number)))
}

fn get(cx: &Cx, family: Option<Family>, revision: u32) -> Option<Arc<DaemonTaskDefinition>> {
    cx.state.ecs.daemon_task_definitions.get(cx.scope(), &TaskDefinitionName { family: family?, revision })
}

/// Collects the definitions that daemons run: the deletion of one of these is not done.
fn definitions_in_use(cx: &Cx) -> HashSet<TaskDefinitionName> {
    let daemons = cx.state.ecs.daemons.walk(cx.scope(), None).map(|(_, daemon)| daemon);
    daemons.filter(|daemon| !reference::is_gone(cx, daemon)).map(|daemon| daemon.definition.clone()).collect()
}

fn status(
    definition: &DaemonTaskDefinition,
    is_in_use: &dyn Fn(&TaskDefinitionName) -> bool,
) -> api::DaemonTaskDefinitionStatus {
    match definition.delete_requested_at {
        None => api::DaemonTaskDefinitionStatus::Active,
        Some(_) if is_in_use(&definition.name) => api::DaemonTaskDefinitionStatus::DeleteInProgress,
        Some(_) => api::DaemonTaskDefinitionStatus::Deleted,
    }
}

fn has_status(
    definition: &DaemonTaskDefinition,
    wanted: &api::DaemonTaskDefinitionStatusFilter,
    is_in_use: &dyn Fn(&TaskDefinitionName) -> bool,
) -> bool {
    match wanted {
        api::DaemonTaskDefinitionStatusFilter::Active => {
            status(definition, is_in_use) == api::DaemonTaskDefinitionStatus::Active
        }
        api::DaemonTaskDefinitionStatusFilter::DeleteInProgress => {
            status(definition, is_in_use) == api::DaemonTaskDefinitionStatus::DeleteInProgress
        }
        api::DaemonTaskDefinitionStatusFilter::All | api::DaemonTaskDefinitionStatusFilter::Other(_) => true,
    }
}

fn view(
    definition: &DaemonTaskDefinition,
    is_in_use: &dyn Fn(&TaskDefinitionName) -> bool,
) -> api::DaemonTaskDefinition {
    api::DaemonTaskDefinition {
        daemon_task_definition_arn: Some(definition.arn.to_string()),
        revision: i32::try_from(definition.name.revision).ok(),
        status: Some(status(definition, is_in_use)),
        registered_at: Some(definition.registered_at.into()),
        delete_requested_at: definition.delete_requested_at.map(Into::into),
        registered_by: Some(definition.registered_by.clone()),
        ..document::read(&definition.document)
    }
}

fn summary(
    definition: &DaemonTaskDefinition,
    is_in_use: &dyn Fn(&TaskDefinitionName) -> bool,
) -> api::DaemonTaskDefinitionSummary {
    api::DaemonTaskDefinitionSummary {
        arn: Some(definition.arn.to_string()),
        registered_at: Some(definition.registered_at.into()),
        registered_by: Some(definition.registered_by.clone()),
        delete_requested_at: definition.delete_requested_at.map(Into::into),
        status: Some(status(definition, is_in_use)),
    }
}

fn parse_name(text: &str) -> Option<TaskDefinitionName> {
    let (family, revision) = text.rsplit_once(':')?;
    Some(TaskDefinitionName { family: Family::parse(family)?, revision: revision.parse().ok()? })
}

fn not_described() -> Error {
    client("Unable to describe daemon task definition.")
}

fn inactive() -> Error {
    client("The daemon task definition is not ACTIVE.")
}
