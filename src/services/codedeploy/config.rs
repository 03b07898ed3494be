//! Deployment configurations: CodeDeploy's own for ECS, and the user's.

use std::sync::Arc;

use api::codedeploy as api;
use base::{Page, Timestamp};
use state::Cx;
use state::codedeploy::{DeploymentConfig, OWN_CONFIGS, TrafficRouting};

use crate::{Error, PAGE_SIZE, Result, application, given, not_here, page_after};

/// What begins the names of CodeDeploy's own configurations.
const OWN_PREFIX: &str = "CodeDeployDefault.";
const LISTING: &str = "ListDeploymentConfigs";

/// Makes a configuration of how traffic is shifted.
pub(crate) async fn create_deployment_config(
    cx: &Cx,
    input: api::CreateDeploymentConfigInput,
) -> Result<api::CreateDeploymentConfigOutput> {
    let name = name(input.deployment_config_name)?;
    if input.compute_platform != Some(api::ComputePlatform::Ecs) {
        return Err(not_here("configurations for servers and Lambda functions"));
    }
    if name.starts_with(OWN_PREFIX) {
        // Text unverified.
        return Err(Error::InvalidDeploymentConfigName(format!("{name} is reserved for CodeDeploy.")));
    }
    if input.minimum_healthy_hosts.is_some() {
        let message = "Minimum healthy hosts are not for the ECS compute platform.";
        return Err(Error::InvalidMinimumHealthyHostValue(message.to_owned()));
    }
    let routing = routing(input.traffic_routing_config)?;
    let make = || DeploymentConfig { id: cx.ids.uuid(), name: name.clone(), created_at: cx.now(), routing };
    let (config, is_new) = cx.state.codedeploy.configs.get_or_insert_with(cx.scope(), &name, make);
    if !is_new {
        let message = format!("Deployment Configuration already exists: {name}");
        return Err(Error::DeploymentConfigAlreadyExists(message));
    }
    Ok(api::CreateDeploymentConfigOutput { deployment_config_id: Some(config.id.clone()) })
}

/// Shows a configuration.
pub(crate) async fn get_deployment_config(
    cx: &Cx,
    input: api::GetDeploymentConfigInput,
) -> Result<api::GetDeploymentConfigOutput> {
    let name = name(input.deployment_config_name)?;
    let own = OWN_CONFIGS.iter().position(|(own, _)| *own == name).map(own_config);
    let found = own.or_else(|| cx.state.codedeploy.configs.get(cx.scope(), &name));
    let found = found.ok_or_else(|| missing(&name))?;
    Ok(api::GetDeploymentConfigOutput { deployment_config_info: Some(view(&found)) })
}

/// Lists the names of configurations.
pub(crate) async fn list_deployment_configs(
    cx: &Cx,
    input: api::ListDeploymentConfigsInput,
) -> Result<api::ListDeploymentConfigsOutput> {
    let after = page_after(LISTING, input.next_token)?;
    let own = OWN_CONFIGS.iter().map(|(name, _)| (*name).to_owned());
    let of_user = cx.state.codedeploy.configs.walk(cx.scope(), None).map(|(name, _)| name);
    let mut names = own.chain(of_user).collect::<Vec<_>>();
    names.sort();
    let rest = names.into_iter().filter(|name| after.as_ref().is_none_or(|after| name > after));
    let page = Page::cut(LISTING, PAGE_SIZE, rest, Clone::clone);
    Ok(api::ListDeploymentConfigsOutput { deployment_configs_list: Some(page.items), next_token: page.next })
}

/// Deletes a configuration that no group uses.
pub(crate) async fn delete_deployment_config(cx: &Cx, input: api::DeleteDeploymentConfigInput) -> Result<()> {
    let name = name(input.deployment_config_name)?;
    // Texts unverified.
    if name.starts_with(OWN_PREFIX) {
        return Err(Error::InvalidOperation(
            "CodeDeploy's own deployment configurations cannot be deleted.".to_owned(),
        ));
    }
    let deploy = &cx.state.codedeploy;
    if deploy.groups.walk(cx.scope(), None).any(|(_, group)| group.settings.config == name) {
        return Err(Error::DeploymentConfigInUse(format!("The deployment configuration {name} is in use.")));
    }
    deploy.configs.remove(cx.scope(), &name);
    Ok(())
}

