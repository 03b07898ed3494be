//! Images: cold pulls beside other tools, and starts of tasks whose image is at hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::sync;
use serde_json::{Value, json};

use crate::image::{Image, LAYERS};
use crate::registry::Registry;
use crate::report::Report;
use crate::server::{Server, load_image};
use crate::stages::{self, APART};
use crate::tasks::{self, WHO};
use crate::{interruption, requests, timing};

const PEER: &str = "skopeo+umoci";
const PODMAN: &str = "podman";
/// The family of the tasks whose image was pulled.
const PULLED: &str = "pulled";
/// How many tasks of an image are started when it is at hand.
const STARTS: usize = 40;
/// How long a used image may take to be free, and how often that is tried.
const FREE_TIMEOUT: Duration = Duration::from_secs(30);
const FREE_PAUSE: Duration = Duration::from_millis(50);
/// Where the other tools leave things whatever they are told, so that they see an empty folder of memory there.
const COVERED: [&str; 3] = ["/dev/shm", "/run", "/var/lib/containers"];

/// How long each step of a pull took; the first is the whole.
type Steps = Vec<(&'static str, Duration)>;

/// Measures pulls, in turns, and starts.
pub(crate) fn measure(binary: &Path, folder: &Path, rootfs: &Path, rounds: usize, report: &mut Report) -> Result<()> {
    let folder = folder.join("images");
    let image = Image::make(folder.join("layout"), rootfs)?;
    let registry = Registry::start(binary, &folder, report)?;
    registry.push(&image)?;
    let mib = |bytes: usize| bytes >> 20;
    report.note(format!(
        "the image has {LAYERS} layers of {} MiB in all, {} MiB compressed; nothing is dropped from the host's caches",
        mib(image.bytes),
        mib(image.packed_bytes)
    ));
    let mut server = Server::neargate_with_users(binary, &folder.join("data"), &registry.users)?;
    let bench = Bench { binary, folder: &folder, registry: &registry, endpoint: format!("http://{}", server.address) };
    bench.pulls(rounds, report)?;
    bench.starts(&mut server, &image, rounds, report)
}

struct Bench<'a> {
    binary: &'a Path,
    folder: &'a Path,
    registry: &'a Registry,
    endpoint: String,
}

