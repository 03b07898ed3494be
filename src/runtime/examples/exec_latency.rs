//! Measures how long the start of a process in a running container takes, and a whole one from its start to its exit code.
//! Needs root and `/bin/busybox`: `cargo run --release -p runtime --example exec_latency`.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a measuring tool")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Ids, SystemClock};
use node::{
    ContainerLimits, ContainerSpec, ExecOutput, ExecSpec, Image, ImageConfig, Isolation, RootFileSystem, Runtime,
    SandboxSpec, TerminalSize,
};
use runtime::{Config, FargateRuntime};

/// How often each thing is done.
const ROUNDS: usize = 200;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == shim_protocol::layout::SUBCOMMAND) {
        return shim::main(args);
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(measure());
    ExitCode::SUCCESS
}

async fn measure() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        run_dir: folder.path().join("run"),
        cgroup_root: format!("exec-latency-{}", std::process::id()),
        shim_program: PathBuf::from("/proc/self/exe"),
    };
    let runtime = FargateRuntime::new(config, Arc::new(SystemClock), Arc::new(|_| {})).unwrap();
    let (sandbox, container) = specs(folder.path());
    runtime.create_sandbox(&sandbox).await.unwrap();
    runtime.start_container(&container).await.unwrap();
    for terminal in [None, Some(TerminalSize { columns: 80, rows: 24 })] {
        let args = vec!["/bin/busybox".to_owned(), "true".to_owned()];
        let spec = ExecSpec { container: container.id.clone(), args, user: None, terminal };
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let mut exec = runtime.exec(&spec).await.unwrap();
            starts.push(began.elapsed());
            while let Some(output) = exec.output.recv().await {
                assert!(!matches!(output, ExecOutput::Exited(code) if code != 0));
            }
            ends.push(began.elapsed());
        }
        let name = if terminal.is_some() { "terminal" } else { "pipes" };
        println!("{name:9} to execution {}  to exit code {}", summary(starts), summary(ends));
    }
    runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

fn summary(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    format!("p50 {:6.2} ms  p99 {:6.2} ms", at(50), at(99))
}

fn specs(folder: &Path) -> (SandboxSpec, ContainerSpec) {
    let layer = folder.join("layer");
    fs::create_dir_all(layer.join("bin")).unwrap();
    fs::copy("/bin/busybox", layer.join("bin/busybox")).unwrap();
    let ids = Ids::system();
    let sandbox = SandboxSpec {
        id: ids.task(),
        cpu_units: Some(1024),
        memory_mib: Some(512),
        network_namespace: None,
        hostname: "box".to_owned(),
        hosts: Vec::new(),
        resolv_conf: Vec::new(),
        shares_pids: false,
        storage_bytes: None,
    };
    let image = Image { digest: "sha256:0".to_owned(), config: ImageConfig::default(), layers: vec![layer] };
    let container = ContainerSpec {
        id: ids.container(&sandbox.id),
        sandbox: sandbox.id.clone(),
        name: "app".to_owned(),
        root: RootFileSystem { image: Arc::new(image), is_read_only: false },
        args: ["/bin/busybox", "sleep", "600"].map(str::to_owned).to_vec(),
        env: Vec::new(),
        working_dir: String::new(),
        user: String::new(),
        limits: ContainerLimits::default(),
        isolation: Isolation::default(),
    };
    (sandbox, container)
}
