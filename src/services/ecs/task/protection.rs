//! GetTaskProtection and UpdateTaskProtection: tasks of services that may not be taken away to have fewer.

use std::sync::Arc;
use std::time::Duration;

use api::ecs as api;
use base::Timestamp;
use state::Cx;
use state::ecs::{Cluster, Task, TaskKey};

use super::reference;
use crate::{Result, cluster, invalid, required};

/// How many tasks one call may ask about.
const GET_MAX: usize = 100;
/// How many tasks one call may protect.
const UPDATE_MAX: usize = 10;
/// How long a protection lasts unless the request says.
const EXPIRES_DEFAULT_MIN: i32 = 120;
/// The longest protection.
const EXPIRES_MAX_MIN: i32 = 2880;

/// Says which tasks are protected, and until when.
pub(crate) async fn get_task_protection(
    cx: &Cx,
    input: api::GetTaskProtectionRequest,
) -> Result<api::GetTaskProtectionResponse> {
    let cluster = cluster::find(cx, Some(&required(input.cluster, "cluster")?))?;
    let wanted = named(cx, &cluster, input.tasks, GET_MAX)?;
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for (reference, key) in wanted {
        match protectable(cx.state.ecs.tasks.get(cx.scope(), &key)) {
            Ok(task) => tasks.push(view(&task, cx.now())),
            Err(reason) => failures.push(failure(cx, &cluster, &reference, reason)),
        }
    }
    Ok(api::GetTaskProtectionResponse { protected_tasks: Some(tasks), failures: Some(failures) })
}

/// Protects tasks, or ends their protection.
pub(crate) async fn update_task_protection(
    cx: &Cx,
    input: api::UpdateTaskProtectionRequest,
) -> Result<api::UpdateTaskProtectionResponse> {
    let cluster = cluster::find(cx, Some(&required(input.cluster, "cluster")?))?;
    let wanted = named(cx, &cluster, input.tasks, UPDATE_MAX)?;
    let minutes = input.expires_in_minutes.unwrap_or(EXPIRES_DEFAULT_MIN);
    let minutes = u64::try_from(minutes).ok().filter(|_| (1..=EXPIRES_MAX_MIN).contains(&minutes));
    // The range is UpdateTaskProtection's documentation; text unverified.
    let minutes =
        minutes.ok_or_else(|| invalid(format!("expiresInMinutes must be between 1 and {EXPIRES_MAX_MIN}.")))?;
    let is_protected = required(input.protection_enabled, "protectionEnabled")?;
    let until = is_protected.then(|| cx.now().plus(Duration::from_secs(60 * minutes)));
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for (reference, key) in wanted {
        let known = protectable(cx.state.ecs.tasks.get(cx.scope(), &key));
        let update = |_| cx.state.ecs.update_task(cx.scope(), &key, |task| task.protected_until = until);
        match known.map(update).and_then(protectable) {
            Ok(task) => tasks.push(view(&task, cx.now())),
            Err(reason) => failures.push(failure(cx, &cluster, &reference, reason)),
        }
    }
    Ok(api::UpdateTaskProtectionResponse { protected_tasks: Some(tasks), failures: Some(failures) })
}

/// Reads which tasks are meant.
fn named(cx: &Cx, cluster: &Cluster, tasks: Option<Vec<String>>, max: usize) -> Result<Vec<(String, TaskKey)>> {
    let tasks = tasks.unwrap_or_default();
    // The texts are DescribeTasks'; unverified here.
    if tasks.is_empty() {
        return Err(invalid("Tasks cannot be empty."));
    }
    if tasks.len() > max {
        return Err(invalid(format!("Tasks cannot have more than {max} elements.")));
    }
    let named = tasks.into_iter().map(|task| reference::parse(cx, cluster, &task).map(|key| (task, key)));
    named.collect()
}

/// Returns the task if it is one of a service that is to run on, or why it cannot be protected.
fn protectable(task: Option<Arc<Task>>) -> std::result::Result<Arc<Task>, &'static str> {
    let task = task.ok_or("MISSING")?;
    let is_of_service = task.group.starts_with("service:");
    if is_of_service && task.stop.is_none() { Ok(task) } else { Err("TASK_NOT_VALID") }
}

fn view(task: &Task, now: Timestamp) -> api::ProtectedTask {
    let until = task.protected_until.filter(|_| task.is_protected(now));
    api::ProtectedTask {
        task_arn: Some(task.arn.to_string()),
        protection_enabled: Some(until.is_some()),
        expiration_date: until.map(Into::into),
    }
}

fn failure(cx: &Cx, cluster: &Cluster, reference: &str, reason: &str) -> api::Failure {
    api::Failure { arn: Some(reference::arn_of(cx, cluster, reference)), reason: Some(reason.to_owned()), detail: None }
}
