//! Many tasks that run at the same time: what they cost while nothing happens, and that nothing of them is left.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::report::Report;
use crate::server::{Server, load_image};
use crate::stages::Scale;
use crate::tasks::{TASKS_PER_REQUEST, WHO};
use crate::{process, requests, timing};

/// A program that does nothing, and ends when it is asked to.
const COMMAND: [&str; 3] = ["sh", "-c", "trap exit TERM; while :; do sleep 3600 & wait; done"];
/// How many tasks one DescribeTasks takes.
const DESCRIBED_MAX: usize = 100;
/// How often the tasks are looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How long all of them may take to run, or to stop.
const ALL_TIMEOUT: Duration = Duration::from_secs(180);
/// How long they are left alone before they are measured, and how long their processors are.
const SETTLE: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(10);
/// How long what a server has ended may take to be gone.
const GONE_TIMEOUT: Duration = Duration::from_secs(30);

/// Measures tasks that are held RUNNING.
pub(crate) fn measure(binary: &Path, folder: &Path, rootfs: &Path, scale: &Scale, report: &mut Report) -> Result<()> {
    let count = scale.held;
    if count == 0 {
        return Ok(());
    }
    let data_dir = folder.join("held");
    let mut server = Server::neargate(binary, &data_dir, &[])?;
    let data_dir = data_dir.canonicalize()?;
    load_image(binary, &server, rootfs)?;
    server.prepare(requests::NAME, &COMMAND)?;
    let subnet = server.subnet()?;
    let first = run(&mut server, &subnet, 1)?; // The first one makes the VPC.
    await_status(&mut server, &first, "RUNNING")?;
    timing::pause(SETTLE);

    let how = format!("{count} held");
    let (before, available) = (rss_kib(&server)?, process::available_kib()?);
    let begin = timing::now();
    let tasks = run(&mut server, &subnet, count)?;
    let end = await_status(&mut server, &tasks, "RUNNING")?;
    report.add(&format!("{how}: all RUNNING after"), WHO, end.duration_since(begin).as_secs_f64(), "s");
    timing::pause(SETTLE);
    memory(&how, &server, &data_dir, count, (before, available), report)?;
    idle(&how, &server, &data_dir, report)?;

    let begin = timing::now();
    for task in tasks.iter().chain(&first) {
        server.call(&requests::ecs("StopTask", &json!({ "cluster": requests::NAME, "task": task })))?;
    }
    let end = await_status(&mut server, &tasks, "STOPPED")?;
    await_status(&mut server, &first, "STOPPED")?;
    report.add(&format!("{how}: all STOPPED after"), WHO, end.duration_since(begin).as_secs_f64(), "s");
    drop(server);
    let ids = tasks.iter().filter_map(|task| task.rsplit('/').next()).collect::<Vec<_>>();
    let what_is_left = || left(&data_dir, &ids);
    // Disks are detached behind the tasks' backs; what is left after that is left for good.
    let _ = timing::until(GONE_TIMEOUT, LOOK_PAUSE, "nothing to be left", || {
        Ok(what_is_left().iter().all(|(_, count)| *count == 0).then_some(()))
    });
    for (what, count) in what_is_left() {
        report.add(&format!("{how}: left afterwards"), WHO, f64::from(u32::try_from(count)?), what);
    }
    Ok(())
}

fn run(server: &mut Server, subnet: &str, count: usize) -> Result<Vec<String>> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(server.run(requests::NAME, subnet, TASKS_PER_REQUEST.min(count - all.len()))?.0);
    }
    Ok(all)
}

/// Waits until all tasks have that status.
fn await_status(server: &mut Server, tasks: &[String], status: &str) -> Result<Instant> {
    let mut requests = tasks.chunks(DESCRIBED_MAX).map(requests::describe_tasks).collect::<Vec<_>>();
    let all = timing::until(ALL_TIMEOUT, LOOK_PAUSE, &format!("tasks to be {status}"), || {
        while let Some(describe) = requests.last() {
            let answer = server.ask(describe)?.context("DescribeTasks was refused")?;
            let tasks = answer["tasks"].as_array().context("no tasks")?;
            if let Some(ended) = tasks.iter().find(|task| status != "STOPPED" && has_ended(task)) {
                bail!("a task has ended: {ended}");
            }
            if !tasks.iter().all(|task| task["lastStatus"] == status) {
                return Ok(None);
            }
            requests.pop();
        }
        Ok(Some(()))
    });
    Ok(all?.1)
}