/// Finds how a configuration shifts traffic.
pub(crate) fn find(cx: &Cx, name: &str) -> Result<TrafficRouting> {
    cx.state.codedeploy.routing(cx.scope(), name).ok_or_else(|| missing(name))
}

fn own_config(place: usize) -> Arc<DeploymentConfig> {
    let (name, routing) = OWN_CONFIGS[place];
    let id = format!("00000000-0000-0000-0000-{:012}", place + 1);
    Arc::new(DeploymentConfig { id, name: name.to_owned(), created_at: Timestamp::from_millis(0), routing })
}

fn name(name: Option<String>) -> Result<String> {
    // Texts unverified.
    let required = || Error::DeploymentConfigNameRequired("The deployment configuration name is required.".to_owned());
    let name = given(name).ok_or_else(required)?;
    if !application::is_name(&name) {
        return Err(Error::InvalidDeploymentConfigName(format!(
            "The deployment configuration name {name} is invalid."
        )));
    }
    Ok(name)
}

fn missing(name: &str) -> Error {
    Error::DeploymentConfigDoesNotExist(format!("No Deployment Configuration found for name: {name}"))
}

/// Reads how traffic is shifted. (Texts unverified.)
fn routing(config: Option<api::TrafficRoutingConfig>) -> Result<TrafficRouting> {
    let invalid = |message: &str| Err(Error::InvalidTrafficRoutingConfiguration(message.to_owned()));
    let Some(config) = config else { return invalid("The traffic routing configuration is required.") };
    let percent =
        |percent: Option<i32>| percent.and_then(|percent| u32::try_from(percent).ok()).filter(|n| (1..100).contains(n));
    let minutes = |minutes: Option<i32>| {
        minutes.and_then(|minutes| u32::try_from(minutes).ok()).filter(|n| (1..=2880).contains(n))
    };
    let wrong = "The percentage must be from 1 to 99, and the interval from 1 to 2880 minutes.";
    match (config.r#type, config.time_based_canary, config.time_based_linear) {
        (Some(api::TrafficRoutingType::AllAtOnce), None, None) => Ok(TrafficRouting::AllAtOnce),
        (Some(api::TrafficRoutingType::TimeBasedCanary), Some(canary), None) => {
            match (percent(canary.canary_percentage), minutes(canary.canary_interval)) {
                (Some(percent), Some(interval_min)) => Ok(TrafficRouting::Canary { percent, interval_min }),
                _ => invalid(wrong),
            }
        }
        (Some(api::TrafficRoutingType::TimeBasedLinear), None, Some(linear)) => {
            match (percent(linear.linear_percentage), minutes(linear.linear_interval)) {
                (Some(percent), Some(interval_min)) => Ok(TrafficRouting::Linear { percent, interval_min }),
                _ => invalid(wrong),
            }
        }
        _ => invalid("The type of the traffic routing configuration does not go with its members."),
    }
}

fn view(config: &DeploymentConfig) -> api::DeploymentConfigInfo {
    let number = |number: u32| i32::try_from(number).ok();
    let mut shown = api::TrafficRoutingConfig { r#type: None, time_based_canary: None, time_based_linear: None };
    match config.routing {
        TrafficRouting::AllAtOnce => shown.r#type = Some(api::TrafficRoutingType::AllAtOnce),
        TrafficRouting::Canary { percent, interval_min } => {
            shown.r#type = Some(api::TrafficRoutingType::TimeBasedCanary);
            shown.time_based_canary = Some(api::TimeBasedCanary {
                canary_percentage: number(percent),
                canary_interval: number(interval_min),
            });
        }
        TrafficRouting::Linear { percent, interval_min } => {
            shown.r#type = Some(api::TrafficRoutingType::TimeBasedLinear);
            shown.time_based_linear = Some(api::TimeBasedLinear {
                linear_percentage: number(percent),
                linear_interval: number(interval_min),
            });
        }
    }
    api::DeploymentConfigInfo {
        deployment_config_id: Some(config.id.clone()),
        deployment_config_name: Some(config.name.clone()),
        minimum_healthy_hosts: None,
        create_time: Some(config.created_at.into()),
        compute_platform: Some(api::ComputePlatform::Ecs),
        traffic_routing_config: Some(shown),
        zonal_config: None,
    }
}
