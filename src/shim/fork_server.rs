//! The fork server: a shim that runs no container, and becomes one whenever it is asked to.
//!
//! Executing the program anew for each shim costs its loading and linking, 1 to 2 ms of a task's start. This process has that
//! behind it, does nothing else, and has one thread, so that its children may do all that a fresh process may.

use std::ffi::{CStr, OsString};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, Pid};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use shim_protocol::fork_server::{
    ANSWER_DESCRIPTORS, ORDER_BYTES_MAX, ORDER_DESCRIPTORS, SUBCOMMAND, decode_order, encode_answer,
};

use crate::error::ShimError;
use crate::title::Title;
use crate::{exit, start, stdin};

/// What a shim is called where there is room for 15 bytes only.
const NAME: &CStr = c"neargate-shim";
/// How its command line begins.
const PROGRAM: &[u8] = b"neargate shim";

/// One shim that is wanted.
struct Order {
    args: Vec<OsString>,
    stdin: OwnedFd,
    stderr: OwnedFd,
}

/// Forks a shim for each order that comes on standard input. Returns nothing once the runtime is gone; and in each child
/// the arguments of the shim that it is, with its standard input and error in place.
///
/// It is the child that answers, before it does anything else: so the runtime knows that there is no shim as long as it has
/// no answer, and a child that cannot answer is none.
pub(crate) fn run() -> Result<Option<Vec<OsString>>, ShimError> {
    // A group of its own, so that Ctrl-C at the server's terminal is not for us. It fails for who leads one already.
    let _ = rustix::process::setsid();
    let control = stdin::take()?;
    let title = Title::find().ok();
    show(title, &[OsString::from(SUBCOMMAND)]);
    let inherited = SigSet::thread_get_mask().map_err(ShimError::call("read the signal mask"))?;
    let children = watch_children()?;
    loop {
        let mut fds = [PollFd::new(&control, PollFlags::IN), PollFd::new(&children, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(ShimError::call("wait for an order")(error)),
        }
        let [has_order, has_ended] = fds.map(|fd| !fd.revents().is_empty());
        if has_ended {
            // It says that some have ended, not how many. How is known to who asked for them.
            let _ = children.read_signal();
            while exit::reap().is_some() {}
        }
        if !has_order {
            continue;
        }
        let Some(order) = receive(&control)? else { return Ok(None) };
        // SAFETY: this process has one thread, so that the child may do all that the parent may.
        match unsafe { nix::unistd::fork() } {
            Ok(ForkResult::Child) => {
                if !announce(&control) {
                    return Ok(None);
                }
                drop((control, children));
                inherited.thread_set_mask().map_err(ShimError::call("restore the signal mask"))?;
                show(title, &order.args);
                return order.take_on().map(Some);
            }
            Ok(ForkResult::Parent { .. }) => {}
            // A runtime that is gone shows with the next order.
            Err(error) => drop(answer(&control, error as i32, None)),
        }
    }
}

/// Watches for the end of children, whatever was made of the signal by who started the server.
fn watch_children() -> Result<SignalFd, ShimError> {
    // SAFETY: the default action runs no code of ours.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }
        .map_err(ShimError::call("reset the handling of a signal"))?;
    let ended = SigSet::from(Signal::SIGCHLD);
    ended.thread_block().map_err(ShimError::call("block a signal"))?;
    SignalFd::with_flags(&ended, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(ShimError::call("watch for children that end"))
}

/// Says that this process, which has just been forked, is the shim; returns whether the runtime is told.
fn announce(control: &OwnedFd) -> bool {
    match start::pidfd_of(Pid::this()) {
        Ok(pidfd) => answer(control, 0, Some(&pidfd)).is_ok(),
        Err(_) => {
            // It is as if it had not been forked.
            let _ = answer(control, libc::EMFILE, None);
            false
        }
    }
}

impl Order {
    /// Gives this process the shim's standard input and error; returns its arguments.
    fn take_on(self) -> Result<Vec<OsString>, ShimError> {
        rustix::stdio::dup2_stdin(&self.stdin).map_err(ShimError::call("take standard input"))?;
        rustix::stdio::dup2_stderr(&self.stderr).map_err(ShimError::call("take standard error"))?;
        Ok(self.args)
    }
}

/// Shows a shim's arguments to whoever lists processes. Where there is no room for them, those of before stay.
fn show(title: Option<Title>, args: &[OsString]) {
    let mut line = PROGRAM.to_vec();
    for arg in args {
        line.push(b' ');
        line.extend_from_slice(arg.as_bytes());
    }
    let _ = title.map(|title| title.set(&line, NAME));
}

/// Receives the next order; none once the runtime has closed its end.
fn receive(control: &OwnedFd) -> Result<Option<Order>, ShimError> {
    let mut packet = vec![0; ORDER_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ORDER_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = match recvmsg(control, &mut [IoSliceMut::new(&mut packet)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    {
        Ok(received) => received,
        // It was killed with answers of ours unread.
        Err(Errno::CONNRESET) => return Ok(None),
        Err(error) => return Err(ShimError::call("receive an order")(error)),
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut fds = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let (Some(stdin), Some(stderr)) = (fds.next(), fds.next()) else {
        return Err(ShimError::create("an order came without its two descriptors"));
    };
    Ok(Some(Order { args: decode_order(&packet[..received.bytes]), stdin, stderr }))
}

fn answer(control: &OwnedFd, errno: i32, pidfd: Option<&OwnedFd>) -> rustix::io::Result<()> {
    let packet = encode_answer(errno);
    let fds = pidfd.map(AsFd::as_fd);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ANSWER_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.as_slice().is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds.as_slice())) {
        return Err(Errno::NOBUFS);
    }
    let slices = [std::io::IoSlice::new(&packet)];
    retry_on_intr(|| sendmsg(control, &slices, &mut ancillary, SendFlags::NOSIGNAL)).map(drop)
}
