//! The settings of an Express service: defaults, checks, and the task definition that they mean.

use std::collections::BTreeMap;

use api::ecs as api;
use state::Cx;
use state::ecs::{ClusterName, NetworkMode, ServiceKey};

use crate::{Result, invalid, required, task, task_definition};

/// The documented defaults of CreateExpressGatewayService.
const CPU_DEFAULT: &str = "256";
const MEMORY_DEFAULT: &str = "512";
const PORT_DEFAULT: i32 = 80;
const HEALTH_CHECK_PATH_DEFAULT: &str = "/ping";
const SCALING_TARGET_VALUE_DEFAULT: i32 = 60;
const LOG_STREAM_PREFIX_DEFAULT: &str = "ecs";
/// Unverified.
const TASK_COUNT_MIN_DEFAULT: i32 = 1;
const TASK_COUNT_MAX_DEFAULT: i32 = 20;
/// The name of the one container. (Unverified.)
const CONTAINER: &str = "Main";

/// Completes the settings of a request with those that were there before, and these with the defaults.
pub(super) fn complete(
    cx: &Cx,
    key: &ServiceKey,
    before: &api::ExpressGatewayServiceConfiguration,
    given: api::ExpressGatewayServiceConfiguration,
) -> Result<api::ExpressGatewayServiceConfiguration> {
    let container = given.primary_container.or_else(|| before.primary_container.clone());
    let container = required(container, "primaryContainer")?;
    let path = given.health_check_path.or_else(|| before.health_check_path.clone());
    let path = path.unwrap_or_else(|| HEALTH_CHECK_PATH_DEFAULT.to_owned());
    if !path.starts_with('/') {
        return Err(invalid("The health check path must start with a forward slash."));
    }
    let or_default = |given: Option<String>, before: &Option<String>, default: &str| {
        given.or_else(|| before.clone()).unwrap_or_else(|| default.to_owned())
    };
    let network = given.network_configuration.or_else(|| before.network_configuration.clone());
    Ok(api::ExpressGatewayServiceConfiguration {
        service_revision_arn: None,
        execution_role_arn: given.execution_role_arn.or_else(|| before.execution_role_arn.clone()),
        task_role_arn: given.task_role_arn.or_else(|| before.task_role_arn.clone()),
        cpu: Some(or_default(given.cpu, &before.cpu, CPU_DEFAULT)),
        memory: Some(or_default(given.memory, &before.memory, MEMORY_DEFAULT)),
        network_configuration: Some(with_subnets(cx, network.unwrap_or_default())?),
        health_check_path: Some(path),
        primary_container: Some(container_with_defaults(cx, key, before, container)),
        scaling_target: Some(scaling(given.scaling_target, before.scaling_target.as_ref())?),
        ingress_paths: None,
        created_at: None,
    })
}

/// Writes the task definition that the settings mean.
pub(super) fn task_definition(
    cx: &Cx,
    key: &ServiceKey,
    settings: &api::ExpressGatewayServiceConfiguration,
) -> api::RegisterTaskDefinitionRequest {
    let container = settings.primary_container.clone().unwrap_or_default();
    let logs = container.aws_logs_configuration.unwrap_or_default();
    let options = BTreeMap::from([
        // The group of the service is made by ECS, unless it is there.
        ("awslogs-create-group".to_owned(), "true".to_owned()),
        ("awslogs-group".to_owned(), logs.log_group.unwrap_or_default()),
        ("awslogs-region".to_owned(), cx.scope().region.to_string()),
        ("awslogs-stream-prefix".to_owned(), logs.log_stream_prefix.unwrap_or_default()),
    ]);
    let credentials = container.repository_credentials.and_then(|credentials| credentials.credentials_parameter);
    api::RegisterTaskDefinitionRequest {
        family: Some(family(key)),
        task_role_arn: settings.task_role_arn.clone(),
        execution_role_arn: settings.execution_role_arn.clone(),
        network_mode: Some(api::NetworkMode::Awsvpc),
        requires_compatibilities: Some(vec![api::Compatibility::Fargate]),
        cpu: settings.cpu.clone(),
        memory: settings.memory.clone(),
        container_definitions: Some(vec![api::ContainerDefinition {
            name: Some(CONTAINER.to_owned()),
            image: container.image,
            essential: Some(true),
            command: container.command,
            environment: container.environment,
            secrets: container.secrets,
            repository_credentials: credentials
                .map(|parameter| api::RepositoryCredentials { credentials_parameter: Some(parameter) }),
            port_mappings: Some(vec![api::PortMapping {
                container_port: container.container_port,
                protocol: Some(api::TransportProtocol::Tcp),
                ..api::PortMapping::default()
            }]),
            log_configuration: Some(api::LogConfiguration {
                log_driver: Some(api::LogDriver::Awslogs),
                options: Some(options),
                secret_options: None,
            }),
            ..api::ContainerDefinition::default()
        }]),
        ..api::RegisterTaskDefinitionRequest::default()
    }
}

/// Checks the settings by the rules of the task definition and the service that they mean, before either is made.
pub(super) fn check(cx: &Cx, key: &ServiceKey, settings: &api::ExpressGatewayServiceConfiguration) -> Result<()> {
    task_definition::check(&task_definition(cx, key, settings))?;
    task::network(cx, NetworkMode::Awsvpc, Some(network(settings))).map(|_| ())
}

