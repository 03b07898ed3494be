//! How tasks on a container instance of this machine are joined to its network, where they have no interface of their own.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use base::Scope;
use node::{BridgeSpec, PortForward, Transport};
use state::ecs::{
    ContainerDefinition, ContainerInstance, ContainerInstanceKey, InstanceHost, NetworkBinding, NetworkMode,
    PortMapping, Ports, Task, TaskDefinition,
};

use super::{instance, network_interface, reason};
use crate::World;

/// What containers in the instance's own network know of it.
pub(super) struct HostName {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
}

/// Joins a task to its instance's network as its definition says, and writes down the ports that it has there. Returns
/// the network namespace; none is one of its own with nothing but loopback. Repeating it changes nothing.
pub(super) async fn join(
    world: &World,
    scope: &Scope,
    task: &Task,
    definition: &TaskDefinition,
) -> Result<(Option<PathBuf>, Option<HostName>), String> {
    let Some(instance) = instance_of(world, scope, task) else { return Ok((None, None)) };
    let Some(host) = &instance.host else { return Ok((None, None)) };
    match definition.network_mode {
        NetworkMode::Awsvpc | NetworkMode::None => Ok((None, None)),
        NetworkMode::Host => {
            bind(world, scope, task, definition, &instance)?;
            let interface = host.interface.as_ref();
            let spec = interface.and_then(|id| network_interface::spec_of(world, scope, id));
            let spec = spec.ok_or_else(|| reason::no_instance_network(&instance.key.id))?;
            let row = interface.and_then(|id| world.state.ec2.network_interfaces.get(scope, id));
            let attached = world.node.network.attach(&instance::sandbox_of(&instance.key.id), &spec).await;
            let namespace = attached.map_err(|error| reason::cannot_attach(&error))?.namespace;
            let name = row.map(|row| HostName { name: row.private_dns_name.clone(), address: row.address });
            Ok((Some(namespace), name))
        }
        NetworkMode::Bridge => {
            let ports = bind(world, scope, task, definition, &instance)?;
            let bridge = spec(&instance, host, ports).ok_or_else(|| reason::no_instance_network(&instance.key.id))?;
            let attached = world.node.network.attach_behind(&task.key.id, &bridge).await;
            Ok((Some(attached.map_err(|error| reason::cannot_attach(&error))?.namespace), None))
        }
    }
}

fn instance_of(world: &World, scope: &Scope, task: &Task) -> Option<Arc<ContainerInstance>> {
    let id = task.launch.container_instance()?.clone();
    world.state.ecs.container_instances.get(scope, &ContainerInstanceKey { cluster: task.key.cluster.clone(), id })
}

fn spec(instance: &ContainerInstance, host: &InstanceHost, ports: Vec<PortForward>) -> Option<BridgeSpec> {
    Some(BridgeSpec { gateway: instance::sandbox_of(&instance.key.id), address: host.address?, ports })
}

/// Chooses the ports that the definition leaves open and writes all of them into the task's record.
fn bind(
    world: &World,
    scope: &Scope,
    task: &Task,
    definition: &TaskDefinition,
    instance: &ContainerInstance,
) -> Result<Vec<PortForward>, String> {
    let mappings = || definition.containers.iter().flat_map(|container| &container.port_mappings);
    let open = |is_udp| mappings().filter(|mapping| mapping.host_port.is_none() && mapping.is_udp == is_udp).count();
    // The claim and the task are kept together, so that a port that was told stays the task's.
    world.state.together(|| {
        let ecs = &world.state.ecs;
        let chosen = ecs.choose_ports(scope, &instance.key, &task.key.id, open(false), open(true));
        let chosen = chosen.ok_or_else(|| reason::no_free_port(&instance.key.id))?;
        let bound = bound(&definition.containers, &chosen);
        ecs.update_task(scope, &task.key, |task| {
            for container in &mut task.containers {
                let own = bound.iter().filter(|(name, _)| *name == container.name);
                container.network_bindings = own.map(|(_, port)| binding(port)).collect();
            }
        });
        Ok(bound.into_iter().map(|(_, port)| port).collect())
    })
}

/// Gives each mapping its port of the machine: the one that it names, or the next one of those that were chosen.
fn bound<'a>(containers: &'a [ContainerDefinition], chosen: &Ports) -> Vec<(&'a str, PortForward)> {
    let (mut tcp, mut udp) = (chosen.tcp.iter(), chosen.udp.iter());
    let mut port = |mapping: &PortMapping| {
        let (transport, chosen) = if mapping.is_udp { (Transport::Udp, &mut udp) } else { (Transport::Tcp, &mut tcp) };
        let from = mapping.host_port.or_else(|| chosen.next().copied())?;
        Some(PortForward { transport, from, to: mapping.container_port })
    };
    let mut all = Vec::new();
    for container in containers {
        for mapping in &container.port_mappings {
            all.extend(port(mapping).map(|port| (container.name.as_str(), port)));
        }
    }
    all
}

fn binding(port: &PortForward) -> NetworkBinding {
    NetworkBinding {
        bind_ip: Some("0.0.0.0".to_owned()),
        container_port: Some(i32::from(port.to)),
        host_port: Some(i32::from(port.from)),
        protocol: Some(match port.transport {
            Transport::Tcp => "tcp".to_owned(),
            Transport::Udp => "udp".to_owned(),
        }),
        container_port_range: None,
        host_port_range: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn ports_that_are_left_open_are_taken_from_those_chosen_in_order() {
        let mapping = |container_port, host_port, is_udp| PortMapping { container_port, host_port, is_udp };
        let container = |name, port_mappings| ContainerDefinition { port_mappings, ..samples::container(name) };
        let containers = [
            container("a", vec![mapping(80, None, false), mapping(81, Some(8081), false), mapping(53, None, true)]),
            container("b", vec![mapping(80, None, false)]),
        ];
        let chosen = Ports { tcp: [49153, 49154].into(), udp: [49153].into() };
        let bound = bound(&containers, &chosen);
        let shown = bound.iter().map(|(name, port)| format!("{name} {:?} {}:{}", port.transport, port.from, port.to));
        assert_eq!(shown.collect::<Vec<_>>(), ["a Tcp 49153:80", "a Tcp 8081:81", "a Udp 49153:53", "b Tcp 49154:80"]);
    }
}
