//! Attributes of container instances: PutAttributes, DeleteAttributes, ListAttributes.

use api::ecs as api;
use base::{ContainerInstanceId, Page};
use state::Cx;
use state::ecs::{Attribute, Cluster, ContainerInstance, ContainerInstanceKey, InstanceStatus};

use crate::{Error, Result, cluster, container_instance, invalid, page};

const LISTING: &str = "ListAttributes";
/// How many attributes one call may name, and how many custom ones an instance may have.
const ATTRIBUTES_MAX: usize = 10;
const CHARS_MAX: usize = 128;
/// What the names of ECS's own attributes begin with.
const RESERVED: [&str; 2] = ["ecs.", "com.amazonaws.ecs."];

/// Sets attributes of container instances.
pub(crate) async fn put_attributes(cx: &Cx, input: api::PutAttributesRequest) -> Result<api::PutAttributesResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let given = bounded(input.attributes)?;
    let mut wanted = Vec::new();
    for attribute in given {
        let key = target(cx, &cluster, &attribute)?;
        let attribute = parse(attribute, true)?;
        if RESERVED.iter().any(|prefix| attribute.name.starts_with(prefix)) {
            // The rule is the Developer Guide's; text unverified.
            return Err(invalid(format!("The attribute name {} is reserved.", attribute.name)));
        }
        wanted.push((key, attribute));
    }
    let mut applied = Vec::new();
    for (key, attribute) in wanted {
        let changed = cx.state.ecs.container_instances.try_update(cx.scope(), &key, |instance| {
            check(instance)?;
            put(&mut instance.attributes, attribute.clone());
            if instance.attributes.iter().filter(|attribute| attribute.is_custom).count() > ATTRIBUTES_MAX {
                // The rule is PutAttributes' documentation; text unverified.
                return Err(Error::AttributeLimitExceeded(format!(
                    "You can have at most {ATTRIBUTES_MAX} custom attributes for each resource."
                )));
            }
            Ok(())
        });
        let instance = changed.ok_or_else(|| missing(key.id.as_str()))??;
        applied.push(view(&instance, &attribute));
    }
    Ok(api::PutAttributesResponse { attributes: Some(applied) })
}

/// Takes custom attributes away and answers with those that were there.
pub(crate) async fn delete_attributes(
    cx: &Cx,
    input: api::DeleteAttributesRequest,
) -> Result<api::DeleteAttributesResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let given = bounded(input.attributes)?;
    let mut wanted = Vec::new();
    for attribute in given {
        let key = target(cx, &cluster, &attribute)?;
        wanted.push((key, parse(attribute, true)?));
    }
    let mut deleted = Vec::new();
    for (key, attribute) in wanted {
        let mut known = None;
        let is_meant = |other: &Attribute| other.is_custom && other.name == attribute.name;
        let changed = cx.state.ecs.container_instances.try_update(cx.scope(), &key, |instance| {
            check(instance)?;
            let place = instance.attributes.iter().position(is_meant);
            known = place.map(|place| instance.attributes.remove(place));
            Ok::<(), Error>(())
        });
        let instance = changed.ok_or_else(|| missing(key.id.as_str()))??;
        deleted.extend(known.map(|attribute| view(&instance, &attribute)));
    }
    Ok(api::DeleteAttributesResponse { attributes: Some(deleted) })
}

