//! The one interface of a sandbox besides the loopback, as the kernel has it.

use std::net::Ipv4Addr;
use std::path::Path;

use nix::errno::Errno;

use crate::message::{self, Link};
use crate::netlink::{Connection, NetlinkError};
use crate::vpc;

/// An interface with its address and the length of the address's prefix.
pub(crate) type Found = (Link, Ipv4Addr, u8);

/// Looks for the interface of a name and an index in the namespace at `path`, and moves the calling thread into it. None if
/// there is no namespace, or the interface or its address is not there.
pub(crate) fn find(path: &Path, name: &str, index: u32) -> Result<Option<Found>, NetlinkError> {
    if !vpc::enter_existing(path)? {
        return Ok(None);
    }
    let mut sandbox = Connection::open()?;
    let links = match sandbox.get(message::link_named(name)) {
        Err(NetlinkError::Refused(Errno::ENODEV)) => return Ok(None),
        other => other?,
    };
    let addresses = sandbox.list(message::all_addresses())?;
    let address = addresses.iter().filter_map(message::read_address).find(|(known, ..)| *known == index);
    let link = links.iter().find_map(message::read_link);
    Ok(link.zip(address).map(|(link, (_, address, prefix_len))| (link, address, prefix_len)))
}
