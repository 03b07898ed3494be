//! Where shims come from: the fork server, a process that has executed the program and forks.
//!
//! It is there from the start, ends with this server, and is started anew if somebody ends it. Shims outlive both.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown, socketpair,
};
use shim_protocol::fork_server::{
    ANSWER_BYTES, ANSWER_DESCRIPTORS, ORDER_BYTES_MAX, ORDER_DESCRIPTORS, ROOM_BYTES, SUBCOMMAND, decode_answer,
    encode_order,
};
use shim_protocol::layout;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::program::Program;

/// How long a shim may take to be forked.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// Forks shims.
#[derive(Debug)]
pub(crate) struct ForkServer {
    program: Program,
    running: Mutex<Option<Running>>,
}

/// A process that forks shims for as long as this exists.
#[derive(Debug)]
struct Running {
    socket: OwnedFd,
    process: Child,
}

/// A shim that was forked.
#[derive(Debug)]
pub(crate) struct Shim {
    pidfd: OwnedFd,
}

impl ForkServer {
    /// Makes one that executes the program at this path when it is first needed.
    pub(crate) fn new(program: &Path) -> Self {
        Self { program: Program::open(program), running: Mutex::default() }
    }

    /// Starts the process ahead of need.
    pub(crate) fn warm_up(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            // Whoever needs it is told if it cannot be started.
            *running = Running::start(&self.program).ok();
        }
    }

    /// Forks a shim with these arguments, those after [`layout::SUBCOMMAND`], which has the two files as standard input and
    /// standard error.
    pub(crate) fn fork(&self, args: &[&OsStr], stdin: &OwnedFd, stderr: &OwnedFd) -> io::Result<Shim> {
        let order = encode_order(args);
        if order.len() > ORDER_BYTES_MAX {
            return Err(io::Error::from(io::ErrorKind::ArgumentListTooLong));
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // The second one is for a process that somebody has ended.
        for _ in 0..2 {
            let process = match running.take() {
                Some(process) => process,
                None => Running::start(&self.program)?,
            };
            // After a failure it goes: the answer to this order may still come.
            match process.fork(&order, stdin, stderr)? {
                Answer::Forked(shim) => {
                    *running = Some(process);
                    return Ok(shim);
                }
                Answer::Refused(error) => {
                    *running = Some(process);
                    return Err(error);
                }
                Answer::None => tracing::warn!("the process that forks shims has ended"),
            }
        }
        Err(io::Error::other("the process that forks shims ends at once"))
    }
}

/// What comes of an order.
#[derive(Debug)]
enum Answer {
    /// A shim.
    Forked(Shim),
    /// None, and why not.
    Refused(io::Error),
    /// The process has ended. There is no shim: it would have answered.
    None,
}

