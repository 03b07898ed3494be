//! Interfaces that do not exist. Addresses are only written down, and checked as a network would have to.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use base::TaskId;

use super::{SimulatedNode, World};
use crate::{
    Attachment, BridgeSpec, EniSpec, Fault, FaultError, FaultKind, InterfaceStats, Network, NetworkError, PortForward,
    SubnetSpec,
};

/// Addresses of a subnet that no interface gets, as in AWS: the first four, and the last.
const RESERVED_FIRST: u32 = 4;
/// The first address behind a gateway: 172.17.0.16.
const FIRST_BEHIND: u32 = 0xac11_0010;

/// A sandbox's place in a simulated network.
pub(super) struct Joined {
    pub(super) eni: EniSpec,
    pub(super) attachment: Attachment,
    /// Written down like the rest: nothing is late or lost where nothing is sent.
    faults: BTreeSet<FaultKind>,
}

/// A sandbox's place behind another one.
pub(super) struct Bridged {
    pub(super) spec: BridgeSpec,
    address: Ipv4Addr,
}

#[async_trait]
impl Network for SimulatedNode {
    async fn attach(&self, sandbox: &TaskId, eni: &EniSpec) -> Result<Attachment, NetworkError> {
        let delay = self.world().trouble.attach_delay;
        self.delay(delay).await;
        self.world().attach(sandbox, eni).map_err(|why| NetworkError {
            action: "attach the interface",
            subject: sandbox.to_string(),
            source: why.into(),
        })
    }

    async fn attach_behind(&self, sandbox: &TaskId, bridge: &BridgeSpec) -> Result<Attachment, NetworkError> {
        self.world().attach_behind(sandbox, bridge).map_err(|why| NetworkError {
            action: "make the bridge",
            subject: sandbox.to_string(),
            source: why.into(),
        })
    }

    async fn detach(&self, sandbox: &TaskId) -> Result<(), NetworkError> {
        let mut world = self.world();
        world.joined.remove(sandbox);
        world.bridged.remove(sandbox);
        Ok(())
    }

    async fn sandboxes(&self) -> Result<Vec<TaskId>, NetworkError> {
        let world = self.world();
        Ok(world.joined.keys().chain(world.bridged.keys()).cloned().collect())
    }

    async fn clear(&self) -> Result<(), NetworkError> {
        let mut world = self.world();
        world.joined.clear();
        world.bridged.clear();
        Ok(())
    }

    /// Nothing is sent, so nothing is counted.
    async fn stats(&self, sandbox: &TaskId) -> Option<InterfaceStats> {
        self.world().joined.contains_key(sandbox).then(InterfaceStats::default)
    }

    async fn start_fault(&self, sandbox: &TaskId, fault: &Fault) -> Result<(), FaultError> {
        self.world().faults(sandbox)?.insert(fault.kind());
        Ok(())
    }

    async fn stop_fault(&self, sandbox: &TaskId, kind: FaultKind) -> Result<(), FaultError> {
        self.world().faults(sandbox)?.remove(&kind);
        Ok(())
    }

    async fn has_fault(&self, sandbox: &TaskId, kind: FaultKind) -> Result<bool, FaultError> {
        Ok(self.world().faults(sandbox)?.contains(&kind))
    }
}

impl World {
    fn faults(&mut self, sandbox: &TaskId) -> Result<&mut BTreeSet<FaultKind>, NetworkError> {
        let joined = self.joined.get_mut(sandbox).ok_or_else(|| NetworkError {
            action: "find the interface",
            subject: sandbox.to_string(),
            source: "it has none".into(),
        })?;
        Ok(&mut joined.faults)
    }

