//! What requests cost as a server fills up: the same ones at ten objects of each kind, and at thousands.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::report::Report;
use crate::server::Server;
use crate::{api, load, process, requests, timing};

/// How many objects of each kind a server has that counts as empty: a page of a listing.
const FEW: usize = 10;
/// How many Neargate has that is full.
const MANY: usize = 10_000;
/// How many moto's server has: to make more takes it minutes.
const MANY_OF_MOTO: usize = 1_000;
/// How many families share the definitions.
const FAMILIES: usize = 100;
/// How many tasks one RunTask starts.
const TASKS_PER_RUN: usize = 10;
/// How long a filled server may take to come to rest, how often it is looked at, and what it may still do between looks.
const REST_TIMEOUT: Duration = Duration::from_secs(120);
const REST_PAUSE: Duration = Duration::from_millis(500);
const REST_CPU_MAX: Duration = Duration::from_millis(20);
/// How often a request is measured at each server, in turns. The best median counts: others use the machine too, and a
/// request that meets its server on another processor takes twice as long.
const ROUNDS: usize = 24;
/// How long a round lasts, and how many requests it has at least.
const ROUND: Duration = Duration::from_millis(25);
const ROUND_REQUESTS_MIN: usize = 10;
/// How many definitions a round registers. They stay, so that ten become a few hundred in the course of it.
const REGISTRATIONS: usize = 10;
/// The longest page of a listing.
const PAGE_MAX: usize = 100;

/// The listings: operation, the member of its answer, and whether it wants a cluster.
const LISTINGS: [(&str, &str, bool); 4] = [
    ("ListTasks", "taskArns", true),
    ("ListTaskDefinitions", "taskDefinitionArns", false),
    ("ListClusters", "clusterArns", false),
    ("ListServices", "serviceArns", true),
];

/// Measures requests of servers with few and with many objects. The node is simulated: tasks cost no processes.
pub(crate) fn measure(binary: &Path, folder: &Path, seconds: u64, report: &mut Report) -> Result<()> {
    let simulated = ["--node", "simulated"];
    let in_memory = || Server::neargate_in_memory(binary, &simulated);
    let kept = |name: &str| Server::neargate(binary, &folder.join(name), &simulated);
    Pair::filled(in_memory()?, in_memory()?, MANY)?.compare("", seconds, report)?;
    Pair::filled(kept("few")?, kept("many")?, MANY)?.compare("kept ", seconds, report)?;
    if api::has_moto(report) {
        Pair::filled(Server::moto()?, Server::moto()?, MANY_OF_MOTO)?.compare("moto ", seconds, report)?;
        report.note("moto's listings of ECS have no pages: it answers with everything".to_owned());
    }
    report.note("kept: with --data-dir".to_owned());
    report.note(format!("RegisterTaskDefinition: {} more in the course of it", ROUNDS * REGISTRATIONS));
    Ok(())
}

/// A server with few objects and one with many, each with the ARN of a task.
struct Pair {
    few: (Server, String),
    many: (Server, String),
    count: usize,
}

impl Pair {
    fn filled(mut few: Server, mut many: Server, count: usize) -> Result<Self> {
        let (task, other) = (fill(&mut few, FEW)?, fill(&mut many, count)?);
        Ok(Self { few: (few, task), many: (many, other), count })
    }

    fn compare(&mut self, who: &str, seconds: u64, report: &mut Report) -> Result<()> {
        let describe = |_: &mut Server, task: &str| Ok(requests::describe_tasks(&[task.to_owned()]));
        let family = |_: &mut Server, _: &str| {
            Ok(requests::ecs("DescribeTaskDefinition", &json!({ "taskDefinition": family(0) })))
        };
        self.request("DescribeTasks", who, describe, seconds, report)?;
        self.request("DescribeTaskDefinition", who, family, seconds, report)?;
        for (operation, member, wants_cluster) in LISTINGS {
            let first = |_: &mut Server, _: &str| Ok(listing(operation, wants_cluster, FEW, None));
            let last = |server: &mut Server, _: &str| {
                let token = last_page(server, operation, member, wants_cluster)?;
                Ok(listing(operation, wants_cluster, FEW, token.as_ref()))
            };
            self.request(&format!("{operation}, first page"), who, first, seconds, report)?;
            self.request(&format!("{operation}, last page"), who, last, seconds, report)?;
        }
        let memory = (memory_mib(&self.few.0)?, memory_mib(&self.many.0)?);
        self.add("memory", who, memory, "MiB", report);
        // The last, for it adds to what is there.
        self.registration(who, report)
    }

