//! The netlink messages that this crate needs, and what it reads of the answers.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    BridgePortState, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, State,
};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use node::{InterfaceStats, MacAddress};

/// The loopback interface's index in every namespace.
pub(crate) const LOOPBACK: u32 = 1;
/// The largest packet inside a VPC, in bytes: AWS's jumbo frame.
const MTU_BYTES: u32 = 9001;
/// Marks Neargate's routes in the host's table (`ip route` shows `proto 110`).
const ROUTE_PROTOCOL: RouteProtocol = RouteProtocol::Other(110);
const HOST_PREFIX_LEN: u8 = 32;

/// One end of a veth pair.
pub(crate) struct VethEnd<'a> {
    pub(crate) name: &'a str,
    /// The index that it is to have; none leaves it to the kernel.
    pub(crate) index: Option<u32>,
    pub(crate) mac: Option<MacAddress>,
}

impl VethEnd<'_> {
    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = self.index.unwrap_or_default();
        message.attributes = vec![LinkAttribute::IfName(self.name.to_owned()), LinkAttribute::Mtu(MTU_BYTES)];
        message.attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        message
    }
}

/// Makes a veth pair: `near` here and up, a port of `bridge` if there is one; `far` in `namespace` and down.
pub(crate) fn new_veth(
    near: &VethEnd<'_>,
    bridge: Option<u32>,
    far: &VethEnd<'_>,
    namespace: BorrowedFd<'_>,
) -> RouteNetlinkMessage {
    let mut far = far.message();
    far.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
    let mut message = near.message();
    raise(&mut message);
    message.attributes.extend(bridge.map(LinkAttribute::Controller));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
    ]));
    RouteNetlinkMessage::NewLink(message)
}

/// Makes a bridge that is up. Its own hardware address keeps it from taking a port's, which changes as ports go.
pub(crate) fn new_bridge(index: u32, name: &str, mac: MacAddress) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    raise(&mut message);
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Address(mac.0.to_vec()),
        LinkAttribute::Mtu(MTU_BYTES),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ];
    RouteNetlinkMessage::NewLink(message)
}

/// Takes an interface up.
pub(crate) fn up(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    raise(&mut message);
    RouteNetlinkMessage::SetLink(message)
}

/// Gives an interface an alias: a text of at most 255 bytes that means nothing to the kernel.
pub(crate) fn set_alias(index: u32, alias: String) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::IfAlias(alias));
    RouteNetlinkMessage::SetLink(message)
}

/// Makes a bridge port deaf and dumb and forgets what was learnt from it, without the grace period that taking the
/// interface down or away costs.
pub(crate) fn silence_port(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(vec![
            InfoBridgePort::State(BridgePortState::Disabled),
            InfoBridgePort::Flush,
        ])),
    ]));
    RouteNetlinkMessage::NewLink(message)
}

/// Takes an interface away; a veth's other end goes too.
pub(crate) fn delete_link(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    RouteNetlinkMessage::DelLink(message)
}

/// Asks for the interface of this name.
pub(crate) fn link_named(name: &str) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::IfName(name.to_owned()), without_statistics()];
    RouteNetlinkMessage::GetLink(message)
}

/// Asks for the interface of this name with what it has counted.
pub(crate) fn counters_of(name: &str) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    RouteNetlinkMessage::GetLink(message)
}

/// Asks for the interface of this index.
pub(crate) fn link(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![without_statistics()];
    RouteNetlinkMessage::GetLink(message)
}

/// Asks for all interfaces.
pub(crate) fn all_links() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![without_statistics()];
    RouteNetlinkMessage::GetLink(message)
}

/// Gives an interface an address.
pub(crate) fn new_address(index: u32, address: Ipv4Addr, prefix_len: u8) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.index = index;
    message.header.prefix_len = prefix_len;
    message.header.scope = AddressScope::Universe;
    message.attributes =
        vec![AddressAttribute::Local(IpAddr::V4(address)), AddressAttribute::Address(IpAddr::V4(address))];
    RouteNetlinkMessage::NewAddress(message)
}

/// Asks for all IPv4 addresses.
pub(crate) fn all_addresses() -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    RouteNetlinkMessage::GetAddress(message)
}

/// Sends everything unknown to `gateway`.
pub(crate) fn default_route(gateway: Ipv4Addr, interface: u32) -> RouteNetlinkMessage {
    let mut message = route(RouteProtocol::Static);
    message.attributes = vec![RouteAttribute::Gateway(gateway.into()), RouteAttribute::Oif(interface)];
    RouteNetlinkMessage::NewRoute(message)
}

