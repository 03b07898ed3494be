//! Telling a VPC that an address has a new owner.
//!
//! An address is given to a new ENI soon after its last one is gone, and those who talked to the old one remember the
//! old hardware address for seconds. A gratuitous ARP from the router corrects them at once.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use node::MacAddress;

const FRAME_BYTES: usize = 42;
const BROADCAST: [u8; 6] = [0xff; 6];
/// Ethernet type ARP; hardware type Ethernet; protocol IPv4; lengths 6 and 4; operation "request".
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const ARP_HEADER: [u8; 8] = [0, 1, 0x08, 0, 6, 4, 0, 1];

/// Sends frames on a VPC's bridge. Kept open with the VPC: closing one waits for a grace period of the kernel.
pub(crate) struct Announcer {
    socket: OwnedFd,
    bridge: i32,
    router: MacAddress,
}

impl Announcer {
    /// Opens the socket in the calling thread's namespace; it receives nothing.
    pub(crate) fn open(bridge: u32, router: MacAddress) -> io::Result<Self> {
        let socket =
            socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
        let bridge = i32::try_from(bridge).map_err(io::Error::other)?;
        Ok(Self { socket, bridge, router })
    }

    /// Says to every interface of the VPC that `address` is at `mac`.
    pub(crate) fn announce(&self, address: Ipv4Addr, mac: MacAddress) -> io::Result<()> {
        let frame = frame(self.router, address, mac);
        let family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
        let mut hardware = [0; 8];
        hardware[..BROADCAST.len()].copy_from_slice(&BROADCAST);
        let to = libc::sockaddr_ll {
            sll_family: family,
            sll_protocol: u16::from_ne_bytes(ETHERTYPE_ARP),
            sll_ifindex: self.bridge,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: hardware,
        };
        let to_bytes = libc::socklen_t::try_from(size_of_val(&to)).map_err(io::Error::other)?;
        // SAFETY: both pointers are valid for the lengths given with them, for the duration of the call.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const to).cast(),
                to_bytes,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Sender and target are both the announced address: that is what makes it gratuitous.
fn frame(router: MacAddress, address: Ipv4Addr, mac: MacAddress) -> [u8; FRAME_BYTES] {
    let parts: [&[u8]; 8] =
        [&BROADCAST, &router.0, &ETHERTYPE_ARP, &ARP_HEADER, &mac.0, &address.octets(), &[0; 6], &address.octets()];
    let mut frame = [0; FRAME_BYTES];
    let mut rest = frame.as_mut_slice();
    for part in parts {
        let (here, after) = rest.split_at_mut(part.len());
        here.copy_from_slice(part);
        rest = after;
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_names_the_address_as_sender_and_as_target() {
        let frame = frame(MacAddress([2; 6]), Ipv4Addr::new(10, 0, 0, 9), MacAddress([7; 6]));
        assert_eq!(frame[..6], [0xff; 6]);
        assert_eq!(frame[6..12], [2; 6]);
        assert_eq!(frame[22..28], [7; 6]);
        assert_eq!(frame[28..32], [10, 0, 0, 9]);
        assert_eq!(frame[38..42], [10, 0, 0, 9]);
    }
}
