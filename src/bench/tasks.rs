//! Tasks: from RunTask to RUNNING, to the first output and to STOPPED, alone and many at once; and their memory.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::report::Report;
use crate::server::{Server, load_image};
use crate::{process, requests, timing};

/// How many tasks run alone, one after the other.
const TASKS_ALONE: usize = 20;
/// How many run at once, and how many of them each RunTask starts.
const TASKS_AT_ONCE: usize = 50;
const TASKS_PER_REQUEST: usize = 10;
/// How long users wait between two tasks.
const APART: Duration = Duration::from_millis(300);
/// How often a task is looked at, alone and among many.
const LOOK_PAUSE: Duration = Duration::from_micros(300);
const LOOK_PAUSE_AT_ONCE: Duration = Duration::from_millis(5);
/// How long a task may take.
const TASK_TIMEOUT: Duration = Duration::from_secs(60);
/// How many tasks run while their memory is read.
const TASKS_FOR_MEMORY: usize = 10;
const WHO: &str = "neargate";

/// When a task came how far, from RunTask's request.
struct Life {
    running: Duration,
    output: Duration,
    stopped: Duration,
}

/// Measures tasks that run `echo`.
pub(crate) fn measure(binary: &Path, folder: &Path, rootfs: &Path, report: &mut Report) -> Result<()> {
    let mut server = Server::neargate(binary, &folder.join("tasks"), &[])?;
    load_image(binary, &server, rootfs)?;
    server.prepare(requests::NAME, &["echo", "hello"])?;
    let subnet = server.subnet()?;
    live(&mut server, &subnet)?; // The first one makes the VPC.
    for (how, between) in [("0.3 s apart", APART), ("back to back", Duration::ZERO)] {
        let mut lives = Vec::new();
        for _ in 0..TASKS_ALONE {
            timing::pause(between);
            lives.push(live(&mut server, &subnet)?);
        }
        type Pick = fn(&Life) -> Duration;
        let stages: [(&str, Pick); 3] =
            [("RUNNING", |life| life.running), ("first output", |life| life.output), ("STOPPED", |life| life.stopped)];
        for (stage, pick) in stages {
            let mut times = lives.iter().map(pick).collect::<Vec<_>>();
            let what = format!("RunTask to {stage}, {how}");
            report.add(&what, WHO, timing::ms(timing::quantile(&mut times, 0.5)), "ms p50");
            report.add(&what, WHO, timing::ms(timing::quantile(&mut times, 0.95)), "ms p95");
        }
    }
    at_once(&mut server, &subnet, report)
}

/// Runs one task and watches it.
fn live(server: &mut Server, subnet: &str) -> Result<Life> {
    let (tasks, begin) = server.run(requests::NAME, subnet, 1)?;
    let task = tasks.first().context("no task")?;
    let describe = requests::describe_tasks(&tasks);
    let stream = format!("{0}/main/{1}", requests::NAME, task.rsplit('/').next().unwrap_or_default());
    let log = json!({ "logGroupName": requests::NAME, "logStreamName": stream, "startFromHead": true });
    let read = requests::logs("GetLogEvents", &log);
    let (mut running, mut output) = (None, None);
    let (_, stopped) = timing::until(TASK_TIMEOUT, LOOK_PAUSE, "a task to stop", || {
        let answer = server.ask(&describe)?.context("DescribeTasks was refused")?;
        let task = &answer["tasks"][0];
        if running.is_none() && task["startedAt"].is_number() {
            running = Some(timing::now());
        }
        if output.is_none() && has_events(server.ask(&read)?) {
            output = Some(timing::now());
        }
        Ok((task["lastStatus"] == "STOPPED").then(|| task.clone()))
    })
    .and_then(|(task, stopped)| check_exit(&task).map(|()| (task, stopped)))?;
    if output.is_none() {
        ensure!(has_events(server.ask(&read)?), "a task stopped and its output is not in the log");
    }
    let since = |moment: Option<std::time::Instant>| moment.unwrap_or(stopped).duration_since(begin);
    Ok(Life { running: since(running), output: since(output), stopped: since(None) })
}

fn has_events(answer: Option<Value>) -> bool {
    answer.is_some_and(|answer| answer["events"].as_array().is_some_and(|events| !events.is_empty()))
}

fn check_exit(task: &Value) -> Result<()> {
    ensure!(task["containers"][0]["exitCode"] == 0, "a task failed: {task}");
    Ok(())
}

fn at_once(server: &mut Server, subnet: &str, report: &mut Report) -> Result<()> {
    let (mut all, mut first) = (Vec::new(), None);
    for _ in 0..TASKS_AT_ONCE / TASKS_PER_REQUEST {
        let (tasks, begin) = server.run(requests::NAME, subnet, TASKS_PER_REQUEST)?;
        first.get_or_insert(begin);
        all.extend(tasks);
    }
    let describe = requests::describe_tasks(&all);
    let (tasks, end) = timing::until(TASK_TIMEOUT, LOOK_PAUSE_AT_ONCE, "all tasks to stop", || {
        let answer = server.ask(&describe)?.context("DescribeTasks was refused")?;
        let tasks = answer["tasks"].as_array().context("no tasks")?.clone();
        Ok(tasks.iter().all(|task| task["lastStatus"] == "STOPPED").then_some(tasks))
    })?;
    tasks.iter().try_for_each(check_exit)?;
    let elapsed = end.duration_since(first.context("no task")?);
    let count = u32::try_from(tasks.len())?;
    report.add("50 at once", WHO, f64::from(count) / elapsed.as_secs_f64(), "a second");
    Ok(())
}

/// Measures what a task that runs costs in memory: its shims, and what the server keeps of it.
pub(crate) fn memory(binary: &Path, folder: &Path, rootfs: &Path, report: &mut Report) -> Result<()> {
    let data_dir = folder.join("memory");
    let mut server = Server::neargate(binary, &data_dir, &[])?;
    load_image(binary, &server, rootfs)?;
    server.prepare(requests::NAME, &["sleep", "600"])?;
    let subnet = server.subnet()?;
    wait_running(&mut server, &subnet, 1)?;
    let before = process::pss_kib(server.pid()).context("the server ended")?;
    wait_running(&mut server, &subnet, TASKS_FOR_MEMORY)?;
    let after = process::pss_kib(server.pid()).context("the server ended")?;
    let shims = process::with_command(&format!("{}/tasks", data_dir.canonicalize()?.display()));
    let total = shims.iter().filter_map(|pid| process::pss_kib(*pid)).sum::<u64>();
    let kib = |value: u64, count: usize| -> Result<f64> {
        Ok(f64::from(u32::try_from(value)?) / f64::from(u32::try_from(count.max(1))?) / 1024.0)
    };
    report.add("memory of a running task: its shim", WHO, kib(total, shims.len())?, "MiB");
    let growth = after.saturating_sub(before);
    report.add("memory of a running task: in the server", WHO, kib(growth, TASKS_FOR_MEMORY)?, "MiB");
    Ok(())
}

fn wait_running(server: &mut Server, subnet: &str, count: usize) -> Result<()> {
    let (tasks, _) = server.run(requests::NAME, subnet, count)?;
    let describe = requests::describe_tasks(&tasks);
    timing::until(TASK_TIMEOUT, LOOK_PAUSE_AT_ONCE, "tasks to run", || {
        let answer = server.ask(&describe)?.context("DescribeTasks was refused")?;
        let tasks = answer["tasks"].as_array().context("no tasks")?;
        Ok(tasks.iter().all(|task| task["lastStatus"] == "RUNNING").then_some(()))
    })?;
    Ok(())
}
