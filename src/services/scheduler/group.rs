//! Groups of schedules.

use std::sync::Arc;

use api::scheduler as api;
use state::Cx;
use state::scheduler::{DEFAULT_GROUP, ScheduleGroup};

use crate::{Error, Result, invalid, page, required, tags};

/// How many groups an account has in a region at most, as in EventBridge Scheduler.
const GROUPS_MAX: usize = 500;

/// Makes a group. The same client token makes it only once.
pub(crate) async fn create_schedule_group(
    cx: &Cx,
    input: api::CreateScheduleGroupInput,
) -> Result<api::CreateScheduleGroupOutput> {
    let name = required(input.name, "name")?;
    let now = cx.now();
    let group = ScheduleGroup {
        tags: tags::parse(input.tags)?,
        client_token: input.client_token.clone(),
        created_at: Some(now),
        modified_at: Some(now),
        ..ScheduleGroup::new(cx.scope(), &name)
    };
    let exists = || Error::Conflict(format!("Schedule group {name} already exists."));
    if name == DEFAULT_GROUP {
        return Err(exists());
    }
    let table = &cx.state.scheduler.groups;
    if table.get(cx.scope(), &name).is_none() && table.walk(cx.scope(), None).count() >= GROUPS_MAX {
        // Text unverified.
        return Err(Error::ServiceQuotaExceeded(format!("The account has {GROUPS_MAX} schedule groups already.")));
    }
    let (group, is_new) = table.get_or_insert_with(cx.scope(), &name, || group);
    let is_repeated = input.client_token.is_some() && group.client_token == input.client_token;
    if !is_new && !is_repeated {
        return Err(exists());
    }
    Ok(api::CreateScheduleGroupOutput { schedule_group_arn: Some(group.arn.to_string()) })
}

/// Describes a group.
pub(crate) async fn get_schedule_group(
    cx: &Cx,
    input: api::GetScheduleGroupInput,
) -> Result<api::GetScheduleGroupOutput> {
    let group = find(cx, &required(input.name, "name")?)?;
    Ok(api::GetScheduleGroupOutput {
        arn: Some(group.arn.to_string()),
        creation_date: group.created_at.map(Into::into),
        last_modification_date: group.modified_at.map(Into::into),
        name: Some(group.name.clone()),
        state: Some(api::ScheduleGroupState::Active),
    })
}

/// Lists groups, the default one among them.
pub(crate) async fn list_schedule_groups(
    cx: &Cx,
    input: api::ListScheduleGroupsInput,
) -> Result<api::ListScheduleGroupsOutput> {
    let mut groups = cx.state.scheduler.groups.walk(cx.scope(), None).map(|(_, group)| group).collect::<Vec<_>>();
    if groups.iter().all(|group| group.name != DEFAULT_GROUP) {
        groups.extend(cx.state.scheduler.group(cx.scope(), DEFAULT_GROUP));
    }
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    let prefix = input.name_prefix.unwrap_or_default();
    groups.retain(|group| group.name.starts_with(&prefix));
    let page = page("ListScheduleGroups", (input.next_token, input.max_results), groups, |group| group.name.clone())?;
    let view = |group: &Arc<ScheduleGroup>| api::ScheduleGroupSummary {
        arn: Some(group.arn.to_string()),
        creation_date: group.created_at.map(Into::into),
        last_modification_date: group.modified_at.map(Into::into),
        name: Some(group.name.clone()),
        state: Some(api::ScheduleGroupState::Active),
    };
    Ok(api::ListScheduleGroupsOutput {
        schedule_groups: Some(page.items.iter().map(view).collect()),
        next_token: page.next,
    })
}

/// Deletes a group with its schedules, at once.
pub(crate) async fn delete_schedule_group(
    cx: &Cx,
    input: api::DeleteScheduleGroupInput,
) -> Result<api::DeleteScheduleGroupOutput> {
    let name = required(input.name, "name")?;
    if name == DEFAULT_GROUP {
        // Text unverified.
        return Err(invalid("The default schedule group cannot be deleted."));
    }
    let scheduler = &cx.state.scheduler;
    scheduler.groups.remove(cx.scope(), &name).ok_or_else(|| not_found(&name))?;
    for schedule in scheduler.schedules_of(cx.scope(), &name).collect::<Vec<_>>() {
        scheduler.schedules.remove(cx.scope(), &schedule.key);
    }
    Ok(api::DeleteScheduleGroupOutput::default())
}

/// Finds a group.
pub(crate) fn find(cx: &Cx, name: &str) -> Result<Arc<ScheduleGroup>> {
    cx.state.scheduler.group(cx.scope(), name).ok_or_else(|| not_found(name))
}

pub(crate) fn not_found(name: &str) -> Error {
    Error::ResourceNotFound(format!("Schedule group {name} does not exist."))
}
