//! Interrupts tasks on Fargate Spot. AWS does so when it needs the capacity; here somebody has to ask for it.

use std::time::Duration;

use controllers::{NotInterrupted, SpotInterruption};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};
use state::ecs::Task;

use crate::{Emulator, admin};

/// The largest body: some hundreds of ARNs.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// What a body may be, for whoever sent something else.
const USAGE: &str = r#"send {"tasks": ["<id or ARN>"], "cluster": "<name or ARN>"}; without tasks all of FARGATE_SPOT are meant, without cluster those of every cluster"#;

/// Answers a request to interrupt tasks.
pub(crate) async fn interrupt(emulator: &Emulator, body: Incoming, pause_max: Duration) -> (StatusCode, Value) {
    let body = match admin::receive(body, BODY_BYTES_MAX, pause_max).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let wanted = match read(&body) {
        Ok(wanted) => wanted,
        Err(why) => return (StatusCode::BAD_REQUEST, json!({ "message": format!("{why}; {USAGE}") })),
    };
    match emulator.controllers().interrupt(&wanted) {
        Ok(tasks) => (StatusCode::OK, json!({ "tasks": tasks.iter().map(|task| view(task)).collect::<Vec<_>>() })),
        Err(refusal) => {
            let status = match refusal {
                NotInterrupted::NoCluster(_) | NotInterrupted::NoTask(_) => StatusCode::NOT_FOUND,
                NotInterrupted::NotSpot(_) | NotInterrupted::Stopping(_) => StatusCode::CONFLICT,
            };
            (status, json!({ "message": refusal.to_string() }))
        }
    }
}

/// Reads what is wanted; an empty body wants everything.
fn read(body: &[u8]) -> Result<SpotInterruption, String> {
    if body.trim_ascii().is_empty() {
        return Ok(SpotInterruption::default());
    }
    let body = serde_json::from_slice::<Value>(body).map_err(|error| format!("the body is no JSON: {error}"))?;
    let Value::Object(members) = body else { return Err("the body is no JSON object".to_owned()) };
    let mut wanted = SpotInterruption::default();
    for (name, value) in members {
        match (name.as_str(), value) {
            ("cluster" | "tasks", Value::Null) => {}
            ("cluster", Value::String(cluster)) => wanted.cluster = Some(cluster),
            ("cluster", _) => return Err("`cluster` is no text".to_owned()),
            // A script whose list came out empty does not mean all tasks.
            ("tasks", Value::Array(tasks)) if tasks.is_empty() => return Err("`tasks` is empty".to_owned()),
            ("tasks", Value::Array(tasks)) => {
                let texts = tasks.iter().map(|task| task.as_str().map(ToOwned::to_owned)).collect::<Option<Vec<_>>>();
                wanted.tasks = Some(texts.ok_or("`tasks` has something that is no text")?);
            }
            ("tasks", _) => return Err("`tasks` is no list".to_owned()),
            (other, _) => return Err(format!("there is no member `{other}`")),
        }
    }
    Ok(wanted)
}

fn view(task: &Task) -> Value {
    json!({
        "taskArn": task.arn.as_str(),
        "clusterArn": task.cluster_arn.as_str(),
        "group": task.group,
        "lastStatus": task.last_status.as_str(),
        "desiredStatus": task.desired_status(),
        "stopCode": task.stop_code(),
        "stoppedReason": task.stop.as_ref().map(|stop| stop.reason.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_which_tasks_and_anything_else_is_refused() {
        let some = |cluster: Option<&str>, tasks: &[&str]| SpotInterruption {
            cluster: cluster.map(ToOwned::to_owned),
            tasks: Some(tasks.iter().map(|&task| task.to_owned()).collect()),
        };
        let all = |cluster: Option<&str>| SpotInterruption { tasks: None, ..some(cluster, &[]) };
        for (body, expected) in [
            ("", Ok(all(None))),
            (" \n", Ok(all(None))),
            ("{}", Ok(all(None))),
            (r#"{"cluster":null,"tasks":null}"#, Ok(all(None))),
            (r#"{"cluster":"c"}"#, Ok(all(Some("c")))),
            (r#"{"cluster":"c","tasks":["1","2"]}"#, Ok(some(Some("c"), &["1", "2"]))),
            ("[]", Err("the body is no JSON object")),
            (r#"{"cluster":1}"#, Err("`cluster` is no text")),
            (r#"{"tasks":"1"}"#, Err("`tasks` is no list")),
            (r#"{"tasks":[]}"#, Err("`tasks` is empty")),
            (r#"{"tasks":["1",2]}"#, Err("`tasks` has something that is no text")),
            (r#"{"task":"1"}"#, Err("there is no member `task`")),
        ] {
            assert_eq!(read(body.as_bytes()), expected.map_err(ToOwned::to_owned), "{body}");
        }
        assert!(read(b"{").unwrap_err().starts_with("the body is no JSON: "));
    }
}
