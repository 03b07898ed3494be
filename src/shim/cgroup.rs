//! Ending what a container's cgroups hold.

use std::fs;
use std::io::Write;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::event::{Timespec, poll};
use shim_protocol::Request;

/// How often processes that have just been killed are looked for again: one may have forked in between.
const ROUNDS_MAX: u32 = 1_000;
/// How long to wait between two looks, in nanoseconds.
const ROUND_NS: i64 = 1_000_000;

/// Kills whatever is in the container's cgroups, until nothing is. A fork bomb loses: it cannot fork beyond its limit, and
/// every round takes all that is there.
pub(crate) fn end_all(request: &Request) {
    let Some(place) = request.cgroups.iter().find(|place| place.is_unified).or_else(|| request.cgroups.first()) else {
        return;
    };
    for _ in 0..ROUNDS_MAX {
        let listed = fs::read_to_string(place.directory.join("cgroup.procs")).unwrap_or_default();
        if listed.is_empty() {
            return;
        }
        let kill_file = fs::File::options().write(true).open(place.directory.join("cgroup.kill"));
        if kill_file.and_then(|mut file| file.write_all(b"1")).is_err() {
            for pid in listed.lines().filter_map(|line| line.parse().ok()) {
                // It may have ended meanwhile, which is what is wanted.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: ROUND_NS }));
    }
}
