//! What a deployment group says of its deployments: checked, and reduced to what they go by.

use api::codedeploy as api;
use state::Cx;
use state::codedeploy::{AutoRollback, GroupSettings};
use state::ecs::{ClusterName, DeploymentController, ServiceKey, ServiceName, ServiceStatus};

use crate::{Error, Result, config, given, not_here};

/// The configuration of ECS deployments unless a group names one.
const CONFIG_DEFAULT: &str = "CodeDeployDefault.ECSAllAtOnce";
/// The longest waits, in minutes: two days. (Documented for the termination of the original tasks.)
const WAIT_MIN_MAX: i32 = 2880;
/// How many alarms a group has at most. (Documented.)
const ALARMS_MAX: usize = 10;

/// Checks what a group says, fills in what it leaves out, and reads what deployments go by.
pub(crate) fn read(cx: &Cx, group: &mut api::DeploymentGroupInfo) -> Result<GroupSettings> {
    if group.auto_scaling_groups.as_ref().is_some_and(|groups| !groups.is_empty())
        || group.ec2_tag_filters.as_ref().is_some_and(|filters| !filters.is_empty())
        || group.ec2_tag_set.is_some()
        || group.on_premises_tag_set.is_some()
    {
        return Err(not_here("deployments to instances"));
    }
    let role = group.service_role_arn.clone();
    // Texts of this file are unverified unless it says otherwise.
    given(role).ok_or_else(|| Error::RoleRequired("The service role ARN is required.".to_owned()))?;
    let config = group.deployment_config_name.get_or_insert_with(|| CONFIG_DEFAULT.to_owned()).clone();
    config::find(cx, &config)?;
    check_style(group.deployment_style.as_ref())?;
    let (ready_wait_min, termination_wait_min) = waits(group.blue_green_deployment_configuration.as_ref())?;
    let (target_groups, has_test_route) = routes(group.load_balancer_info.as_ref())?;
    let service = service(cx, group.ecs_services.as_deref().unwrap_or_default())?;
    Ok(GroupSettings {
        service,
        config,
        rollback: rollback(group.auto_rollback_configuration.as_ref())?,
        ready_wait_min,
        termination_wait_min,
        alarms: alarms(group.alarm_configuration.as_ref())?,
        target_groups,
        has_test_route,
    })
}

fn check_style(style: Option<&api::DeploymentStyle>) -> Result<()> {
    let is_right = style.is_some_and(|style| {
        style.deployment_type == Some(api::DeploymentType::BlueGreen)
            && style.deployment_option == Some(api::DeploymentOption::WithTrafficControl)
    });
    if is_right {
        return Ok(());
    }
    let message = "For ECS deployment groups, the deployment type must be BLUE_GREEN and the deployment option \
                   WITH_TRAFFIC_CONTROL.";
    Err(Error::InvalidDeploymentStyle(message.to_owned()))
}

/// Returns how long a deployment waits before it shifts traffic, and before it ends the original tasks.
fn waits(config: Option<&api::BlueGreenDeploymentConfiguration>) -> Result<(Option<u32>, Option<u32>)> {
    let invalid = |message: &str| Err(Error::InvalidBlueGreenDeploymentConfiguration(message.to_owned()));
    let minutes = |minutes: Option<i32>| {
        let minutes = minutes.filter(|minutes| (0..=WAIT_MIN_MAX).contains(minutes));
        minutes.and_then(|minutes| u32::try_from(minutes).ok())
    };
    let Some(config) = config else {
        return invalid("The blue/green deployment configuration is required for ECS deployment groups.");
    };
    let ready = match &config.deployment_ready_option {
        None => None,
        Some(option) => match (option.action_on_timeout.as_ref(), option.wait_time_in_minutes) {
            (Some(api::DeploymentReadyAction::StopDeployment), wait) => match minutes(wait).filter(|wait| *wait > 0) {
                Some(wait) => Some(wait),
                None => return invalid("The wait time must be from 1 to 2880 minutes."),
            },
            (_, None | Some(0)) => None,
            _ => return invalid("A wait time goes with the action STOP_DEPLOYMENT only."),
        },
    };
    let termination = match &config.terminate_blue_instances_on_deployment_success {
        Some(option) if option.action == Some(api::InstanceAction::KeepAlive) => None,
        Some(option) => match minutes(Some(option.termination_wait_time_in_minutes.unwrap_or(0))) {
            Some(wait) => Some(wait),
            None => return invalid("The termination wait time must be from 0 to 2880 minutes."),
        },
        None => Some(0),
    };
    Ok((ready, termination))
}