impl Bench<'_> {
    fn pulls(&self, rounds: usize, report: &mut Report) -> Result<()> {
        let mut tools = vec![WHO];
        if is_installed("skopeo", report) & is_installed("umoci", report) {
            tools.push(PEER);
        }
        let driver = if is_installed(PODMAN, report) { self.podman_driver(report)? } else { None };
        if driver.is_some() {
            tools.push(PODMAN);
        }
        let mut all = Vec::<(&str, &str, Vec<Duration>)>::new();
        for _ in 0..rounds {
            for who in &tools {
                interruption::check()?;
                let steps = match *who {
                    WHO => self.pull()?,
                    PEER => self.copy_and_unpack()?,
                    _ => self.podman_pull(driver.unwrap_or_default())?,
                };
                for (step, time) in steps {
                    match all.iter_mut().find(|(tool, known, _)| tool == who && *known == step) {
                        Some((_, _, times)) => times.push(time),
                        None => all.push((who, step, vec![time])),
                    }
                }
            }
            // Nobody always comes after the same one.
            tools.rotate_left(1);
        }
        for (who, step, mut times) in all {
            report.add(step, who, timing::ms(timing::quantile(&mut times, 0.5)), "ms p50");
            report.add(step, who, timing::ms(timing::quantile(&mut times, 1.0)), "ms max");
        }
        Ok(())
    }

    /// Pulls into an empty store, which is also to unpack.
    fn pull(&self) -> Result<Steps> {
        self.empty_store()?;
        let mut command = self.neargate("pull");
        command.arg(self.registry.reference());
        Ok(vec![(PULL, timed(&mut command)?)])
    }

    fn copy_and_unpack(&self) -> Result<Steps> {
        let (layout, bundle) = (self.folder.join("copied"), self.folder.join("bundle"));
        remove(&layout)?;
        remove(&bundle)?;
        let named = format!("{}:1", layout.display());
        let mut copy = self.peer("skopeo");
        copy.args(["copy", "--quiet", "--src-tls-verify=false"]);
        copy.arg(format!("docker://{}", self.registry.reference())).arg(format!("oci:{named}"));
        let mut unpack = self.peer("umoci");
        unpack.args(["unpack", "--image", &named]).arg(&bundle);
        let (copied, unpacked) = isolated(|| Ok((timed(&mut copy)?, timed_on(&mut unpack)?)))?;
        ensure!(bundle.join("rootfs/bin/busybox").exists(), "umoci has not unpacked everything");
        remove(&layout)?;
        remove(&bundle)?;
        Ok(vec![(PULL, copied + unpacked), ("of which skopeo copy", copied), ("of which umoci unpack", unpacked)])
    }

    fn podman_pull(&self, driver: &str) -> Result<Steps> {
        let mut command = self.podman(driver)?;
        command.args(["pull", "--quiet", "--tls-verify=false", &self.registry.reference()]);
        let time = isolated(|| timed(&mut command))?;
        remove(&self.podman_store())?;
        Ok(vec![(PULL, time)])
    }

    /// Returns the storage driver that works here, the better one first.
    fn podman_driver(&self, report: &mut Report) -> Result<Option<&'static str>> {
        let mut complaint = String::new();
        for driver in ["overlay", "vfs"] {
            let mut command = self.podman(driver)?;
            command.args(["info", "--format", "{{.Version.Version}}"]);
            match isolated(|| output(&mut command)) {
                Ok(version) => {
                    report.note(format!("podman {} stores by {driver}", version.trim()));
                    return Ok(Some(driver));
                }
                Err(error) => complaint = format!("{error:#}"),
            }
        }
        report.note(format!("podman does not run here: {complaint}"));
        Ok(None)
    }

    /// A podman whose store is empty.
    fn podman(&self, driver: &str) -> Result<Command> {
        let store = self.podman_store();
        remove(&store)?;
        fs::create_dir_all(&store)?;
        let mut command = self.peer(PODMAN);
        command.args(["--storage-driver", driver, "--root"]).arg(store.join("root"));
        command.arg("--runroot").arg(store.join("run")).args(["--cgroup-manager", "cgroupfs"]);
        Ok(command)
    }

    fn podman_store(&self) -> PathBuf {
        self.folder.join(PODMAN)
    }

    fn peer(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("REGISTRY_AUTH_FILE", self.registry.users.join("config.json"));
        command
    }

    fn neargate(&self, operation: &str) -> Command {
        let mut command = Command::new(self.binary);
        command.args(["image", operation, "--endpoint-url", &self.endpoint]);
        command
    }

    /// Removes all images; a task that has stopped holds its own for a moment.
    fn empty_store(&self) -> Result<()> {
        let is_empty = || {
            output(self.neargate("prune").arg("--all"))?;
            let listed: Value = serde_json::from_str(&output(self.neargate("ls").arg("--json"))?)?;
            Ok(listed["images"].as_array().context("no list of images")?.is_empty().then_some(()))
        };
        timing::until(FREE_TIMEOUT, FREE_PAUSE, "the store to be empty", is_empty).map(|_| ())
    }

    /// Compares tasks whose image comes from the registry, cold and cached, with tasks of the same image from a file.
    fn starts(&self, server: &mut Server, image: &Image, rounds: usize, report: &mut Report) -> Result<()> {
        const COMMAND: [&str; 2] = ["echo", "hello"];
        server.reconnect();
        server.prepare(requests::NAME, &COMMAND)?;
        let mut definition = requests::definition(PULLED, &COMMAND);
        definition["containerDefinitions"][0]["image"] = json!(self.registry.reference());
        server.call(&requests::ecs("RegisterTaskDefinition", &definition))?;
        let subnet = server.subnet()?;
        tasks::live(server, PULLED, &subnet)?; // The first one makes the VPC.
        let mut cold = Vec::new();
        for _ in 0..rounds {
            self.empty_store()?;
            sync();
            cold.push(tasks::live(server, PULLED, &subnet)?);
        }
        load_image(self.binary, server, &image.folder)?;
        sync();
        let (mut cached, mut loaded) = (Vec::new(), Vec::new());
        for turn in 0..STARTS {
            let mut families = [(PULLED, &mut cached), (requests::NAME, &mut loaded)];
            families.rotate_left(turn % 2);
            for (family, lives) in families {
                timing::pause(APART);
                lives.push(tasks::live(server, family, &subnet)?);
            }
        }
        stages::add("image to be pulled", WHO, &cold, report);
        stages::add("image pulled before", WHO, &cached, report);
        stages::add("image loaded from a file", WHO, &loaded, report);
        Ok(())
    }
}

const PULL: &str = "cold pull and unpack";

/// Runs a command to its end after what was written before is on the disk: nobody pays for another one's files.
fn timed(command: &mut Command) -> Result<Duration> {
    sync();
    timed_on(command)
}

fn timed_on(command: &mut Command) -> Result<Duration> {
    let begin = timing::now();
    output(command)?;
    Ok(timing::now().duration_since(begin))
}

fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {program}"))?;
    ensure!(done.status.success(), "{program}: {}, {}", done.status, String::from_utf8_lossy(&done.stderr).trim());
    Ok(String::from_utf8(done.stdout)?)
}

fn is_installed(program: &str, report: &mut Report) -> bool {
    let is_here = Command::new(program).arg("--version").output().is_ok_and(|done| done.status.success());
    if !is_here {
        report.note(format!("{program} is not installed: what it would show is missing"));
    }
    is_here
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// Does something on a thread whose mounts are its own, so that what is mounted there is gone afterwards.
fn isolated<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let isolated = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
        for folder in COVERED.into_iter().filter(|folder| Path::new(folder).is_dir()) {
            mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
        }
        work()
    };
    thread::scope(|scope| scope.spawn(isolated).join().expect("a measurement does not panic"))
}
