//! The resources of an instance: from what its agent sends, to what responses show.

use std::collections::BTreeSet;

use api::ecs as api;
use state::ecs::{Ports, Resources};

use crate::{Result, invalid};

/// Reads `totalResources`. Other resources than ECS's own are not placed by and are left out.
pub(super) fn parse(resources: &[api::Resource]) -> Result<Resources> {
    let mut parsed = Resources::default();
    for resource in resources {
        let name = resource.name.as_deref().unwrap_or_default();
        match name {
            "CPU" => parsed.cpu_units = amount(resource, name)?,
            "MEMORY" => parsed.memory_mib = amount(resource, name)?,
            "PORTS" => parsed.ports.tcp = ports(resource, name)?,
            "PORTS_UDP" => parsed.ports.udp = ports(resource, name)?,
            "GPU" => parsed.gpus = resource.string_set_value.clone().unwrap_or_default(),
            _ => {}
        }
    }
    Ok(parsed)
}

/// Shapes resources, in ECS's order. GPUs are shown only where the instance has some.
pub(super) fn view(resources: &Resources, has_gpus: bool) -> Vec<api::Resource> {
    let of = |name: &str, kind: &str| api::Resource {
        name: Some(name.to_owned()),
        r#type: Some(kind.to_owned()),
        double_value: Some(0.0),
        long_value: Some(0),
        integer_value: Some(0),
        string_set_value: None,
    };
    let integer = |name, value: u32| api::Resource { integer_value: i32::try_from(value).ok(), ..of(name, "INTEGER") };
    let set = |name, values: Vec<String>| api::Resource { string_set_value: Some(values), ..of(name, "STRINGSET") };
    let ports = |ports: &BTreeSet<u16>| ports.iter().map(u16::to_string).collect();
    let Ports { tcp, udp } = &resources.ports;
    let mut all = vec![
        integer("CPU", resources.cpu_units),
        integer("MEMORY", resources.memory_mib),
        set("PORTS", ports(tcp)),
        set("PORTS_UDP", ports(udp)),
    ];
    if has_gpus {
        all.push(set("GPU", resources.gpus.clone()));
    }
    all
}

fn amount(resource: &api::Resource, name: &str) -> Result<u32> {
    let value = resource.integer_value.map(i64::from).or(resource.long_value).unwrap_or(0);
    u32::try_from(value).ok().filter(|value| i32::try_from(*value).is_ok()).ok_or_else(|| invalid_resource(name))
}

fn ports(resource: &api::Resource, name: &str) -> Result<BTreeSet<u16>> {
    let ports = resource.string_set_value.iter().flatten().map(|port| port.parse::<u16>());
    ports.collect::<std::result::Result<_, _>>().map_err(|_| invalid_resource(name))
}

/// Text unverified.
fn invalid_resource(name: &str) -> crate::Error {
    invalid(format!("Invalid '{name}' setting in totalResources."))
}
