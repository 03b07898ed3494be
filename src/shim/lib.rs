//! The child process that runs one container through libcontainer.
//!
//! The `neargate` binary becomes a shim when its first argument is [`shim_protocol::layout::SUBCOMMAND`], before any
//! thread exists: libcontainer changes the working directory and clones in ways that only a single-threaded process
//! survives. A shim outlives the server that started it, and nothing in it may grow with the container's age.
//!
//! Two processes share the work. The *launcher* ([`launcher`]) is forked into the container's cgroup, makes mount namespace
//! and root file system, drives libcontainer and ends: all of libcontainer's memory goes with it. The *shim* itself
//! ([`supervise`]) stays small and outside the container's cgroup; it is the parent of the container's main process,
//! carries its output to a file, answers servers on a socket, and writes down how it ended. It is itself forked, by a third
//! one, the [`fork_server`], which is there as long as the server.

mod capability;
mod cgroup;
mod connection;
mod copy;
mod enter;
mod error;
mod exec;
mod execute;
mod exit;
mod fork_server;
mod idmap;
mod init;
mod launcher;
mod memory;
mod mounts;
mod oci;
mod output;
mod root;
mod seccomp;
mod start;
mod stdin;
mod supervise;
mod sysctl;
mod title;
mod ulimit;
mod user;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Runs the container whose folder is the first of `args` (those after the subcommand), until it has ended; or, if that is
/// [`shim_protocol::exec::SUBCOMMAND`], a further program in a container that runs; or, if that is
/// [`shim_protocol::fork_server::SUBCOMMAND`], forks shims until the server ends, and is each of them.
///
/// Standard input must be a socket to the server, or anything without content. What goes wrong is told to the server
/// and written to standard error, which the runtime has directed to a file.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter().collect::<Vec<_>>();
    if args.first().is_some_and(|word| word == shim_protocol::fork_server::SUBCOMMAND) {
        match fork_server::run() {
            Ok(Some(of_shim)) => args = of_shim,
            Ok(None) => return ExitCode::SUCCESS,
            Err(error) => return complain(&error::chain(&error)),
        }
    }
    let done = match args.first() {
        None => return complain("a shim needs the folder of its container"),
        Some(word) if word == shim_protocol::exec::SUBCOMMAND => exec::run(),
        Some(folder) => supervise::run(Path::new(folder)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error::chain(&error)),
    }
}

fn complain(what: &str) -> ExitCode {
    // Nobody is left to tell when even this fails.
    let _ = writeln!(std::io::stderr(), "{what}");
    ExitCode::FAILURE
}
