//! Schedules.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use api::scheduler as api;
use aws_smithy_types::DateTime;
use base::{Arn, Timestamp};
use schedule::{Dialect, Expression, Zone};
use state::Cx;
use state::scheduler::{DEFAULT_GROUP, Schedule, ScheduleKey};

use crate::{Error, Result, document, group, invalid, page, required, target};

/// How long ago a recurring schedule may be said to have begun.
const START_AGE_MAX: Duration = Duration::from_mins(5);

/// Makes a schedule. The same client token makes it only once.
pub(crate) async fn create_schedule(cx: &Cx, input: api::CreateScheduleInput) -> Result<api::CreateScheduleOutput> {
    let digest = digest(document::write(&input).as_str());
    let token = input.client_token.clone().map(|token| (token, digest));
    let wanted = Wanted {
        name: input.name,
        group: input.group_name,
        expression: input.schedule_expression,
        time_zone: input.schedule_expression_timezone,
        start: input.start_date,
        end: input.end_date,
        window: input.flexible_time_window,
        state: input.state,
        after_completion: input.action_after_completion,
        description: input.description,
        kms_key: input.kms_key_arn,
        target: input.target,
    };
    let schedule = Schedule { client_token: token.clone(), ..wanted.parse(cx, None)? };
    let key = schedule.key.clone();
    let (known, is_new) = cx.state.scheduler.schedules.get_or_insert_with(cx.scope(), &key, || schedule);
    let is_repeated = token.is_some() && known.client_token == token;
    if !is_new && !is_repeated {
        return Err(Error::Conflict(format!("Schedule {} already exists.", key.name)));
    }
    Ok(api::CreateScheduleOutput { schedule_arn: Some(known.arn.to_string()) })
}

/// Replaces all that a schedule says. What the request leaves out is as if it had never been said.
pub(crate) async fn update_schedule(cx: &Cx, input: api::UpdateScheduleInput) -> Result<api::UpdateScheduleOutput> {
    let wanted = Wanted {
        name: input.name,
        group: input.group_name,
        expression: input.schedule_expression,
        time_zone: input.schedule_expression_timezone,
        start: input.start_date,
        end: input.end_date,
        window: input.flexible_time_window,
        state: input.state,
        after_completion: input.action_after_completion,
        description: input.description,
        kms_key: input.kms_key_arn,
        target: input.target,
    };
    let known = key(cx, wanted.name.clone(), wanted.group.clone())?;
    let known = cx.state.scheduler.schedules.get(cx.scope(), &known);
    let wanted = wanted.parse(cx, known.as_deref())?;
    let key = wanted.key.clone();
    let updated = cx.state.scheduler.schedules.update(cx.scope(), &key, |schedule| {
        let (created_at, client_token) = (schedule.created_at, schedule.client_token.take());
        *schedule = Schedule { created_at, client_token, ..wanted };
    });
    let updated = updated.ok_or_else(|| not_found(&key.name))?;
    Ok(api::UpdateScheduleOutput { schedule_arn: Some(updated.arn.to_string()) })
}

/// Describes a schedule.
pub(crate) async fn get_schedule(cx: &Cx, input: api::GetScheduleInput) -> Result<api::GetScheduleOutput> {
    let key = key(cx, input.name, input.group_name)?;
    let schedule = cx.state.scheduler.schedules.get(cx.scope(), &key).ok_or_else(|| not_found(&key.name))?;
    let after =
        if schedule.deletes_itself { api::ActionAfterCompletion::Delete } else { api::ActionAfterCompletion::None };
    Ok(api::GetScheduleOutput {
        action_after_completion: Some(after),
        arn: Some(schedule.arn.to_string()),
        creation_date: Some(schedule.created_at.into()),
        description: schedule.description.clone(),
        end_date: schedule.end.map(Into::into),
        flexible_time_window: Some(window_view(&schedule)),
        group_name: Some(schedule.key.group.clone()),
        kms_key_arn: schedule.kms_key.clone(),
        last_modification_date: Some(schedule.modified_at.into()),
        name: Some(schedule.key.name.clone()),
        schedule_expression: Some(schedule.expression.clone()),
        schedule_expression_timezone: Some(schedule.time_zone.clone().unwrap_or_else(|| "UTC".to_owned())),
        start_date: schedule.start.map(Into::into),
        state: Some(state_of(&schedule)),
        target: Some(document::read(&schedule.target.shown)),
    })
}

/// Lists schedules.
pub(crate) async fn list_schedules(cx: &Cx, input: api::ListSchedulesInput) -> Result<api::ListSchedulesOutput> {
    if let Some(name) = &input.group_name {
        group::find(cx, name)?;
    }
    let prefix = input.name_prefix.unwrap_or_default();
    let rows = cx.state.scheduler.schedules.walk(cx.scope(), None).map(|(_, row)| row);
    let rows = rows.filter(|row| input.group_name.as_ref().is_none_or(|group| row.key.group == *group));
    let rows = rows.filter(|row| row.key.name.starts_with(&prefix));
    let rows = rows.filter(|row| input.state.as_ref().is_none_or(|wanted| state_of(row) == *wanted));
    let place = |row: &Arc<Schedule>| format!("{}\n{}", row.key.group, row.key.name);
    let page = page("ListSchedules", (input.next_token, input.max_results), rows, place)?;
    let view = |row: &Arc<Schedule>| api::ScheduleSummary {
        arn: Some(row.arn.to_string()),
        creation_date: Some(row.created_at.into()),
        group_name: Some(row.key.group.clone()),
        last_modification_date: Some(row.modified_at.into()),
        name: Some(row.key.name.clone()),
        state: Some(state_of(row)),
        target: Some(api::TargetSummary { arn: Some(row.target.arn.clone()) }),
    };
    Ok(api::ListSchedulesOutput { schedules: Some(page.items.iter().map(view).collect()), next_token: page.next })
}

