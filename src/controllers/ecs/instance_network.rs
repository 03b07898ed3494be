//! How tasks on a container instance of this machine are joined to its network, where they have no interface of their own.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use base::Scope;
use node::{Attachment, BridgeSpec, PortForward, Transport};
use state::ecs::{
    ContainerDefinition, ContainerInstance, ContainerInstanceKey, InstanceHost, NetworkBinding, NetworkMode,
    PortMapping, Ports, Task, TaskDefinition,
};

use super::{instance, network_interface, reason};
use crate::World;

/// How a task is joined to a network.
#[derive(Default)]
pub(super) struct Joined {
    /// The network namespace; none is one of its own with nothing but loopback.
    pub(super) namespace: Option<PathBuf>,
    /// What the instance is called, in its own network.
    pub(super) host: Option<HostName>,
    /// The task's own address, behind the instance.
    pub(super) address: Option<Ipv4Addr>,
}

/// What containers in the instance's own network know of it.
pub(super) struct HostName {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
}

/// Joins a task to its instance's network as its definition says, and writes down the ports that it has there. Repeating it
/// changes nothing.
pub(super) async fn join(
    world: &World,
    scope: &Scope,
    task: &Task,
    definition: &TaskDefinition,
) -> Result<Joined, String> {
    let Some(instance) = instance_of(world, scope, task) else { return Ok(Joined::default()) };
    let Some(host) = &instance.host else { return Ok(Joined::default()) };
    match definition.network_mode {
        NetworkMode::Awsvpc | NetworkMode::None => Ok(Joined::default()),
        NetworkMode::Host => {
            bind(world, scope, task, definition, &instance)?;
            let interface = host.interface.as_ref();
            let spec = interface.and_then(|id| network_interface::spec_of(world, scope, id));
            let spec = spec.ok_or_else(|| reason::no_instance_network(&instance.key.id))?;
            let row = interface.and_then(|id| world.state.ec2.network_interfaces.get(scope, id));
            let attached = world.node.network.attach(&instance::sandbox_of(&instance.key.id), &spec).await;
            let namespace = attached.map_err(|error| reason::cannot_attach(&error))?.namespace;
            let host = row.map(|row| HostName { name: row.private_dns_name.clone(), address: row.address });
            Ok(Joined { namespace: Some(namespace), host, address: None })
        }
        NetworkMode::Bridge => {
            let ports = bind(world, scope, task, definition, &instance)?;
            let bridge = spec(&instance, host, ports).ok_or_else(|| reason::no_instance_network(&instance.key.id))?;
            let attached = world.node.network.attach_behind(&task.key.id, &bridge).await;
            let Attachment { namespace, address, .. } = attached.map_err(|error| reason::cannot_attach(&error))?;
            Ok(Joined { namespace: Some(namespace), host: None, address: Some(address) })
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
    let open = |is_udp| {
        let open = mappings().filter(|mapping| mapping.host_port.is_none() && mapping.is_udp == is_udp);
        open.map(|mapping| mapping.more.saturating_add(1)).collect::<Vec<_>>()
    };
    // The claim and the task are kept together, so that a port that was told stays the task's.
    world.state.together(|| {
        let ecs = &world.state.ecs;
        let chosen = ecs.choose_ports(scope, &instance.key, &task.key.id, &open(false), &open(true));
        let chosen = chosen.map_err(|length| match length {
            1 => reason::no_free_port(&instance.key.id),
            length => reason::no_free_ports(length),
        })?;
        let bound = bound(&definition.containers, &chosen);
        ecs.update_task(scope, &task.key, |task| {
            for container in &mut task.containers {
                let own = bound.iter().filter(|port| port.container == container.name);
                container.network_bindings = own.map(binding).collect();
            }
        });
        Ok(bound.iter().flat_map(forwards).collect())
    })
}

/// A mapping with its ports of the machine.
struct Bound<'a> {
    container: &'a str,
    transport: Transport,
    /// The first port of the machine.
    from: u16,
    /// The first port of the container.
    to: u16,
    /// How many follow.
    more: u16,
}

/// Gives each mapping its ports of the machine: the one that it names, or the next ones of those that were chosen.
fn bound<'a>(containers: &'a [ContainerDefinition], chosen: &Ports) -> Vec<Bound<'a>> {
    let (mut tcp, mut udp) = (chosen.tcp.iter(), chosen.udp.iter());
    let mut all = Vec::new();
    for container in containers {
        for PortMapping { container_port: to, host_port, is_udp, more } in &container.port_mappings {
            let (transport, chosen) = if *is_udp { (Transport::Udp, &mut udp) } else { (Transport::Tcp, &mut tcp) };
            let from = host_port.or_else(|| {
                let first = chosen.next().copied();
                // Those that follow it belong to the mapping too: a run has no gaps.
                chosen.by_ref().take(usize::from(*more)).for_each(drop);
                first
            });
            let bound = |from| Bound { container: &container.name, transport, from, to: *to, more: *more };
            all.extend(from.map(bound));
        }
    }
    all
}

