//! The last step inside the container: finding the program and becoming it.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::errno::Errno;
use shim_protocol::FirstProcess;

use crate::init;
use crate::ulimit::{self, Limit};

/// Executes the program, or writes why it cannot to a pipe that a successful execution closes.
///
/// libcontainer's own executor tells nobody once the container has been started, and words its errors otherwise.
#[derive(Clone, Debug)]
pub(crate) struct ReportingExecutor {
    /// The writing end of the pipe; closed by the kernel on execution.
    pub(crate) report: RawFd,
    /// What to become.
    pub(crate) first_process: FirstProcess,
    /// What the program is limited to.
    pub(crate) limits: Vec<Limit>,
}

impl Executor for ReportingExecutor {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let message = match (self.first_process, spec.process()) {
            (FirstProcess::Holder, _) => init::become_holder(),
            (FirstProcess::Init | FirstProcess::Program, None) => "there is no process to execute".to_owned(),
            (FirstProcess::Init | FirstProcess::Program, Some(process)) => self.become_program(
                process.args().as_deref().unwrap_or_default(),
                process.env().as_deref().unwrap_or_default(),
            ),
        };
        // SAFETY: the launcher opened this descriptor for the executor alone, and nothing closes it before execution.
        let mut report = unsafe { File::from_raw_fd(self.report) };
        // If the shim is gone there is nobody to tell.
        let _ = report.write_all(message.as_bytes());
        Err(ExecutorError::Other(message))
    }

    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        Ok(())
    }

    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }
}

impl ReportingExecutor {
    /// Becomes the program, or an init with the program as its child; returns only if that fails.
    fn become_program(&self, args: &[String], env: &[String]) -> String {
        if self.first_process == FirstProcess::Init
            && let Err(message) = init::become_init()
        {
            return message;
        }
        match ulimit::apply(&self.limits) {
            Ok(()) => execute(args, env),
            Err(error) => format!("cannot limit the process: {error}"),
        }
    }
}

/// Becomes the program; returns only if that fails, and then says why in the words that runc uses.
pub(crate) fn execute(args: &[String], env: &[String]) -> String {
    let Some(name) = args.first() else {
        return "there is no program to execute".to_owned();
    };
    let path = env.iter().find_map(|pair| pair.strip_prefix("PATH=")).unwrap_or_default();
    let program = match find(name, path) {
        Ok(program) => program,
        Err(message) => return message,
    };
    // A container must not outlive its shim, which is the only one to learn of its end.
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        return format!("exec {}: cannot be bound to its shim: {error}", program.display());
    }
    let strings =
        |texts: &[String]| texts.iter().map(|text| CString::new(text.as_str())).collect::<Result<Vec<_>, _>>();
    let program_name = CString::new(program.as_os_str().as_encoded_bytes());
    let (Ok(program_name), Ok(args), Ok(env)) = (program_name, strings(args), strings(env)) else {
        return format!("exec {}: invalid argument", program.display());
    };
    match nix::unistd::execve(&program_name, &args, &env) {
        Ok(never) => match never {},
        Err(error) => format!("exec {}: {}", program.display(), describe(error)),
    }
}

/// Finds a program by its path, or by its name in PATH.
fn find(name: &str, path: &str) -> Result<PathBuf, String> {
    if name.contains('/') {
        return match check(Path::new(name)) {
            Ok(()) => Ok(PathBuf::from(name)),
            Err(why) => Err(format!("exec: {name:?}: {why}")),
        };
    }
    path.split(':')
        .map(|directory| Path::new(if directory.is_empty() { "." } else { directory }).join(name))
        .find(|candidate| !name.is_empty() && check(candidate).is_ok())
        .ok_or_else(|| format!("exec: {name:?}: executable file not found in $PATH"))
}

fn check(program: &Path) -> Result<(), String> {
    match program.metadata() {
        Ok(metadata) if metadata.is_dir() => Err("is a directory".to_owned()),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => Err("permission denied".to_owned()),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err("permission denied".to_owned()),
        Err(error) => {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
            Err(format!("stat {}: {}", program.display(), describe(errno)))
        }
    }
}

/// Words an error number as Go does, which is what users of containers are used to read.
pub(crate) fn describe(errno: Errno) -> String {
    errno.desc().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_path() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("tool");
        std::fs::write(&program, "").unwrap();
        let path = format!("/nowhere:{}", folder.path().display());
        let missing = Err("exec: \"tool\": executable file not found in $PATH".to_owned());
        assert_eq!(find("tool", &path), missing, "a file without the right to execute is passed over");
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(find("tool", &path), Ok(program));
        assert_eq!(find("tool", "/nowhere"), missing);
    }

    #[test]
    fn a_path_says_what_is_wrong_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("tool").display().to_string();
        let said = |name: &str| find(name, "/bin").unwrap_err().replace(name, "X");
        assert_eq!(said(&name), "exec: \"X\": stat X: no such file or directory");
        std::fs::write(&name, "").unwrap();
        assert_eq!(said(&name), "exec: \"X\": permission denied");
        assert_eq!(said(&folder.path().display().to_string()), "exec: \"X\": is a directory");
    }

    #[test]
    fn an_empty_name_is_found_nowhere() {
        assert_eq!(find("", "/bin"), Err("exec: \"\": executable file not found in $PATH".to_owned()));
    }
}