    /// Measures a request: how long it takes alone, and what it costs the server under load.
    fn request(
        &mut self,
        what: &str,
        who: &str,
        request: impl Fn(&mut Server, &str) -> Result<Vec<u8>>,
        seconds: u64,
        report: &mut Report,
    ) -> Result<()> {
        let (few, many) = (&mut self.few, &mut self.many);
        let requests = (request(&mut few.0, &few.1)?, request(&mut many.0, &many.1)?);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            before.push(round(&mut few.0, &requests.0)?);
            after.push(round(&mut many.0, &requests.1)?);
        }
        let loaded = |server: &Server, request: &[u8]| load::run(server.address, server.pid(), request, seconds);
        let loaded = (loaded(&few.0, &requests.0)?, loaded(&many.0, &requests.1)?);
        self.add(what, who, (best(before), best(after)), "µs p50", report);
        let cpu = |measured: &load::Measured| measured.cpu.as_secs_f64() * 1e6;
        self.add(what, who, (cpu(&loaded.0), cpu(&loaded.1)), "µs CPU", report);
        self.add(what, who, (loaded.0.per_second, loaded.1.per_second), "requests/s", report);
        Ok(())
    }

    /// Measures registrations, each few of them after as many other requests as a round has: they alone are too few to
    /// keep both sides awake.
    fn registration(&mut self, who: &str, report: &mut Report) -> Result<()> {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for n in 0..ROUNDS {
            let describe = requests::ecs("DescribeTaskDefinition", &json!({ "taskDefinition": family(0) }));
            let request = requests::ecs("RegisterTaskDefinition", &requests::definition(&family(n), &["true"]));
            for (server, medians) in [(&mut self.few.0, &mut before), (&mut self.many.0, &mut after)] {
                round(server, &describe)?;
                let mut times = (0..REGISTRATIONS).map(|_| time(server, &request)).collect::<Result<Vec<_>>>()?;
                medians.push(timing::quantile(&mut times, 0.5));
            }
        }
        self.add("RegisterTaskDefinition", who, (best(before), best(after)), "µs p50", report);
        Ok(())
    }

    fn add(&self, what: &str, who: &str, (before, after): (f64, f64), unit: &'static str, report: &mut Report) {
        report.add(what, &format!("{who}{FEW}"), before, unit);
        report.add(what, &format!("{who}{}", self.count), after, unit);
        report.add(what, &format!("{who}ratio"), after / before, unit);
    }
}

fn memory_mib(server: &Server) -> Result<f64> {
    let kib = process::pss_kib(server.pid()).and_then(|kib| u32::try_from(kib).ok()).context("the server ended")?;
    Ok(f64::from(kib) / 1024.0)
}

/// Makes `count` clusters, definitions, services and running tasks, and returns a task in the middle.
fn fill(server: &mut Server, count: usize) -> Result<String> {
    let subnets = server.subnets()?;
    server.prepare(&family(0), &["true"])?;
    for n in 1..count {
        server.call(&requests::ecs("CreateCluster", &json!({ "clusterName": format!("{}-{n}", requests::NAME) })))?;
        server.call(&requests::ecs("RegisterTaskDefinition", &requests::definition(&family(n), &["true"])))?;
    }
    for n in 0..count {
        server.call(&requests::ecs("CreateService", &service(n, &subnets[0])))?;
    }
    let mut tasks = Vec::new();
    for n in 0..count / TASKS_PER_RUN {
        tasks.extend(server.run(&family(0), &subnets[n % subnets.len()], TASKS_PER_RUN)?.0);
    }
    ensure!(tasks.len() == count, "{} of {count} tasks were started", tasks.len());
    let task = tasks.swap_remove(count / 2);
    await_rest(server)?;
    Ok(task)
}

fn family(n: usize) -> String {
    format!("family-{:02}", n % FAMILIES)
}

/// A service that wants no tasks.
fn service(n: usize, subnet: &str) -> Value {
    json!({
        "cluster": requests::NAME,
        "serviceName": format!("service-{n}"),
        "taskDefinition": family(0),
        "desiredCount": 0,
        "launchType": "FARGATE",
        "networkConfiguration": { "awsvpcConfiguration": { "subnets": [subnet], "securityGroups": [] } },
    })
}

/// Waits until the server has no more to do: the tasks run, and the state is in its file.
fn await_rest(server: &Server) -> Result<()> {
    let mut before = process::cpu(server.pid())?;
    timing::until(REST_TIMEOUT, REST_PAUSE, "the server to come to rest", || {
        let now = process::cpu(server.pid())?;
        let is_at_rest = now - std::mem::replace(&mut before, now) <= REST_CPU_MAX;
        Ok(is_at_rest.then_some(()))
    })?;
    Ok(())
}

fn listing(operation: &str, wants_cluster: bool, size: usize, token: Option<&Value>) -> Vec<u8> {
    let mut body = json!({ "maxResults": size });
    if wants_cluster {
        body["cluster"] = json!(requests::NAME);
    }
    if let Some(token) = token {
        body["nextToken"] = token.clone();
    }
    requests::ecs(operation, &body)
}

/// Walks a listing to where its last ten begin, and returns the token; none if there is one page.
fn last_page(server: &mut Server, operation: &str, member: &str, wants_cluster: bool) -> Result<Option<Value>> {
    let mut page = |size: usize, token: Option<&Value>| -> Result<(usize, Option<Value>)> {
        let answer: Value = serde_json::from_slice(&server.call(&listing(operation, wants_cluster, size, token))?)?;
        let length = answer[member].as_array().map(Vec::len).context("the answer lists nothing")?;
        Ok((length, answer.get("nextToken").filter(|token| !token.is_null()).cloned()))
    };
    // Long pages as long as there are more, then the last of them again in short ones.
    let mut token = None;
    while let (_, Some(next)) = page(PAGE_MAX, token.as_ref())? {
        token = Some(next);
    }
    while let (_, Some(next)) = page(FEW, token.as_ref())? {
        token = Some(next);
    }
    Ok(token)
}

/// Sends a request over and over, one at a time, and returns the median.
fn round(server: &mut Server, request: &[u8]) -> Result<Duration> {
    let (begin, mut times) = (timing::now(), Vec::new());
    while times.len() < ROUND_REQUESTS_MIN || timing::now().duration_since(begin) < ROUND {
        times.push(time(server, request)?);
    }
    Ok(timing::quantile(&mut times, 0.5))
}

/// Returns the best of some medians, in microseconds.
fn best(mut medians: Vec<Duration>) -> f64 {
    timing::ms(timing::quantile(&mut medians, 0.0)) * 1e3
}

fn time(server: &mut Server, request: &[u8]) -> Result<Duration> {
    let begin = timing::now();
    server.call(request)?;
    Ok(timing::now().duration_since(begin))
}