fn forwards<'a>(bound: &'a Bound<'_>) -> impl Iterator<Item = PortForward> + use<'a> {
    let forward = |next| {
        let (from, to) = (bound.from.checked_add(next)?, bound.to.checked_add(next)?);
        Some(PortForward { transport: bound.transport, from, to })
    };
    (0..=bound.more).filter_map(forward)
}

fn binding(bound: &Bound<'_>) -> NetworkBinding {
    let is_range = bound.more > 0;
    let single = |port: u16| (!is_range).then(|| i32::from(port));
    let range = |first: u16| is_range.then(|| format!("{first}-{}", first.saturating_add(bound.more)));
    NetworkBinding {
        bind_ip: Some("0.0.0.0".to_owned()),
        container_port: single(bound.to),
        host_port: single(bound.from),
        protocol: Some(match bound.transport {
            Transport::Tcp => "tcp".to_owned(),
            Transport::Udp => "udp".to_owned(),
        }),
        container_port_range: range(bound.to),
        host_port_range: range(bound.from),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn ports_that_are_left_open_are_taken_from_those_chosen_in_order() {
        let mapping = |container_port, host_port, is_udp| PortMapping { container_port, host_port, is_udp, more: 0 };
        let range = |container_port, more| PortMapping { container_port, host_port: None, is_udp: false, more };
        let container = |name, port_mappings| ContainerDefinition { port_mappings, ..samples::container(name) };
        let containers = [
            container("a", vec![mapping(80, None, false), mapping(81, Some(8081), false), mapping(53, None, true)]),
            container("b", vec![range(7000, 2), mapping(80, None, false)]),
        ];
        let chosen = Ports { tcp: [49153, 49155, 49156, 49157, 49160].into(), udp: [49153].into() };
        let bound = bound(&containers, &chosen);
        let shown = bound.iter().flat_map(|bound| {
            forwards(bound).map(|port| format!("{} {:?} {}:{}", bound.container, port.transport, port.from, port.to))
        });
        let expected = [
            "a Tcp 49153:80",
            "a Tcp 8081:81",
            "a Udp 49153:53",
            "b Tcp 49155:7000",
            "b Tcp 49156:7001",
            "b Tcp 49157:7002",
            "b Tcp 49160:80",
        ];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        let ranges = bound.iter().map(binding).map(|shown| (shown.host_port, shown.host_port_range));
        let expected =
            [(Some(49153), None), (Some(8081), None), (Some(49153), None), (None, Some("49155-49157".to_owned()))];
        assert_eq!(ranges.take(4).collect::<Vec<_>>(), expected);
        assert_eq!(binding(&bound[3]).container_port_range.as_deref(), Some("7000-7002"));
    }
}
