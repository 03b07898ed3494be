//! Everything together: a container, with limits and a file system of its own, that runs a program of this machine.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{ContainerId, Ids, SystemClock, TaskId};
use node::{
    ContainerLimits, ContainerSpec, Event, Image, ImageConfig, Isolation, RootFileSystem, Runtime, RuntimeError,
    RuntimeErrorKind, SandboxSpec,
};
use runtime::FargateRuntime;
use tokio::sync::mpsc;

use super::finding::Finding;

/// How long the container may take from its start to its end.
const CONTAINER_WAIT_MAX: Duration = Duration::from_secs(20);
/// The program that it runs.
const PROGRAM: &str = "true";
/// What a container of the smallest task gets.
const CPU_UNITS: u32 = 256;
const MEMORY_MIB: u64 = 512;

/// Runs a container and takes it away again. Its layer is this machine's own file system, read-only.
pub(super) fn check(data_dir: &Path) -> Finding {
    match super::wait(run(super::nearest_existing(data_dir))) {
        Ok(Ok(0)) => Finding::ok("container", format!("one has run `{PROGRAM}` here")),
        Ok(Ok(code)) => missing(&format!("`{PROGRAM}` ended with {code} instead of 0")),
        Ok(Err(Failure::Runtime(error))) if error.kind == RuntimeErrorKind::Start => Finding::warn(
            "container",
            error.to_string(),
            format!("the container was made, but there is no `{PROGRAM}` here to try it with"),
        ),
        Ok(Err(Failure::Runtime(error))) => missing(&error.to_string()),
        Ok(Err(Failure::Io(error))) | Err(error) => missing(&error.to_string()),
    }
}

fn missing(found: &str) -> Finding {
    Finding::missing("container", found, "see what else is missing; if nothing is, this is a bug of Neargate")
}

enum Failure {
    Runtime(RuntimeError),
    Io(io::Error),
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        Self::Runtime(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Returns the exit code of the container.
async fn run(folder: &Path) -> Result<i32, Failure> {
    let folder = tempfile::Builder::new().prefix("neargate-doctor-").tempdir_in(folder)?;
    let (exited, exits) = mpsc::channel(1);
    let events = Arc::new(move |event| {
        // One wake-up is enough; what has happened is asked for.
        if let Event::Exited { .. } = event {
            let _ = exited.try_send(());
        }
    });
    let config = runtime::Config {
        run_dir: folder.path().join("tasks"),
        cgroup_root: format!("neargate-doctor-{}", std::process::id()),
        shim_program: crate::assemble::SHIM_PROGRAM.into(),
    };
    let runtime = FargateRuntime::new(config, Arc::new(SystemClock), events)?;
    let sandbox = sandbox();
    let result = run_in(&*runtime, &sandbox, exits).await;
    runtime.remove_sandbox(&sandbox.id).await?;
    folder.close()?;
    result
}

async fn run_in(runtime: &dyn Runtime, sandbox: &SandboxSpec, mut exits: mpsc::Receiver<()>) -> Result<i32, Failure> {
    runtime.create_sandbox(sandbox).await?;
    let spec = container(&sandbox.id);
    runtime.start_container(&spec).await?;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the container does not end");
    tokio::time::timeout(CONTAINER_WAIT_MAX, exits.recv()).await.map_err(late)?;
    let exit = runtime.container(&spec.id).await.and_then(|state| state.exit);
    Ok(exit.ok_or_else(|| io::Error::other("the container was lost"))?.code)
}

fn sandbox() -> SandboxSpec {
    SandboxSpec {
        id: Ids::system().task(),
        cpu_units: Some(CPU_UNITS),
        memory_mib: Some(MEMORY_MIB),
        network_namespace: None,
        hostname: "doctor".to_owned(),
        hosts: Vec::new(),
        resolv_conf: Vec::new(),
        shares_pids: false,
        storage_bytes: None,
    }
}

fn container(sandbox: &TaskId) -> ContainerSpec {
    let layers = vec!["/".into()];
    let image = Image { digest: String::new(), config: ImageConfig::default(), layers };
    ContainerSpec {
        id: ContainerId::new(format!("{sandbox}-doctor")),
        sandbox: sandbox.clone(),
        name: PROGRAM.to_owned(),
        root: RootFileSystem { image: Arc::new(image), is_read_only: false },
        args: vec![PROGRAM.to_owned()],
        env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
        working_dir: String::new(),
        user: String::new(),
        limits: ContainerLimits { cpu_units: CPU_UNITS, memory_mib: Some(MEMORY_MIB), ..ContainerLimits::default() },
        isolation: Isolation::default(),
    }
}
