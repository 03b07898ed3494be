//! The parts of a cluster that are only echoed: settings, configuration, the default namespace.

use api::ecs as api;
use state::{Cx, Document};

use crate::{Result, account_setting, document, invalid};

const CONTAINER_INSIGHTS_VALUES: [&str; 3] = ["enabled", "enhanced", "disabled"];

/// Completes the settings of a new cluster: `containerInsights` is the account setting's unless it was given.
pub(super) fn settings(cx: &Cx, settings: Vec<api::ClusterSetting>) -> Result<Vec<api::ClusterSetting>> {
    check_settings(&settings)?;
    if !settings.is_empty() {
        return Ok(settings);
    }
    Ok(vec![api::ClusterSetting {
        name: Some(api::ClusterSettingName::ContainerInsights),
        value: Some(account_setting::container_insights(cx)),
    }])
}

/// Checks the values of settings.
pub(super) fn check_settings(settings: &[api::ClusterSetting]) -> Result<()> {
    for setting in settings {
        let value = setting.value.as_deref().unwrap_or_default();
        if !CONTAINER_INSIGHTS_VALUES.contains(&value) {
            // Seen in an answer of UpdateCluster: terraform-aws-modules/terraform-aws-ecs#264.
            return Err(invalid("Invalid setting 'value'"));
        }
    }
    Ok(())
}

/// Checks where the output of ECS Exec goes. The rule is ExecuteCommandConfiguration's documentation; text unverified.
pub(super) fn check(configuration: Option<api::ClusterConfiguration>) -> Result<Option<api::ClusterConfiguration>> {
    let execute_command = configuration.as_ref().and_then(|all| all.execute_command_configuration.as_ref());
    let is_nowhere = execute_command.is_some_and(|execute_command| {
        execute_command.logging == Some(api::ExecuteCommandLogging::Override)
            && execute_command.log_configuration.is_none()
    });
    if is_nowhere {
        return Err(invalid("A logConfiguration must be provided when logging is set to OVERRIDE."));
    }
    let target = execute_command.filter(|exec| exec.logging == Some(api::ExecuteCommandLogging::Override));
    let target = target.and_then(|exec| exec.log_configuration.as_ref());
    if target.is_some_and(|target| target.cloud_watch_log_group_name.is_none() && target.s3_bucket_name.is_none()) {
        // Seen by users of AWS as far as "over"; the rest is unverified.
        return Err(invalid(
            "A CloudWatch log group name or S3 bucket name must be specified when overriding the default logging \
             configuration.",
        ));
    }
    Ok(configuration)
}

/// Shapes the default namespace; an empty name means none.
pub(super) fn service_connect_defaults(namespace: Option<String>) -> Option<Document> {
    let namespace = namespace.filter(|namespace| !namespace.is_empty())?;
    Some(document::write(&api::ClusterServiceConnectDefaults { namespace: Some(namespace) }))
}
