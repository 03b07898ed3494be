//! DeleteTaskDefinitions: marks revisions, which a controller then takes away.

use api::ecs as api;
use base::Arn;
use state::Cx;
use state::ecs::{TaskDefinition, TaskDefinitionStatus};

use super::{Reference, view};
use crate::{Result, invalid, required};

/// How many revisions one call may delete.
const DELETE_MAX: usize = 10;

/// Marks inactive revisions for deletion. Each that cannot be deleted is a failure; the others are deleted all the same.
/// One that is being deleted already is answered as it is.
pub(crate) async fn delete_task_definitions(
    cx: &Cx,
    input: api::DeleteTaskDefinitionsRequest,
) -> Result<api::DeleteTaskDefinitionsResponse> {
    let wanted = required(input.task_definitions, "taskDefinitions")?;
    // Both texts are moto's, the differing capitals too.
    if wanted.is_empty() {
        return Err(invalid("size of TaskDefinition references list must be greater than 0"));
    }
    if wanted.len() > DELETE_MAX {
        return Err(invalid(format!("Size of TaskDefinition references list cannot exceed {DELETE_MAX}")));
    }
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for text in wanted {
        match delete(cx, &text) {
            Ok(definition) => deleted.push(definition),
            Err(reason) => failures.push(failure(cx, &text, reason)),
        }
    }
    Ok(api::DeleteTaskDefinitionsResponse { task_definitions: Some(deleted), failures: Some(failures) })
}

/// Marks one revision, or says in AWS's words why not; the words are moto's.
fn delete(cx: &Cx, text: &str) -> std::result::Result<api::TaskDefinition, &'static str> {
    const INVALID: &str =
        "The specified task definition identifier is invalid. Specify a valid name or ARN and try again.";
    const MISSING: &str =
        "The specified task definition does not exist. Specify a valid account, family, revision and try again.";
    const ACTIVE: &str =
        "The specified task definition is still in ACTIVE status. Please deregister the target and try again.";
    let account = Arn::parse(text).and_then(|arn| arn.account());
    if account.is_some_and(|account| account != cx.scope().account) {
        return Err(MISSING);
    }
    let reference = Reference::parse(cx, text).map_err(|_| INVALID)?;
    let name = reference.name().ok_or(INVALID)?;
    let now = cx.now();
    let mark = |definition: &mut TaskDefinition| match definition.status {
        TaskDefinitionStatus::Active => Err(ACTIVE),
        TaskDefinitionStatus::DeleteInProgress => Ok(()),
        TaskDefinitionStatus::Inactive => {
            definition.status = TaskDefinitionStatus::DeleteInProgress;
            definition.delete_requested_at = Some(now);
            Ok(())
        }
    };
    let marked = cx.state.ecs.task_definitions.try_update(cx.scope(), &name, mark).ok_or(MISSING)??;
    Ok(view(&marked))
}

/// The failure of one revision; it bears the full ARN even where a name was given. That the words are the reason, and
/// not the detail, follows moto.
fn failure(cx: &Cx, text: &str, reason: &str) -> api::Failure {
    let arn = match text.starts_with("arn:") {
        true => text.to_owned(),
        false => Arn::new("ecs", cx.scope(), &format!("task-definition/{text}")).to_string(),
    };
    api::Failure { arn: Some(arn), reason: Some(reason.to_owned()), detail: None }
}
