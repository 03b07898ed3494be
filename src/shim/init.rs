//! The first process of a container, where that is not the program: it forwards signals and reaps children.
//!
//! It is a fork of the process that libcontainer has made, so that nothing of it has to be in the image, and it has no more
//! rights than the program.

use std::ffi::CStr;
use std::io;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{ForkResult, Pid, fork};

use crate::exit;

/// What the command line of an init says, instead of where the host has its own program.
const INIT_TITLE: &CStr = c"/dev/init";
/// The same of a process that only holds namespaces.
const HOLDER_TITLE: &CStr = c"/pause";
/// Signals that a process gets for what it did itself; blocking them would end it without a word, or not at all.
const OWN_FAULTS: [Signal; 7] =
    [Signal::SIGABRT, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGSEGV, Signal::SIGSYS, Signal::SIGTRAP];

/// Becomes an init; returns in its child, which is to become the program.
pub(crate) fn become_init() -> Result<(), String> {
    let blocked = block().map_err(|error| format!("cannot block signals: {error}"))?;
    // SAFETY: this process has one thread, so that the child may do all that the parent may.
    match unsafe { fork() }.map_err(|error| format!("cannot fork: {error}"))? {
        ForkResult::Child => sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
            .map_err(|error| format!("cannot unblock signals: {error}")),
        ForkResult::Parent { child } => serve(INIT_TITLE, &blocked, Some(child)),
    }
}

/// Becomes a process that does nothing but reap; returns only if it cannot.
pub(crate) fn become_holder() -> String {
    match block() {
        Ok(blocked) => serve(HOLDER_TITLE, &blocked, None),
        Err(error) => format!("cannot block signals: {error}"),
    }
}

fn block() -> Result<SigSet, Errno> {
    let mut blocked = SigSet::all();
    OWN_FAULTS.into_iter().for_each(|signal| blocked.remove(signal));
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&blocked), None)?;
    Ok(blocked)
}

/// Works until the program has ended, and ends as it did. Without one it works until it is killed.
fn serve(title: &CStr, blocked: &SigSet, program: Option<Pid>) -> ! {
    // Each of these only makes it tidier: without them it still does its work.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    close_all_but_stdio();
    let _ = set_title(title);
    loop {
        let mut number = 0;
        // SAFETY: the set and the number live until the call returns.
        let result = unsafe { libc::sigwait(blocked.as_ref(), &raw mut number) };
        if result == 0 && number != libc::SIGCHLD {
            if let Some(program) = program {
                // SAFETY: passing on a number that the kernel has just given; real-time signals have no name here.
                unsafe { libc::kill(program.as_raw(), number) };
            }
            continue;
        }
        while let Some(ended) = exit::reap() {
            if Some(ended.pid) == program {
                // SAFETY: ends this process at once: there is nothing to be tidied up.
                unsafe { libc::_exit(ended.code) }
            }
        }
    }
}

/// Closes what it has inherited, such as the pipe whose end says that the program is executed.
fn close_all_but_stdio() {
    // SAFETY: nothing that this process still does uses any of them.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}

/// Writes another command line over the one that this process was executed with.
fn set_title(title: &CStr) -> io::Result<()> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Fields are counted from the state, the third, because the name before it may have blanks.
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' ')).ok_or(io::ErrorKind::InvalidData)?;
    let mut addresses = fields.skip(45).map(|field| field.parse::<usize>().unwrap_or_default());
    let (start, end) = (addresses.next().unwrap_or_default(), addresses.next().unwrap_or_default());
    let Some(room) = end.checked_sub(start).filter(|room| start != 0 && *room > title.count_bytes() + 1) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let memory = std::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: the kernel says that the arguments lie between these addresses, on the stack of this process, which nothing
    // reads any more. Without a zero at their end it takes what is before the first one for all of them.
    unsafe {
        memory.write_bytes(0, room);
        memory.copy_from_nonoverlapping(title.as_ptr().cast(), title.count_bytes());
        memory.add(room - 1).write(b' ');
    }
    let name = title.to_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let name = std::ffi::CString::new(name).unwrap_or_default();
    Ok(rustix::thread::set_name(&name)?)
}
