//! VPCs: a network namespace with a bridge that carries the router's address of every subnet.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base::VpcId;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::errno::Errno;
use node::{EniSpec, MacAddress, NetworkError, SubnetSpec};

use crate::announcement::Announcer;
use crate::failure::During;
use crate::guard;
use crate::host::{self, Host, HostLink};
use crate::message;
use crate::namespace::{self, Names};
use crate::netlink::{Connection, NetlinkError, Request};
use crate::sockets::{Alive, RESOLVER, SocketSink, TASK_SERVICES, VpcSockets};

/// The bridge's index in its namespace.
pub(crate) const BRIDGE: u32 = 2;
const BRIDGE_NAME: &str = "vpc";
/// The router's hardware address; every VPC is a link of its own, so that all can have the same.
const ROUTER: MacAddress = MacAddress([0x02, 0x4e, 0x47, 0, 0, 1]);
/// The first index of ENIs' bridge ports: clear of bridge and host link.
const FIRST_PORT: u32 = 16;
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// The length of the prefix of an address that is a service's and no router's.
const SERVICE_PREFIX_LEN: u8 = 32;

/// The VPCs that this process has used.
pub(crate) struct Vpcs {
    known: Mutex<HashMap<VpcId, Arc<Mutex<Option<Vpc>>>>>,
    /// Who answers in them.
    sink: Option<SocketSink>,
}

/// What is known of a VPC that is ready.
struct Vpc {
    link: Option<HostLink>,
    announcer: Arc<Announcer>,
    next_port: u32,
    gateways: BTreeSet<(Ipv4Addr, u8)>,
    /// Keeps the sockets in it open; none while there are none.
    alive: Option<Alive>,
}

/// A VPC from inside.
pub(crate) struct Entered {
    /// Talks to the VPC's namespace.
    pub(crate) connection: Connection,
    /// The way to the host, if there is one.
    pub(crate) link: Option<HostLink>,
    /// Tells the VPC of new addresses.
    pub(crate) announcer: Arc<Announcer>,
    /// An interface index that nobody else in the VPC is given.
    pub(crate) port: u32,
}

impl Vpcs {
    /// Knows no VPC yet. `sink` is given the sockets inside each one that is used.
    pub(crate) fn new(sink: Option<SocketSink>) -> Self {
        Self { known: Mutex::default(), sink }
    }

    /// Says whether anybody answers inside VPCs.
    pub(crate) fn are_served(&self) -> bool {
        self.sink.is_some()
    }

    /// Uses a VPC again that an earlier server process has left, so that its tasks are answered. The calling thread ends
    /// up inside.
    pub(crate) fn adopt(
        &self,
        names: &Names,
        instance: &str,
        host: &mut Host,
        vpc: &VpcId,
    ) -> Result<(), NetworkError> {
        let subject = vpc.as_str();
        let path = names.vpc(vpc).during("name the network namespace", subject)?;
        let slot = Arc::clone(lock(&self.known).entry(vpc.clone()).or_default());
        let mut slot = lock(&slot);
        if slot.is_some() || !enter_existing(&path).during("enter the network namespace", subject)? {
            return Ok(());
        }
        let mut connection = Connection::open().during("open the network", subject)?;
        let resolver = resolver_of(&mut connection).during("find the DNS server's address", subject)?;
        let found = slot.insert(converge(instance, host, &mut connection, subject)?);
        self.serve(found, vpc, resolver);
        Ok(())
    }

    /// Opens the sockets in the VPC, whose namespace the calling thread is in, unless they are open.
    ///
    /// Tasks start without them all the same: then this is tried again for the next one.
    fn serve(&self, found: &mut Vpc, vpc: &VpcId, resolver: Option<Ipv4Addr>) {
        let Some(sink) = self.sink.as_ref().filter(|_| found.alive.is_none()) else { return };
        let alive = Alive::new();
        let resolvers = resolver.into_iter().chain([RESOLVER]).collect::<Vec<_>>();
        match VpcSockets::open(vpc, &resolvers, alive.life()) {
            Ok(sockets) => {
                found.alive = Some(alive);
                sink(sockets);
            }
            Err(error) => tracing::error!(%vpc, %error, "tasks in this VPC find no metadata, no API and no DNS"),
        }
    }

    /// Moves the calling thread into the ENI's VPC, which is made when it is not there or not whole. However many come at
    /// once, one of them makes it and the others wait.
    pub(crate) fn enter(
        &self,
        names: &Names,
        instance: &str,
        host: &mut Host,
        eni: &EniSpec,
    ) -> Result<Entered, NetworkError> {
        let subject = eni.vpc.id.as_str();
        let path = names.vpc(&eni.vpc.id).during("name the network namespace", subject)?;
        let slot = Arc::clone(lock(&self.known).entry(eni.vpc.id.clone()).or_default());
        let mut slot = lock(&slot);
        let is_there = enter_existing(&path).during("enter the network namespace", subject)?;
        if !is_there {
            *slot = None;
            namespace::create(&path).during("make the network namespace", subject)?;
        }
        let ready = Connection::open().during("open the network", subject).and_then(|mut connection| {
            let vpc = match slot.take() {
                Some(vpc) => vpc,
                None => converge(instance, host, &mut connection, subject)?,
            };
            let vpc = slot.insert(vpc);
            vpc.add_gateways(&mut connection, eni, subject)?;
            self.serve(vpc, &eni.vpc.id, Some(eni.vpc.resolver()));
            let port = vpc.next_port;
            vpc.next_port += 1;
            Ok(Entered { connection, link: vpc.link, announcer: Arc::clone(&vpc.announcer), port })
        });
        if ready.is_err() && !is_there {
            *slot = None;
            namespace::remove(&path).during("take away the network namespace", subject)?;
        }
        ready
    }

