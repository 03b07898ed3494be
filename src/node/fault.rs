//! Faults of a sandbox's network that somebody asks for, to see how a program bears them.

use std::fmt;
use std::net::IpAddr;

use crate::NetworkError;

/// A fault of the network, with what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Packets of one port are lost.
    BlackholePort {
        /// Which packets.
        port: BlackholePort,
        /// Whose packets are not, even so.
        except: Vec<IpRange>,
    },
    /// Packets to some addresses are late.
    Latency {
        /// By how many milliseconds.
        delay_ms: u64,
        /// By how many milliseconds more or less than that.
        jitter_ms: u64,
        /// Which packets.
        scope: FaultScope,
    },
    /// Packets to some addresses are lost.
    PacketLoss {
        /// How many of a hundred.
        percent: u8,
        /// Which packets.
        scope: FaultScope,
    },
}

impl Fault {
    /// Returns what tells it from other faults of the sandbox.
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::BlackholePort { port, .. } => FaultKind::BlackholePort(*port),
            Self::Latency { .. } => FaultKind::Latency,
            Self::PacketLoss { .. } => FaultKind::PacketLoss,
        }
    }
}

/// What tells the faults of a sandbox apart: there is at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// [`Fault::BlackholePort`] of that port.
    BlackholePort(BlackholePort),
    /// [`Fault::Latency`].
    Latency,
    /// [`Fault::PacketLoss`].
    PacketLoss,
}

/// The packets that a black hole takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlackholePort {
    /// The port that they go to.
    pub port: u16,
    /// Their protocol.
    pub protocol: Transport,
    /// Their direction, as the sandbox sees it.
    pub direction: Direction,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To the sandbox.
    Ingress,
    /// From the sandbox.
    Egress,
}

/// The packets that are late or lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultScope {
    /// To whom they go.
    pub to: Vec<IpRange>,
    /// To whom they do not go.
    pub except: Vec<IpRange>,
    /// How many of a hundred connections are hit; 100 unless somebody says.
    pub flows_percent: u8,
}

/// An address, or all addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpRange {
    /// An address of it.
    pub address: IpAddr,
    /// How many leading bits all of them share.
    pub prefix_len: u8,
}

impl IpRange {
    /// The most that a list of a fault has: the kernel is told of each, and asks each of them about a packet.
    pub const LIST_MAX: usize = 200;

    /// Reads an address, or an address with the length of a prefix: `10.0.0.0/8`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix_len) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address = address.parse::<IpAddr>().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix_len = match prefix_len {
            Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => length.parse::<u8>().ok()?,
            Some(_) => return None,
            None => bits,
        };
        (prefix_len <= bits).then_some(Self { address, prefix_len })
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// Why a fault could not be started, stopped or looked for.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// It took longer than it may.
    #[error("it took too long")]
    TimedOut,
    /// This machine cannot do it.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_an_address_or_a_prefix() {
        for (text, shown) in [
            ("10.0.0.1", Some("10.0.0.1/32")),
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("::1", Some("::1/128")),
            ("fd00::/8", Some("fd00::/8")),
            ("10.0.0.0/33", None),
            ("10.0.0.0/+8", None),
            ("10.0.0.0/", None),
            ("example.com", None),
            ("", None),
        ] {
            assert_eq!(IpRange::parse(text).map(|range| range.to_string()).as_deref(), shown, "{text}");
        }
    }
}