/// Shapes the network of the settings for a service.
pub(super) fn network(settings: &api::ExpressGatewayServiceConfiguration) -> api::NetworkConfiguration {
    let network = settings.network_configuration.clone().unwrap_or_default();
    api::NetworkConfiguration {
        awsvpc_configuration: Some(api::AwsVpcConfiguration {
            subnets: network.subnets,
            security_groups: network.security_groups,
            assign_public_ip: Some(api::AssignPublicIp::Enabled),
        }),
    }
}

/// Returns how many tasks a service may have at least and at most.
pub(super) fn task_counts(settings: &api::ExpressGatewayServiceConfiguration) -> (i32, i32) {
    let scaling = settings.scaling_target.as_ref();
    let min = scaling.and_then(|scaling| scaling.min_task_count).unwrap_or(TASK_COUNT_MIN_DEFAULT);
    let max = scaling.and_then(|scaling| scaling.max_task_count).unwrap_or(TASK_COUNT_MAX_DEFAULT);
    (min, max)
}

/// Names the family of the service's task definitions. (Unverified.)
fn family(key: &ServiceKey) -> String {
    let whole = format!("{}-{}", key.cluster, key.name);
    // Both names can be as long as a family's.
    if ClusterName::parse(&whole).is_some() { whole } else { key.name.to_string() }
}

/// Without subnets a service is in the default VPC.
fn with_subnets(
    cx: &Cx,
    mut network: api::ExpressGatewayServiceNetworkConfiguration,
) -> Result<api::ExpressGatewayServiceNetworkConfiguration> {
    let subnets = network.subnets.get_or_insert_default();
    if subnets.is_empty() {
        cx.state.ec2.make_default_vpc(cx.scope());
        let all = cx.state.ec2.subnets.walk(cx.scope(), None).map(|(_, subnet)| subnet);
        subnets.extend(all.filter(|subnet| subnet.is_default).map(|subnet| subnet.id.to_string()));
        if subnets.is_empty() {
            // Seen in deployment notes of users.
            return Err(invalid("No default VPC or subnets found"));
        }
    }
    Ok(network)
}

/// Completes the container. Its log group is named once and kept.
fn container_with_defaults(
    cx: &Cx,
    key: &ServiceKey,
    before: &api::ExpressGatewayServiceConfiguration,
    mut container: api::ExpressGatewayContainer,
) -> api::ExpressGatewayContainer {
    container.container_port.get_or_insert(PORT_DEFAULT);
    let logs_before = before.primary_container.as_ref().and_then(|before| before.aws_logs_configuration.clone());
    container.aws_logs_configuration.get_or_insert_with(|| {
        logs_before.unwrap_or_else(|| {
            let suffix = cx.ids.bits() & 0xffff;
            api::ExpressGatewayServiceAwsLogsConfiguration {
                // The form is unverified.
                log_group: Some(format!("/aws/ecs/{}/{}-{suffix:04x}", key.cluster, key.name)),
                log_stream_prefix: Some(LOG_STREAM_PREFIX_DEFAULT.to_owned()),
            }
        })
    });
    container
}

fn scaling(
    given: Option<api::ExpressGatewayScalingTarget>,
    before: Option<&api::ExpressGatewayScalingTarget>,
) -> Result<api::ExpressGatewayScalingTarget> {
    let (given, before) = (given.unwrap_or_default(), before.cloned().unwrap_or_default());
    let min = given.min_task_count.or(before.min_task_count).unwrap_or(TASK_COUNT_MIN_DEFAULT);
    let max = given.max_task_count.or(before.max_task_count).unwrap_or_else(|| min.max(TASK_COUNT_MAX_DEFAULT));
    let value = given.auto_scaling_target_value.or(before.auto_scaling_target_value);
    let value = value.unwrap_or(SCALING_TARGET_VALUE_DEFAULT);
    let metric = given.auto_scaling_metric.or(before.auto_scaling_metric);
    let metric = metric.unwrap_or(api::ExpressGatewayServiceScalingMetric::AverageCpu);
    if min < 0 || max < 1 || max < min {
        return Err(invalid("The maximum task count must be at least 1 and not less than the minimum task count."));
    }
    let is_percent = metric != api::ExpressGatewayServiceScalingMetric::RequestCountPerTarget;
    if value < 1 || (is_percent && value > 100) {
        return Err(invalid("The auto scaling target value is out of range for the metric."));
    }
    Ok(api::ExpressGatewayScalingTarget {
        min_task_count: Some(min),
        max_task_count: Some(max),
        auto_scaling_metric: Some(metric),
        auto_scaling_target_value: Some(value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_takes_over_what_a_request_leaves_out() {
        let target = |min, max, value| api::ExpressGatewayScalingTarget {
            min_task_count: min,
            max_task_count: max,
            auto_scaling_metric: None,
            auto_scaling_target_value: value,
        };
        let counts = |target: &api::ExpressGatewayScalingTarget| (target.min_task_count, target.max_task_count);
        let first = scaling(None, None).unwrap();
        assert_eq!((counts(&first), first.auto_scaling_target_value), ((Some(1), Some(20)), Some(60)));
        assert_eq!(counts(&scaling(Some(target(Some(30), None, None)), None).unwrap()), (Some(30), Some(30)));
        assert_eq!(counts(&scaling(Some(target(None, Some(5), None)), Some(&first)).unwrap()), (Some(1), Some(5)));
        for refused in [
            target(Some(-1), None, None),
            target(Some(0), Some(0), None),
            target(Some(3), Some(2), None),
            target(None, None, Some(0)),
            target(None, None, Some(101)),
        ] {
            assert!(scaling(Some(refused.clone()), None).is_err(), "{refused:?}");
        }
    }
}
