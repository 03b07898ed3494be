//! The host's way into a VPC: one veth pair for each VPC, and one route for each address that nobody else claims.
//!
//! The link has addresses of its own, and the routes name the host's as source: so a reply finds its way back through
//! the VPC, whatever addresses host and VPC have beside, and a strict reverse path filter is content.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::errno::Errno;
use node::NetworkError;

use crate::failure::During;
use crate::message::{self, FoundRoute, Link, VethEnd};
use crate::namespace;
use crate::netlink::{Connection, NetlinkError, Request};

/// The link's end inside the VPC.
const FAR_NAME: &str = "host";
const FAR_INDEX: u32 = 3;
/// Link addresses come out of 169.254.192.0 to 169.254.254.255: link-local, and apart from what AWS has at
/// 169.254.169.x, .170.x and .172.x.
const POOL: Ipv4Addr = Ipv4Addr::new(169, 254, 192, 0);
const PAIRS: u32 = 63 * 128;
const PAIR_PREFIX_LEN: u8 = 31;
/// How many pairs are tried before a VPC goes without a link.
const PAIRS_TRIED_MAX: u32 = 512;

/// The host's own namespace, as a thread that is about to leave it sees it.
pub(crate) struct Host {
    /// Talks to the host's routing tables.
    pub(crate) connection: Connection,
    namespace: File,
}

/// The link between the host and one VPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostLink {
    /// The index of the host's end.
    interface: u32,
    near: Ipv4Addr,
    far: Ipv4Addr,
}

impl Host {
    /// Opens what is needed of the host, on a thread that is still in it.
    pub(crate) fn open() -> Result<Self, NetworkError> {
        let action = "open the network";
        Ok(Self {
            connection: Connection::open().during(action, "the host")?,
            namespace: namespace::own().during(action, "the host")?,
        })
    }

    /// Finds the link to a VPC or makes it; `vpc` is a connection in the VPC's namespace. None if no addresses are free
    /// for it.
    pub(crate) fn link(
        &mut self,
        instance: &str,
        vpc: &mut Connection,
        subject: &str,
    ) -> Result<Option<HostLink>, NetworkError> {
        let action = "make the link to the host";
        // Held until the pair's address is set: from then on the routing table shows that it is taken.
        let _lock = namespace::lock().during(action, subject)?;
        if let Some(far) = far_end(vpc).during(action, subject)? {
            if let Some(link) = self.adopt(&far).during(action, subject)? {
                return Ok(Some(link));
            }
            vpc.apply(vec![Request::new(action, message::delete_link(far.index), 0)], subject)?;
        }
        let Some(pair) = self.free_pair(instance).during(action, subject)? else { return Ok(None) };
        let (near, far) = addresses(pair);
        let name = format!("{}{pair:x}", prefix(instance));
        let near_end = VethEnd { name: &name, index: None, mac: None };
        let far_end = VethEnd { name: FAR_NAME, index: Some(FAR_INDEX), mac: None };
        let create = NLM_F_CREATE | NLM_F_EXCL;
        vpc.apply(
            vec![
                Request::new(action, message::new_veth(&far_end, None, &near_end, self.namespace.as_fd()), create),
                Request::new(action, message::new_address(FAR_INDEX, far, PAIR_PREFIX_LEN), create),
            ],
            subject,
        )?;
        let interface = self.index_of(&name).during(action, subject)?;
        self.connection.apply(
            vec![
                Request::new(action, message::new_address(interface, near, PAIR_PREFIX_LEN), create),
                Request::new(action, message::up(interface), 0),
            ],
            subject,
        )?;
        let is_operational = self.connection.wait_until_operational(&[interface]).during(action, subject)?
            && vpc.wait_until_operational(&[FAR_INDEX]).during(action, subject)?;
        if !is_operational {
            tracing::debug!(vpc = subject, "the link to the host is slow to come up");
        }
        Ok(Some(HostLink { interface, near, far }))
    }

