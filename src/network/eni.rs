//! ENIs: a sandbox's namespace, and the veth pair that joins it to its VPC.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;

use base::VpcId;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use nix::errno::Errno;
use node::{EniSpec, InterfaceStats, MacAddress, NetworkError};

use crate::failure::During;
use crate::interface;
use crate::message::{self, VethEnd};
use crate::namespace;
use crate::netlink::{Connection, NetlinkError, Request};
use crate::vpc::{self, Entered};

const NAME: &str = "eth1";
/// The interface's index in the sandbox: next after the loopback's.
const INDEX: u32 = 2;

/// An ENI as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// VPC and ENI, as [`alias`] wrote them.
    alias: String,
    address: Ipv4Addr,
    prefix_len: u8,
    mac: MacAddress,
    /// The index of the bridge port, in the VPC's namespace.
    pub(crate) port: u32,
}

impl Found {
    /// Returns the VPC that it is in.
    pub(crate) fn vpc(&self) -> VpcId {
        VpcId::new(self.alias.split_once(' ').map_or(self.alias.as_str(), |(vpc, _)| vpc))
    }

    /// Returns the private address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Says whether it is what is wanted.
    pub(crate) fn is(&self, eni: &EniSpec) -> bool {
        let wanted = (alias(eni), eni.address, eni.subnet.prefix_len, eni.mac);
        (&self.alias, self.address, self.prefix_len, self.mac) == (&wanted.0, wanted.1, wanted.2, wanted.3)
    }
}

/// Finds out what the namespace at `path` is joined to, and moves the calling thread into it. None if there is no
/// namespace, or no whole ENI in it.
pub(crate) fn find(path: &Path) -> Result<Option<Found>, NetlinkError> {
    Ok(interface::find(path, NAME, INDEX)?.and_then(|(link, address, prefix_len)| {
        Some(Found { alias: link.alias?, address, prefix_len, mac: link.mac?, port: link.peer? })
    }))
}

/// Returns what the interface in the namespace at `path` has counted, and moves the calling thread in there. None if there
/// is no namespace, or no ENI in it.
pub(crate) fn counters(path: &Path) -> Result<Option<InterfaceStats>, NetlinkError> {
    if !vpc::enter_existing(path)? {
        return Ok(None);
    }
    match Connection::open()?.get(message::counters_of(NAME)) {
        Err(NetlinkError::Refused(Errno::ENODEV)) => Ok(None),
        other => Ok(other?.iter().find_map(message::read_counters)),
    }
}

/// Makes the namespace at `path` with the ENI in it; `vpc` is the VPC it joins, which keeps nothing of it after a failure.
/// The calling thread ends up inside.
pub(crate) fn create(path: &Path, eni: &EniSpec, vpc: &mut Entered) -> Result<(), NetworkError> {
    join(path, eni, vpc).inspect_err(|_| {
        if let Err(error) = vpc::forget_eni(&mut vpc.connection, vpc.port, eni.address, eni.id.as_str()) {
            tracing::warn!(eni = %eni.id, %error, "a failed attachment leaves something in its VPC");
        }
    })
}

fn join(path: &Path, eni: &EniSpec, vpc: &mut Entered) -> Result<(), NetworkError> {
    let subject = eni.id.as_str();
    let namespace = namespace::create(path).during("make the network namespace", subject)?;
    let mut sandbox = Connection::open().during("open the network namespace", subject)?;
    let port_name = format!("eni{}", vpc.port);
    let port = VethEnd { name: &port_name, index: Some(vpc.port), mac: None };
    let inner = VethEnd { name: NAME, index: Some(INDEX), mac: Some(eni.mac) };
    let create = NLM_F_CREATE | NLM_F_EXCL;
    vpc.connection.apply(
        vec![
            Request::new(
                "make the interface",
                message::new_veth(&port, Some(vpc::BRIDGE), &inner, namespace.as_fd()),
                create,
            ),
            Request::new(
                "make the address known",
                message::new_neighbour(vpc::BRIDGE, eni.address, eni.mac),
                NLM_F_CREATE | NLM_F_REPLACE,
            ),
        ],
        subject,
    )?;
    sandbox.apply(
        vec![
            Request::new("take up the loopback", message::up(message::LOOPBACK), 0),
            Request::new("set the address", message::new_address(INDEX, eni.address, eni.subnet.prefix_len), create),
            Request::new("take up the interface", message::up(INDEX), 0),
            Request::new("set the default route", message::default_route(eni.subnet.gateway(), INDEX), create),
            // Last: an interface with an alias is whole.
            Request::new("name the interface", message::set_alias(INDEX, alias(eni)), 0),
        ],
        subject,
    )?;
    let action = "wait for the interface";
    let is_operational = sandbox.wait_until_operational(&[INDEX]).during(action, subject)?
        && vpc.connection.wait_until_operational(&[vpc.port, vpc::BRIDGE]).during(action, subject)?;
    if !is_operational {
        tracing::debug!(eni = subject, "the interface is slow to come up");
    }
    match vpc.announcer.announce(eni.address, eni.mac) {
        // Neighbours then find out by themselves, later.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other.during("announce the address", subject),
    }
}

/// Says whose the interface is: the kernel's memory for the next server process, and `ip link`'s for the user.
fn alias(eni: &EniSpec) -> String {
    format!("{} {}", eni.vpc.id, eni.id)
}
