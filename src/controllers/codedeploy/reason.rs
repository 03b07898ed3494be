//! CodeDeploy's wording of why a deployment does not go on. Codes are the model's.

use state::codedeploy::{Deployment, HookCall, HookExecution};

use super::plan::{Failure, Lack};

/// Words why a deployment does not go on. `detail` is the alarm, or what is wrong with an AppSpec.
pub(super) fn words(failure: Failure, deployment: &Deployment, detail: Option<&str>) -> (&'static str, String) {
    let detail = detail.unwrap_or_default();
    match failure {
        // Text unverified.
        Failure::NoService => (
            "INVALID_ECS_SERVICE",
            "The ECS service is not there, or its deployment controller is not CODE_DEPLOY.".to_owned(),
        ),
        // Seen: AWS's example of BatchGetDeployments.
        Failure::NoSpec => (
            "INVALID_REVISION",
            "The AppSpec file cannot be located in the specified S3 bucket. Verify your AppSpec file is present and that \
             the name and key value pair specified for your S3 bucket are correct. The S3 bucket must be in your current \
             region"
                .to_owned(),
        ),
        // Seen up to the first full stop: aws-cli#6267.
        Failure::InvalidSpec => (
            "INVALID_REVISION",
            format!(
                "The deployment failed because the AppSpec file that specifies the deployment configuration is missing or \
                 has an invalid configuration. The AppSpec file is not valid: {detail}"
            ),
        ),
        // Text unverified.
        Failure::NoDefinition => (
            "ECS_UPDATE_ERROR",
            "The ECS service cannot be updated: the task definition of the AppSpec is not there.".to_owned(),
        ),
        Failure::Lacks(lack) => {
            let (container, port) = deployment.spec.as_ref().map_or(("", 0), |spec| (spec.container.as_str(), spec.port));
            // CreateTaskSet's words.
            let why = match lack {
                Lack::Container => format!("The container {container} does not exist in the task definition."),
                Lack::Port => format!("The container {container} did not have a container port {port} defined."),
            };
            ("ECS_UPDATE_ERROR", format!("The ECS service cannot be updated due to an unexpected error: {why}"))
        }
        // Text unverified.
        Failure::ReplacementGone => {
            ("ECS_UPDATE_ERROR", "The replacement task set was deleted during the deployment.".to_owned())
        }
        // Documented: "Troubleshoot Amazon ECS deployment issues". So are the next ones.
        Failure::NotStable => (
            "TIMEOUT",
            "The deployment timed out while waiting for the replacement task set to become healthy. This time out period \
             is 60 minutes."
                .to_owned(),
        ),
        Failure::NotContinued => {
            let minutes = deployment.settings.ready_wait_min.unwrap_or_default();
            let what = "The deployment timed out while waiting for a notification to continue.";
            ("TIMEOUT", format!("{what} This time out period is {minutes} minutes."))
        }
        Failure::HookFailed | Failure::HookNotCalled => (
            "HOOK_EXECUTION_FAILURE",
            "The deployment failed because one or more of the lifecycle event validation functions failed.".to_owned(),
        ),
        Failure::HookTimedOut => (
            "TIMEOUT",
            "The deployment timed out while waiting for a status callback. CodeDeploy expects a status callback within \
             one hour after a deployment hook is invoked."
                .to_owned(),
        ),
        Failure::Traffic => {
            let why = deployment.observed.tries.obstacle.as_deref().unwrap_or_default();
            let what = "The ELB could not be updated due to the following error:";
            ("ELASTIC_LOAD_BALANCING_INVALID", format!("{what} {why}"))
        }
        // Text unverified.
        Failure::Alarm => (
            "ALARM_ACTIVE",
            format!(
                "One or more alarms have been activated according to the Amazon CloudWatch metrics you selected, and the \
                 affected deployments have been stopped. Activated alarms: <{detail}>"
            ),
        ),
        // Text unverified.
        Failure::Stopped => ("MANUAL_STOP", "The deployment was stopped by a user.".to_owned()),
    }
}

/// Words what the function did at whose lifecycle event a deployment does not go on. (Texts unverified.)
pub(super) fn of_hook(failure: Failure, execution: &HookExecution) -> Option<String> {
    let function = &execution.function;
    match (failure, &execution.call) {
        (Failure::HookFailed, _) => Some(format!("The validation function {function} returned Failed.")),
        (Failure::HookTimedOut, _) => Some(format!("The validation function {function} timed out.")),
        (Failure::HookNotCalled, HookCall::Impossible { why }) => {
            Some(format!("The validation function {function} could not be invoked: {why}"))
        }
        (_, _) => None,
    }
}