/// Returns the target groups of the pair, and whether there is a listener for test traffic.
fn routes(info: Option<&api::LoadBalancerInfo>) -> Result<(Vec<String>, bool)> {
    let pairs = info.and_then(|info| info.target_group_pair_info_list.as_deref()).unwrap_or_default();
    let [pair] = pairs else {
        let message = "ECS deployment groups must have exactly one target group pair.";
        return Err(Error::InvalidLoadBalancerInfo(message.to_owned()));
    };
    let groups = pair.target_groups.iter().flatten().filter_map(|group| group.name.clone()).collect::<Vec<_>>();
    let listeners = |route: &Option<api::TrafficRoute>| {
        route.as_ref().and_then(|route| route.listener_arns.as_ref()).map_or(0, Vec::len)
    };
    if groups.len() != 2 || groups[0] == groups[1] {
        let message = "A target group pair must have two different target groups.";
        return Err(Error::InvalidTargetGroupPair(message.to_owned()));
    }
    if listeners(&pair.prod_traffic_route) != 1 {
        let message = "The production traffic route must have exactly one listener.";
        return Err(Error::InvalidTargetGroupPair(message.to_owned()));
    }
    Ok((groups, listeners(&pair.test_traffic_route) > 0))
}

/// Finds the service: one that is left to CodeDeploy.
fn service(cx: &Cx, services: &[api::ECSService]) -> Result<ServiceKey> {
    let invalid = |message: String| Err(Error::InvalidECSService(message));
    let [service] = services else {
        return invalid("ECS deployment groups must have exactly one ECS service.".to_owned());
    };
    let cluster = service.cluster_name.as_deref().unwrap_or("default");
    let name = service.service_name.as_deref().unwrap_or_default();
    let key = ClusterName::parse(cluster).zip(ServiceName::parse(name));
    let key = key.map(|(cluster, name)| ServiceKey { cluster, name });
    let found = key.as_ref().and_then(|key| cx.state.ecs.services.get(cx.scope(), key));
    match (key, found.filter(|found| found.status == ServiceStatus::Active)) {
        // Seen: aws-cdk#1559.
        (Some(_), Some(found)) if found.controller != DeploymentController::CodeDeploy => invalid(
            "Deployment group's ECS service must be configured for a CODE_DEPLOY deployment controller.".to_owned(),
        ),
        (Some(key), Some(_)) => Ok(key),
        _ => invalid(format!("The ECS service {name} of the cluster {cluster} does not exist or is not active.")),
    }
}

/// Reads when a deployment is rolled back.
pub(crate) fn rollback(config: Option<&api::AutoRollbackConfiguration>) -> Result<AutoRollback> {
    let Some(config) = config.filter(|config| config.enabled == Some(true)) else {
        return Ok(AutoRollback::default());
    };
    let events = config.events.as_deref().unwrap_or_default();
    if events.is_empty() {
        let message = "Events are required where automatic rollbacks are enabled.";
        return Err(Error::InvalidAutoRollbackConfig(message.to_owned()));
    }
    Ok(AutoRollback {
        on_failure: events.contains(&api::AutoRollbackEvent::DeploymentFailure),
        on_alarm: events.contains(&api::AutoRollbackEvent::DeploymentStopOnAlarm),
        on_request: events.contains(&api::AutoRollbackEvent::DeploymentStopOnRequest),
    })
}

/// Reads the alarms that stop a deployment.
pub(crate) fn alarms(config: Option<&api::AlarmConfiguration>) -> Result<Vec<String>> {
    let Some(config) = config.filter(|config| config.enabled == Some(true)) else { return Ok(Vec::new()) };
    let names = config.alarms.iter().flatten().filter_map(|alarm| alarm.name.clone()).collect::<Vec<_>>();
    if names.len() > ALARMS_MAX {
        return Err(Error::AlarmsLimitExceeded(format!("A deployment group can have at most {ALARMS_MAX} alarms.")));
    }
    if names.is_empty() {
        return Err(Error::InvalidAlarmConfig("Alarms are required where alarms are enabled.".to_owned()));
    }
    Ok(names)
}
