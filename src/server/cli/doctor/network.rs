//! Networks: VPCs and interfaces, and the program for security groups.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use base::{EniId, Ids, SubnetId, TaskId, VpcId};
use network::FargateNetwork;
use node::{Attachment, EniSpec, MacAddress, Network, NetworkError, SubnetSpec, VpcSpec};

use super::finding::Finding;

/// The far end of the default VPC, where no subnet of its own is.
const SUBNET: Ipv4Addr = Ipv4Addr::new(172, 31, 240, 0);
const SUBNET_PREFIX_LEN: u8 = 20;
const ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 31, 255, 250);
const MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x0a]);
/// How many digits name an installation of the network.
const INSTANCE_DIGITS: usize = 6;

/// Makes a VPC with an interface in it, as for a task, and takes both away.
pub(super) fn interfaces() -> Finding {
    let id = Ids::system().task();
    match super::wait(try_interface(&id)) {
        Ok(Ok(Attachment { is_reachable_from_host: true, .. })) => {
            Finding::ok("network", "VPCs and interfaces can be made, and are reachable from here")
        }
        Ok(Ok(_)) => Finding::warn(
            "network",
            "VPCs and interfaces can be made, but 172.31.0.0/16 has another meaning here",
            "tasks run; their addresses in a default VPC do not answer from this machine",
        ),
        Ok(Err(error)) => missing(&super::causes(&error)),
        Err(error) => missing(&error.to_string()),
    }
}

fn missing(found: &str) -> Finding {
    let advice = "the kernel needs veth and bridge (modprobe veth bridge); inside a container run it with --privileged";
    Finding::missing("network", found, advice)
}

async fn try_interface(id: &TaskId) -> Result<Attachment, NetworkError> {
    let instance = id.as_str().chars().take(INSTANCE_DIGITS).collect();
    let network = FargateNetwork::new(network::Config { instance, sockets: None })?;
    let subnet = SubnetSpec { id: SubnetId::new("subnet-doctor"), base: SUBNET, prefix_len: SUBNET_PREFIX_LEN };
    let vpc = VpcSpec { id: VpcId::new("vpc-doctor"), base: subnet.base, subnets: vec![subnet.clone()] };
    let eni = EniSpec { id: EniId::new("eni-doctor"), vpc, subnet, address: ADDRESS, mac: MAC };
    let attached = network.attach(id, &eni).await;
    let detached = network.detach(id).await;
    let cleared = network.clear().await;
    // The first failure says more than what may follow from it.
    let attachment = attached?;
    detached.and(cleared)?;
    Ok(attachment)
}

/// Looks for the nft program.
pub(super) fn nftables() -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut programs = std::env::split_paths(&path).chain(sbin).map(|folder| folder.join("nft"));
    match programs.find(|program| program.is_file()) {
        Some(program) => Finding::ok("nftables", program.display().to_string()),
        None => Finding::warn(
            "nftables",
            "there is no nft program",
            "tasks reach what listens on all addresses of this machine, and cannot inject faults: apt install nftables",
        ),
    }
}
