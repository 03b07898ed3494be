//! Talking to the kernel: several requests in one message, and their answers.
//!
//! Blocking on purpose. A connection belongs to the network namespace of the thread that opens it, and stays there when
//! the thread goes elsewhere: that is how one short-lived thread configures three namespaces.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, setsockopt, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use node::NetworkError;

use crate::failure::During;
use crate::message;

/// The most requests of one batch: their acknowledgements must fit into the socket's receive buffer.
pub(crate) const BATCH_REQUESTS_MAX: usize = 64;
/// The kernel's own bound for one part of a listing.
const ANSWER_BYTES_MAX: usize = 32 * 1024;
/// The most parts of one listing: beyond any host, and an end to a broken one.
const ANSWERS_MAX: usize = 65_536;
/// How long the kernel may take for an answer; it answers while sending, unless others hold its lock.
const ANSWER_WAIT_SECONDS: i64 = 30;
/// How often an interface is looked at until it sends and receives, some 20 ms in all. Linux 6.8 and later say yes at
/// the first look, since looking finishes what is pending.
const LOOKS_MAX: usize = 1000;
/// Netlink aligns messages to this many bytes.
const ALIGNMENT: usize = 4;

/// Why the kernel's answer is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetlinkError {
    /// The kernel refused.
    #[error("the kernel refused: {}", .0.desc())]
    Refused(Errno),
    /// The socket failed, or no answer came in time.
    #[error("netlink socket failed")]
    Socket(#[from] io::Error),
    /// The answer cannot be read.
    #[error("netlink answer cannot be read: {0}")]
    Unreadable(String),
}

impl From<Errno> for NetlinkError {
    fn from(errno: Errno) -> Self {
        Self::Socket(errno.into())
    }
}

/// One change, with the words for its failure.
pub(crate) struct Request {
    action: &'static str,
    message: RouteNetlinkMessage,
    flags: u16,
    tolerated: &'static [Errno],
}

impl Request {
    /// Makes a request; `flags` are those beside `NLM_F_REQUEST` and `NLM_F_ACK`.
    pub(crate) fn new(action: &'static str, message: RouteNetlinkMessage, flags: u16) -> Self {
        Self { action, message, flags, tolerated: &[] }
    }

    /// Counts these answers as success: what was wanted is so already.
    pub(crate) fn tolerating(self, tolerated: &'static [Errno]) -> Self {
        Self { tolerated, ..self }
    }
}

