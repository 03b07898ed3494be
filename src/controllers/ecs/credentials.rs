//! The credentials of a task's roles: given when it starts, renewed before they end.

use std::time::Duration;

use base::{Arn, Scope, Timestamp};
use state::ecs::{Task, TaskCredentials, TaskDefinition};
use state::iam::RoleSession;

use crate::World;

/// How long credentials are in force. (About six hours on AWS; unverified.)
const LIFETIME: Duration = Duration::from_secs(6 * 3600);
/// How long before their end new ones take their place: well before SDKs begin to ask again.
const RENEW_BEFORE: Duration = Duration::from_secs(3600);

/// Credentials that a task is to have, with the secrets in rows of their own.
#[derive(Default)]
pub(super) struct Given {
    /// The task role's.
    pub(super) task: Option<TaskCredentials>,
    /// The execution role's.
    pub(super) execution: Option<TaskCredentials>,
}

/// Gives a task credentials of its roles: where it has none yet, or all anew. The id of those that are renewed stays.
pub(super) fn give(world: &World, scope: &Scope, task: &Task, definition: &TaskDefinition, is_renewal: bool) -> Given {
    let give = |known: &Option<TaskCredentials>, role: Option<&String>| {
        if known.is_some() && !is_renewal {
            return known.clone();
        }
        let ask =
            RoleSession { role: role_arn(scope, role?), session_name: task.key.id.to_string(), lifetime: LIFETIME };
        let session = world.state.iam.issue_role_session(ask, world.clock.now(), &world.ids)?;
        let id = known.as_ref().map_or_else(|| world.ids.uuid(), |known| known.id.clone());
        Some(TaskCredentials { id, access_key_id: session.access_key_id.clone() })
    };
    Given {
        task: give(&task.credentials, task_role(task, definition)),
        execution: give(&task.execution_credentials, execution_role(task, definition)),
    }
}

/// Returns when a task's credentials are to be renewed; none if it has none.
pub(super) fn renew_at(world: &World, task: &Task) -> Option<Timestamp> {
    let now = world.clock.now();
    let known = [&task.credentials, &task.execution_credentials].into_iter().flatten();
    let due = known.map(|known| match world.state.iam.session(&known.access_key_id, now) {
        Some(session) => {
            let left = session.expires_at.since(session.issued_at).saturating_sub(RENEW_BEFORE);
            session.issued_at.plus(left)
        }
        // They have ended while no server ran.
        None => now,
    });
    due.min()
}

fn task_role<'a>(task: &'a Task, definition: &'a TaskDefinition) -> Option<&'a String> {
    task.overrides.task_role_arn.as_ref().or(definition.task_role_arn.as_ref())
}

fn execution_role<'a>(task: &'a Task, definition: &'a TaskDefinition) -> Option<&'a String> {
    task.overrides.execution_role_arn.as_ref().or(definition.execution_role_arn.as_ref())
}

/// Completes a role: a definition may give its name alone.
fn role_arn(scope: &Scope, role: &str) -> Arn {
    Arn::parse(role).unwrap_or_else(|| Arn::global("iam", scope, &format!("role/{role}")))
}
