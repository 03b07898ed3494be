//! RegisterContainerInstance: what an agent says of its machine when it starts.

use api::ecs as api;
use base::Arn;
use state::Cx;
use state::ecs::{
    AgentUpdate, Attribute, Cluster, ContainerInstance, ContainerInstanceKey, InstanceKind, InstanceStatus, Resources,
};

use super::view::{self, Include};
use super::{agent_update, reference, resources};
use crate::{Error, Result, attribute, client, cluster, document, invalid, tags};

/// What an agent of ECS Anywhere says of itself.
const EXTERNAL: &str = "ecs.capability.external";

/// Registers an instance, or takes one that is known as its agent now says it is.
pub(crate) async fn register_container_instance(
    cx: &Cx,
    input: api::RegisterContainerInstanceRequest,
) -> Result<api::RegisterContainerInstanceResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let known = input.container_instance_arn.clone().filter(|arn| !arn.is_empty());
    let tags = tags::parse(input.tags.clone())?;
    let machine = Machine::parse(input)?;
    let instance = match known {
        None => {
            let instance = machine.register(cx, &cluster, tags);
            disconnect_others(cx, &instance);
            cx.state.ecs.put_container_instance(cx.scope(), instance)
        }
        Some(known) => {
            let key = reference::parse(cx, &cluster, &known)?;
            let mut refusal = None;
            let updated = cx.state.ecs.update_container_instance(cx.scope(), &key, |instance| {
                refusal = machine.check(instance).err();
                if refusal.is_none() {
                    machine.register_again(instance);
                }
            });
            if let Some(refusal) = refusal {
                return Err(refusal);
            }
            updated.ok_or_else(|| not_registered(&known))?
        }
    };
    let view = view::container_instance(cx, &instance, Include::TAGS);
    Ok(api::RegisterContainerInstanceResponse { container_instance: Some(view) })
}

/// What an agent says of its machine.
struct Machine {
    identity: Identity,
    kind: InstanceKind,
    resources: Resources,
    attributes: Vec<Attribute>,
    version_info: Option<api::VersionInfo>,
}

/// What the instance identity document of EC2 says that ECS uses.
#[derive(Default)]
struct Identity {
    instance_id: Option<String>,
    instance_type: Option<String>,
    image_id: Option<String>,
    availability_zone: Option<String>,
}

impl Machine {
    fn parse(input: api::RegisterContainerInstanceRequest) -> Result<Self> {
        let identity = Identity::parse(input.instance_identity_document.as_deref().unwrap_or_default())?;
        let mut resources = resources::parse(input.total_resources.as_deref().unwrap_or_default())?;
        if resources.gpus.is_empty() {
            // An agent before GPUs were resources.
            resources.gpus = input.platform_devices.into_iter().flatten().filter_map(|device| device.id).collect();
        }
        let mut attributes = Vec::new();
        for given in input.attributes.unwrap_or_default() {
            attribute::put(&mut attributes, attribute::parse(given, false)?);
        }
        let is_external = attributes.iter().any(|attribute: &Attribute| attribute.name == EXTERNAL)
            || identity.instance_id.as_deref().is_some_and(|id| id.starts_with("mi-"));
        let derived = [
            ("ecs.ami-id", &identity.image_id),
            ("ecs.availability-zone", &identity.availability_zone),
            ("ecs.instance-type", &identity.instance_type),
        ];
        for (name, value) in derived {
            if value.is_some() && !attributes.iter().any(|attribute| attribute.name == name) {
                attributes.push(Attribute { name: name.to_owned(), value: value.clone(), is_custom: false });
            }
        }
        let kind = if is_external { InstanceKind::External } else { InstanceKind::Ec2 };
        Ok(Self { identity, kind, resources, attributes, version_info: input.version_info })
    }

