//! The checks of log drivers.

use api::ecs as api;

use crate::{Result, client};

/// The options of the `awslogs` driver, in ECS.
const AWSLOGS_OPTIONS: [&str; 8] = [
    "awslogs-create-group",
    "awslogs-datetime-format",
    "awslogs-group",
    "awslogs-multiline-pattern",
    "awslogs-region",
    "awslogs-stream-prefix",
    "max-buffer-size",
    "mode",
];
/// The drivers that Fargate has.
const FARGATE_DRIVERS: [api::LogDriver; 3] =
    [api::LogDriver::Awslogs, api::LogDriver::Splunk, api::LogDriver::Awsfirelens];

/// Checks the log configuration of one container.
pub(super) fn check(input: &api::RegisterTaskDefinitionRequest, container: &api::ContainerDefinition) -> Result<()> {
    let Some(log) = &container.log_configuration else { return Ok(()) };
    if log.log_driver != Some(api::LogDriver::Awslogs) {
        return Ok(());
    }
    let option = |name: &str| log.options.as_ref().and_then(|options| options.get(name));
    for needed in ["awslogs-group", "awslogs-region"] {
        if option(needed).is_none_or(String::is_empty) {
            return Err(client(format!("Log driver awslogs requires options: {needed}")));
        }
    }
    let unknown = log.options.iter().flat_map(|options| options.keys());
    if let Some(unknown) = unknown.into_iter().find(|name| !AWSLOGS_OPTIONS.contains(&name.as_str())) {
        return Err(client(format!("Log driver awslogs disallows options: {unknown}")));
    }
    if option("awslogs-create-group").is_some_and(|value| value != "true") {
        return Err(client(
            "Log driver awslogs option 'awslogs-create-group' should only be set to 'true', else omit option.",
        ));
    }
    let is_fargate = input.requires_compatibilities.iter().flatten().any(|c| *c == api::Compatibility::Fargate);
    if is_fargate && option("awslogs-stream-prefix").is_none_or(String::is_empty) {
        return Err(client(
            "Fargate requires log configuration options to include awslogs-stream-prefix to support log driver awslogs.",
        ));
    }
    Ok(())
}

/// Checks that a log router and those who write to it come together.
pub(super) fn check_together(containers: &[api::ContainerDefinition]) -> Result<()> {
    let is_routed = |container: &api::ContainerDefinition| {
        container.log_configuration.as_ref().is_some_and(|log| log.log_driver == Some(api::LogDriver::Awsfirelens))
    };
    let has_routed = containers.iter().any(is_routed);
    let has_router = containers.iter().any(|container| container.firelens_configuration.is_some());
    match (has_routed, has_router) {
        (true, false) => Err(client(
            "When awsfirelens log driver is specified in log configuration, a firelens configuration object must be \
             configured in one of the containers.",
        )),
        (false, true) => Err(client(
            "When a firelensConfiguration object is specified, at least one container has to be configured with the \
             awsfirelens log driver",
        )),
        (true, true) | (false, false) => Ok(()),
    }
}

/// Checks that Fargate has the driver, and that there is a role to write the log with.
pub(super) fn check_fargate(
    input: &api::RegisterTaskDefinitionRequest,
    container: &api::ContainerDefinition,
) -> Result<()> {
    let Some(driver) = container.log_configuration.as_ref().and_then(|log| log.log_driver.as_ref()) else {
        return Ok(());
    };
    if !FARGATE_DRIVERS.contains(driver) {
        return Err(client(format!(
            "{driver} is not a valid log driver. Must be one of [awslogs, splunk, awsfirelens]"
        )));
    }
    if *driver == api::LogDriver::Awslogs && input.execution_role_arn.is_none() {
        return Err(client(
            "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
        ));
    }
    Ok(())
}
