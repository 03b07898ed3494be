//! What functions say at the lifecycle events of a deployment.

use api::codedeploy as api;
use state::Cx;
use state::codedeploy::{Deployment, HookAnswer, LifecycleStatus};

use crate::{Error, Result, deployment, given};

/// Takes what a function says at a lifecycle event. The deployment goes on, or fails. (Texts unverified.)
pub(crate) async fn put_lifecycle_event_hook_execution_status(
    cx: &Cx,
    input: api::PutLifecycleEventHookExecutionStatusInput,
) -> Result<api::PutLifecycleEventHookExecutionStatusOutput> {
    let known = deployment::find(cx, input.deployment_id)?;
    let id = given(input.lifecycle_event_hook_execution_id).unwrap_or_default();
    let has_succeeded = match input.status {
        Some(api::LifecycleEventStatus::Succeeded) => true,
        Some(api::LifecycleEventStatus::Failed) => false,
        _ => {
            let message = "The lifecycle event hook execution status must be Succeeded or Failed.";
            return Err(Error::InvalidLifecycleEventHookExecutionStatus(message.to_owned()));
        }
    };
    let answer = |deployment: &mut Deployment| -> Result<()> {
        let execution = deployment.observed.hooks.iter().find(|execution| execution.id == id);
        let unknown = || {
            let message = format!("The lifecycle event hook execution ID {id} is invalid.");
            Error::InvalidLifecycleEventHookExecutionId(message)
        };
        let execution = execution.ok_or_else(unknown)?;
        let mut events = deployment.observed.events.iter();
        let is_under_way = events
            .any(|event| event.name == execution.event && event.status == LifecycleStatus::InProgress)
            && deployment.wanted.hook_answers.iter().all(|answer| answer.id != id);
        if !is_under_way {
            let message = format!("The lifecycle event {} has already been completed.", execution.event);
            return Err(Error::LifecycleEventAlreadyCompleted(message));
        }
        deployment.wanted.hook_answers.push(HookAnswer { id: id.clone(), has_succeeded });
        Ok(())
    };
    let answered = cx.state.codedeploy.deployments.try_update(cx.scope(), &known.id, answer);
    answered.ok_or_else(|| deployment::missing(&known.id))??;
    Ok(api::PutLifecycleEventHookExecutionStatusOutput { lifecycle_event_hook_execution_id: Some(id) })
}
