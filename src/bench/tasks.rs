//! Tasks: from RunTask to RUNNING, to the first output and to STOPPED; alone, in a row, and many at once.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::report::Report;
use crate::server::{Server, load_image};
use crate::stages::{self, APART, AT_ONCE, Life, Scale};
use crate::{requests, timing};

/// How many tasks one RunTask starts, where there are many.
pub(crate) const TASKS_PER_REQUEST: usize = 10;
/// How often a task is looked at, alone and among many.
const LOOK_PAUSE: Duration = Duration::from_micros(300);
const LOOK_PAUSE_AT_ONCE: Duration = Duration::from_millis(5);
/// How long a task may take.
const TASK_TIMEOUT: Duration = Duration::from_secs(60);
pub(crate) const WHO: &str = "neargate";

/// Measures tasks that run `echo`.
pub(crate) fn measure(binary: &Path, folder: &Path, rootfs: &Path, scale: &Scale, report: &mut Report) -> Result<()> {
    let mut server = Server::neargate(binary, &folder.join("tasks"), &[])?;
    load_image(binary, &server, rootfs)?;
    server.prepare(requests::NAME, &["echo", "hello"])?;
    let subnet = server.subnet()?;
    live(&mut server, requests::NAME, &subnet)?; // The first one makes the VPC.
    stages::add("alone", WHO, &row(&mut server, &subnet, scale.alone, APART)?, report);

    let begin = timing::now();
    let lives = row(&mut server, &subnet, scale.in_a_row, Duration::ZERO)?;
    let (elapsed, how) = (timing::now().duration_since(begin), format!("{} in a row", lives.len()));
    stages::add(&how, WHO, &lives, report);
    stages::add_rate(&how, WHO, lives.len(), elapsed, report);

    let (mut lives, mut elapsed) = (Vec::new(), Duration::ZERO);
    for _ in 0..scale.rounds {
        timing::pause(APART);
        let begin = timing::now();
        let (tasks, end) = at_once(&mut server, &subnet)?;
        elapsed += end.duration_since(begin);
        for (task, begin) in &tasks {
            lives.push(recorded(&mut server, task, *begin)?);
        }
    }
    let how = format!("{AT_ONCE} at once");
    stages::add(&how, WHO, &lives, report);
    stages::add_rate(&how, WHO, lives.len(), elapsed, report);
    Ok(())
}

fn row(server: &mut Server, subnet: &str, count: usize, between: Duration) -> Result<Vec<Life>> {
    let turn = |_| {
        timing::pause(between);
        live(server, requests::NAME, subnet)
    };
    (0..count).map(turn).collect()
}

/// Runs one task of a definition and watches it.
pub(crate) fn live(server: &mut Server, family: &str, subnet: &str) -> Result<Life> {
    let (tasks, begin) = server.run(family, subnet, 1)?;
    let task = tasks.first().context("no task")?;
    let describe = requests::describe_tasks(&tasks);
    let read = read_log(task);
    let (mut running, mut output) = (None, None);
    let (_, stopped) = timing::until(TASK_TIMEOUT, LOOK_PAUSE, "a task to stop", || {
        let answer = server.ask(&describe)?.context("DescribeTasks was refused")?;
        let task = &answer["tasks"][0];
        if running.is_none() && task["startedAt"].is_number() {
            running = Some(timing::now());
        }
        if output.is_none() && first_event(server.ask(&read)?).is_some() {
            output = Some(timing::now());
        }
        Ok((task["lastStatus"] == "STOPPED").then(|| task.clone()))
    })
    .and_then(|(task, stopped)| check_exit(&task).map(|()| (task, stopped)))?;
    if output.is_none() {
        first_event(server.ask(&read)?).context("a task stopped and its output is not in the log")?;
    }
    let since = |moment: Option<Instant>| moment.unwrap_or(stopped).duration_since(begin);
    Ok(Life { running: Some(since(running)), output: since(output), stopped: since(None) })
}

/// Runs tasks at once, and returns them as they were described in the end, with when each was asked for.
fn at_once(server: &mut Server, subnet: &str) -> Result<(Vec<(Value, f64)>, Instant)> {
    let (mut all, mut begins) = (Vec::new(), Vec::new());
    for _ in 0..AT_ONCE / TASKS_PER_REQUEST {
        let begin = timing::epoch();
        let (tasks, _) = server.run(requests::NAME, subnet, TASKS_PER_REQUEST)?;
        begins.extend(tasks.iter().map(|_| begin));
        all.extend(tasks);
    }
    let describe = requests::describe_tasks(&all);
    let (tasks, end) = timing::until(TASK_TIMEOUT, LOOK_PAUSE_AT_ONCE, "all tasks to stop", || {
        let answer = server.ask(&describe)?.context("DescribeTasks was refused")?;
        let tasks = answer["tasks"].as_array().context("no tasks")?.clone();
        Ok(tasks.iter().all(|task| task["lastStatus"] == "STOPPED").then_some(tasks))
    })?;
    tasks.iter().try_for_each(check_exit)?;
    ensure!(tasks.len() == begins.len(), "{} of {} tasks are described", tasks.len(), begins.len());
    Ok((tasks.into_iter().zip(begins).collect(), end))
}

/// Reads when a task came how far from its record and its log: to watch fifty as they go would hold them up.
fn recorded(server: &mut Server, task: &Value, begin: f64) -> Result<Life> {
    let since = |moment: Option<f64>, what: &str| -> Result<Duration> {
        let moment = moment.with_context(|| format!("a task has no {what}: {task}"))?;
        Ok(Duration::try_from_secs_f64(moment - begin).unwrap_or_default())
    };
    let event = first_event(server.ask(&read_log(task["taskArn"].as_str().unwrap_or_default()))?);
    let arrived = event.and_then(|event| event["ingestionTime"].as_f64()).map(|ms| ms / 1e3);
    Ok(Life {
        running: Some(since(task["startedAt"].as_f64(), "startedAt")?),
        output: since(arrived, "output")?,
        stopped: since(task["stoppedAt"].as_f64(), "stoppedAt")?,
    })
}

/// The request for a task's output.
fn read_log(task: &str) -> Vec<u8> {
    let stream = format!("{0}/main/{1}", requests::NAME, task.rsplit('/').next().unwrap_or_default());
    let log = json!({ "logGroupName": requests::NAME, "logStreamName": stream, "startFromHead": true });
    requests::logs("GetLogEvents", &log)
}

fn first_event(answer: Option<Value>) -> Option<Value> {
    answer?["events"].as_array()?.first().cloned()
}

fn check_exit(task: &Value) -> Result<()> {
    ensure!(task["containers"][0]["exitCode"] == 0, "a task failed: {task}");
    Ok(())
}
