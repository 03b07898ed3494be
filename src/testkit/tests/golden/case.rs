//! A case: steps, each a request and its reply.
//!
//! ```text
//! # What the case shows, and where the wording comes from.
//! # source: …
//!
//! + ecs CreateCluster              a step that only prepares: it must succeed, and its reply is not written down
//! {"clusterName": "web"}
//!
//! + settle                         lets the controllers come to rest; `+ advance 90` lets seconds pass before, all at
//!                                  once, and `+ pass 90` one by one, so that everything happens at its own time
//!
//! > ecs DescribeClusters account=210987654321 region=eu-west-1
//! {"clusters": ["web"]}
//! < 200 application/x-amz-json-1.1
//! { … }
//! ```
//!
//! A request of a REST service has its method and path, and header lines before `--`:
//!
//! ```text
//! > s3 PutObject PUT /bucket/key
//! content-type: text/plain
//! --
//! hello
//! ```
//!
//! In bodies, `$TASK` stands for the id of the task that was started last, `$INSTANCE` for that of the container instance
//! that was registered last, `$DEPLOYMENT` for that of CodeDeploy's deployment that was made last, `$HOOK` for that of the
//! execution that a function of such a deployment was called with last. Functions are called where a comment says
//! `functions are called`. The body is JSON, or for services of the query protocols one `Name=value` a line. `> http POST /` sends header lines,
//! an empty line's worth of `--`, and a body, as they are.

use std::time::Duration;

use bytes::Bytes;
use controllers::{Controllers, Settings};
use http::Request;
use state::State;
use testkit::{Reply, SimulatedMachine, Testkit, form_request, json_request, rest_request};

use crate::pretty;

const ACCOUNT: &str = "123456789012";
const REGION: &str = "us-east-1";
/// Stands for the id of the task that was started last.
const TASK: &str = "$TASK";
/// Stands for the id of the container instance that was registered last.
const INSTANCE: &str = "$INSTANCE";
/// Stands for the id of the deployment of CodeDeploy that was made last.
const DEPLOYMENT: &str = "$DEPLOYMENT";
/// Stands for the id that a function was called with last.
const HOOK: &str = "$HOOK";
/// Says in a comment that functions are called.
const WITH_FUNCTIONS: &str = "functions are called";

/// Headers that are shown otherwise, or say nothing.
const UNSHOWN: [&str; 3] = ["content-type", "x-amz-request-id", "x-amz-id-2"];

/// A part of a case, as written.
enum Part<'a> {
    /// Comments and empty lines.
    Text(&'a str),
    /// A step: its head line after the sign, and its body.
    Step { sign: char, head: &'a str, body: Vec<&'a str> },
}

/// Plays a case, and returns it with the replies that were given.
pub(crate) async fn play(text: &str) -> Result<String, String> {
    let has_functions = text.lines().any(|line| line.starts_with('#') && line.contains(WITH_FUNCTIONS));
    let lambda_endpoint = has_functions.then(|| "http://lambda:9001".to_owned());
    let settings = Settings { lambda_endpoint, ..Settings::default() };
    let kit = SimulatedMachine::new().start(State::in_memory(), Controllers::new().with(settings));
    let (mut played, mut task, mut instance, mut deployment, mut hook) =
        (String::new(), String::new(), String::new(), String::new(), String::new());
    for part in parts(text) {
        match part {
            Part::Text(line) => played.push_str(&format!("{line}\n")),
            Part::Step { sign, head, body } => {
                played.push_str(&format!("{sign} {head}\n"));
                body.iter().for_each(|line| played.push_str(&format!("{line}\n")));
                let filled = |line: &&str| {
                    let line = line.replace(TASK, &task).replace(INSTANCE, &instance);
                    line.replace(DEPLOYMENT, &deployment).replace(HOOK, &hook)
                };
                let body = body.iter().map(filled).collect::<Vec<_>>();
                let reply = step(&kit, head, &body).await?;
                let started = reply.as_ref().and_then(|reply| started(&reply.json()));
                task = started.unwrap_or(task);
                instance = reply.as_ref().and_then(|reply| registered(&reply.json())).unwrap_or(instance);
                deployment = reply.as_ref().and_then(|reply| deployed(&reply.json())).unwrap_or(deployment);
                hook = called(&kit).unwrap_or(hook);
                match reply {
                    Some(reply) if sign == '>' => played.push_str(&written(&reply)),
                    Some(reply) if !reply.status.is_success() => {
                        return Err(format!("`{head}` only prepares, and failed: {}", reply.text()));
                    }
                    Some(_) | None => {}
                }
            }
        }
    }
    Ok(played)
}

/// Names the operation of each step that shows a success: `ecs RunTask`.
pub(crate) fn successes(text: &str) -> Vec<String> {
    let (mut found, mut last) = (Vec::new(), None);
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("> ") {
            last = Some(head.split(' ').take(2).collect::<Vec<_>>().join(" "));
        } else if line.starts_with("< 20") {
            found.extend(last.take());
        }
    }
    found
}

