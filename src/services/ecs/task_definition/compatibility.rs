//! `compatibilities`: every launch type that a definition satisfies, whatever it asked for.

use api::ecs as api;

/// Lists the launch types in the order in which AWS shows them (a dump of 2026 for Fargate-valid definitions).
pub(super) fn of(definition: &api::TaskDefinition, is_fargate_compatible: bool) -> Vec<api::Compatibility> {
    use api::Compatibility;
    if is_fargate_compatible {
        return vec![Compatibility::Ec2, Compatibility::Fargate, Compatibility::ManagedInstances];
    }
    let is_awsvpc = definition.network_mode == Some(api::NetworkMode::Awsvpc);
    let uses_efs = definition.volumes.iter().flatten().any(|volume| volume.efs_volume_configuration.is_some());
    // ECS Anywhere has neither awsvpc nor EFS.
    if is_awsvpc || uses_efs { vec![Compatibility::Ec2] } else { vec![Compatibility::External, Compatibility::Ec2] }
}
