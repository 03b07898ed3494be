//! A place for containers to be tested in: its own folder, cgroups and image.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{ContainerId, Ids, SystemClock, TaskId};
use node::{
    ContainerLimits, ContainerSpec, ContainerState, Event, ExitStatus, Image, ImageConfig, Isolation, OutputLine,
    RootFileSystem, Runtime, SandboxSpec,
};
use runtime::{Config, FargateRuntime};
use tokio::sync::broadcast;

/// How long anything may take.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);
const PROGRAMS: [&str; 39] = [
    "awk", "cat", "chmod", "chown", "cut", "dd", "df", "echo", "env", "false", "grep", "hostname", "id", "ipcs",
    "kill", "ln", "ls", "mkdir", "mknod", "mount", "nc", "ps", "pwd", "readlink", "rm", "seq", "sh", "sleep", "stat",
    "sync", "sysctl", "tail", "touch", "tr", "true", "umount", "wc", "wget", "yes",
];

/// Runs a test to its end.
pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

pub(crate) struct Bed {
    pub(crate) runtime: Arc<FargateRuntime>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) image: Arc<Image>,
    config: Config,
    folder: tempfile::TempDir,
    ids: Ids,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("neargate-test-").tempdir().unwrap();
        let layer = folder.path().join("layer");
        make_layer(&layer);
        let image =
            Arc::new(Image { digest: "sha256:0".to_owned(), config: ImageConfig::default(), layers: vec![layer] });
        let name = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
        let config = Config {
            run_dir: folder.path().join("run"),
            cgroup_root: name,
            shim_program: PathBuf::from("/proc/self/exe"),
        };
        let events = broadcast::Sender::new(10_000);
        let runtime = open(&config, &events);
        Self { runtime, events, image, config, folder, ids: Ids::system() }
    }

    /// Replaces the runtime by a new one, as a restart of the server does.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start();
    }

    pub(crate) fn start(&mut self) {
        self.runtime = open(&self.config, &self.events);
    }

    /// Drops the runtime and its listeners, and puts one in its place that knows nothing of this bed.
    pub(crate) fn stop(&mut self) {
        let elsewhere = Config { run_dir: self.folder.path().join("elsewhere"), ..self.config.clone() };
        let elsewhere = Config { cgroup_root: format!("{}-elsewhere", elsewhere.cgroup_root), ..elsewhere };
        self.runtime = open(&elsewhere, &self.events);
    }

    /// Takes away what a failed test has left, as far as that goes.
    fn clear(&self) {
        let runtime = Arc::clone(&self.runtime);
        let clearing = std::thread::spawn(|| {
            run(async move {
                for sandbox in runtime.sandboxes().await.into_iter().flatten() {
                    let _ = runtime.remove_sandbox(&sandbox).await;
                }
            });
        });
        let _ = clearing.join();
    }

    pub(crate) async fn sandbox(&self) -> SandboxSpec {
        let spec = self.sandbox_spec();
        self.runtime.create_sandbox(&spec).await.unwrap();
        spec
    }

    pub(crate) fn sandbox_spec(&self) -> SandboxSpec {
        SandboxSpec {
            id: self.ids.task(),
            cpu_units: Some(1024),
            memory_mib: Some(512),
            network_namespace: None,
            hostname: "ip-172-31-0-7".to_owned(),
            hosts: vec!["127.0.0.1 localhost".to_owned(), "172.31.0.7 box.internal".to_owned()],
            resolv_conf: vec!["nameserver 172.31.0.2".to_owned()],
            shares_pids: false,
            storage_bytes: None,
        }
    }

    pub(crate) fn container(&self, sandbox: &TaskId, args: &[&str]) -> ContainerSpec {
        ContainerSpec {
            id: self.ids.container(sandbox),
            sandbox: sandbox.clone(),
            name: "app".to_owned(),
            root: RootFileSystem { image: Arc::clone(&self.image), is_read_only: false },
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec!["GREETING=hello".to_owned()],
            working_dir: String::new(),
            user: String::new(),
            limits: ContainerLimits::default(),
            isolation: Isolation::default(),
        }
    }

    pub(crate) fn script(&self, sandbox: &TaskId, script: &str) -> ContainerSpec {
        self.container(sandbox, &["sh", "-c", script])
    }

    /// Runs one container of its own sandbox to its end, removes it, and returns how it ended and what it wrote.
    pub(crate) async fn complete(
        &self,
        sandbox: SandboxSpec,
        change: impl FnOnce(&mut ContainerSpec),
    ) -> (ExitStatus, Vec<String>) {
        self.runtime.create_sandbox(&sandbox).await.unwrap();
        let mut spec = self.container(&sandbox.id, &["true"]);
        change(&mut spec);
        self.runtime.start_container(&spec).await.unwrap();
        let exit = self.exit(&spec.id).await;
        let lines = self.texts(&spec.id).await;
        self.runtime.remove_sandbox(&sandbox.id).await.unwrap();
        (exit, lines)
    }

    /// Runs a script to its end.
    pub(crate) async fn run(&self, script: &str) -> (ExitStatus, Vec<String>) {
        self.complete(self.sandbox_spec(), |spec| set_script(spec, script)).await
    }

    pub(crate) async fn exit(&self, container: &ContainerId) -> ExitStatus {
        let state = self.wait(container, |state| state.exit.is_some()).await;
        state.exit.unwrap()
    }

    /// Waits until a container's state is such; woken by events.
    pub(crate) async fn wait(
        &self,
        container: &ContainerId,
        mut is: impl FnMut(&ContainerState) -> bool,
    ) -> ContainerState {
        let mut events = self.events.subscribe();
        let waiting = async {
            loop {
                if let Some(state) = self.runtime.container(container).await.filter(|state| is(state)) {
                    return state;
                }
                let _ = events.recv().await;
            }
        };
        tokio::time::timeout(WAIT_MAX, waiting).await.expect("the container comes to it in time")
    }

    /// Waits until the container has written this line.
    pub(crate) async fn wait_for_line(&self, container: &ContainerId, line: &str) {
        let mut events = self.events.subscribe();
        let waiting = async {
            while !self.texts(container).await.iter().any(|known| known == line) {
                let _ = events.recv().await;
            }
        };
        tokio::time::timeout(WAIT_MAX, waiting).await.expect("the line comes in time");
    }

    pub(crate) async fn lines(&self, container: &ContainerId) -> Vec<OutputLine> {
        let (mut lines, mut from) = (Vec::new(), 0);
        loop {
            let page = self.runtime.read_output(container, from, 64 * 1024).await.unwrap();
            if page.lines.is_empty() {
                return lines;
            }
            lines.extend(page.lines);
            from = page.next;
        }
    }

    pub(crate) async fn texts(&self, container: &ContainerId) -> Vec<String> {
        let lines = self.lines(container).await;
        lines.into_iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect()
    }

    pub(crate) fn run_dir(&self) -> &Path {
        &self.config.run_dir
    }

    /// Returns the loop devices that are attached to those of this bed's images that have a text in their paths.
    pub(crate) fn devices(&self, part: &str) -> Vec<String> {
        let name = &self.config.cgroup_root;
        let devices = fs::read_dir("/sys/block").unwrap().flatten().filter(|device| {
            let image = fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
            image.contains(name.as_str()) && image.contains(part)
        });
        devices.map(|device| device.file_name().into_string().unwrap()).collect()
    }

    /// Waits until something of which there is no event holds.
    pub(crate) async fn until(&self, holds: impl Fn() -> bool) {
        let waiting = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(WAIT_MAX, waiting).await.expect("it comes to hold in time");
    }

    /// Returns the folder of a sandbox's cgroup in the hierarchy of a controller, on either version.
    pub(crate) fn cgroup(&self, controller: &str, sandbox: &TaskId) -> PathBuf {
        let versioned = Path::new("/sys/fs/cgroup").join(controller);
        let mount = if versioned.is_dir() { versioned } else { PathBuf::from("/sys/fs/cgroup") };
        mount.join(&self.config.cgroup_root).join(sandbox.as_str())
    }
}