impl Running {
    fn start(program: &Program) -> io::Result<Self> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(io::Error::from)?;
        set_socket_timeout(&ours, Timeout::Recv, Some(ANSWER_WAIT_MAX))?;
        set_socket_timeout(&ours, Timeout::Send, Some(ANSWER_WAIT_MAX))?;
        let process = Command::new(program.path())
            .arg(layout::SUBCOMMAND)
            .arg(SUBCOMMAND)
            .arg(" ".repeat(ROOM_BYTES))
            .env_clear()
            .current_dir("/")
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { socket: ours, process })
    }

    /// Orders a shim. After an error nobody knows whether there is one; it gives up, unless it has answered already.
    fn fork(&self, order: &[u8], stdin: &OwnedFd, stderr: &OwnedFd) -> io::Result<Answer> {
        let fds: [_; ORDER_DESCRIPTORS] = [stdin.as_fd(), stderr.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ORDER_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::other("there is no room for the descriptors"));
        }
        let slices = [io::IoSlice::new(order)];
        match retry_on_intr(|| sendmsg(&self.socket, &slices, &mut ancillary, SendFlags::NOSIGNAL)) {
            Ok(_) => self.answer(),
            Err(Errno::PIPE | Errno::CONNRESET) => Ok(Answer::None),
            Err(error) => Err(error.into()),
        }
    }

    fn answer(&self) -> io::Result<Answer> {
        let mut packet = [0; ANSWER_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ANSWER_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [io::IoSliceMut::new(&mut packet)];
        let receive = || recvmsg(&self.socket, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        let received = match retry_on_intr(receive) {
            Ok(received) => received.bytes,
            // It has ended with the order unread.
            Err(Errno::CONNRESET) => 0,
            Err(error) => return Err(error.into()),
        };
        if received == 0 {
            return Ok(Answer::None);
        }
        let pidfd = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        match (decode_answer(&packet[..received]), pidfd) {
            (Some(0), Some(pidfd)) => Ok(Answer::Forked(Shim { pidfd })),
            (Some(errno), _) if errno != 0 => Ok(Answer::Refused(io::Error::from_raw_os_error(errno))),
            _ => Err(io::Error::other("the process that forks shims does not say what it did")),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has yet to answer gives up. Shims are not ended with it.
        let _ = shutdown(&self.socket, Shutdown::Both);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Shim {
    /// Waits until its process has ended. Must be called within a tokio runtime.
    pub(crate) async fn ended(self) -> io::Result<()> {
        // SAFETY: what is registered owns its descriptor, which is open and the same for as long as it lives.
        let process = unsafe { AsyncFd::register_with_interest(self.pidfd, Interest::READABLE) }?;
        process.readable().await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn null() -> OwnedFd {
        File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn a_program_that_is_missing_is_said_to_be() {
        let shims = ForkServer::new(Path::new("/no/such/program"));
        shims.warm_up();
        let error = shims.fork(&[OsStr::new("/folder")], &null(), &null()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_program_that_forks_nothing_is_an_error_and_not_a_wait() {
        let shims = ForkServer::new(Path::new("/bin/true"));
        shims.warm_up();
        let error = shims.fork(&[OsStr::new("/folder")], &null(), &null()).unwrap_err();
        assert_eq!(error.to_string(), "the process that forks shims ends at once");
    }

    /// Returns what comes of an order that is answered by these bytes, without a process. The other end is gone afterwards.
    fn answered(packet: &[u8]) -> io::Result<Answer> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let process = Command::new("/bin/true").spawn().unwrap();
        let packet = packet.to_vec();
        let answering = std::thread::spawn(move || {
            rustix::net::recv(&theirs, &mut [0; ORDER_BYTES_MAX], RecvFlags::empty()).unwrap();
            if !packet.is_empty() {
                rustix::net::send(&theirs, &packet, SendFlags::empty()).unwrap();
            }
        });
        let answer = Running { socket: ours, process }.fork(b"/folder", &null(), &null());
        answering.join().unwrap();
        answer
    }

    #[test]
    fn a_fork_that_failed_is_the_kernels_error() {
        let answer = answered(&shim_protocol::fork_server::encode_answer(libc::EAGAIN)).unwrap();
        assert!(matches!(answer, Answer::Refused(error) if error.raw_os_error() == Some(libc::EAGAIN)));
    }

    #[test]
    fn an_order_that_nobody_answers_has_no_shim() {
        assert!(matches!(answered(b"").unwrap(), Answer::None));
    }

    #[test]
    fn an_answer_that_says_nothing_is_an_error() {
        for packet in [&b"1"[..], &[0; ANSWER_BYTES]] {
            let error = answered(packet).unwrap_err();
            assert_eq!(error.to_string(), "the process that forks shims does not say what it did");
        }
    }

    #[test]
    fn an_order_that_is_too_long_is_refused() {
        let order = "x".repeat(ORDER_BYTES_MAX + 1);
        let error = ForkServer::new(Path::new("/bin/true")).fork(&[OsStr::new(&order)], &null(), &null()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ArgumentListTooLong);
    }
}
