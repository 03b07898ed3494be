//! Services: how soon many have the tasks that they want, what they cost while nothing happens, and how fast one rolls over
//! from a revision to the next.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::report::Report;
use crate::server::{Server, load_image};
use crate::stages::Scale;
use crate::tasks::WHO;
use crate::{process, requests, timing};

/// How many tasks each of many services has.
const TASKS_OF_EACH: usize = 5;
/// How many services one DescribeServices takes.
const DESCRIBED_MAX: usize = 10;
/// A task counts as healthy after 40 seconds of running; at this scale after 40 milliseconds, so that they do not count.
const TIME_SCALE: &str = "1000";
/// How much of the wanted tasks there must be and may be while a service rolls over, in percent: AWS's defaults.
const MINIMUM_PERCENT: usize = 100;
const MAXIMUM_PERCENT: usize = 200;
/// A program that does nothing, and ends when it is asked to.
const COMMAND: [&str; 3] = ["sh", "-c", "trap exit TERM; while :; do sleep 3600 & wait; done"];
/// How often the services are looked at, many and one.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
const WATCH_PAUSE: Duration = Duration::from_millis(2);
/// How long all of them may take.
const ALL_TIMEOUT: Duration = Duration::from_secs(300);
/// How long they are left alone before they are measured, and how long their processor is.
const SETTLE: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(10);

/// Measures services.
pub(crate) fn measure(binary: &Path, folder: &Path, rootfs: &Path, scale: &Scale, report: &mut Report) -> Result<()> {
    if scale.services > 0 {
        many(binary, folder, scale.services, report)?;
    }
    if scale.rollout > 0 {
        rollout(binary, folder, rootfs, scale.rollout, report)?;
    }
    Ok(())
}

/// Measures services whose tasks are simulated: what is left is what services cost.
fn many(binary: &Path, folder: &Path, count: usize, report: &mut Report) -> Result<()> {
    let options = ["--node", "simulated", "--time-scale", TIME_SCALE];
    let mut server = Server::neargate(binary, &folder.join("services"), &options)?;
    server.prepare(requests::NAME, &COMMAND)?;
    // One subnet has fewer addresses than there are tasks.
    let subnets = server.subnets()?;
    timing::pause(SETTLE);
    let how = format!("{count} services of {TASKS_OF_EACH} tasks");
    let names = (0..count).map(|number| format!("{}-{number}", requests::NAME)).collect::<Vec<_>>();
    let (before, cpu) = (rss_kib(&server)?, process::cpu(server.pid())?);
    let begin = timing::now();
    for name in &names {
        server.call(&create_service(name, &subnets, TASKS_OF_EACH))?;
    }
    let created = timing::now();
    let steady = await_steady(&mut server, &names)?;
    let used = process::cpu(server.pid())?.saturating_sub(cpu);
    report.add(&format!("{how}: all created after"), WHO, seconds(begin, created), "s");
    report.add(&format!("{how}: all steady after"), WHO, seconds(begin, steady), "s");
    report.add(&format!("{how}: processor until then"), WHO, used.as_secs_f64(), "s");
    timing::pause(SETTLE);
    let memory = rss_kib(&server)?.saturating_sub(before);
    report.add(&format!("{how}: memory of each service"), WHO, share(memory, count)?, "KiB");
    report.add(&format!("{how}: memory of the server"), WHO, share(rss_kib(&server)?, 1024)?, "MiB");
    report.add(&format!("{how}: the server while idle"), WHO, idle_percent(&server)?, "% of a processor");
    Ok(())
}