/// Sends packets to one `address` to `gateway`, from `source`.
pub(crate) fn host_route(
    address: Ipv4Addr,
    gateway: Ipv4Addr,
    interface: u32,
    source: Ipv4Addr,
) -> RouteNetlinkMessage {
    let mut message = single_route(address, interface);
    message.attributes.extend([RouteAttribute::Gateway(gateway.into()), RouteAttribute::PrefSource(source.into())]);
    RouteNetlinkMessage::NewRoute(message)
}

/// Takes the route to one `address` away, if it leads over this interface.
pub(crate) fn delete_host_route(address: Ipv4Addr, interface: u32) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelRoute(single_route(address, interface))
}

/// Asks for the entry of the routing tables that decides about `address`.
pub(crate) fn route_lookup(address: Ipv4Addr) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.destination_prefix_length = HOST_PREFIX_LEN;
    message.header.flags = RouteFlags::FibMatch;
    message.attributes = vec![RouteAttribute::Destination(address.into())];
    RouteNetlinkMessage::GetRoute(message)
}

/// Fixes the hardware address of a neighbour, so that nobody has to ask for it.
pub(crate) fn new_neighbour(interface: u32, address: Ipv4Addr, mac: MacAddress) -> RouteNetlinkMessage {
    let mut message = neighbour(interface, address);
    message.header.state = NeighbourState::Permanent;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    RouteNetlinkMessage::NewNeighbour(message)
}

/// Forgets a neighbour.
pub(crate) fn delete_neighbour(interface: u32, address: Ipv4Addr) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelNeighbour(neighbour(interface, address))
}

/// An interface, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// The index of a veth's other end, in that one's namespace.
    pub(crate) peer: Option<u32>,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) alias: Option<String>,
    /// Whether it sends and receives: later than it is up and its peer is.
    pub(crate) is_operational: bool,
}

/// Reads an interface out of an answer.
pub(crate) fn read_link(answer: &RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = answer else { return None };
    let mut link = Link { index: message.header.index, ..Link::default() };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Link(peer) => link.peer = Some(*peer),
            LinkAttribute::Address(mac) => link.mac = mac.as_slice().try_into().ok().map(MacAddress),
            LinkAttribute::OperState(state) => link.is_operational = *state == State::Up,
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
            _ => {}
        }
    }
    Some(link)
}

/// Reads what an interface has counted out of an answer.
pub(crate) fn read_counters(answer: &RouteNetlinkMessage) -> Option<InterfaceStats> {
    let RouteNetlinkMessage::NewLink(message) = answer else { return None };
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Stats64(counted) => Some(InterfaceStats {
            rx_bytes: counted.rx_bytes,
            rx_packets: counted.rx_packets,
            rx_errors: counted.rx_errors,
            rx_dropped: counted.rx_dropped,
            tx_bytes: counted.tx_bytes,
            tx_packets: counted.tx_packets,
            tx_errors: counted.tx_errors,
            tx_dropped: counted.tx_dropped,
        }),
        _ => None,
    })
}

/// Reads interface index, address and prefix length out of an answer.
pub(crate) fn read_address(answer: &RouteNetlinkMessage) -> Option<(u32, Ipv4Addr, u8)> {
    let RouteNetlinkMessage::NewAddress(message) = answer else { return None };
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(IpAddr::V4(address)) => {
            Some((message.header.index, *address, message.header.prefix_len))
        }
        _ => None,
    })
}

/// What the routing tables say about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FoundRoute {
    pub(crate) prefix_len: u8,
    pub(crate) is_unicast: bool,
    pub(crate) interface: Option<u32>,
}

/// Reads a route out of an answer.
pub(crate) fn read_route(answer: &RouteNetlinkMessage) -> Option<FoundRoute> {
    let RouteNetlinkMessage::NewRoute(message) = answer else { return None };
    let interface = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(interface) => Some(*interface),
        _ => None,
    });
    let RouteHeader { destination_prefix_length: prefix_len, kind, .. } = message.header;
    Some(FoundRoute { prefix_len, is_unicast: kind == RouteType::Unicast, interface })
}

fn raise(message: &mut LinkMessage) {
    message.header.flags |= LinkFlags::Up;
    message.header.change_mask |= LinkFlags::Up;
}

/// Leaves the counters out of the answer: they are most of it.
fn without_statistics() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}

fn route(protocol: RouteProtocol) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = protocol;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message
}

fn single_route(address: Ipv4Addr, interface: u32) -> RouteMessage {
    let mut message = route(ROUTE_PROTOCOL);
    message.header.destination_prefix_length = HOST_PREFIX_LEN;
    message.attributes = vec![RouteAttribute::Destination(address.into()), RouteAttribute::Oif(interface)];
    message
}

fn neighbour(interface: u32, address: Ipv4Addr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = interface;
    message.attributes = vec![NeighbourAttribute::Destination(address.into())];
    message
}
