//! Runs one container by libcontainer and nothing else, as `runc run` does: the floor that `scripts/bench` measures us by.
//!
//! `bare_libcontainer spec` writes a default `config.json`, `bare_libcontainer run --bundle FOLDER ID` runs one. The exit
//! code is the program's. It has no threads, as libcontainer demands.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// Where libcontainer keeps what it knows of containers, in the bundle.
const STATE: &str = "state";
/// What a shell adds to the number of the signal that ended a program.
const EXIT_BY_SIGNAL: i32 = 128;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = std::env::args().skip(1).collect::<Vec<_>>();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["spec"] => Spec::default().save("config.json").map(|()| ExitCode::SUCCESS).map_err(Into::into),
        ["run", "--bundle", bundle, id] => run(Path::new(bundle), id),
        _ => Err("usage: bare_libcontainer spec | run --bundle FOLDER ID".into()),
    }
}

fn run(bundle: &Path, id: &str) -> Result<ExitCode, Box<dyn Error>> {
    let mut container = ContainerBuilder::new(id.to_owned(), SyscallType::Linux)
        .with_root_path(bundle.join(STATE))?
        .as_init(bundle)
        .with_systemd(false)
        .build()?;
    let started = container.start().map_err(Box::<dyn Error>::from).and_then(|()| {
        let pid = container.pid().ok_or("the container has no process")?;
        Ok(match waitpid(Pid::from_raw(pid.as_raw()), None)? {
            WaitStatus::Exited(_, code) => code,
            WaitStatus::Signaled(_, signal, _) => EXIT_BY_SIGNAL + signal as i32,
            status => return Err(format!("not an end: {status:?}").into()),
        })
    });
    container.delete(true)?;
    Ok(u8::try_from(started?).map_or(ExitCode::FAILURE, ExitCode::from))
}
