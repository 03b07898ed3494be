//! The first process of a container, where that is not the program: it forwards signals and reaps children.
//!
//! It is a fork of the process that libcontainer has made, so that nothing of it has to be in the image, and it has no more
//! rights than the program.

use std::ffi::CStr;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{ForkResult, Pid, fork};

use crate::exit;
use crate::title::Title;

/// What the command line of an init says, instead of where the host has its own program, and what its name is.
const INIT_TITLE: (&[u8], &CStr) = (b"/dev/init", c"init");
/// The same of a process that only holds namespaces.
const HOLDER_TITLE: (&[u8], &CStr) = (b"/pause", c"pause");
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
fn serve((line, name): (&[u8], &CStr), blocked: &SigSet, program: Option<Pid>) -> ! {
    // Each of these only makes it tidier: without them it still does its work.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    close_all_but_stdio();
    let _ = Title::find().and_then(|title| title.set(line, name));
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
