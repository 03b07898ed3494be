//! The elastic network interface of a task: its record in EC2, and what the node needs to make it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use base::{EniId, Scope, SecurityGroupId, SubnetId};
use node::{EniSpec, MacAddress, SubnetSpec, VpcSpec};
use state::ec2::{NetworkInterface, NetworkInterfaceAttachment, NetworkInterfaceStatus, Subnet};
use state::ecs::{AttachmentStatus, Eni, Task, TaskNetwork};

use super::{launch, reason};
use crate::World;

/// Makes the record of the interface that a task is to have, with an address of its own.
///
/// Fails, in AWS's words, if there is no address left or the subnet is gone.
pub(super) fn make(world: &World, scope: &Scope, task: &Task, network: &TaskNetwork) -> Result<Eni, String> {
    let wanted = task.eni.as_ref().map(|eni| eni.subnet.clone()).or_else(|| network.subnets.first().cloned());
    let subnet = wanted.and_then(|id| world.state.ec2.subnets.get(scope, &id));
    let subnet = subnet.ok_or_else(|| reason::no_free_address("unknown"))?;
    let attachment_id = task.eni.as_ref().map_or_else(|| world.ids.uuid(), |eni| eni.attachment_id.clone());
    let description = base::Arn::new("ecs", scope, &format!("attachment/{attachment_id}")).to_string();
    let made = record(world, scope, &subnet, &network.security_groups, description);
    let made = made.ok_or_else(|| reason::no_free_address(subnet.id.as_str()))?;
    Ok(Eni {
        attachment_id,
        subnet: subnet.id.clone(),
        status: AttachmentStatus::Attaching,
        interface: Some(made.id.clone()),
        address: Some(made.address),
        mac: Some(made.mac.clone()),
        private_dns_name: Some(made.private_dns_name.clone()),
    })
}

/// Makes the record of an interface in a subnet, with an address of its own; none if there is no address left.
pub(super) fn record(
    world: &World,
    scope: &Scope,
    subnet: &Subnet,
    security_groups: &[SecurityGroupId],
    description: String,
) -> Option<Arc<NetworkInterface>> {
    let id = world.ids.eni();
    let address = world.state.ec2.claim_address(scope, &subnet.id, &id)?;
    let mac = mac_of(world.ids.bits());
    let private_dns_name = private_dns_name(scope, address);
    let interface = NetworkInterface {
        id: id.clone(),
        vpc: subnet.vpc.clone(),
        subnet: subnet.id.clone(),
        availability_zone: subnet.availability_zone.clone(),
        address,
        mac: mac.to_string(),
        private_dns_name: private_dns_name.clone(),
        description,
        security_groups: security_groups.to_vec(),
        status: NetworkInterfaceStatus::InUse,
        attachment: Some(NetworkInterfaceAttachment {
            id: world.ids.ec2("eni-attach"),
            attached_at: world.clock.now(),
        }),
        created_at: world.clock.now(),
        tags: Vec::new(),
    };
    Some(world.state.ec2.network_interfaces.insert(scope, &id, interface))
}

/// Says to the node what interface a task has; none if its records are gone.
pub(super) fn spec(world: &World, scope: &Scope, eni: &Eni) -> Option<EniSpec> {
    spec_of(world, scope, eni.interface.as_ref()?)
}

/// Says to the node what an interface is; none if its records are gone.
pub(super) fn spec_of(world: &World, scope: &Scope, interface: &EniId) -> Option<EniSpec> {
    let ec2 = &world.state.ec2;
    let interface = ec2.network_interfaces.get(scope, interface)?;
    let subnet = ec2.subnets.get(scope, &interface.subnet)?;
    let base = ec2.vpcs.get(scope, &interface.vpc)?.cidr.base;
    let subnets = ec2.subnets.walk(scope, None).map(|(_, subnet)| subnet);
    let subnets = subnets.filter(|other| other.vpc == interface.vpc).map(|other| subnet_spec(&other));
    Some(EniSpec {
        id: interface.id.clone(),
        vpc: VpcSpec { id: interface.vpc.clone(), base, subnets: subnets.collect() },
        subnet: subnet_spec(&subnet),
        address: interface.address,
        mac: parse_mac(&interface.mac)?,
    })
}

/// Removes the record of a task's interface and gives its address back.
pub(super) fn remove(world: &World, scope: &Scope, eni: &Eni) {
    if let Some(id) = &eni.interface {
        remove_record(world, scope, id);
    }
}

/// Removes the record of an interface and gives its address back.
pub(super) fn remove_record(world: &World, scope: &Scope, id: &EniId) {
    if let Some(interface) = world.state.ec2.network_interfaces.remove(scope, id) {
        world.state.ec2.release_address(scope, &interface.subnet, interface.address);
    }
}

/// Returns the availability zone of a subnet.
pub(super) fn zone_of(world: &World, scope: &Scope, subnet: &SubnetId) -> Option<String> {
    world.state.ec2.subnets.get(scope, subnet).map(|subnet| subnet.availability_zone.clone())
}

fn subnet_spec(subnet: &Subnet) -> SubnetSpec {
    SubnetSpec { id: subnet.id.clone(), base: subnet.cidr.base, prefix_len: subnet.cidr.prefix_len }
}

fn private_dns_name(scope: &Scope, address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("ip-{a}-{b}-{c}-{d}.{}", launch::search_domain(&scope.region))
}

/// Makes a locally administered unicast address: `0a:…`, as EC2 gives them.
fn mac_of(bits: u128) -> MacAddress {
    let [a, b, c, d, e, ..] = bits.to_le_bytes();
    MacAddress([0x0a, a, b, c, d, e])
}

fn parse_mac(text: &str) -> Option<MacAddress> {
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect::<Option<Vec<_>>>()?;
    bytes.try_into().ok().map(MacAddress)
}
