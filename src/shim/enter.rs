//! From the host into a container that runs: the child that joins its cgroups and namespaces, takes on its restrictions
//! and becomes a program in it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::create_syscall;
use nix::sched::CloneFlags;
use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Gid, Uid};
use rustix::thread;
use shim_protocol::exec::ExecRequest;
use shim_protocol::{FailureKind, Request};

use crate::error::{self, ShimError};
use crate::exec::Failure;
use crate::oci::View;
use crate::root::Root;
use crate::ulimit::{self, Limit};
use crate::user::{self, User};
use crate::{capability, execute, launcher, oci};

/// What a terminal is: the one that AWS's own agent says.
const TERMINAL: &str = "TERM=xterm-256color";
/// The language of terminals whose container names none, as AWS's own agent has it: output is to be UTF-8.
const LANGUAGE: &str = "LANG=C.UTF-8";

/// What becomes standard input, output and error.
pub(crate) struct Ends {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// Becomes the program; returns only if that fails.
///
/// `report` is closed by the execution, and by nothing else.
pub(crate) fn run(
    request: &ExecRequest,
    container: &Request,
    first: &OwnedFd,
    ends: Ends,
    report: &OwnedFd,
) -> Failure {
    let become_program = |prepared: Prepared| {
        ulimit::apply(&prepared.limits).map_err(ShimError::call("limit the process"))?;
        Ok::<_, ShimError>(execute::execute(&request.args, &prepared.env))
    };
    match prepare(request, container, first, ends, report).and_then(become_program) {
        Ok(message) => Failure { kind: FailureKind::Start, message },
        Err(error) => Failure { kind: error.kind(), message: error::chain(&error) },
    }
}

/// What is left to do, and known by now.
struct Prepared {
    env: Vec<String>,
    limits: Vec<Limit>,
}

/// Does everything but the execution.
fn prepare(
    request: &ExecRequest,
    container: &Request,
    first: &OwnedFd,
    ends: Ends,
    report: &OwnedFd,
) -> Result<Prepared, ShimError> {
    // Until the execution this process has rights and descriptors that no process of the container may reach.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(ShimError::call("hide from the container"))?;
    launcher::join_cgroups(container)?;
    launcher::reset_process()?;
    // What the host withholds has been said when the container was made.
    let limits = ulimit::prepare(&container.ulimits, &mut Vec::new())?;
    let capabilities = capability::resolve(container, capability::available()?, &mut Vec::new())?;
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    nix::sched::setns(first, namespaces).map_err(ShimError::call("join the container's namespaces"))?;

    let root = Root::of(Path::new("/"))?;
    let wanted = request.user.as_ref().unwrap_or(&container.user);
    let user = user::resolve(wanted, &root.read_account_file("etc/passwd")?, &root.read_account_file("etc/group")?)?;
    drop(root);
    let spec = specification(container, &user, capabilities)?;
    take_ends(request, &user, ends, report)?;
    enter_working_directory(&crate::root::absolute(&container.working_dir))?;
    restrict(&spec, &user)?;
    let env = spec.process().as_ref().and_then(|process| process.env().clone()).unwrap_or_default();
    Ok(Prepared { env: if request.has_terminal { with_terminal(env) } else { env }, limits })
}

/// Returns what the container was made by, but for the user: the same restrictions hold for whatever runs in it.
fn specification(container: &Request, user: &User, capabilities: Vec<&'static str>) -> Result<Spec, ShimError> {
    let config = oci::config(container, user, &View { capabilities, ..View::default() }, Path::new("/"));
    Ok(serde_json::from_value(config)?)
}

/// Makes the program's ends standard input, output and error, in a session of its own, and leaves nothing else open to it.
fn take_ends(request: &ExecRequest, user: &User, ends: Ends, report: &OwnedFd) -> Result<(), ShimError> {
    let Ends { stdin, stdout, stderr } = ends;
    rustix::process::setsid().map_err(ShimError::call("make a session"))?;
    if request.has_terminal {
        rustix::process::ioctl_tiocsctty(&stdin).map_err(ShimError::call("take the terminal"))?;
        // Group `tty` is 5, as the mount of the container's terminals has it.
        rustix::fs::fchown(&stdin, Some(Uid::from_raw(user.uid)), None)
            .map_err(ShimError::call("give the terminal to its user"))?;
    }
    rustix::stdio::dup2_stdin(&stdin).map_err(ShimError::call("replace stdin"))?;
    rustix::stdio::dup2_stdout(&stdout).map_err(ShimError::call("replace stdout"))?;
    rustix::stdio::dup2_stderr(&stderr).map_err(ShimError::call("replace stderr"))?;
    let flags = rustix::io::fcntl_getfd(report.as_fd()).map_err(ShimError::call("look at a descriptor"))?;
    debug_assert!(flags.contains(rustix::io::FdFlags::CLOEXEC), "the report must end with the execution");
    // SAFETY: marks descriptors; it closes none.
    let marked = unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC.cast_signed()) };
    nix::errno::Errno::result(marked).map(|_| ()).map_err(ShimError::call("leave nothing open to the program"))
}

