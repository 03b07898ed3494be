//! A capacity provider as responses show it.

use api::ecs as api;
use base::Arn;
use state::Cx;
use state::ecs::{CapacityProvider, CapacityProviderStatus, CapacityProviderUpdate, CapacitySource};

use super::{BuiltIn, Found};
use crate::{document, tags};

/// When the provider is seen. ECS answers a change while it is under way; here it is over at once, so only that answer
/// shows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Nothing is under way.
    AtRest,
    /// It has just been made.
    Made,
    /// It has just been changed.
    Changed,
    /// It has just been deleted.
    Deleted,
}

/// Shapes a provider that was looked up; its tags only if they were asked for.
pub(super) fn found(cx: &Cx, found: &Found, shows_tags: bool) -> api::CapacityProvider {
    match found {
        Found::BuiltIn(built_in) => built_in_view(cx, *built_in),
        Found::Made(provider) => made(provider, shows_tags, Moment::AtRest),
    }
}

fn built_in_view(cx: &Cx, built_in: BuiltIn) -> api::CapacityProvider {
    let name = built_in.name();
    api::CapacityProvider {
        capacity_provider_arn: Some(Arn::new("ecs", cx.scope(), &format!("capacity-provider/{name}")).to_string()),
        name: Some(name.to_owned()),
        status: Some(api::CapacityProviderStatus::Active),
        tags: Some(Vec::new()),
        r#type: Some(match built_in {
            BuiltIn::Fargate => api::CapacityProviderType::Fargate,
            BuiltIn::FargateSpot => api::CapacityProviderType::FargateSpot,
        }),
        ..api::CapacityProvider::default()
    }
}

/// Shapes a provider that a user made.
pub(super) fn made(provider: &CapacityProvider, shows_tags: bool, moment: Moment) -> api::CapacityProvider {
    let (update_status, update_status_reason) = update(provider, moment);
    let base = api::CapacityProvider {
        capacity_provider_arn: Some(provider.arn.to_string()),
        name: Some(provider.name.to_string()),
        status: Some(status(provider, moment)),
        update_status,
        update_status_reason,
        tags: Some(if shows_tags { tags::view(&provider.tags) } else { Vec::new() }),
        ..api::CapacityProvider::default()
    };
    match &provider.source {
        CapacitySource::AutoScalingGroup { document, .. } => api::CapacityProvider {
            auto_scaling_group_provider: Some(document::read(document)),
            r#type: Some(api::CapacityProviderType::Ec2Autoscaling),
            ..base
        },
        CapacitySource::ManagedInstances { cluster, document } => api::CapacityProvider {
            cluster: Some(cluster.to_string()),
            managed_instances_provider: Some(document::read(document)),
            r#type: Some(api::CapacityProviderType::ManagedInstances),
            ..base
        },
    }
}

/// Only managed instances have to be made and taken away; a provider with a group is ACTIVE at once, and stays so while
/// it is deleted.
fn status(provider: &CapacityProvider, moment: Moment) -> api::CapacityProviderStatus {
    match (&provider.source, moment) {
        (CapacitySource::ManagedInstances { .. }, Moment::Made) => api::CapacityProviderStatus::Provisioning,
        (CapacitySource::ManagedInstances { .. }, Moment::Deleted) => api::CapacityProviderStatus::Deprovisioning,
        (CapacitySource::AutoScalingGroup { .. }, Moment::Deleted) => api::CapacityProviderStatus::Active,
        (_, Moment::AtRest | Moment::Made | Moment::Changed) => match provider.status {
            CapacityProviderStatus::Active => api::CapacityProviderStatus::Active,
            CapacityProviderStatus::Inactive => api::CapacityProviderStatus::Inactive,
        },
    }
}

fn update(provider: &CapacityProvider, moment: Moment) -> (Option<api::CapacityProviderUpdateStatus>, Option<String>) {
    let is_under_way = moment != Moment::AtRest;
    let word = |under_way: &str, over: &str| {
        Some(api::CapacityProviderUpdateStatus::from(if is_under_way { under_way } else { over }))
    };
    match &provider.update {
        None => (None, None),
        Some(CapacityProviderUpdate::Created) => (word("CREATE_IN_PROGRESS", "CREATE_COMPLETE"), None),
        Some(CapacityProviderUpdate::Updated) => (word("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"), None),
        Some(CapacityProviderUpdate::Deleted) => (word("DELETE_IN_PROGRESS", "DELETE_COMPLETE"), None),
        Some(CapacityProviderUpdate::DeleteFailed { reason }) => {
            (Some(api::CapacityProviderUpdateStatus::DeleteFailed), Some(reason.clone()))
        }
    }
}