/// Splits a case; the replies fall away.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut is_reply = false;
    for line in text.lines() {
        if let Some(sign) = line.chars().next().filter(|sign| "+>".contains(*sign) && line.get(1..2) == Some(" ")) {
            is_reply = false;
            parts.push(Part::Step { sign, head: &line[2..], body: Vec::new() });
        } else if line.is_empty() || line.starts_with('#') {
            is_reply = false;
            parts.push(Part::Text(line));
        } else if line.starts_with("< ") || is_reply {
            is_reply = true;
        } else if let Some(Part::Step { body, .. }) = parts.last_mut() {
            body.push(line);
        } else {
            parts.push(Part::Text(line));
        }
    }
    parts
}

/// Takes the id of the first task out of RunTask's output; other outputs show no task that has just been made.
fn started(output: &serde_json::Value) -> Option<String> {
    let task = output["tasks"].get(0).filter(|task| task["version"] == 1)?;
    Some(task["taskArn"].as_str()?.rsplit('/').next()?.to_owned())
}

/// Takes the id of the deployment out of CreateDeployment's output.
fn deployed(output: &serde_json::Value) -> Option<String> {
    Some(output["deploymentId"].as_str()?.to_owned())
}

/// Takes the id out of the last call of a function.
fn called(kit: &Testkit) -> Option<String> {
    let request = kit.node()?.take_http_requests().pop()?;
    let event = serde_json::from_slice::<serde_json::Value>(&request.body).ok()?;
    Some(event["LifecycleEventHookExecutionId"].as_str()?.to_owned())
}

/// Takes the id of the container instance out of RegisterContainerInstance's output.
fn registered(output: &serde_json::Value) -> Option<String> {
    let instance = Some(&output["containerInstance"]).filter(|instance| instance["version"] == 1)?;
    Some(instance["containerInstanceArn"].as_str()?.rsplit('/').next()?.to_owned())
}

async fn step(kit: &Testkit, head: &str, body: &[String]) -> Result<Option<Reply>, String> {
    let words = head.split(' ').collect::<Vec<_>>();
    match words[..] {
        ["settle"] => kit.settle().await,
        [word @ ("advance" | "pass"), seconds] => {
            let seconds = seconds.parse().map_err(|_| format!("`{seconds}` is no number of seconds"))?;
            match word {
                "pass" => kit.pass(Duration::from_secs(seconds)).await,
                _ => kit.advance(Duration::from_secs(seconds)).await,
            }
        }
        ["http", method, uri] => return Ok(Some(kit.send(raw(method, uri, body)?).await)),
        [service, _, method, uri, ref options @ ..] if uri.starts_with('/') => {
            return Ok(Some(kit.send(rest(service, (method, uri), options, body)?).await));
        }
        [service, operation, ref options @ ..] => {
            let (account, region) = signer(options);
            let names = wire::service_named(service).ok_or_else(|| format!("{service} is no service"))?;
            let request = if names.target.is_empty() {
                form_request(service, operation, account, region, &body.join("&"))
            } else {
                json_request(service, operation, account, region, &body.join("\n"))
            };
            return Ok(Some(kit.send(request).await));
        }
        _ => return Err(format!("`{head}` is no step")),
    }
    Ok(None)
}

/// Reads who signs a request, and for which region.
fn signer<'a>(options: &[&'a str]) -> (&'a str, &'a str) {
    let option = |name: &str| options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
    (option("account").unwrap_or(ACCOUNT), option("region").unwrap_or(REGION))
}

fn rest(service: &str, target: (&str, &str), options: &[&str], lines: &[String]) -> Result<Request<Bytes>, String> {
    wire::service_named(service).ok_or_else(|| format!("{service} is no service"))?;
    let (account, region) = signer(options);
    // Without headers there is no line that ends them.
    let has_headers = lines.iter().any(|line| line == "--");
    let mut lines = lines.iter();
    let head = lines.by_ref().take(if has_headers { usize::MAX } else { 0 }).take_while(|line| *line != "--");
    let headers = head.map(|line| line.split_once(": ").ok_or_else(|| format!("`{line}` is no header")));
    let headers = headers.collect::<Result<Vec<_>, _>>()?;
    let body = lines.map(String::as_str).collect::<Vec<_>>().join("\n");
    rest_request(service, account, region, target, &headers, &body).map_err(|error| error.to_string())
}

fn raw(method: &str, uri: &str, lines: &[String]) -> Result<Request<Bytes>, String> {
    let mut lines = lines.iter();
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines.by_ref().take_while(|line| *line != "--") {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("`{line}` is no header"))?;
        request = request.header(name, value);
    }
    let body = lines.map(String::as_str).collect::<Vec<_>>().join("\n");
    request.body(Bytes::from(body)).map_err(|error| error.to_string())
}

/// Writes a reply down: status, type, error header, body.
fn written(reply: &Reply) -> String {
    let header = |name: &str| reply.headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"));
    let mut text = format!("< {} {}", reply.status.as_u16(), header("content-type"));
    let error = header("x-amzn-errortype");
    if !error.is_empty() {
        text.push_str(&format!(" {error}"));
    }
    text.push('\n');
    // What S3 says, it says in headers as often as not.
    if reply.headers.contains_key("x-amz-request-id") {
        let lines = reply.headers.iter().filter(|(name, _)| !UNSHOWN.contains(&name.as_str()));
        lines.for_each(|(name, value)| text.push_str(&format!("{name}: {}\n", value.to_str().unwrap_or("?"))));
    }
    format!("{text}{}", pretty::body(&reply.text()))
}