/// Goes where the container's program began. A link in the image may lead to a folder of the host that is still open here,
/// such as `/proc/self/fd/9`: what the container's root does not lead to is refused.
fn enter_working_directory(path: &Path) -> Result<(), ShimError> {
    let start = |message: String| ShimError::Failed { kind: FailureKind::Start, message };
    rustix::process::chdir(path).map_err(|error| {
        let why = execute::describe(nix::errno::Errno::from_raw(error.raw_os_error()));
        start(format!("chdir to cwd ({:?}) set in config.json failed: {why}", path.display().to_string()))
    })?;
    let is_inside = nix::unistd::getcwd().is_ok_and(|cwd| cwd.is_absolute());
    if is_inside {
        Ok(())
    } else {
        Err(start("current working directory is outside of container mount namespace root".to_owned()))
    }
}

/// Takes on user, seccomp filter and capabilities, in the order in which libcontainer does it.
fn restrict(spec: &Spec, user: &User) -> Result<(), ShimError> {
    let failed = |what: &'static str| {
        move |error: Box<dyn std::error::Error>| ShimError::create(format!("cannot {what}: {}", error::chain(&*error)))
    };
    rustix::process::umask(Mode::from(0o022));
    let syscall = create_syscall();
    take_on(user).map_err(ShimError::call("take on the user's ids"))?;
    if let Some(seccomp) = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()) {
        libcontainer::seccomp::initialize_seccomp(seccomp)
            .map_err(|error| failed("filter system calls")(error.into()))?;
    }
    let capabilities = spec.process().as_ref().and_then(|process| process.capabilities().as_ref());
    libcontainer::capabilities::reset_effective(syscall.as_ref())
        .map_err(|error| failed("reset the capabilities")(error.into()))?;
    if let Some(capabilities) = capabilities {
        libcontainer::capabilities::drop_privileges(capabilities, syscall.as_ref())
            .map_err(|error| failed("drop capabilities")(error.into()))?;
    }
    Ok(())
}

/// Takes on a user's ids, and keeps the capabilities that the next steps need.
fn take_on(user: &User) -> Result<(), rustix::io::Errno> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let groups = user.supplementary.iter().copied().map(Gid::from_raw).collect::<Vec<_>>();
    // This process has one thread, so that its ids are the process's.
    thread::set_thread_groups(&groups)?;
    thread::set_keep_capabilities(true)?;
    thread::set_thread_res_gid(gid, gid, gid)?;
    thread::set_thread_res_uid(uid, uid, uid)?;
    if !uid.is_root() {
        let mut sets = thread::capabilities(None)?;
        sets.effective = sets.permitted;
        thread::set_capabilities(None, sets)?;
    }
    thread::set_keep_capabilities(false)
}

fn with_terminal(env: Vec<String>) -> Vec<String> {
    let has_language = env.iter().any(|pair| pair.strip_prefix("LANG=").is_some_and(|value| !value.is_empty()));
    let is_kept = |pair: &String| !pair.starts_with("TERM=") && (has_language || !pair.starts_with("LANG="));
    let mut env = env.into_iter().filter(is_kept).collect::<Vec<_>>();
    env.push(TERMINAL.to_owned());
    if !has_language {
        env.push(LANGUAGE.to_owned());
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(env: &[&str]) -> Vec<String> {
        with_terminal(env.iter().map(|pair| (*pair).to_owned()).collect())
    }

    #[test]
    fn a_terminal_is_named_and_the_language_of_the_container_stands() {
        assert_eq!(terminal(&["A=1", "TERM=dumb"]), ["A=1", TERMINAL, LANGUAGE]);
        assert_eq!(terminal(&["LANG=de_DE.UTF-8"]), ["LANG=de_DE.UTF-8", TERMINAL]);
        assert_eq!(terminal(&["LANG="]), [TERMINAL, LANGUAGE]);
    }

    #[test]
    fn the_specification_has_the_restrictions_of_the_container() {
        let user = User { uid: 5, gid: 6, supplementary: Vec::new(), home: "/home/app".to_owned() };
        let container = Request { env: vec!["A=1".to_owned()], ..Request::default() };
        let spec = specification(&container, &user, vec!["CAP_KILL"]).unwrap();
        let process = spec.process().as_ref().unwrap();
        assert!(process.env().as_ref().unwrap().contains(&"HOME=/home/app".to_owned()));
        assert!(process.capabilities().is_some() && spec.linux().as_ref().unwrap().seccomp().is_some());
    }
}