    /// Forgets all VPCs, so that nothing of this process keeps their namespaces.
    pub(crate) fn forget(&self) {
        lock(&self.known).clear();
    }
}

impl Vpc {
    fn add_gateways(&mut self, vpc: &mut Connection, eni: &EniSpec, subject: &str) -> Result<(), NetworkError> {
        let subnets = eni.vpc.subnets.iter().chain([&eni.subnet]).map(gateway);
        let services = [TASK_SERVICES, RESOLVER, eni.vpc.resolver()].map(|address| (address, SERVICE_PREFIX_LEN));
        let wanted = subnets.chain(services);
        let missing: BTreeSet<_> = wanted.filter(|address| !self.gateways.contains(address)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let requests = missing.iter().map(|&(address, prefix_len)| {
            let message = message::new_address(BRIDGE, address, prefix_len);
            Request::new("set the router's address", message, NLM_F_CREATE | NLM_F_EXCL).tolerating(&[Errno::EEXIST])
        });
        vpc.apply(requests.collect(), subject)?;
        self.gateways.extend(missing);
        Ok(())
    }
}

/// Makes whole what is there of a VPC, from inside.
fn converge(instance: &str, host: &mut Host, vpc: &mut Connection, subject: &str) -> Result<Vpc, NetworkError> {
    let action = "make the router";
    let create = NLM_F_CREATE | NLM_F_EXCL;
    vpc.apply(
        vec![
            Request::new(action, message::up(message::LOOPBACK), 0),
            Request::new(action, message::new_bridge(BRIDGE, BRIDGE_NAME, ROUTER), create).tolerating(&[Errno::EEXIST]),
        ],
        subject,
    )?;
    // The file shows the namespace of the thread that opens it.
    fs::write(FORWARDING, "1").during("let packets through the router", subject)?;
    let link = host.link(instance, vpc, subject)?;
    if link.is_none() {
        tracing::warn!(vpc = subject, "no link addresses are free: tasks are not reachable from the host");
    }
    if let Err(error) = guard::keep_from_host() {
        tracing::warn!(vpc = subject, %error, "tasks reach services of the host that listen on all its addresses");
    }
    let announcer = Announcer::open(BRIDGE, ROUTER).during(action, subject)?;
    let next_port = next_port(vpc).during(action, subject)?;
    Ok(Vpc { link, announcer: Arc::new(announcer), next_port, gateways: BTreeSet::new(), alive: None })
}

/// Moves the calling thread into the namespace. False if there is none; what is left of a half-made one is taken away.
pub(crate) fn enter_existing(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    match namespace::enter(file.as_fd()) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => namespace::remove(path).map(|()| false),
        other => other.map(|()| true),
    }
}

/// Cuts an ENI off: nothing goes in or out of its port, and the VPC forgets its address. From then on the address can be
/// given anew, though the interface itself goes later. Returns the host's end of the VPC's link.
pub(crate) fn cut_off(path: &Path, port: u32, address: Ipv4Addr, subject: &str) -> Result<Option<u32>, NetworkError> {
    if !enter_existing(path).during("enter the VPC", subject)? {
        return Ok(None);
    }
    let mut vpc = Connection::open().during("open the VPC", subject)?;
    forget_eni(&mut vpc, port, address, subject)?;
    host::link_of(&mut vpc).during("find the host's link", subject)
}

/// Does [`cut_off`]'s work from inside the VPC, as far as there is anything to cut off.
pub(crate) fn forget_eni(
    vpc: &mut Connection,
    port: u32,
    address: Ipv4Addr,
    subject: &str,
) -> Result<(), NetworkError> {
    let gone: &'static [Errno] = &[Errno::ENODEV, Errno::ENOENT];
    vpc.apply(
        vec![
            Request::new("silence the interface", message::silence_port(port), 0).tolerating(gone),
            Request::new("forget the address", message::delete_neighbour(BRIDGE, address), 0).tolerating(gone),
        ],
        subject,
    )
}

/// Finds the DNS server's address at the base of the VPC's range: the one service address that is not link-local.
fn resolver_of(vpc: &mut Connection) -> Result<Option<Ipv4Addr>, NetlinkError> {
    let addresses = vpc.list(message::all_addresses())?;
    Ok(addresses.iter().filter_map(message::read_address).find_map(|(interface, address, prefix_len)| {
        let is_resolver = interface == BRIDGE && prefix_len == SERVICE_PREFIX_LEN && !address.is_link_local();
        is_resolver.then_some(address)
    }))
}

fn next_port(vpc: &mut Connection) -> Result<u32, NetlinkError> {
    let links = vpc.list(message::all_links())?;
    let last = links.iter().filter_map(message::read_link).map(|link| link.index).max();
    Ok(last.map_or(FIRST_PORT, |last| FIRST_PORT.max(last + 1)))
}

fn gateway(subnet: &SubnetSpec) -> (Ipv4Addr, u8) {
    (subnet.gateway(), subnet.prefix_len)
}

/// A thread that panicked leaves nothing half-written behind these locks.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
