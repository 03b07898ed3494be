//! The managed instances of a capacity provider: defaults and rules.

use api::ecs as api;
use base::Arn;
use state::ecs::{CapacitySource, ClusterName};

use crate::{Result, document, invalid, required};

/// The longest time before idle instances are given back, in seconds; -1 means never.
const SCALE_IN_AFTER_S: std::ops::RangeInclusive<i32> = -1..=3_600;

/// Completes and checks managed instances for a new provider.
pub(super) fn source(
    cluster: ClusterName,
    instances: api::CreateManagedInstancesProviderConfiguration,
) -> Result<CapacitySource> {
    let mut template = required(instances.instance_launch_template, "managedInstancesProvider.instanceLaunchTemplate")?;
    template.capacity_option_type.get_or_insert(api::CapacityOptionType::OnDemand);
    completed(
        cluster,
        api::ManagedInstancesProvider {
            infrastructure_role_arn: instances.infrastructure_role_arn,
            instance_launch_template: Some(template),
            propagate_tags: instances.propagate_tags,
            infrastructure_optimization: instances.infrastructure_optimization,
            auto_repair_configuration: instances.auto_repair_configuration,
        },
    )
}

/// Applies an update: what it does not name stays.
pub(super) fn updated(
    cluster: ClusterName,
    known: api::ManagedInstancesProvider,
    update: api::UpdateManagedInstancesProviderConfiguration,
) -> Result<CapacitySource> {
    let template = known.instance_launch_template.unwrap_or_default();
    let change = required(update.instance_launch_template, "managedInstancesProvider.instanceLaunchTemplate")?;
    let template = api::InstanceLaunchTemplate {
        ec2_instance_profile_arn: change.ec2_instance_profile_arn.or(template.ec2_instance_profile_arn),
        network_configuration: change.network_configuration.or(template.network_configuration),
        storage_configuration: change.storage_configuration.or(template.storage_configuration),
        local_storage_configuration: change.local_storage_configuration.or(template.local_storage_configuration),
        monitoring: change.monitoring.or(template.monitoring),
        capacity_option_type: template.capacity_option_type,
        instance_metadata_tags_propagation: change
            .instance_metadata_tags_propagation
            .or(template.instance_metadata_tags_propagation),
        instance_requirements: change.instance_requirements.or(template.instance_requirements),
        fips_enabled: template.fips_enabled,
        capacity_reservations: change.capacity_reservations.or(template.capacity_reservations),
    };
    completed(
        cluster,
        api::ManagedInstancesProvider {
            infrastructure_role_arn: update.infrastructure_role_arn,
            instance_launch_template: Some(template),
            propagate_tags: update.propagate_tags.or(known.propagate_tags),
            infrastructure_optimization: update.infrastructure_optimization.or(known.infrastructure_optimization),
            auto_repair_configuration: update.auto_repair_configuration.or(known.auto_repair_configuration),
        },
    )
}

/// Checks what the model alone does not. The rules are the model's documentation; texts unverified.
fn completed(cluster: ClusterName, instances: api::ManagedInstancesProvider) -> Result<CapacitySource> {
    let is_arn = |text: &Option<String>| text.as_deref().is_some_and(|text| Arn::parse(text).is_some());
    if !is_arn(&instances.infrastructure_role_arn) {
        return Err(invalid("The specified infrastructureRoleArn is invalid. Specify a valid role ARN and try again."));
    }
    let template = instances.instance_launch_template.as_ref();
    if !template.is_some_and(|template| is_arn(&template.ec2_instance_profile_arn)) {
        return Err(invalid(
            "The specified ec2InstanceProfileArn is invalid. Specify a valid instance profile ARN and try again.",
        ));
    }
    let network = template.and_then(|template| template.network_configuration.as_ref());
    if network.and_then(|network| network.subnets.as_ref()).is_none_or(Vec::is_empty) {
        return Err(invalid("subnets can not be empty."));
    }
    let scale_in_after = instances.infrastructure_optimization.as_ref().and_then(|all| all.scale_in_after);
    if scale_in_after.is_some_and(|seconds| !SCALE_IN_AFTER_S.contains(&seconds)) {
        return Err(invalid("The scaleInAfter value must be between -1 and 3600."));
    }
    Ok(CapacitySource::ManagedInstances { cluster, document: document::write(&instances) })
}
