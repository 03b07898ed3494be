//! The container runtimes of this machine, with the same root file system and the same `echo`.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::report::Report;
use crate::timing;

/// Who is measured, if it is here.
const RUNTIMES: [&str; 2] = ["runc", "crun"];
const RUNS_ALONE: usize = 20;
const RUNS_AT_ONCE: usize = 50;
const APART: Duration = Duration::from_millis(300);

/// Measures each runtime: from the making of its process to the first output, and to its end.
pub(crate) fn runtimes(folder: &Path, rootfs: &Path, report: &mut Report) -> Result<()> {
    for runtime in RUNTIMES {
        let bundle = folder.join(runtime);
        fs::create_dir_all(&bundle)?;
        match prepare(runtime, &bundle, rootfs).and_then(|()| run(runtime, &bundle, "probe")) {
            Ok(_) => measure(runtime, &bundle, report)?,
            Err(error) => report.note(format!("{runtime} does not run here: {error:#}")),
        }
    }
    Ok(())
}

/// Lets the runtime write its own default configuration, and changes what is run.
fn prepare(runtime: &str, bundle: &Path, rootfs: &Path) -> Result<()> {
    let done = Command::new(runtime).arg("spec").current_dir(bundle).output().context("it is not installed")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let path = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path)?)?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["echo", "hello"]);
    config["root"] = json!({ "path": rootfs, "readonly": true });
    config["linux"]["resources"]["memory"] = json!({ "limit": 512 * 1024 * 1024 });
    Ok(fs::write(path, config.to_string())?)
}

/// Runs one container, and returns how long the first output and the end took.
fn run(runtime: &str, bundle: &Path, id: &str) -> Result<(Duration, Duration)> {
    let begin = timing::now();
    let mut child = Command::new(runtime)
        .args(["run", "--bundle"])
        .arg(bundle)
        .arg(format!("neargate-bench-{id}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut first = [0];
    let read = child.stdout.take().context("no output")?.read(&mut first)?;
    let output = timing::now();
    let mut complaint = String::new();
    child.stderr.take().context("no errors")?.read_to_string(&mut complaint)?;
    let status = child.wait()?;
    ensure!(status.success() && read == 1, "{status}: {}", complaint.trim());
    Ok((output.duration_since(begin), timing::now().duration_since(begin)))
}

fn measure(runtime: &str, bundle: &Path, report: &mut Report) -> Result<()> {
    for (how, between) in [("0.3 s apart", APART), ("back to back", Duration::ZERO)] {
        let (mut outputs, mut ends) = (Vec::new(), Vec::new());
        for turn in 0..RUNS_ALONE {
            timing::pause(between);
            let (output, end) = run(runtime, bundle, &turn.to_string())?;
            outputs.push(output);
            ends.push(end);
        }
        for (stage, times) in [("first output", &mut outputs), ("STOPPED", &mut ends)] {
            let what = format!("RunTask to {stage}, {how}");
            report.add(&what, runtime, timing::ms(timing::quantile(times, 0.5)), "ms p50");
            report.add(&what, runtime, timing::ms(timing::quantile(times, 0.95)), "ms p95");
        }
    }
    let begin = timing::now();
    let all = thread::scope(|scope| {
        let threads = (0..RUNS_AT_ONCE).map(|turn| scope.spawn(move || run(runtime, bundle, &format!("x{turn}"))));
        let threads = threads.collect::<Vec<_>>();
        threads.into_iter().map(|each| each.join().expect("a run does not panic")).collect::<Result<Vec<_>>>()
    })?;
    let elapsed = timing::now().duration_since(begin);
    report.add("50 at once", runtime, f64::from(u32::try_from(all.len())?) / elapsed.as_secs_f64(), "a second");
    Ok(())
}