impl Drop for Bed {
    /// Asserts that nothing is left: no process, cgroup, mount or folder.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return self.clear();
        }
        self.stop();
        let name = &self.config.cgroup_root;
        let left = processes_that_mention(name);
        assert!(left.is_empty(), "processes are left: {left:?}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(name.as_str()), "a mount is left");
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            assert!(!hierarchy.path().join(name).exists(), "a cgroup is left in {:?}", hierarchy.path());
        }
        let folders = fs::read_dir(self.run_dir()).unwrap().count();
        assert_eq!(folders, 0, "folders are left");
        // A process that is just being started has all descriptors of this one until it executes its program.
        let detached = (0..1_000).any(|_| self.devices("").is_empty() || pause());
        assert!(detached, "disks are left attached: {:?}", self.devices(""));
    }
}

/// Waits a little, and says that what is waited for has yet to be seen.
fn pause() -> bool {
    let _ = rustix::event::poll(&mut [], Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 1_000_000 }));
    false
}

/// Makes a network namespace, which lasts as long as its file is open.
pub(crate) fn network_namespace() -> fs::File {
    let made = std::thread::spawn(|| {
        // SAFETY: only this thread's network changes, and it does nothing else.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
        fs::File::open("/proc/thread-self/ns/net").unwrap()
    });
    made.join().unwrap()
}

/// Returns a path at which other processes find an open file.
pub(crate) fn path_of(file: &fs::File) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(file)))
}

/// Whether this host can have disks.
pub(crate) fn has_disks() -> bool {
    let has_devices = fs::File::options().read(true).write(true).open("/dev/loop-control").is_ok();
    has_devices && ["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"].iter().any(|program| Path::new(program).exists())
}

fn open(config: &Config, events: &broadcast::Sender<Event>) -> Arc<FargateRuntime> {
    let events = events.clone();
    let sink = Arc::new(move |event| {
        let _ = events.send(event);
    });
    FargateRuntime::new(config.clone(), Arc::new(SystemClock), sink).unwrap()
}

pub(crate) fn set_script(spec: &mut ContainerSpec, script: &str) {
    spec.args = ["sh", "-c", script].map(str::to_owned).to_vec();
}

/// Returns the command lines of the processes that mention a text, such as the shims of a bed's containers.
pub(crate) fn processes_that_mention(text: &str) -> Vec<(i32, String)> {
    let all = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let command = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        Some((pid, command.replace('\0', " ")))
    });
    let ours = i32::try_from(std::process::id()).unwrap();
    all.filter(|(pid, command)| *pid != ours && command.contains(text)).collect()
}

fn make_layer(layer: &Path) {
    for folder in ["bin", "etc", "tmp", "home/app"] {
        fs::create_dir_all(layer.join(folder)).unwrap();
    }
    fs::copy("/bin/busybox", layer.join("bin/busybox")).unwrap();
    for program in PROGRAMS {
        symlink("busybox", layer.join("bin").join(program)).unwrap();
    }
    fs::set_permissions(layer.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    fs::write(layer.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n").unwrap();
    fs::write(layer.join("etc/group"), "root:x:0:\napp:x:1001:\nweb:x:33:app\n").unwrap();
    fs::write(layer.join("etc/plain"), "not a program\n").unwrap();
}
