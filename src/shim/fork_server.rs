//! The fork server: a shim that runs no container, and becomes one whenever it is asked to.
//!
//! Executing the program anew for each shim costs its loading and linking, 2 ms of a task's start. This process has that
//! behind it, does nothing else, and has one thread, so that its children may do all that a fresh process may.

use std::ffi::{CStr, OsStr, OsString};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::ForkResult;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use shim_protocol::fork_server::{
    ANSWER_DESCRIPTORS, ORDER_BYTES_MAX, ORDER_DESCRIPTORS, SUBCOMMAND, decode_order, encode_answer,
};
use shim_protocol::layout;

use crate::error::ShimError;
use crate::start;

/// What the process is called where there is room for 15 bytes only.
const NAME: &CStr = c"neargate-shim";
/// The first of the arguments that others see of a shim.
const PROGRAM: &str = "neargate";
/// Which field of /proc/self/stat says where the arguments begin; the next one says where they end.
const ARG_START_FIELD: usize = 48;

/// One shim that is wanted.
struct Order {
    args: Vec<OsString>,
    stdin: OwnedFd,
    stderr: OwnedFd,
}

/// Forks a shim for each order that comes on standard input. Returns nothing once the runtime is gone; and in each child
/// the arguments of the shim that it is, with its standard input and error in place.
pub(crate) fn run() -> Result<Option<Vec<OsString>>, ShimError> {
    // A group of its own, so that Ctrl-C at the server's terminal is not for us. It fails for who leads one already.
    let _ = rustix::process::setsid();
    let control = take_stdin()?;
    let title = Title::find();
    title.show([PROGRAM, layout::SUBCOMMAND, SUBCOMMAND].into_iter().map(OsStr::new));
    let inherited = SigSet::thread_get_mask().map_err(ShimError::call("read the signal mask"))?;
    let ended = SigSet::from(Signal::SIGCHLD);
    ended.thread_block().map_err(ShimError::call("block a signal"))?;
    let children = SignalFd::with_flags(&ended, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(ShimError::call("watch for children that end"))?;
    loop {
        let mut fds = [PollFd::new(&control, PollFlags::IN), PollFd::new(&children, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(ShimError::call("wait for an order")(error)),
        }
        let [has_order, has_ended] = fds.map(|fd| !fd.revents().is_empty());
        if has_ended {
            // It says that some have ended, not how many.
            let _ = children.read_signal();
            reap();
        }
        if !has_order {
            continue;
        }
        let Some(order) = receive(&control)? else { return Ok(None) };
        // SAFETY: this process has one thread, so that the child may do all that the parent may.
        match unsafe { nix::unistd::fork() } {
            Ok(ForkResult::Child) => {
                drop((control, children));
                inherited.thread_set_mask().map_err(ShimError::call("restore the signal mask"))?;
                return order.take_on(&title).map(Some);
            }
            Ok(ForkResult::Parent { child }) => match start::pidfd_of(child) {
                Ok(pidfd) => answer(&control, 0, Some(&pidfd)),
                Err(_) => {
                    // It has not been reaped, so that the number is still its own. Nobody could tell when it ends.
                    let _ = kill(child, Signal::SIGKILL);
                    answer(&control, libc::EMFILE, None);
                }
            },
            Err(error) => answer(&control, error as i32, None),
        }
    }
}

impl Order {
    /// Makes this process, which has just been forked, the one that is wanted; returns its arguments.
    fn take_on(self, title: &Title) -> Result<Vec<OsString>, ShimError> {
        rustix::stdio::dup2_stdin(&self.stdin).map_err(ShimError::call("take standard input"))?;
        rustix::stdio::dup2_stderr(&self.stderr).map_err(ShimError::call("take standard error"))?;
        let own = self.args.iter().map(OsString::as_os_str);
        title.show([PROGRAM, layout::SUBCOMMAND].into_iter().map(OsStr::new).chain(own));
        Ok(self.args)
    }
}

/// Makes standard input the runtime's socket, and /dev/null in its place.
fn take_stdin() -> Result<OwnedFd, ShimError> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).map_err(ShimError::call("take stdin"))?;
    let null = rustix::fs::openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(ShimError::call("open /dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(ShimError::call("replace stdin"))?;
    Ok(socket)
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

fn answer(control: &OwnedFd, errno: i32, pidfd: Option<&OwnedFd>) {
    let packet = encode_answer(errno);
    let fds = pidfd.map(AsFd::as_fd);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ANSWER_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.as_slice().is_empty() {
        let has_room = ancillary.push(SendAncillaryMessage::ScmRights(fds.as_slice()));
        debug_assert!(has_room, "the buffer is made for as many");
    }
    // A runtime that is gone shows with the next order.
    let _ = sendmsg(control, &[std::io::IoSlice::new(&packet)], &mut ancillary, SendFlags::NOSIGNAL);
}

/// Reaps every child that has ended. How it ended is known to who asked for it.
fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

/// Where this process's arguments are in its memory, as others see them.
///
/// The kernel would let a privileged process say that they are elsewhere; writing over them is open to all.
struct Title {
    address: usize,
    len: usize,
}

impl Title {
    /// Finds the arguments; they are nowhere if the kernel does not tell.
    fn find() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The second field is the name, in parentheses, and may contain anything.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        let mut addresses =
            fields.split_ascii_whitespace().skip(ARG_START_FIELD - 3).map_while(|field| field.parse::<usize>().ok());
        let (address, end) = (addresses.next().unwrap_or_default(), addresses.next().unwrap_or_default());
        Self { address, len: end.saturating_sub(address) }
    }

    /// Shows other arguments, as far as there is room, each with its end.
    fn show<'a>(&self, args: impl Iterator<Item = &'a OsStr>) {
        let mut text = args.flat_map(|arg| [arg.as_bytes(), b"\0"]).flatten().copied().collect::<Vec<_>>();
        text.resize(self.len, 0);
        if let Some(last) = text.last_mut() {
            *last = 0;
        }
        // SAFETY: the kernel has put the arguments there, on the stack, before the program began, and nothing moves them. The
        // standard library has copied what it wants of them, and there is no other thread that could read them.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), ptr::with_exposed_provenance_mut(self.address), self.len) };
        // SAFETY: the kernel reads the name before the call returns.
        unsafe { libc::prctl(libc::PR_SET_NAME, NAME.as_ptr()) };
    }
}
