//! Connections to servers: whoever connects is told everything, and slow ones hold nobody up.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use shim_protocol::{FromShim, MESSAGE_BYTES_MAX, ToShim};

/// The most that is kept for a server that does not read. Only news of output is left out beyond it, and made up for.
const UNSENT_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;

/// One connection.
pub(crate) struct Connection {
    stream: UnixStream,
    unread: Vec<u8>,
    unsent: Vec<u8>,
    told_end: u64,
    is_open: bool,
}

impl Connection {
    /// Takes over a connected socket; none if it cannot be made non-blocking.
    pub(crate) fn new(stream: UnixStream) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        Some(Self { stream, unread: Vec::new(), unsent: Vec::new(), told_end: 0, is_open: true })
    }

    /// Returns whether the server is still there.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Returns whether something waits until the server reads.
    pub(crate) fn has_unsent(&self) -> bool {
        self.is_open && !self.unsent.is_empty()
    }

    /// Sends a message, as far as the socket takes it now.
    pub(crate) fn tell(&mut self, message: &FromShim) {
        self.unsent.extend_from_slice(&shim_protocol::encode(message));
        self.send();
    }

    /// Says how long the output is, unless the server knows or has not even read what was sent before.
    pub(crate) fn tell_output(&mut self, end: u64) {
        if end != self.told_end && self.unsent.len() < UNSENT_BYTES_MAX && !self.has_unsent() {
            self.told_end = end;
            self.tell(&FromShim::Output { end });
        }
    }

    /// Sends what is left from before.
    pub(crate) fn send(&mut self) {
        while self.has_unsent() {
            match self.stream.write(&self.unsent) {
                Ok(count) => {
                    self.unsent.drain(..count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.is_open = false,
            }
        }
    }

    /// Reads what the server asks for.
    pub(crate) fn receive(&mut self) -> Vec<ToShim> {
        let mut chunk = [0; 1024];
        let mut asked = Vec::new();
        while self.is_open {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.is_open = false,
                Ok(count) => {
                    self.unread.extend_from_slice(&chunk[..count]);
                    self.take_messages(&mut asked);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.is_open = false,
            }
        }
        asked
    }

    fn take_messages(&mut self, asked: &mut Vec<ToShim>) {
        while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
            // What a later server may ask and this version does not know is passed over.
            asked.extend(shim_protocol::decode::<ToShim>(&self.unread[..end]));
            self.unread.drain(..=end);
        }
        if self.unread.len() > MESSAGE_BYTES_MAX {
            self.is_open = false;
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_however_they_are_cut() {
        let (mut server, ours) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(ours).unwrap();
        let line = shim_protocol::encode(&ToShim::Signal { number: 15 });
        server.write_all(&line[..5]).unwrap();
        assert_eq!(connection.receive(), []);
        server.write_all(&[&line[5..], b"{\"unknown\":1}\n", &line].concat()).unwrap();
        assert_eq!(connection.receive(), [ToShim::Signal { number: 15 }; 2]);
        drop(server);
        connection.receive();
        assert!(!connection.is_open());
    }

    #[test]
    fn a_server_that_sends_no_line_end_is_cut_off() {
        let (mut server, ours) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(ours).unwrap();
        server.write_all(&vec![b'x'; MESSAGE_BYTES_MAX + 1]).unwrap();
        connection.receive();
        assert!(!connection.is_open());
    }

    #[test]
    fn a_server_that_does_not_read_gets_the_news_later_and_once() {
        let (mut server, ours) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(ours).unwrap();
        let long = FromShim::Failed { kind: shim_protocol::FailureKind::Create, message: "x".repeat(8_000) };
        while !connection.has_unsent() {
            connection.tell(&long);
        }
        let before = connection.unsent.len();
        connection.tell_output(1);
        connection.tell_output(2);
        assert_eq!(connection.unsent.len(), before);
        server.set_nonblocking(true).unwrap();
        let mut chunk = [0; 65_536];
        while connection.has_unsent() {
            while server.read(&mut chunk).is_ok() {}
            connection.send();
        }
        while server.read(&mut chunk).is_ok() {}
        connection.tell_output(3);
        let count = server.read(&mut chunk).unwrap();
        assert_eq!(shim_protocol::decode(&chunk[..count]), Some(FromShim::Output { end: 3 }));
    }
}
