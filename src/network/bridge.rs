//! Sandboxes behind another sandbox's interface, as Docker's default bridge has them: a bridge in the gateway's namespace,
//! an address of its own for each, and address translation where packets leave and enter.
//!
//! The rules are `nft`'s: one table for what leaves, and one for each sandbox with the ports that lead to it, so that a
//! sandbox's go with it.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;

use base::TaskId;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::errno::Errno;
use node::{BridgeSpec, MacAddress, NetworkError, Transport};

use crate::failure::During;
use crate::interface;
use crate::message::{self, VethEnd};
use crate::namespace;
use crate::netlink::{Connection, NetlinkError, Request};
use crate::program;
use crate::vpc;

/// The bridge, in the gateway's namespace. Names and addresses are Docker's.
const BRIDGE_NAME: &str = "docker0";
/// Its index there: after the loopback's and the interface's.
const BRIDGE: u32 = 3;
const BRIDGE_MAC: MacAddress = MacAddress([0x02, 0x42, 0xac, 0x11, 0, 1]);
const BRIDGE_ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 1);
const PREFIX_LEN: u8 = 16;
/// A sandbox's own interface.
const NAME: &str = "eth0";
const INDEX: u32 = 2;
/// The first index of ports: clear of loopback, interface and bridge. A port's index is the end of its sandbox's address.
const FIRST_PORT: u32 = 16;
const LAST_PORT: u32 = 0xfffe;
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// What leaves goes with the gateway's address; so does what comes back in through the gateway's own ports.
const MASQUERADE: &str = "\
add table ip neargate
add chain ip neargate postrouting { type nat hook postrouting priority 100; policy accept; }
flush chain ip neargate postrouting
add rule ip neargate postrouting ip saddr 172.17.0.0/16 oifname != \"docker0\" masquerade
add rule ip neargate postrouting ip saddr 172.17.0.0/16 oifname \"docker0\" ct status dnat masquerade
";

/// A sandbox's place behind a gateway, as the kernel has it.
pub(crate) struct Found {
    pub(crate) gateway: TaskId,
    address: Ipv4Addr,
    /// The index of the bridge port, in the gateway's namespace.
    port: u32,
}

/// Finds out behind which gateway the namespace at `path` is, and moves the calling thread into it. None if there is no
/// namespace, or nothing whole in it.
pub(crate) fn find(path: &Path) -> Result<Option<Found>, NetlinkError> {
    Ok(interface::find(path, NAME, INDEX)?
        .and_then(|(link, address, _)| Some(Found { gateway: TaskId::new(link.alias?), address, port: link.peer? })))
}

/// Says whether the sandbox is behind that gateway already.
pub(crate) fn is_there(path: &Path, bridge: &BridgeSpec) -> Result<bool, NetlinkError> {
    Ok(find(path)?.is_some_and(|found| found.gateway == bridge.gateway))
}

/// Makes the sandbox's namespace at `path` unless it is there, lets its ports lead to it, and returns its address. The
/// calling thread ends up in one of the namespaces.
pub(crate) fn join(
    path: &Path,
    gateway: &Path,
    sandbox: &TaskId,
    bridge: &BridgeSpec,
) -> Result<Ipv4Addr, NetworkError> {
    let address = match find(path).during("look into the network namespace", sandbox)? {
        Some(found) => found.address,
        None => make(path, gateway, sandbox, bridge)?,
    };
    enter(gateway, &bridge.gateway)?;
    nft(&forwards(sandbox, address, bridge), "open the ports", sandbox)?;
    Ok(address)
}

/// Takes away what the gateway has of a sandbox, in whose namespace the calling thread ends up. A gateway that is gone has
/// nothing.
pub(crate) fn leave(gateway: &Path, sandbox: &TaskId, found: &Found) -> Result<(), NetworkError> {
    if !vpc::enter_existing(gateway).during("enter the network namespace", &found.gateway)? {
        return Ok(());
    }
    let table = table(sandbox);
    nft(&format!("add table ip {table}\ndelete table ip {table}\n"), "close the ports", sandbox)?;
    let mut connection = Connection::open().during("open the network", &found.gateway)?;
    let request = Request::new("take away the interface", message::delete_link(found.port), 0);
    connection.apply(vec![request.tolerating(&[Errno::ENODEV])], sandbox.as_str())
}

fn make(path: &Path, gateway: &Path, sandbox: &TaskId, bridge: &BridgeSpec) -> Result<Ipv4Addr, NetworkError> {
    let subject = sandbox.as_str();
    enter(gateway, &bridge.gateway)?;
    let mut outside = Connection::open().during("open the network", &bridge.gateway)?;
    make_bridge(&mut outside, bridge.gateway.as_str())?;
    let port = free_port(&mut outside).during("find a free address", subject)?;
    let port = port.ok_or("all are taken").during("find a free address", subject)?;
    let [.., high, low] = port.to_be_bytes();
    let address = Ipv4Addr::new(172, 17, high, low);
    let namespace = namespace::create(path).during("make the network namespace", subject)?;
    let mut inside = Connection::open().during("open the network namespace", subject)?;
    let port_name = format!("veth{port}");
    let near = VethEnd { name: &port_name, index: Some(port), mac: None };
    let mac = MacAddress([0x02, 0x42, 0xac, 0x11, high, low]);
    let far = VethEnd { name: NAME, index: Some(INDEX), mac: Some(mac) };
    let create = NLM_F_CREATE | NLM_F_EXCL;
    let veth = message::new_veth(&near, Some(BRIDGE), &far, namespace.as_fd());
    outside.apply(vec![Request::new("make the interface", veth, create)], subject)?;
    inside.apply(
        vec![
            Request::new("take up the loopback", message::up(message::LOOPBACK), 0),
            Request::new("set the address", message::new_address(INDEX, address, PREFIX_LEN), create),
            Request::new("take up the interface", message::up(INDEX), 0),
            Request::new("set the default route", message::default_route(BRIDGE_ADDRESS, INDEX), create),
            // Last: an interface with an alias is whole.
            Request::new("name the interface", message::set_alias(INDEX, bridge.gateway.to_string()), 0),
        ],
        subject,
    )?;
    let action = "wait for the interface";
    let is_operational = inside.wait_until_operational(&[INDEX]).during(action, subject)?
        && outside.wait_until_operational(&[port, BRIDGE]).during(action, subject)?;
    if !is_operational {
        tracing::debug!(sandbox = subject, "the interface is slow to come up");
    }
    Ok(address)
}

