//! Calls the functions of lifecycle events, and writes what came of it.

use std::sync::Arc;
use std::time::Duration;

use node::HttpRequest;
use reconcile::Key;
use serde_json::json;
use state::codedeploy::{Deployment, HookCall, HookExecution, LifecycleStatus, Stage};

use super::DEPLOYMENTS;
use super::plan;
use super::reconciler::{OneDeployment, set_event};
use crate::ecs::Errands;
use crate::lambda::{self, Invocation, NotCalled};

/// How long a function may take until it has said something: CodeDeploy's.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60 * 60);
/// Why a function is not called.
const NO_ENDPOINT: &str = "The hook was skipped: start neargate serve with --lambda-endpoint to have it called.";

/// The calls that are under way, by the execution's id.
pub(super) type HookCalls = Errands<Result<(), NotCalled>, String>;

impl OneDeployment<'_> {
    /// Writes what came of the call that was under way, and returns whether one still is.
    pub(super) fn follow_call(&self, deployment: &Deployment) -> bool {
        // They come one after the other: those before have had their say.
        let execution = deployment.observed.hooks.last();
        let is_due = |execution: &&HookExecution| matches!(execution.call, HookCall::Due { .. });
        let Some(execution) = execution.filter(is_due) else { return false };
        let has_answered = deployment.wanted.hook_answers.iter().any(|answer| answer.id == execution.id);
        if deployment.observed.status.is_final() || has_answered {
            // Nobody waits for it any more.
            self.calls.forget(&execution.id);
            return false;
        }
        if let Some(outcome) = self.calls.take(&execution.id) {
            let (now, pace) = (self.now(), self.pace(deployment));
            self.change_hook(&execution.event, |execution| {
                let failures = match execution.call {
                    HookCall::Due { failures, .. } => failures,
                    HookCall::Made | HookCall::Impossible { .. } => return,
                };
                execution.call = match outcome {
                    Ok(()) => HookCall::Made,
                    Err(why) => plan::after_failed_call(failures, why, pace, now),
                };
            });
        }
        self.calls.is_under_way(&execution.id)
    }

    /// Waits for the function of a lifecycle event from now on.
    pub(super) fn begin_hook(&self, deployment: &Deployment, event: &str) {
        let Some(function) = deployment.app_spec().and_then(|spec| spec.hook(event)) else { return };
        let (now, pace) = (self.now(), self.pace(deployment));
        let execution = HookExecution {
            id: self.world.ids.uuid(),
            event: event.to_owned(),
            function: function.to_owned(),
            expires_at: now.plus(pace.wait(ANSWER_WAIT_MAX)),
            call: HookCall::Due { at: now, failures: 0 },
        };
        self.observe_at(|observed, now| {
            set_event(observed, event, LifecycleStatus::InProgress, now);
            observed.hooks.push(execution);
        });
    }

    /// Calls the function of a lifecycle event beside the steps. It is called again by a server that comes after one that
    /// was killed: as in AWS, a function may be called twice for the same execution.
    pub(super) fn call_hook(&self, deployment: &Deployment, event: &str) {
        let execution = deployment.observed.hooks.iter().find(|execution| execution.event == event);
        let Some((execution, endpoint)) = execution.zip(self.world.settings.lambda_endpoint.as_deref()) else { return };
        tracing::info!(deployment = %self.id, %event, function = %execution.function, "a lifecycle hook is called");
        let said = json!({ "DeploymentId": self.id, "LifecycleEventHookExecutionId": execution.id });
        let body = said.to_string().into_bytes();
        let request = lambda::request(endpoint, &execution.function, Invocation::Event, body);
        // What stands in for Lambda may run it first, and its answer comes by another way: it is not to be called twice.
        let request = HttpRequest { wait_max: lambda::ANSWER_WAIT_MAX, ..request };
        let http = Arc::clone(&self.world.node.http);
        let call = async move { lambda::called(http.send(request).await).map(drop) };
        let (wakeups, key) = (self.world.wakeups.clone(), Key::new(self.scope.clone(), self.id.as_str()));
        self.calls.begin(&execution.id, call, move || wakeups.wake(DEPLOYMENTS, key));
    }

    /// Goes on without the function of a lifecycle event: what is deployed is the same that is deployed to AWS, and its
    /// function is not here.
    pub(super) fn skip_hook(&self, event: &str, next: Stage) {
        tracing::warn!(deployment = %self.id, %event, "a lifecycle hook is skipped: no --lambda-endpoint");
        self.observe_at(|observed, now| {
            set_event(observed, event, LifecycleStatus::Skipped, now);
            if let Some(event) = observed.events.iter_mut().find(|known| known.name == event) {
                event.message = Some(NO_ENDPOINT.to_owned());
            }
        });
        self.enter(next);
    }

    fn change_hook(&self, event: &str, change: impl FnOnce(&mut HookExecution)) {
        self.observe_at(|observed, _| {
            observed.hooks.iter_mut().find(|execution| execution.event == event).map(change);
        });
    }
}