/// Deletes a schedule.
pub(crate) async fn delete_schedule(cx: &Cx, input: api::DeleteScheduleInput) -> Result<api::DeleteScheduleOutput> {
    let key = key(cx, input.name, input.group_name)?;
    cx.state.scheduler.schedules.remove(cx.scope(), &key).ok_or_else(|| not_found(&key.name))?;
    Ok(api::DeleteScheduleOutput::default())
}

/// What a request says of a schedule.
struct Wanted {
    name: Option<String>,
    group: Option<String>,
    expression: Option<String>,
    time_zone: Option<String>,
    start: Option<DateTime>,
    end: Option<DateTime>,
    window: Option<api::FlexibleTimeWindow>,
    state: Option<api::ScheduleState>,
    after_completion: Option<api::ActionAfterCompletion>,
    description: Option<String>,
    kms_key: Option<String>,
    target: Option<api::Target>,
}

impl Wanted {
    /// Reads a schedule; `known` is the one that it takes the place of.
    fn parse(self, cx: &Cx, known: Option<&Schedule>) -> Result<Schedule> {
        let key = key(cx, self.name, self.group)?;
        let expression = required(self.expression, "scheduleExpression")?;
        let parsed = Expression::parse(&expression, Dialect::Scheduler)
            .map_err(|_| invalid(format!("Invalid Schedule Expression {expression}.")))?;
        if let Some(zone) = self.time_zone.as_deref().filter(|name| Zone::get(name).is_none()) {
            // Text unverified.
            return Err(invalid(format!("Invalid Schedule Expression Timezone {zone}.")));
        }
        let (now, time) = (cx.now(), |at: DateTime| at.to_millis().ok().map(Timestamp::from_millis));
        let (start, end) = (self.start.and_then(time), self.end.and_then(time));
        if !matches!(parsed, Expression::At(_)) {
            // That a start which was said before may be said again is unverified.
            let is_known = known.is_some_and(|known| known.start == start);
            check_dates(start, is_known, end, now)?;
        }
        Ok(Schedule {
            arn: Arn::new("scheduler", cx.scope(), &format!("schedule/{}/{}", key.group, key.name)),
            key,
            expression,
            time_zone: self.time_zone,
            start,
            end,
            window_minutes: window(&required(self.window, "flexibleTimeWindow")?)?,
            is_enabled: self.state != Some(api::ScheduleState::Disabled),
            deletes_itself: self.after_completion == Some(api::ActionAfterCompletion::Delete),
            description: self.description,
            kms_key: self.kms_key,
            target: target::parse(required(self.target, "target")?)?,
            client_token: None,
            created_at: now,
            modified_at: now,
            ran_at: None,
        })
    }
}

/// Checks from when and until when a recurring schedule is to run; one-time schedules ignore both.
fn check_dates(start: Option<Timestamp>, is_known: bool, end: Option<Timestamp>, now: Timestamp) -> Result<()> {
    if !is_known && start.is_some_and(|start| start.plus(START_AGE_MAX) < now) {
        // Seen: getmoto/moto#8172.
        return Err(invalid("The StartDate you specify cannot be earlier than 5 minutes ago."));
    }
    // Texts unverified.
    if end.is_some_and(|end| end <= now) {
        return Err(invalid("The EndDate you specify cannot be earlier than the current time."));
    }
    if start.zip(end).is_some_and(|(start, end)| start >= end) {
        return Err(invalid("The StartDate you specify must come before the EndDate."));
    }
    Ok(())
}

/// Returns the key of a schedule in a group that is there.
fn key(cx: &Cx, name: Option<String>, group: Option<String>) -> Result<ScheduleKey> {
    let group = group.unwrap_or_else(|| DEFAULT_GROUP.to_owned());
    group::find(cx, &group)?;
    Ok(ScheduleKey { group, name: required(name, "name")? })
}

// Texts unverified.
fn window(given: &api::FlexibleTimeWindow) -> Result<Option<u32>> {
    let minutes = given.maximum_window_in_minutes.and_then(|minutes| u32::try_from(minutes).ok());
    match (given.mode.as_ref(), minutes) {
        (Some(api::FlexibleTimeWindowMode::Flexible), None) => {
            Err(invalid("MaximumWindowInMinutes is required when the mode of FlexibleTimeWindow is FLEXIBLE."))
        }
        (Some(api::FlexibleTimeWindowMode::Flexible), minutes) => Ok(minutes),
        (_, Some(_)) => {
            Err(invalid("MaximumWindowInMinutes cannot be set when the mode of FlexibleTimeWindow is OFF."))
        }
        (_, None) => Ok(None),
    }
}

fn window_view(schedule: &Schedule) -> api::FlexibleTimeWindow {
    let mode = match schedule.window_minutes {
        Some(_) => api::FlexibleTimeWindowMode::Flexible,
        None => api::FlexibleTimeWindowMode::Off,
    };
    let minutes = schedule.window_minutes.and_then(|minutes| i32::try_from(minutes).ok());
    api::FlexibleTimeWindow { maximum_window_in_minutes: minutes, mode: Some(mode) }
}

fn state_of(schedule: &Schedule) -> api::ScheduleState {
    if schedule.is_enabled { api::ScheduleState::Enabled } else { api::ScheduleState::Disabled }
}

fn digest(request: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    request.hash(&mut hasher);
    hasher.finish()
}

fn not_found(name: &str) -> Error {
    Error::ResourceNotFound(format!("Schedule {name} does not exist."))
}