/// Measures how a service of real tasks goes over to another revision.
fn rollout(binary: &Path, folder: &Path, rootfs: &Path, count: usize, report: &mut Report) -> Result<()> {
    let mut server = Server::neargate(binary, &folder.join("rollout"), &["--time-scale", TIME_SCALE])?;
    load_image(binary, &server, rootfs)?;
    server.prepare(requests::NAME, &COMMAND)?;
    let (subnets, names) = (server.subnets()?, [requests::NAME.to_owned()]);
    let how = format!("a service of {count} tasks");
    let begin = timing::now();
    server.call(&create_service(&names[0], &subnets, count))?;
    let steady = await_steady(&mut server, &names)?;
    report.add(&format!("{how}: steady after"), WHO, seconds(begin, steady), "s");

    server.call(&requests::ecs("RegisterTaskDefinition", &requests::definition(requests::NAME, &COMMAND)))?;
    let update = json!({ "cluster": requests::NAME, "service": names[0], "taskDefinition": requests::NAME });
    let begin = timing::now();
    server.call(&requests::ecs("UpdateService", &update))?;
    let (mut fewest, mut most, mut looks) = (usize::MAX, 0, 0_u32);
    let (_, end) = timing::until(ALL_TIMEOUT, WATCH_PAUSE, "the service to have rolled over", || {
        let services = describe(&mut server, &names)?;
        let service = services.first().context("there is no service")?;
        let [running, pending] = ["runningCount", "pendingCount"].map(|name| count_of(service, name));
        (fewest, most, looks) = (fewest.min(running), most.max(running + pending), looks + 1);
        Ok(is_steady(service).then_some(()))
    })?;
    let (least, limit) = (count * MINIMUM_PERCENT / 100, count * MAXIMUM_PERCENT / 100);
    ensure!(fewest >= least && most <= limit, "{fewest} to {most} tasks while there had to be {least} to {limit}");
    let elapsed = seconds(begin, end);
    report.add(&format!("{how}: rolled over after"), WHO, elapsed, "s");
    report.add(
        &format!("{how}: tasks rolled over each second"),
        WHO,
        f64::from(u32::try_from(count)?) / elapsed,
        "1/s",
    );
    report.note(format!(
        "{how}: {fewest} to {most} tasks in {looks} looks while it rolled over; {least} to {limit} allowed"
    ));
    Ok(())
}

fn create_service(name: &str, subnets: &[String], count: usize) -> Vec<u8> {
    let body = json!({
        "cluster": requests::NAME,
        "serviceName": name,
        "taskDefinition": requests::NAME,
        "desiredCount": count,
        "launchType": "FARGATE",
        "deploymentConfiguration": { "minimumHealthyPercent": MINIMUM_PERCENT, "maximumPercent": MAXIMUM_PERCENT },
        "networkConfiguration": { "awsvpcConfiguration": { "subnets": subnets } },
    });
    requests::ecs("CreateService", &body)
}

fn describe(server: &mut Server, names: &[String]) -> Result<Vec<Value>> {
    let request = requests::ecs("DescribeServices", &json!({ "cluster": requests::NAME, "services": names }));
    let mut answer = server.ask(&request)?.context("DescribeServices was refused")?;
    match answer["services"].take() {
        Value::Array(services) if services.len() == names.len() => Ok(services),
        other => anyhow::bail!("not all services are there: {other}"),
    }
}

/// Waits until each service has had what it wants. One that has is not looked at again.
fn await_steady(server: &mut Server, names: &[String]) -> Result<Instant> {
    let mut waiting = names.chunks(DESCRIBED_MAX).collect::<Vec<_>>();
    let all = timing::until(ALL_TIMEOUT, LOOK_PAUSE, "all services to be steady", || {
        while let Some(names) = waiting.last() {
            if !describe(server, names)?.iter().all(is_steady) {
                return Ok(None);
            }
            waiting.pop();
        }
        Ok(Some(()))
    });
    Ok(all?.1)
}

/// Whether what DescribeServices says is what waiters wait for, and the rollout is done besides.
fn is_steady(service: &Value) -> bool {
    let is_one = service["deployments"].as_array().is_some_and(|deployments| deployments.len() == 1);
    let is_complete = service["deployments"][0]["rolloutState"] == "COMPLETED";
    is_one && is_complete && service["runningCount"] == service["desiredCount"]
}

fn count_of(service: &Value, name: &str) -> usize {
    service[name].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default()
}

/// Returns how much of a processor the server uses while nothing happens.
fn idle_percent(server: &Server) -> Result<f64> {
    let (begin, before) = (timing::now(), process::cpu(server.pid())?);
    timing::pause(IDLE);
    let used = process::cpu(server.pid())?.saturating_sub(before);
    Ok(100.0 * used.as_secs_f64() / timing::now().duration_since(begin).as_secs_f64())
}

fn rss_kib(server: &Server) -> Result<u64> {
    process::rss_kib(server.pid()).context("the server ended")
}

fn share(kib: u64, count: usize) -> Result<f64> {
    Ok(f64::from(u32::try_from(kib)?) / f64::from(u32::try_from(count.max(1))?))
}

fn seconds(begin: Instant, end: Instant) -> f64 {
    end.duration_since(begin).as_secs_f64()
}
