//! Mapping the ids of a mount: the container's user is somebody else on the file system.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::user::User;

/// The number of ids that the kernel has: the last one means nobody.
const IDS: u64 = u32::MAX as u64;

/// Makes a user namespace in which the two ids of a squash are seen as the user's own, and the other way round; everybody
/// else is himself. A mapping is one to one, so that several users cannot become the same one.
pub(crate) fn namespace(user: &User, squash: (u32, u32)) -> io::Result<OwnedFd> {
    let (is_ready, ready) = pipe_with(PipeFlags::CLOEXEC)?;
    // SAFETY: this process has one thread, so that the child may do all that the parent may.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let is_done = unshare(CloneFlags::CLONE_NEWUSER).is_ok();
            let _ = rustix::io::write(&ready, &[u8::from(is_done)]);
            if is_done {
                loop {
                    nix::unistd::pause();
                }
            }
            // SAFETY: ends this process at once, without what the parent has registered for its own end.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(ready);
            let mut answer = [0];
            let namespace = match File::from(is_ready).read(&mut answer) {
                Ok(1) if answer == [1] => map(child.as_raw(), user, squash),
                Ok(_) => Err(io::Error::other("user namespaces are not to be had")),
                Err(error) => Err(error),
            };
            // It has nothing to do any more, and is nobody else's to end.
            let _ = kill(child, Signal::SIGKILL);
            let _ = waitpid(child, None);
            namespace
        }
    }
}

fn map(process: i32, user: &User, (uid, gid): (u32, u32)) -> io::Result<OwnedFd> {
    fs::write(format!("/proc/{process}/uid_map"), swap(uid, user.uid))?;
    fs::write(format!("/proc/{process}/gid_map"), swap(gid, user.gid))?;
    Ok(File::open(format!("/proc/{process}/ns/user"))?.into())
}

/// Writes a map that swaps two ids: lines of the first id on the file system, the first that is seen, how many.
fn swap(stored: u32, seen: u32) -> String {
    let (low, high) = (u64::from(stored.min(seen)), u64::from(stored.max(seen)));
    let ranges = if low == high {
        vec![(0, 0, IDS)]
    } else {
        vec![
            (0, 0, low),
            (low, high, 1),
            (low + 1, low + 1, high - low - 1),
            (high, low, 1),
            (high + 1, high + 1, IDS.saturating_sub(high + 1)),
        ]
    };
    let lines = ranges.into_iter().filter(|(_, _, count)| *count > 0);
    lines.map(|(stored, seen, count)| format!("{stored} {seen} {count}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ids_are_swapped_and_all_others_stay() {
        assert_eq!(swap(1000, 0), "0 1000 1\n1 1 999\n1000 0 1\n1001 1001 4294966294\n");
        assert_eq!(swap(0, 1000), swap(1000, 0));
        assert_eq!(swap(5, 7), "0 0 5\n5 7 1\n6 6 1\n7 5 1\n8 8 4294967287\n");
        assert_eq!(swap(1, 2), "0 0 1\n1 2 1\n2 1 1\n3 3 4294967292\n");
        assert_eq!(swap(9, 9), "0 0 4294967295\n");
    }
}
