//! `neargate doctor`: tries what containers need, and says what this machine can and cannot do.
//!
//! Every check does the thing itself, in a small way, and takes it away again: what a kernel allows inside a sandbox, a
//! container or a CI machine cannot be told from its version.

mod cgroups;
mod container;
mod disks;
mod finding;
mod kernel;
mod limits;
mod listener;
mod network;
mod overlay;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::Config;
use finding::{Finding, Severity};

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The folder that the server would keep its data in
    #[arg(long, value_name = "DIR", default_value = Config::DATA_DIR_DEFAULT, env = "NEARGATE_DATA_DIR")]
    data_dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Succeeds if real containers can run here.
    pub(super) fn run(self) -> ExitCode {
        let findings = examine(&self.data_dir);
        let can_run = findings.iter().all(|finding| finding.severity != Severity::Missing);
        let text = if self.json {
            let array = findings.iter().map(Finding::json).collect::<serde_json::Value>();
            format!("{array:#}\n")
        } else {
            let has_colors = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            report(&findings, can_run, has_colors)
        };
        // Whoever reads may have gone away, as `head` does: the exit code still counts.
        let _ = io::stdout().write_all(text.as_bytes());
        if can_run { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn report(findings: &[Finding], can_run: bool, has_colors: bool) -> String {
    let lines = findings.iter().map(|finding| finding.line(has_colors)).collect::<String>();
    let verdict = if can_run {
        "Real containers can run here: sudo neargate serve"
    } else {
        "Real containers cannot run here. Without them: neargate serve --node simulated"
    };
    format!("{lines}\n{verdict}\n")
}

fn examine(data_dir: &Path) -> Vec<Finding> {
    let mut findings = vec![kernel::root(), kernel::version()];
    if nix::unistd::geteuid().is_root() {
        findings.extend([
            cgroups::check(),
            overlay::check(data_dir),
            disks::check(data_dir),
            kernel::namespaces(),
            kernel::seccomp(),
        ]);
        findings.extend([network::interfaces(), container::check(data_dir)]);
    } else {
        let tried_by_root = ["cgroups", "overlay", "disks", "namespaces", "network", "container"];
        findings.extend(
            tried_by_root.map(|check| Finding::warn(check, "not tried", "only root can: sudo neargate doctor")),
        );
        findings.push(kernel::seccomp());
    }
    findings.extend([network::nftables(), limits::open_files(), limits::processes(), limits::disk(data_dir)]);
    findings.push(listener::check());
    findings
}

/// Returns the nearest folder that exists: the file system that a folder would be made on.
fn nearest_existing(folder: &Path) -> &Path {
    folder.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or_else(|| Path::new("/"))
}

/// Returns an error with its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Does something on a thread that ends with it, because it changes what the thread sees of the machine.
fn on_own_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().name("doctor".to_owned()).spawn_scoped(scope, work)?;
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs work that waits, to its end.
fn wait<T>(work: impl Future<Output = T>) -> io::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_does_not_exist_lies_on_its_nearest_ancestors_file_system() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(nearest_existing(&folder.path().join("not/there")), folder.path());
        assert_eq!(nearest_existing(Path::new("relative")), Path::new("/"));
    }

    #[test]
    fn the_report_ends_with_what_follows() {
        let findings = [Finding::ok("root", "yes"), Finding::missing("overlay", "no such device", "modprobe overlay")];
        assert_eq!(
            report(&findings, false, false),
            "ok       root: yes\n\
             missing  overlay: no such device — modprobe overlay\n\
             \n\
             Real containers cannot run here. Without them: neargate serve --node simulated\n"
        );
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        let cause = io::Error::other("the disk is full");
        let error = node::ImageError::Io { action: "write", path: "/a".into(), source: std::sync::Arc::new(cause) };
        assert_eq!(causes(&error), "cannot write /a: the disk is full");
    }
}
