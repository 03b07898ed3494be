//! A container instance as responses show it.

use api::ecs as api;
use state::Cx;
use state::ecs::{ContainerInstance, InstanceTasks};

use super::resources;
use crate::{document, tags};

/// Which parts of an instance a response shows.
#[derive(Clone, Copy)]
pub(super) struct Include {
    health: bool,
    tags: bool,
}

impl Include {
    pub(super) const NONE: Self = Self { health: false, tags: false };
    /// What the answer to a registration shows.
    pub(super) const TAGS: Self = Self { tags: true, ..Self::NONE };

    pub(super) fn of(fields: &[api::ContainerInstanceField]) -> Self {
        Self {
            health: fields.contains(&api::ContainerInstanceField::ContainerInstanceHealth),
            tags: fields.contains(&api::ContainerInstanceField::Tags),
        }
    }
}

/// Shapes an instance.
pub(super) fn container_instance(cx: &Cx, instance: &ContainerInstance, include: Include) -> api::ContainerInstance {
    let InstanceTasks { running, pending } = cx.state.ecs.count_tasks_on(cx.scope(), instance);
    let has_gpus = !instance.resources.gpus.is_empty();
    api::ContainerInstance {
        container_instance_arn: Some(instance.arn.to_string()),
        ec2_instance_id: instance.ec2_instance_id.clone(),
        capacity_provider_name: instance.capacity_provider.clone(),
        version: Some(instance.version),
        version_info: Some(instance.version_info.as_ref().map(document::read).unwrap_or_default()),
        remaining_resources: Some(resources::view(&instance.remaining(), has_gpus)),
        registered_resources: Some(resources::view(&instance.resources, has_gpus)),
        status: Some(instance.status.as_str().to_owned()),
        status_reason: None,
        agent_connected: Some(instance.is_agent_connected),
        running_tasks_count: Some(running),
        pending_tasks_count: Some(pending),
        agent_update_status: instance.agent_update.map(|update| api::AgentUpdateStatus::from(update.as_str())),
        attributes: Some(instance.attributes.iter().map(attribute).collect()),
        registered_at: Some(instance.registered_at.into()),
        attachments: Some(Vec::new()),
        tags: Some(if include.tags { tags::view(&instance.tags) } else { Vec::new() }),
        health_status: include.health.then(|| health(instance)),
    }
}

fn attribute(attribute: &state::ecs::Attribute) -> api::Attribute {
    api::Attribute { name: Some(attribute.name.clone()), value: attribute.value.clone(), ..api::Attribute::default() }
}

/// An agent that is there is taken to be well; of one that is not, nothing is known.
fn health(instance: &ContainerInstance) -> api::ContainerInstanceHealthStatus {
    let status = if instance.is_agent_connected {
        api::InstanceHealthCheckState::Ok
    } else {
        api::InstanceHealthCheckState::InsufficientData
    };
    let at = Some(instance.registered_at.into());
    let detail = api::InstanceHealthCheckResult {
        r#type: Some(api::InstanceHealthCheckType::ContainerRuntime),
        status: Some(status.clone()),
        status_reason: None,
        last_updated: at,
        last_status_change: at,
    };
    api::ContainerInstanceHealthStatus { overall_status: Some(status), details: Some(vec![detail]) }
}