    fn register(&self, cx: &Cx, cluster: &Cluster, tags: Vec<state::Tag>) -> ContainerInstance {
        let key = ContainerInstanceKey { cluster: cluster.name.clone(), id: cx.ids.container_instance() };
        let made_id = || (self.kind == InstanceKind::External).then(|| cx.ids.ec2("mi"));
        ContainerInstance {
            arn: Arn::new("ecs", cx.scope(), &format!("container-instance/{}/{}", key.cluster, key.id)),
            key,
            kind: self.kind,
            ec2_instance_id: self.identity.instance_id.clone().or_else(made_id),
            instance_type: self.identity.instance_type.clone(),
            capacity_provider: None,
            status: InstanceStatus::Active,
            registered_at: cx.now(),
            tags,
            resources: self.resources.clone(),
            claims: std::collections::BTreeMap::new(),
            version_info: self.version_info.as_ref().map(|info| document::write(info)),
            agent_version: self.agent_version(),
            attributes: self.attributes.clone(),
            is_agent_connected: true,
            agent_update: None,
            version: 1,
            host: None,
        }
    }

    /// Refuses a machine that cannot be the one that is known.
    fn check(&self, instance: &ContainerInstance) -> Result<()> {
        if instance.status == InstanceStatus::Inactive {
            return Err(not_registered(instance.key.id.as_str()));
        }
        match (&instance.instance_type, &self.identity.instance_type) {
            // Seen in logs of agents.
            (Some(before), Some(now)) if before != now => Err(client(format!(
                "Container instance type changes are not supported. Container instance {} was previously registered \
                 as {before}.",
                instance.key.id
            ))),
            _ => Ok(()),
        }
    }

    fn register_again(&self, instance: &mut ContainerInstance) {
        instance.resources = self.resources.clone();
        instance.agent_version = self.agent_version();
        instance.version_info = self.version_info.as_ref().map(|info| document::write(info));
        instance.is_agent_connected = true;
        let is_updated = self.agent_version().is_some_and(|version| agent_update::is_latest(&version));
        if instance.agent_update == Some(AgentUpdate::Pending) && is_updated {
            instance.agent_update = Some(AgentUpdate::Updated);
        }
        // What PutAttributes set outlives a restart of the agent.
        let custom = std::mem::take(&mut instance.attributes).into_iter().filter(|attribute| attribute.is_custom);
        instance.attributes = self.attributes.clone();
        for attribute in custom {
            attribute::put(&mut instance.attributes, attribute);
        }
    }

    fn agent_version(&self) -> Option<String> {
        self.version_info.as_ref()?.agent_version.clone().filter(|version| !version.is_empty())
    }
}

impl Identity {
    /// Reads the document, JSON that an agent passes on as it is. Without one nothing is known.
    fn parse(document: &str) -> Result<Self> {
        if document.is_empty() {
            return Ok(Self::default());
        }
        // Text unverified.
        let fields = serde_json::from_str::<serde_json::Value>(document)
            .ok()
            .filter(serde_json::Value::is_object)
            .ok_or_else(|| invalid("The instance identity document is invalid."))?;
        let field = |name: &str| fields.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
        Ok(Self {
            instance_id: field("instanceId"),
            instance_type: field("instanceType"),
            image_id: field("imageId"),
            availability_zone: field("availabilityZone"),
        })
    }
}

/// A machine has one agent: registered anew, it is no longer there under the names it had.
fn disconnect_others(cx: &Cx, instance: &ContainerInstance) {
    let Some(id) = &instance.ec2_instance_id else { return };
    for (key, other) in cx.state.ecs.container_instances.walk(cx.scope(), None) {
        if other.ec2_instance_id.as_ref() == Some(id) && other.is_agent_connected {
            cx.state.ecs.update_container_instance(cx.scope(), &key, |other| other.is_agent_connected = false);
        }
    }
}

/// Seen in logs of agents, with ClientException.
fn not_registered(reference: &str) -> Error {
    let id = reference.rsplit('/').next().unwrap_or_default();
    client(format!("Referenced container instance {id} not registered."))
}