/// Makes what all sandboxes behind a gateway share, from inside that one's namespace. Repeating it changes nothing.
fn make_bridge(gateway: &mut Connection, subject: &str) -> Result<(), NetworkError> {
    let action = "make the bridge";
    let create = NLM_F_CREATE | NLM_F_EXCL;
    let bridge = message::new_bridge(BRIDGE, BRIDGE_NAME, BRIDGE_MAC);
    let address = message::new_address(BRIDGE, BRIDGE_ADDRESS, PREFIX_LEN);
    gateway.apply(
        vec![
            Request::new(action, bridge, create).tolerating(&[Errno::EEXIST]),
            Request::new(action, address, create).tolerating(&[Errno::EEXIST]),
        ],
        subject,
    )?;
    // The file shows the namespace of the thread that opens it.
    fs::write(FORWARDING, "1").during("let packets through the bridge", subject)?;
    nft(MASQUERADE, "translate addresses", subject)
}

fn free_port(gateway: &mut Connection) -> Result<Option<u32>, NetlinkError> {
    let links = gateway.list(message::all_links())?;
    let mut taken = links.iter().filter_map(message::read_link).map(|link| link.index).collect::<Vec<_>>();
    taken.sort_unstable();
    // After the last one, so that an address is not given anew at once; from the beginning when that is the end.
    let last = taken.last().copied().unwrap_or_default();
    let next = (last + 1).max(FIRST_PORT);
    Ok(if next <= LAST_PORT {
        Some(next)
    } else {
        (FIRST_PORT..=LAST_PORT).find(|port| taken.binary_search(port).is_err())
    })
}

fn enter(path: &Path, gateway: &TaskId) -> Result<(), NetworkError> {
    let action = "enter the network namespace";
    if vpc::enter_existing(path).during(action, gateway)? {
        Ok(())
    } else {
        Err("it is not there").during(action, gateway)
    }
}

/// Writes the rules of a sandbox's ports: for what comes from elsewhere, and for what the gateway's own processes send.
fn forwards(sandbox: &TaskId, address: Ipv4Addr, bridge: &BridgeSpec) -> String {
    let table = table(sandbox);
    let mut script = format!("add table ip {table}\n");
    for hook in ["prerouting", "output"] {
        let _ = writeln!(
            script,
            "add chain ip {table} {hook} {{ type nat hook {hook} priority -100; policy accept; }}\n\
             flush chain ip {table} {hook}"
        );
        for port in &bridge.ports {
            let transport = match port.transport {
                Transport::Tcp => "tcp",
                Transport::Udp => "udp",
            };
            let (gateway, from, to) = (bridge.address, port.from, port.to);
            let _ = writeln!(
                script,
                "add rule ip {table} {hook} ip daddr {gateway} {transport} dport {from} dnat to {address}:{to}"
            );
        }
    }
    script
}

fn table(sandbox: &TaskId) -> String {
    format!("task_{}", sandbox.as_str().replace('-', "_"))
}

fn nft(script: &str, action: &'static str, subject: impl std::fmt::Display) -> Result<(), NetworkError> {
    let outcome = program::run("nft", &["-f", "-"], script).during(action, &subject)?;
    if outcome.is_success { Ok(()) } else { Err(io::Error::other(outcome.output)).during(action, subject) }
}

#[cfg(test)]
mod tests {
    use node::PortForward;

    use super::*;

    #[test]
    fn each_port_leads_to_its_sandbox_from_outside_and_from_the_gateway() {
        let port = |transport, from, to| PortForward { transport, from, to };
        let bridge = BridgeSpec {
            gateway: TaskId::new("i"),
            address: Ipv4Addr::new(172, 31, 0, 4),
            ports: vec![port(Transport::Tcp, 8080, 80), port(Transport::Udp, 53, 5353)],
        };
        let script = forwards(&TaskId::new("a-1"), Ipv4Addr::new(172, 17, 0, 16), &bridge);
        let rules = script.lines().filter_map(|line| line.strip_prefix("add rule ip task_a_1 ")).collect::<Vec<_>>();
        assert_eq!(
            rules,
            [
                "prerouting ip daddr 172.31.0.4 tcp dport 8080 dnat to 172.17.0.16:80",
                "prerouting ip daddr 172.31.0.4 udp dport 53 dnat to 172.17.0.16:5353",
                "output ip daddr 172.31.0.4 tcp dport 8080 dnat to 172.17.0.16:80",
                "output ip daddr 172.31.0.4 udp dport 53 dnat to 172.17.0.16:5353",
            ]
        );
    }
}
