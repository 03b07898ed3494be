//! Measures containers: the call to return, the first output, the exit known; alone, and fifty at once.
//!
//! Needs root and a root file system in the first argument, such as a folder with `bin/busybox` in it. A second argument is
//! the size of each sandbox's storage in GiB; without it sandboxes have none. Prints medians and the largest of each, in
//! milliseconds.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring program, not part of the server"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Ids, SystemClock};
use node::{
    ContainerLimits, ContainerSpec, Event, Image, ImageConfig, Isolation, RootFileSystem, Runtime, SandboxSpec,
};
use runtime::{Config, FargateRuntime};
use tokio::sync::broadcast;

const ALONE: usize = 40;
const AT_ONCE: usize = 50;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let first = args.next().expect("the folder of a root file system");
    if first == shim_protocol::layout::SUBCOMMAND {
        return shim::main(args);
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let storage_gib = args.next().map(|size| size.to_str().expect("a number").parse::<u64>().expect("a number of GiB"));
    tokio.block_on(measure(PathBuf::from(first), storage_gib.map(|gib| gib << 30)));
    ExitCode::SUCCESS
}

#[derive(Clone)]
struct Bench {
    runtime: Arc<FargateRuntime>,
    events: broadcast::Sender<Event>,
    image: Arc<Image>,
    ids: Ids,
    storage_bytes: Option<u64>,
}

/// Milliseconds from the call.
struct Times {
    sandbox: f64,
    returned: f64,
    output: f64,
    exited: f64,
    removed: f64,
}

async fn measure(layer: PathBuf, storage_bytes: Option<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let events = broadcast::Sender::new(10_000);
    let sink = events.clone();
    let config = Config {
        run_dir: folder.path().to_owned(),
        cgroup_root: format!("neargate-bench-{}", std::process::id()),
        shim_program: PathBuf::from("/proc/self/exe"),
    };
    let sink = Arc::new(move |event| {
        let _ = sink.send(event);
    });
    let runtime = FargateRuntime::new(config, Arc::new(SystemClock), sink).unwrap();
    let image = Arc::new(Image { digest: String::new(), config: ImageConfig::default(), layers: vec![layer] });
    if let Some(size_bytes) = storage_bytes {
        runtime.keep_disks_ready(size_bytes);
    }
    let bench = Bench { runtime, events, image, ids: Ids::system(), storage_bytes };
    bench.once().await;

    let mut alone = Vec::new();
    for _ in 0..ALONE {
        tokio::time::sleep(Duration::from_millis(300)).await;
        alone.push(bench.once().await);
    }
    report("alone, 0.3 s apart", &alone);
    let mut alone = Vec::new();
    for _ in 0..ALONE {
        alone.push(bench.once().await);
    }
    report("back to back", &alone);

    let start = Instant::now();
    let all = (0..AT_ONCE).map(|_| {
        let bench = bench.clone();
        tokio::spawn(async move { bench.once().await })
    });
    let mut at_once = Vec::new();
    for task in all.collect::<Vec<_>>() {
        at_once.push(task.await.unwrap());
    }
    let seconds = start.elapsed().as_secs_f64();
    report("fifty at once", &at_once);
    println!("fifty at once: {:.0} containers a second", f64::from(u32::try_from(AT_ONCE).unwrap()) / seconds);
    bench.memory().await;
}

impl Bench {
    async fn once(&self) -> Times {
        let start = Instant::now();
        let since = || start.elapsed().as_secs_f64() * 1_000.0;
        let sandbox = self.sandbox().await;
        let made = since();
        let spec = self.container(&sandbox, "echo hello");
        let mut events = self.events.subscribe();
        let runtime = Arc::clone(&self.runtime);
        let wanted = spec.clone();
        let starting = tokio::spawn(async move {
            runtime.start_container(&wanted).await.unwrap();
            start.elapsed().as_secs_f64() * 1_000.0
        });
        let (mut output, mut exited) = (0.0, 0.0);
        while exited == 0.0 {
            match events.recv().await.unwrap() {
                Event::Output { container, .. } if container == spec.id => output = since(),
                Event::Exited { container, .. } if container == spec.id => exited = since(),
                Event::Output { .. } | Event::Exited { .. } => {}
            }
        }
        let returned = starting.await.unwrap();
        assert_eq!(self.runtime.container(&spec.id).await.unwrap().exit.unwrap().code, 0);
        let before = since();
        self.runtime.remove_sandbox(&sandbox).await.unwrap();
        Times { sandbox: made, returned, output, exited, removed: since() - before }
    }

    async fn sandbox(&self) -> base::TaskId {
        let id = self.ids.task();
        let spec = SandboxSpec {
            id: id.clone(),
            cpu_units: Some(256),
            memory_mib: Some(512),
            network_namespace: None,
            hostname: "box".to_owned(),
            hosts: Vec::new(),
            resolv_conf: Vec::new(),
            shares_pids: false,
            storage_bytes: self.storage_bytes,
        };
        self.runtime.create_sandbox(&spec).await.unwrap();
        id
    }

    fn container(&self, sandbox: &base::TaskId, script: &str) -> ContainerSpec {
        ContainerSpec {
            id: self.ids.container(sandbox),
            sandbox: sandbox.clone(),
            name: "app".to_owned(),
            root: RootFileSystem { image: Arc::clone(&self.image), is_read_only: false },
            args: ["/bin/busybox", "sh", "-c", script].map(str::to_owned).to_vec(),
            env: Vec::new(),
            working_dir: String::new(),
            user: String::new(),
            limits: ContainerLimits {
                cpu_units: 256,
                memory_mib: Some(256),
                memory_reservation_mib: None,
                output_buffer_bytes: None,
            },
            isolation: Isolation::default(),
        }
    }

    /// Prints the memory of a shim whose container sleeps.
    async fn memory(&self) {
        let sandbox = self.sandbox().await;
        let mut ids = Vec::new();
        for _ in 0..10 {
            let spec = self.container(&sandbox, "exec sleep 600");
            self.runtime.start_container(&spec).await.unwrap();
            ids.push(spec.id);
        }
        let (mut shims, mut pss, mut private) = (0_u64, 0, 0);
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            if !ids.iter().any(|id| command.contains(id.as_str())) {
                continue;
            }
            let rollup = std::fs::read_to_string(entry.path().join("smaps_rollup")).unwrap_or_default();
            let sum = |name: &str| {
                let lines = rollup.lines().filter(|line| line.starts_with(name));
                lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum::<u64>()
            };
            shims += 1;
            pss += sum("Pss:");
            private += sum("Private_");
        }
        println!("memory of {shims} shims: {} KiB PSS, {} KiB private each", pss / shims, private / shims);
        self.runtime.remove_sandbox(&sandbox).await.unwrap();
    }
}

fn report(name: &str, times: &[Times]) {
    let column = |pick: fn(&Times) -> f64| {
        let mut sorted = times.iter().map(pick).collect::<Vec<_>>();
        sorted.sort_by(f64::total_cmp);
        format!("{:6.1} {:6.1}", sorted[sorted.len() / 2], sorted[sorted.len() - 1])
    };
    println!(
        "{name:20} sandbox {}  returned {}  output {}  exited {}  removed in {}",
        column(|times| times.sandbox),
        column(|times| times.returned),
        column(|times| times.output),
        column(|times| times.exited),
        column(|times| times.removed),
    );
}
