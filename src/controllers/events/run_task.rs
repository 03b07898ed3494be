//! A cluster as a target: RunTask, as EventBridge would call it. The delivery's token is the request's, so that a delivery
//! that is made again after a restart starts no second task.

use base::Scope;
use serde_json::{Map, Value};
use state::events::{Delivery, EcsTarget};

use super::delivery::Outcome;
use crate::World;

/// What of a target's input overrides the task definition.
const OVERRIDES: [&str; 7] = [
    "containerOverrides",
    "cpu",
    "memory",
    "ephemeralStorage",
    "executionRoleArn",
    "taskRoleArn",
    "inferenceAcceleratorOverrides",
];

/// Starts the tasks.
pub(super) async fn deliver(world: &World, scope: &Scope, wanted: &EcsTarget, delivery: &Delivery) -> Outcome {
    let request = request(wanted, delivery);
    match world.api.call(scope, "ecs", "RunTask", &request).await {
        Ok(answer) => {
            let tasks = answer.get("tasks").and_then(Value::as_array).map_or(0, Vec::len);
            let failure = answer.pointer("/failures/0/reason").and_then(Value::as_str);
            match failure {
                // Part of them runs: the rest is not asked for again, as the token would not start it.
                Some(why) if tasks == 0 => Outcome::retry(why),
                _ => Outcome::Done,
            }
        }
        Err(fault) if fault.is_final => Outcome::failed(format!("RunTask: {}: {}", fault.code, fault.message)),
        Err(fault) => Outcome::retry(format!("RunTask: {}: {}", fault.code, fault.message)),
    }
}

fn request(wanted: &EcsTarget, delivery: &Delivery) -> Value {
    let mut request = serde_json::from_str::<Map<String, Value>>(wanted.request.as_str()).unwrap_or_default();
    request.insert("cluster".to_owned(), Value::from(delivery.target.arn.as_str()));
    request.insert("startedBy".to_owned(), Value::from(delivery.started_by.as_str()));
    request.insert("clientToken".to_owned(), Value::from(delivery.token.as_str()));
    // An input that overrides nothing, such as the event itself, is no error.
    if let Ok(Value::Object(input)) = serde_json::from_str(&delivery.payload) {
        let overrides = input.into_iter().filter(|(name, _)| OVERRIDES.contains(&name.as_str()));
        let overrides = overrides.collect::<Map<_, _>>();
        if !overrides.is_empty() {
            request.insert("overrides".to_owned(), Value::Object(overrides));
        }
    }
    Value::Object(request)
}