/// A connection to the kernel's routing family, in the network namespace of the thread that opened it.
pub(crate) struct Connection {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens a connection in the calling thread's network namespace.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let socket =
            socket::socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_WAIT_SECONDS))?;
        socket::connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; ANSWER_BYTES_MAX] })
    }

    /// Makes the changes in order with one system call. The kernel does not stop at a refusal: what came after it may
    /// have been done; the first refusal is returned.
    pub(crate) fn apply(&mut self, requests: Vec<Request>, subject: &str) -> Result<(), NetworkError> {
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            self.apply_batch(requests.by_ref().take(BATCH_REQUESTS_MAX).collect(), subject)?;
        }
        Ok(())
    }

    fn apply_batch(&mut self, requests: Vec<Request>, subject: &str) -> Result<(), NetworkError> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        let mut expected = Vec::with_capacity(requests.len());
        for Request { action, message, flags, tolerated } in requests {
            self.write(&mut bytes, message, flags | NLM_F_ACK);
            expected.push((action, tolerated));
        }
        let asked = "ask the kernel for the network";
        self.send(&bytes).during(asked, subject)?;
        let mut outcomes = vec![None; expected.len()];
        while outcomes.iter().any(Option::is_none) {
            for answer in self.receive().during(asked, subject)? {
                let position = usize::try_from(answer.header.sequence_number.wrapping_sub(first)).unwrap_or(usize::MAX);
                if let (NetlinkPayload::Error(error), Some(outcome)) = (answer.payload, outcomes.get_mut(position)) {
                    *outcome = Some(Errno::from_raw(-error.raw_code()));
                }
            }
        }
        for ((action, tolerated), outcome) in expected.into_iter().zip(outcomes.into_iter().flatten()) {
            if outcome as i32 != 0 && !tolerated.contains(&outcome) {
                return Err(NetlinkError::Refused(outcome)).during(action, subject);
            }
        }
        Ok(())
    }

    /// Makes one change, for callers that decide by the kernel's answer.
    pub(crate) fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), NetlinkError> {
        self.ask(message, flags | NLM_F_ACK).map(drop)
    }

    /// Asks for one object.
    pub(crate) fn get(&mut self, message: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        self.ask(message, NLM_F_ACK)
    }

    /// Asks for all objects of a kind.
    pub(crate) fn list(&mut self, message: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        self.ask(message, NLM_F_DUMP)
    }

    /// Waits until interfaces that are up send and receive. The kernel gets to it a moment after it took them up, and
    /// loses what is sent before: a first packet that is sent again a second later. False if they do not.
    pub(crate) fn wait_until_operational(&mut self, interfaces: &[u32]) -> Result<bool, NetlinkError> {
        for &interface in interfaces {
            let mut looks = 0;
            while !self.get(message::link(interface))?.iter().filter_map(message::read_link).any(|it| it.is_operational)
            {
                looks += 1;
                if looks == LOOKS_MAX {
                    return Ok(false);
                }
                thread::yield_now();
            }
        }
        Ok(true)
    }

    fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let mut bytes = Vec::new();
        self.write(&mut bytes, message, flags);
        let sequence = self.sequence;
        self.send(&bytes)?;
        let mut found = Vec::new();
        for _ in 0..ANSWERS_MAX {
            for answer in self.receive()? {
                if answer.header.sequence_number != sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::InnerMessage(message) => found.push(message),
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(found),
                    NetlinkPayload::Error(error) => {
                        return Err(NetlinkError::Refused(Errno::from_raw(-error.raw_code())));
                    }
                    _ => {}
                }
            }
        }
        Err(NetlinkError::Unreadable(format!("more than {ANSWERS_MAX} parts")))
    }

    fn write(&mut self, bytes: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let start = bytes.len();
        bytes.resize((start + message.buffer_len()).next_multiple_of(ALIGNMENT), 0);
        message.serialize(&mut bytes[start..]);
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NetlinkError> {
        socket::send(self.socket.as_raw_fd(), bytes, MsgFlags::empty())?;
        Ok(())
    }

    fn receive(&mut self) -> Result<Vec<NetlinkMessage<RouteNetlinkMessage>>, NetlinkError> {
        let length = loop {
            match socket::recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_TRUNC) {
                Err(Errno::EINTR) => {}
                other => break other?,
            }
        };
        let mut rest = self
            .buffer
            .get(..length)
            .ok_or_else(|| NetlinkError::Unreadable(format!("{length} bytes are more than the kernel's bound")))?;
        let mut messages = Vec::new();
        while !rest.is_empty() {
            let frame =
                NetlinkBuffer::new_checked(rest).map_err(|error| NetlinkError::Unreadable(error.to_string()))?;
            let length = usize::try_from(frame.length()).unwrap_or(usize::MAX).next_multiple_of(ALIGNMENT);
            match NetlinkMessage::deserialize(rest) {
                Ok(message) => messages.push(message),
                // A kind that the decoder does not know, such as another program's interface, is not one of ours.
                Err(error) => tracing::debug!(%error, "netlink message skipped"),
            }
            rest = rest.get(length.max(ALIGNMENT)..).unwrap_or_default();
        }
        Ok(messages)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn a_listing_holds_the_loopback_interface() {
        let mut connection = Connection::open().unwrap();
        let links = connection.list(message::all_links()).unwrap();
        assert!(links.iter().filter_map(message::read_link).any(|link| link.name == "lo" && link.index == 1));
    }

    #[test]
    fn a_refusal_says_what_was_tried_of_what_and_why() {
        let mut connection = Connection::open().unwrap();
        let error = connection
            .apply(vec![Request::new("take the interface away", message::delete_link(u32::MAX >> 1), 0)], "eni-1")
            .unwrap_err();
        assert_eq!(error.to_string(), "cannot take the interface away of eni-1");
        assert_eq!(error.source().unwrap().to_string(), "the kernel refused: No such device");
    }

    #[test]
    fn a_tolerated_refusal_is_success() {
        let gone = Request::new("x", message::delete_link(u32::MAX >> 1), 0).tolerating(&[Errno::ENODEV]);
        Connection::open().unwrap().apply(vec![gone], "x").unwrap();
    }

    #[test]
    fn more_requests_than_one_batch_holds_are_all_made() {
        let requests = (0..BATCH_REQUESTS_MAX * 2 + 1)
            .map(|_| Request::new("x", message::delete_link(u32::MAX >> 1), 0).tolerating(&[Errno::ENODEV]))
            .collect();
        Connection::open().unwrap().apply(requests, "x").unwrap();
    }
}
