//! `requiresAttributes`: what an agent must be able to do, derived from the definition.
//!
//! The names are the ECS agent's; which definition needs which is inferred from responses of AWS (partly unverified).

use std::collections::BTreeSet;

use api::ecs as api;

/// Derives the attributes, sorted by name.
pub(super) fn of(definition: &api::TaskDefinition) -> Vec<api::Attribute> {
    let mut names = BTreeSet::new();
    names.insert("com.amazonaws.ecs.capability.docker-remote-api.1.18".to_owned());
    of_task(definition, &mut names);
    for container in definition.container_definitions.iter().flatten() {
        of_container(definition, container, &mut names);
    }
    let attribute = |name| api::Attribute { name: Some(name), ..api::Attribute::default() };
    names.into_iter().map(attribute).collect()
}

fn of_task(definition: &api::TaskDefinition, names: &mut BTreeSet<String>) {
    let mut add = |is_needed: bool, name: &str| {
        if is_needed {
            names.insert(name.to_owned());
        }
    };
    let is_host = definition.network_mode == Some(api::NetworkMode::Host);
    add(definition.network_mode == Some(api::NetworkMode::Awsvpc), "ecs.capability.task-eni");
    let has_role = definition.task_role_arn.is_some();
    add(has_role && !is_host, "com.amazonaws.ecs.capability.task-iam-role");
    add(has_role && is_host, "com.amazonaws.ecs.capability.task-iam-role-network-host");
    add(definition.cpu.is_some() || definition.memory.is_some(), "ecs.capability.task-cpu-mem-limit");
    let shares_namespaces = definition.pid_mode.is_some() || definition.ipc_mode.is_some();
    add(shares_namespaces, "ecs.capability.pid-ipc-namespace-sharing");
    add(definition.enable_fault_injection == Some(true), "ecs.capability.fault-injection");
    for volume in definition.volumes.iter().flatten() {
        let efs = volume.efs_volume_configuration.as_ref();
        add(efs.is_some(), "ecs.capability.efs");
        add(efs.is_some_and(|efs| efs.authorization_config.is_some()), "ecs.capability.efsAuth");
        add(volume.configured_at_launch == Some(true), "ecs.capability.storage.ebs-task-volume-attach");
    }
}

fn of_container(definition: &api::TaskDefinition, container: &api::ContainerDefinition, names: &mut BTreeSet<String>) {
    let mut add = |is_needed: bool, name: &str| {
        if is_needed {
            names.insert(name.to_owned());
        }
    };
    let has_execution_role = definition.execution_role_arn.is_some();
    let image = container.image.as_deref().unwrap_or_default();
    let is_ecr = is_ecr(image);
    add(is_ecr, "com.amazonaws.ecs.capability.ecr-auth");
    add(is_ecr && has_execution_role, "ecs.capability.execution-role-ecr-pull");
    if let Some(driver) = container.log_configuration.as_ref().and_then(|log| log.log_driver.as_ref()) {
        add(true, &format!("com.amazonaws.ecs.capability.logging-driver.{driver}"));
        let is_awslogs = *driver == api::LogDriver::Awslogs;
        add(is_awslogs, "com.amazonaws.ecs.capability.docker-remote-api.1.19");
        add(is_awslogs && has_execution_role, "ecs.capability.execution-role-awslogs");
    }
    for secret in container.secrets.iter().flatten() {
        let store = if is_secrets_manager(secret) { "asm" } else { "ssm" };
        add(true, &format!("ecs.capability.secrets.{store}.environment-variables"));
    }
    let log_secrets = container.log_configuration.as_ref().and_then(|log| log.secret_options.as_ref());
    for secret in log_secrets.into_iter().flatten() {
        let store = if is_secrets_manager(secret) { "asm" } else { "ssm" };
        add(true, &format!("ecs.capability.secrets.{store}.bootstrap.log-driver"));
    }
    add(container.health_check.is_some(), "ecs.capability.container-health-check");
    add(container.depends_on.as_ref().is_some_and(|list| !list.is_empty()), "ecs.capability.container-ordering");
    let has_credentials = container.repository_credentials.is_some();
    add(has_credentials, "ecs.capability.private-registry-authentication.secretsmanager");
    add(container.environment_files.as_ref().is_some_and(|list| !list.is_empty()), "ecs.capability.env-files.s3");
    add(container.restart_policy.is_some(), "ecs.capability.container-restart-policy");
    add(container.privileged == Some(true), "com.amazonaws.ecs.capability.privileged-container");
    let has_range = container.port_mappings.iter().flatten().any(|port| port.container_port_range.is_some());
    add(has_range, "ecs.capability.network.container-port-range");
    if let Some(firelens) = &container.firelens_configuration {
        let kind = firelens.r#type.as_ref().map(ToString::to_string).unwrap_or_default();
        add(true, &format!("ecs.capability.firelens.{kind}"));
        let source = firelens.options.as_ref().and_then(|options| options.get("config-file-type"));
        if let Some(source) = source {
            add(true, &format!("ecs.capability.firelens.options.config.{source}"));
        }
    }
}

/// Returns whether an image lies in a private ECR registry, by AWS's name or by the one of this machine.
pub(super) fn is_ecr(image: &str) -> bool {
    image.split_once('/').is_some_and(|(host, _)| base::EcrHost::parse(host).is_some())
}

fn is_secrets_manager(secret: &api::Secret) -> bool {
    secret.value_from.as_deref().is_some_and(|from| from.split(':').nth(2) == Some("secretsmanager"))
}