fn has_ended(task: &Value) -> bool {
    task["desiredStatus"] == "STOPPED"
}

/// Adds what a task costs in memory: of the server, of its shim, and of the whole machine with its own two processes and all
/// that the kernel keeps of it.
fn memory(
    how: &str,
    server: &Server,
    data_dir: &Path,
    count: usize,
    (before, available): (u64, u64),
    report: &mut Report,
) -> Result<()> {
    let shims = shims(data_dir);
    let of_shims = shims.iter().filter_map(|pid| process::pss_kib(*pid)).sum::<u64>();
    let mib = |kib: u64, count: usize| -> Result<f64> {
        Ok(f64::from(u32::try_from(kib)?) / f64::from(u32::try_from(count.max(1))?) / 1024.0)
    };
    let (of_server, of_shim) = (mib(rss_kib(server)?.saturating_sub(before), count)?, mib(of_shims, shims.len())?);
    let of_machine = mib(available.saturating_sub(process::available_kib()?), count)?;
    report.add(&format!("{how}: memory of each, in the server"), WHO, of_server, "MiB");
    report.add(&format!("{how}: memory of each, its shim"), WHO, of_shim, "MiB");
    report.add(&format!("{how}: memory of each, ours"), WHO, of_server + of_shim, "MiB");
    report.add(&format!("{how}: memory of each, of the machine"), WHO, of_machine, "MiB");
    Ok(())
}

/// Adds how long the server and the shims are on a processor while nothing happens.
fn idle(how: &str, server: &Server, data_dir: &Path, report: &mut Report) -> Result<()> {
    let shims = shims(data_dir);
    let of_shims = || shims.iter().filter_map(|pid| process::cpu(*pid).ok()).sum::<Duration>();
    let (begin, before) = (timing::now(), (process::cpu(server.pid())?, of_shims()));
    timing::pause(IDLE);
    let (elapsed, after) = (timing::now().duration_since(begin), (process::cpu(server.pid())?, of_shims()));
    let share = |cpu: Duration| 100.0 * cpu.as_secs_f64() / elapsed.as_secs_f64();
    report.add(&format!("{how}: the server while idle"), WHO, share(after.0 - before.0), "% of a processor");
    report.add(
        &format!("{how}: all shims while idle"),
        WHO,
        share(after.1.saturating_sub(before.1)),
        "% of a processor",
    );
    Ok(())
}

fn shims(data_dir: &Path) -> Vec<u32> {
    process::with_command(&format!("{}/tasks", data_dir.display()))
}

fn rss_kib(server: &Server) -> Result<u64> {
    process::rss_kib(server.pid()).context("the server ended")
}

/// Counts what is left of a server's tasks on the machine.
fn left(data_dir: &Path, ids: &[&str]) -> [(&'static str, usize); 5] {
    let ours = data_dir.display().to_string();
    let lines = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mounts = lines("/proc/self/mountinfo").lines().filter(|line| line.contains(&ours)).count();
    let loops = names("/sys/block".as_ref()).into_iter();
    let loops = loops.filter(|name| lines(&format!("/sys/block/{name}/loop/backing_file")).contains(&ours)).count();
    // HIERARCHY/SERVER/TASK where version 1 is, SERVER/TASK where version 2 is.
    let cgroups = below("/sys/fs/cgroup".as_ref(), 3).iter().filter(|name| ids.contains(&name.as_str())).count();
    let networks = names("/run/netns".as_ref());
    let networks = networks.iter().filter(|name| ids.iter().any(|id| name.ends_with(id))).count();
    [
        ("processes", process::with_command(&ours).len()),
        ("mounts", mounts),
        ("loop devices", loops),
        ("cgroups", cgroups),
        ("network namespaces", networks),
    ]
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Returns the names of all folders down to a depth.
fn below(folder: &Path, depth: usize) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        all.extend(entry.file_name().into_string());
        if depth > 1 {
            all.extend(below(&entry.path(), depth - 1));
        }
    }
    all
}
