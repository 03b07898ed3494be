//! The container runtimes of this machine, and libcontainer alone, with the same root file system and the same `echo`.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};

use crate::report::Report;
use crate::stages::{self, APART, AT_ONCE, Life, Scale};
use crate::{interruption, timing};

/// The hierarchy of version 2 on a hybrid host.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// A program that runs one container: `PROGRAM run --bundle FOLDER ID`.
struct Peer {
    name: &'static str,
    program: PathBuf,
    bundle: PathBuf,
}

/// Measures each runtime: from the making of its process to the first output, and to its end. `floor` is the program that
/// runs a container by libcontainer alone.
pub(crate) fn measure(folder: &Path, rootfs: &Path, floor: &Path, scale: &Scale, report: &mut Report) -> Result<()> {
    let floor = std::path::absolute(floor)?;
    for (name, program) in [("runc", "runc".into()), ("crun", "crun".into()), ("libcontainer", floor)] {
        let peer = Peer { name, program, bundle: folder.join(name) };
        fs::create_dir_all(&peer.bundle)?;
        let Err(error) = peer.prepare(rootfs).and_then(|()| peer.run("probe")) else {
            peer.measure(scale, report)?;
            continue;
        };
        interruption::check()?;
        // crun refuses a hybrid host, and takes one without version 2 for one of version 1.
        if Path::new(UNIFIED).exists() && without_version_2(|| peer.run("probe").map(|_| ())).is_ok() {
            report.note(format!("{name} runs here only where it does not see {UNIFIED} (it says: {error:#})"));
            without_version_2(|| peer.measure(scale, report))?;
        } else {
            report.note(format!("{name} does not run here: {error:#}"));
        }
    }
    Ok(())
}

/// Does something on a thread that does not see the hierarchy of version 2, nor does what it starts.
fn without_version_2(work: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    let isolated = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
        umount2(UNIFIED, MntFlags::MNT_DETACH)?;
        work()
    };
    thread::scope(|scope| scope.spawn(isolated).join().expect("a measurement does not panic"))
}

impl Peer {
    /// Lets the runtime write its own default configuration, and changes what is run.
    fn prepare(&self, rootfs: &Path) -> Result<()> {
        let spec = Command::new(&self.program).arg("spec").current_dir(&self.bundle).output();
        let done = spec.context("it is not installed")?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let path = self.bundle.join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path)?)?;
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["echo", "hello"]);
        config["root"] = json!({ "path": rootfs, "readonly": true });
        config["linux"]["resources"]["memory"] = json!({ "limit": 512 * 1024 * 1024 });
        Ok(fs::write(path, config.to_string())?)
    }

    /// Runs one container, and returns how long the first output and the end took.
    fn run(&self, id: &str) -> Result<Life> {
        let id = format!("neargate-bench-{}-{id}", std::process::id());
        let args = [OsStr::new("run"), "--bundle".as_ref(), self.bundle.as_ref(), id.as_ref()];
        let mut command = Command::new(&self.program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let begin = timing::now();
        let mut child = command.spawn()?;
        let mut first = [0];
        let read = child.stdout.take().context("no output")?.read(&mut first)?;
        let output = timing::now();
        let mut complaint = String::new();
        child.stderr.take().context("no errors")?.read_to_string(&mut complaint)?;
        let status = child.wait()?;
        ensure!(status.success() && read == 1, "{status}: {}", complaint.trim());
        let since = |moment: std::time::Instant| moment.duration_since(begin);
        Ok(Life { running: None, output: since(output), stopped: since(timing::now()) })
    }

    fn measure(&self, scale: &Scale, report: &mut Report) -> Result<()> {
        let name = self.name;
        stages::add("alone", name, &self.row(scale.alone, APART)?, report);
        let begin = timing::now();
        let lives = self.row(scale.in_a_row, Duration::ZERO)?;
        let elapsed = timing::now().duration_since(begin);
        stages::add(&format!("{} in a row", lives.len()), name, &lives, report);
        stages::add_rate(&format!("{} in a row", lives.len()), name, lives.len(), elapsed, report);
        let (mut lives, mut elapsed) = (Vec::new(), Duration::ZERO);
        for _ in 0..scale.rounds {
            timing::pause(APART);
            let begin = timing::now();
            lives.extend(self.at_once()?);
            elapsed += timing::now().duration_since(begin);
        }
        stages::add(&format!("{AT_ONCE} at once"), name, &lives, report);
        stages::add_rate(&format!("{AT_ONCE} at once"), name, lives.len(), elapsed, report);
        Ok(())
    }

    fn row(&self, count: usize, between: Duration) -> Result<Vec<Life>> {
        let turn = |turn: usize| {
            interruption::check()?;
            timing::pause(between);
            self.run(&turn.to_string())
        };
        (0..count).map(turn).collect()
    }

    fn at_once(&self) -> Result<Vec<Life>> {
        interruption::check()?;
        thread::scope(|scope| {
            let threads = (0..AT_ONCE).map(|turn| scope.spawn(move || self.run(&turn.to_string())));
            let threads = threads.collect::<Vec<_>>();
            threads.into_iter().map(|each| each.join().expect("a run does not panic")).collect()
        })
    }
}