    fn attach(&mut self, sandbox: &TaskId, eni: &EniSpec) -> Result<Attachment, String> {
        if let Some(message) = self.trouble.next_attach_failure.take() {
            return Err(message);
        }
        if let Some(known) = self.joined.get(sandbox) {
            let is_same = known.eni == *eni;
            return is_same.then(|| known.attachment.clone()).ok_or_else(|| format!("it has {} already", known.eni.id));
        }
        if !eni.vpc.subnets.contains(&eni.subnet) {
            return Err(format!("subnet {} is not one of VPC {}", eni.subnet.id, eni.vpc.id));
        }
        if !is_assignable(&eni.subnet, eni.address) {
            return Err(format!("{} is not an address for interfaces of subnet {}", eni.address, eni.subnet.id));
        }
        let has_address = |known: &Joined| known.eni.vpc.id == eni.vpc.id && known.eni.address == eni.address;
        if let Some((holder, _)) = self.joined.iter().find(|(_, known)| has_address(known)) {
            return Err(format!("{} has the address {} in VPC {}", holder, eni.address, eni.vpc.id));
        }
        let namespace = namespace_of(sandbox);
        let attachment = Attachment { namespace, address: eni.address, is_reachable_from_host: false };
        self.joined.insert(
            sandbox.clone(),
            Joined { eni: eni.clone(), attachment: attachment.clone(), faults: BTreeSet::new() },
        );
        Ok(attachment)
    }
}

impl World {
    /// Whether a sandbox may join a network namespace: its own, or that of an interface, such as a container instance's,
    /// which the tasks of its network mode host share.
    pub(super) fn has_namespace(&self, sandbox: &TaskId, namespace: &Path) -> bool {
        let is_own = self.bridged.contains_key(sandbox) && namespace == namespace_of(sandbox);
        is_own || self.joined.values().any(|joined| joined.attachment.namespace == namespace)
    }

    fn attach_behind(&mut self, sandbox: &TaskId, bridge: &BridgeSpec) -> Result<Attachment, String> {
        if let Some(message) = self.trouble.next_attach_failure.take() {
            return Err(message);
        }
        let gateway = self.joined.get(&bridge.gateway).ok_or_else(|| format!("{} has no interface", bridge.gateway))?;
        if gateway.eni.address != bridge.address {
            return Err(format!("{} has the address {}", bridge.gateway, gateway.eni.address));
        }
        let key = |port: &PortForward| (port.transport, port.from);
        let others = self.bridged.iter().filter(|(id, other)| *id != sandbox && other.spec.gateway == bridge.gateway);
        let others = others.map(|(_, other)| other);
        let taken = others.clone().flat_map(|other| other.spec.ports.iter().map(key)).collect::<BTreeSet<_>>();
        let addresses = others.map(|other| other.address).collect::<BTreeSet<_>>();
        if let Some(port) = bridge.ports.iter().find(|port| taken.contains(&key(port))) {
            return Err(format!("port {} of {} is taken", port.from, bridge.gateway));
        }
        let known = self.bridged.get(sandbox).filter(|known| known.spec.gateway == bridge.gateway);
        let mut free = (FIRST_BEHIND..u32::MAX).map(Ipv4Addr::from).filter(|address| !addresses.contains(address));
        let address = known.map(|known| known.address).or_else(|| free.next()).ok_or("no address is free")?;
        self.bridged.insert(sandbox.clone(), Bridged { spec: bridge.clone(), address });
        let namespace = namespace_of(sandbox);
        Ok(Attachment { namespace, address, is_reachable_from_host: false })
    }
}

fn namespace_of(sandbox: &TaskId) -> PathBuf {
    Path::new("simulated").join(sandbox.as_str())
}

fn is_assignable(subnet: &SubnetSpec, address: Ipv4Addr) -> bool {
    let size = 1u32.checked_shl(32u32.saturating_sub(subnet.prefix_len.into())).unwrap_or(u32::MAX);
    let offset = u32::from(address).checked_sub(u32::from(subnet.base));
    offset.is_some_and(|offset| (RESERVED_FIRST..size.saturating_sub(1)).contains(&offset))
}
