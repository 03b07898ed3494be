//! The Auto Scaling group of a capacity provider: defaults and rules.

use api::ecs as api;
use state::ecs::CapacitySource;

use crate::{Result, client, document, required};

const TARGET_CAPACITY_DEFAULT: i32 = 100;
const STEP_SIZE_MIN_DEFAULT: i32 = 1;
const STEP_SIZE_MAX_DEFAULT: i32 = 10_000;
const WARMUP_DEFAULT_S: i32 = 300;

/// Completes and checks a group for a new provider.
pub(super) fn source(group: api::AutoScalingGroupProvider) -> Result<CapacitySource> {
    let arn = required(group.auto_scaling_group_arn, "autoScalingGroupProvider.autoScalingGroupArn")?;
    let scaling = group.managed_scaling.unwrap_or_else(|| api::ManagedScaling {
        status: Some(api::ManagedScalingStatus::Disabled),
        ..api::ManagedScaling::default()
    });
    let group = api::AutoScalingGroupProvider {
        auto_scaling_group_arn: Some(arn),
        managed_scaling: Some(scaling),
        managed_termination_protection: group.managed_termination_protection,
        managed_draining: group.managed_draining,
    };
    completed(group)
}

/// Applies an update: what it does not name stays.
pub(super) fn updated(
    mut group: api::AutoScalingGroupProvider,
    update: api::AutoScalingGroupProviderUpdate,
) -> Result<CapacitySource> {
    if let Some(scaling) = update.managed_scaling {
        let known = group.managed_scaling.unwrap_or_default();
        group.managed_scaling = Some(api::ManagedScaling {
            status: scaling.status.or(known.status),
            target_capacity: scaling.target_capacity.or(known.target_capacity),
            minimum_scaling_step_size: scaling.minimum_scaling_step_size.or(known.minimum_scaling_step_size),
            maximum_scaling_step_size: scaling.maximum_scaling_step_size.or(known.maximum_scaling_step_size),
            instance_warmup_period: scaling.instance_warmup_period.or(known.instance_warmup_period),
        });
    }
    group.managed_termination_protection =
        update.managed_termination_protection.or(group.managed_termination_protection);
    group.managed_draining = update.managed_draining.or(group.managed_draining);
    completed(group)
}

/// Fills in the defaults that a response shows, and checks what the settings mean together.
fn completed(mut group: api::AutoScalingGroupProvider) -> Result<CapacitySource> {
    let scaling = group.managed_scaling.get_or_insert_default();
    let is_scaling_managed =
        *scaling.status.get_or_insert(api::ManagedScalingStatus::Enabled) == api::ManagedScalingStatus::Enabled;
    scaling.target_capacity.get_or_insert(TARGET_CAPACITY_DEFAULT);
    let step_min = *scaling.minimum_scaling_step_size.get_or_insert(STEP_SIZE_MIN_DEFAULT);
    let step_max = *scaling.maximum_scaling_step_size.get_or_insert(STEP_SIZE_MAX_DEFAULT);
    scaling.instance_warmup_period.get_or_insert(WARMUP_DEFAULT_S);
    let protection =
        group.managed_termination_protection.get_or_insert(api::ManagedTerminationProtection::Disabled).clone();
    let is_draining_managed =
        *group.managed_draining.get_or_insert(api::ManagedDraining::Enabled) == api::ManagedDraining::Enabled;
    if step_min > step_max {
        // PFr: a fragment of the message.
        return Err(client("The minimum or maximum scaling step size value is invalid"));
    }
    if protection == api::ManagedTerminationProtection::Enabled && !is_scaling_managed {
        // Both sentences were seen, the second with another condition: PFr, terraform-provider-aws#11338.
        return Err(client(
            "The managed termination protection setting for the capacity provider is invalid. To enable managed \
             termination protection for a capacity provider, managed scaling must be enabled.",
        ));
    }
    Ok(CapacitySource::AutoScalingGroup {
        group: group.auto_scaling_group_arn.clone().unwrap_or_default(),
        is_scaling_managed,
        is_draining_managed,
        document: document::write(&group),
    })
}