/// Lists the attributes of a cluster's instances, sorted by instance and name.
pub(crate) async fn list_attributes(cx: &Cx, input: api::ListAttributesRequest) -> Result<api::ListAttributesResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let request = page::request(LISTING, input.max_results, input.next_token.as_deref())?;
    if input.attribute_value.is_some() && input.attribute_name.is_none() {
        // The rule is ListAttributes' documentation; text unverified.
        return Err(invalid("attributeName must be specified when attributeValue is specified."));
    }
    let after = request.after.as_deref().unwrap_or_default();
    let (after_id, after_name) = after.split_once(' ').unwrap_or_default();
    let first = ContainerInstanceKey { cluster: cluster.name.clone(), id: ContainerInstanceId::new(after_id) };
    let instances = cx.state.ecs.container_instances.walk_from(cx.scope(), first).map(|(_, instance)| instance);
    let instances = instances
        .take_while(|instance| instance.key.cluster == cluster.name)
        .filter(|instance| instance.status != InstanceStatus::Inactive);
    let is_after = |instance: &ContainerInstance, name: &str| instance.key.id.as_str() != after_id || name > after_name;
    let wants = |attribute: &Attribute| {
        input.attribute_name.as_ref().is_none_or(|name| *name == attribute.name)
            && input.attribute_value.as_ref().is_none_or(|value| attribute.value.as_ref() == Some(value))
    };
    let found = instances.flat_map(|instance| {
        let mut attributes = instance.attributes.clone();
        attributes.retain(|attribute| is_after(&instance, &attribute.name) && wants(attribute));
        attributes.sort_by(|left, right| left.name.cmp(&right.name));
        attributes.into_iter().map(move |attribute| (instance.key.id.clone(), view(&instance, &attribute)))
    });
    let name = |attribute: &api::Attribute| attribute.name.clone().unwrap_or_default();
    let page = Page::cut(LISTING, request.size, found, |(id, attribute)| format!("{id} {}", name(attribute)));
    let attributes = page.items.into_iter().map(|(_, attribute)| attribute).collect();
    Ok(api::ListAttributesResponse { attributes: Some(attributes), next_token: page.next })
}

/// Reads an attribute by ECS's rules. (They are the Attribute shape's documentation; texts unverified.)
pub(crate) fn parse(attribute: api::Attribute, is_custom: bool) -> Result<Attribute> {
    let name = attribute.name.unwrap_or_default();
    let is_name = (1..=CHARS_MAX).contains(&name.chars().count())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/\\.".contains(&b));
    if !is_name {
        return Err(invalid(format!("The attribute name {name} is invalid.")));
    }
    // An agent may send an empty value for none.
    let value = attribute.value.filter(|value| !value.is_empty());
    let is_value = value.as_deref().is_none_or(|value| {
        value.chars().count() <= CHARS_MAX
            && value.trim_matches(' ') == value
            && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.@/\\: ".contains(&b))
    });
    if is_custom && !is_value {
        return Err(invalid(format!("The value of attribute {name} is invalid.")));
    }
    Ok(Attribute { name, value, is_custom })
}

/// Sets an attribute among others.
pub(crate) fn put(attributes: &mut Vec<Attribute>, attribute: Attribute) {
    match attributes.iter_mut().find(|known| known.name == attribute.name) {
        Some(known) => *known = attribute,
        None => attributes.push(attribute),
    }
}

fn bounded(attributes: Option<Vec<api::Attribute>>) -> Result<Vec<api::Attribute>> {
    let attributes = attributes.unwrap_or_default();
    // Texts unverified; the limit is PutAttributes' documentation.
    if attributes.is_empty() {
        return Err(invalid("Attributes cannot be empty."));
    }
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(invalid(format!("Attributes cannot have more than {ATTRIBUTES_MAX} elements.")));
    }
    Ok(attributes)
}

/// Finds the instance that an attribute is for.
fn target(cx: &Cx, cluster: &Cluster, attribute: &api::Attribute) -> Result<ContainerInstanceKey> {
    let id = attribute.target_id.as_deref().filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| invalid("targetId cannot be empty."))?;
    if !id.starts_with("arn:") && attribute.target_type.is_none() {
        // The rule is the Attribute shape's documentation; text unverified.
        return Err(invalid("targetType must be specified when targetId is not a full ARN."));
    }
    let key = container_instance::parse_reference(cx, cluster, id)?;
    match cx.state.ecs.container_instances.get(cx.scope(), &key) {
        Some(instance) => check(&instance).map(|()| key),
        None => Err(missing(id)),
    }
}

fn check(instance: &ContainerInstance) -> Result<()> {
    if instance.status == InstanceStatus::Inactive { Err(missing(instance.key.id.as_str())) } else { Ok(()) }
}

/// The text is moto's.
fn missing(id: &str) -> Error {
    Error::TargetNotFound(format!("Could not find {id}"))
}

fn view(instance: &ContainerInstance, attribute: &Attribute) -> api::Attribute {
    api::Attribute {
        name: Some(attribute.name.clone()),
        value: attribute.value.clone(),
        target_type: None,
        target_id: Some(instance.arn.to_string()),
    }
}