    /// Leads the host's packets for `address` over the link, unless anything but the default route says where they go.
    /// Returns whether they go there now.
    pub(crate) fn claim(&mut self, address: Ipv4Addr, link: &HostLink) -> Result<bool, NetlinkError> {
        match self.lookup(address)? {
            Claim::Nobody => {}
            Claim::Route(FoundRoute { prefix_len: 32, interface, .. }) => return Ok(interface == Some(link.interface)),
            Claim::Route(_) | Claim::Refusal => return Ok(false),
        }
        let route = message::host_route(address, link.far, link.interface, link.near);
        match self.connection.change(route, NLM_F_CREATE | NLM_F_EXCL) {
            Ok(()) => Ok(true),
            // Another VPC's task was faster.
            Err(NetlinkError::Refused(Errno::EEXIST)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes back what [`claim`](Self::claim) gave.
    pub(crate) fn release(&mut self, address: Ipv4Addr, interface: u32, subject: &str) -> Result<(), NetworkError> {
        let request = Request::new("take away the host's route", message::delete_host_route(address, interface), 0)
            .tolerating(&[Errno::ESRCH, Errno::ENODEV]);
        self.connection.apply(vec![request], subject)
    }

    /// Takes away every link of this installation, and with them their routes.
    pub(crate) fn remove_links(&mut self, instance: &str) -> Result<(), NetworkError> {
        let action = "take away the host's links";
        let links = self.connection.list(message::all_links()).during(action, instance)?;
        let requests = links
            .iter()
            .filter_map(message::read_link)
            .filter(|link| link.name.starts_with(&prefix(instance)))
            .map(|link| Request::new(action, message::delete_link(link.index), 0).tolerating(&[Errno::ENODEV]))
            .collect();
        self.connection.apply(requests, instance)
    }

    fn adopt(&mut self, far: &Link) -> Result<Option<HostLink>, NetlinkError> {
        let addresses = self.connection.list(message::all_addresses())?;
        Ok(addresses.iter().filter_map(message::read_address).find_map(|(interface, near, prefix_len)| {
            let is_link = Some(interface) == far.peer && prefix_len == PAIR_PREFIX_LEN;
            is_link.then(|| HostLink { interface, near, far: Ipv4Addr::from(u32::from(near) | 1) })
        }))
    }

    fn free_pair(&mut self, instance: &str) -> Result<Option<u32>, NetlinkError> {
        // Installations start at different places, so that they seldom meet.
        let start = u32::from_str_radix(instance, 16).unwrap_or_default() % PAIRS;
        for pair in (start..start + PAIRS_TRIED_MAX).map(|pair| pair % PAIRS) {
            let (near, far) = addresses(pair);
            if matches!((self.lookup(near)?, self.lookup(far)?), (Claim::Nobody, Claim::Nobody)) {
                return Ok(Some(pair));
            }
        }
        Ok(None)
    }

    fn lookup(&mut self, address: Ipv4Addr) -> Result<Claim, NetlinkError> {
        match self.connection.get(message::route_lookup(address)) {
            Ok(answers) => Ok(match answers.iter().find_map(message::read_route) {
                Some(FoundRoute { prefix_len: 0, is_unicast: true, .. }) | None => Claim::Nobody,
                Some(route) => Claim::Route(route),
            }),
            Err(NetlinkError::Refused(Errno::ENETUNREACH)) => Ok(Claim::Nobody),
            // How the kernel words routes of the kinds unreachable, prohibit and blackhole.
            Err(NetlinkError::Refused(Errno::EHOSTUNREACH | Errno::EACCES | Errno::EINVAL)) => Ok(Claim::Refusal),
            Err(error) => Err(error),
        }
    }

    fn index_of(&mut self, name: &str) -> Result<u32, NetlinkError> {
        let answers = self.connection.get(message::link_named(name))?;
        let link = answers.iter().find_map(message::read_link);
        link.map(|link| link.index).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound).into())
    }
}

/// What the host's routing tables say about an address.
enum Claim {
    /// Nothing, or only the default route.
    Nobody,
    Route(FoundRoute),
    Refusal,
}

/// Finds the index of the host's end of the link that leads out of a VPC.
pub(crate) fn link_of(vpc: &mut Connection) -> Result<Option<u32>, NetlinkError> {
    Ok(far_end(vpc)?.and_then(|far| far.peer))
}

fn far_end(vpc: &mut Connection) -> Result<Option<Link>, NetlinkError> {
    match vpc.get(message::link_named(FAR_NAME)) {
        Ok(answers) => Ok(answers.iter().find_map(message::read_link)),
        Err(NetlinkError::Refused(Errno::ENODEV)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Begins the names of an installation's links: `ng0a1b2c-`.
fn prefix(instance: &str) -> String {
    format!("ng{instance}-")
}

/// Returns the host's and the VPC's address of a pair.
fn addresses(pair: u32) -> (Ipv4Addr, Ipv4Addr) {
    let near = u32::from(POOL) + 2 * pair;
    (Ipv4Addr::from(near), Ipv4Addr::from(near + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_addresses_stay_in_their_pool() {
        assert_eq!(addresses(0), (Ipv4Addr::new(169, 254, 192, 0), Ipv4Addr::new(169, 254, 192, 1)));
        assert_eq!(addresses(PAIRS - 1), (Ipv4Addr::new(169, 254, 254, 254), Ipv4Addr::new(169, 254, 254, 255)));
    }

    #[test]
    fn a_link_name_fits_into_the_kernels_fifteen_bytes() {
        assert!(format!("{}{:x}", prefix("0a1b2c"), PAIRS).len() <= 15);
    }

    #[test]
    fn an_address_of_the_hosts_own_is_claimed() {
        let mut host = Host::open().unwrap();
        assert!(matches!(host.lookup(Ipv4Addr::LOCALHOST).unwrap(), Claim::Route(_)));
    }
}
