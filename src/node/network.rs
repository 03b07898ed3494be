//! Networks: VPCs, and the interface that joins a sandbox to one.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use async_trait::async_trait;
use base::{EniId, SubnetId, TaskId, VpcId};
use serde::{Deserialize, Serialize};

use crate::{Fault, FaultError, FaultKind, InterfaceStats, Transport};

/// A 48-bit hardware address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address range of a VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetSpec {
    /// The subnet.
    pub id: SubnetId,
    /// The first address of the range.
    pub base: Ipv4Addr,
    /// The length of the range's prefix, 16 to 28.
    pub prefix_len: u8,
}

impl SubnetSpec {
    /// Returns the address of the VPC's router in this subnet: base + 1, as in AWS.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base).wrapping_add(1))
    }
}

/// A VPC, as far as a node must know it. Different VPCs may use the same addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpcSpec {
    /// The VPC.
    pub id: VpcId,
    /// The first address of its range.
    pub base: Ipv4Addr,
    /// Its subnets.
    pub subnets: Vec<SubnetSpec>,
}

impl VpcSpec {
    /// Returns the address of the VPC's DNS server: base + 2, as in AWS.
    pub fn resolver(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base).wrapping_add(2))
    }
}

/// The elastic network interface that a sandbox is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EniSpec {
    /// The interface.
    pub id: EniId,
    /// The VPC it lies in.
    pub vpc: VpcSpec,
    /// The subnet it lies in, one of the VPC's.
    pub subnet: SubnetSpec,
    /// Its private address.
    pub address: Ipv4Addr,
    /// Its hardware address.
    pub mac: MacAddress,
}

/// A sandbox's place in the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The network namespace's file, for containers to join.
    pub namespace: PathBuf,
    /// The sandbox's address.
    pub address: Ipv4Addr,
    /// Whether the host itself reaches the address: only where no other route of the host claims it.
    pub is_reachable_from_host: bool,
}

/// A sandbox's place behind another sandbox, which has the interface: a machine within the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeSpec {
    /// The sandbox that has the interface. It is attached before.
    pub gateway: TaskId,
    /// That one's address.
    pub address: Ipv4Addr,
    /// What comes to that address for the sandbox.
    pub ports: Vec<PortForward>,
}

/// A port of a gateway's address that leads to a sandbox behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortForward {
    /// The protocol.
    pub transport: Transport,
    /// The port of the gateway.
    pub from: u16,
    /// The port of the sandbox.
    pub to: u16,
}

/// Why a network operation failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} of {subject}")]
pub struct NetworkError {
    /// What was tried: `make the network namespace`, `set the address`.
    pub action: &'static str,
    /// The sandbox, interface or VPC that it was for.
    pub subject: String,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Joins sandboxes to VPCs.
#[async_trait]
pub trait Network: Send + Sync {
    /// Gives the sandbox a network namespace with the interface `eth1` in it (address, default route, loopback up),
    /// making the VPC when it is the first one in it. Repeating it changes nothing.
    async fn attach(&self, sandbox: &TaskId, eni: &EniSpec) -> Result<Attachment, NetworkError>;

    /// Gives the sandbox a network namespace behind that of a gateway: it reaches whatever the gateway reaches, with the
    /// gateway's address, and is reached at the gateway's ports that lead to it. Repeating it changes nothing.
    async fn attach_behind(&self, sandbox: &TaskId, _bridge: &BridgeSpec) -> Result<Attachment, NetworkError> {
        let source = "this node cannot do that".into();
        Err(NetworkError { action: "make the bridge", subject: sandbox.to_string(), source })
    }

    /// Takes interface and namespace away. A sandbox that has none is no error.
    async fn detach(&self, sandbox: &TaskId) -> Result<(), NetworkError>;

    /// Lists the sandboxes that have a network namespace, those of an earlier server process included.
    async fn sandboxes(&self) -> Result<Vec<TaskId>, NetworkError>;

    /// Takes every VPC and sandbox away, those of an earlier server process included.
    async fn clear(&self) -> Result<(), NetworkError>;

    /// Says whether sandboxes find the endpoint of their metadata, and the API, at 169.254.170.2.
    fn serves_tasks(&self) -> bool {
        false
    }

    /// Returns what the sandbox's interface has counted; none if the sandbox has no interface.
    async fn stats(&self, sandbox: &TaskId) -> Option<InterfaceStats>;

    /// Lets the sandbox's network have a fault. A black hole takes the place of the one that it has of that port; latency
    /// and packet loss share what makes them, so that one of them is there at a time.
    async fn start_fault(&self, sandbox: &TaskId, fault: &Fault) -> Result<(), FaultError>;

    /// Ends a fault. One that is not there is no error.
    async fn stop_fault(&self, sandbox: &TaskId, kind: FaultKind) -> Result<(), FaultError>;

    /// Says whether the sandbox's network has a fault.
    async fn has_fault(&self, sandbox: &TaskId, kind: FaultKind) -> Result<bool, FaultError>;
}
