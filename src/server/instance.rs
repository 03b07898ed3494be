//! Container instances that this machine plays. On AWS they are machines whose agents register themselves.

use std::time::Duration;

use controllers::{NewInstance, NotAdded, NotRemoved};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use state::ecs::ContainerInstance;

use crate::{Emulator, admin};

/// The largest body: some attributes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// What a body may be, for whoever sent something else.
const USAGE: &str = r#"send {"cluster": "<name or ARN>"}, and as you like "cpu", "memory", "instanceType", "capacityProvider", "subnet", "attributes": {"<name>": "<value>"}"#;

/// Answers a request for the instances that there are.
pub(crate) fn list(emulator: &Emulator) -> (StatusCode, Value) {
    let instances = emulator.controllers().instances();
    (StatusCode::OK, json!({ "instances": instances.iter().map(|instance| view(instance)).collect::<Vec<_>>() }))
}

/// Answers a request to give a cluster an instance.
pub(crate) async fn add(emulator: &Emulator, body: Incoming, pause_max: Duration) -> (StatusCode, Value) {
    let body = match admin::receive(body, BODY_BYTES_MAX, pause_max).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let wanted = match read(&body) {
        Ok(wanted) => wanted,
        Err(why) => return (StatusCode::BAD_REQUEST, json!({ "message": format!("{why}; {USAGE}") })),
    };
    match emulator.controllers().add_instance(&wanted) {
        Ok(instance) => (StatusCode::OK, json!({ "instances": [view(&instance)] })),
        Err(refusal) => {
            let status = match refusal {
                NotAdded::NoCluster(_) | NotAdded::NoSubnet(_) => StatusCode::NOT_FOUND,
                NotAdded::ManyClusters(_) => StatusCode::CONFLICT,
                NotAdded::TooManyAttributes => StatusCode::BAD_REQUEST,
            };
            (status, json!({ "message": refusal.to_string() }))
        }
    }
}

/// Answers a request to take an instance away.
pub(crate) fn remove(emulator: &Emulator, named: &str, is_forced: bool) -> (StatusCode, Value) {
    match emulator.controllers().remove_instance(named, is_forced) {
        Ok(instance) => (StatusCode::OK, json!({ "instances": [view(&instance)] })),
        Err(refusal) => {
            let status = match refusal {
                NotRemoved::NoInstance(_) => StatusCode::NOT_FOUND,
                NotRemoved::HasTasks(_) => StatusCode::CONFLICT,
            };
            (status, json!({ "message": refusal.to_string() }))
        }
    }
}

fn read(body: &[u8]) -> Result<NewInstance, String> {
    let body = serde_json::from_slice::<Value>(body).map_err(|error| format!("the body is no JSON: {error}"))?;
    let Value::Object(members) = body else { return Err("the body is no JSON object".to_owned()) };
    let mut wanted = NewInstance::default();
    for (name, value) in members {
        match (name.as_str(), value) {
            ("cluster", Value::String(text)) => wanted.cluster = text,
            ("cpu", value) => wanted.cpu_units = Some(amount(&name, &value)?),
            ("memory", value) => wanted.memory_mib = Some(amount(&name, &value)?),
            ("instanceType", Value::String(text)) => wanted.instance_type = Some(text),
            ("capacityProvider", Value::String(text)) => wanted.capacity_provider = Some(text),
            ("subnet", Value::String(text)) => wanted.subnet = Some(text),
            ("attributes", Value::Object(members)) => wanted.attributes = attributes(members)?,
            ("attributes", _) => return Err("`attributes` is no object".to_owned()),
            ("cluster" | "instanceType" | "capacityProvider" | "subnet", _) => {
                return Err(format!("`{name}` is no text"));
            }
            (other, _) => return Err(format!("there is no member `{other}`")),
        }
    }
    if wanted.cluster.is_empty() { Err("`cluster` is missing".to_owned()) } else { Ok(wanted) }
}

fn amount(name: &str, value: &Value) -> Result<u32, String> {
    // What the API can show.
    let amount = value.as_u64().and_then(|amount| i32::try_from(amount).ok()).filter(|amount| *amount > 0);
    amount.map(i32::unsigned_abs).ok_or_else(|| format!("`{name}` is no number above 0"))
}

fn attributes(members: Map<String, Value>) -> Result<Vec<(String, Option<String>)>, String> {
    let attribute = |(name, value): (String, Value)| match value {
        Value::String(value) => Ok((name, Some(value))),
        Value::Null => Ok((name, None)),
        _ => Err(format!("the attribute `{name}` is no text")),
    };
    members.into_iter().map(attribute).collect()
}

fn view(instance: &ContainerInstance) -> Value {
    let host = instance.host.as_ref();
    let zone = instance.attribute(state::ecs::ZONE_ATTRIBUTE).flatten();
    json!({
        "containerInstanceArn": instance.arn.as_str(),
        "ec2InstanceId": instance.ec2_instance_id,
        "cluster": instance.key.cluster.as_str(),
        "status": instance.status.as_str(),
        "agentConnected": instance.is_agent_connected,
        "instanceType": instance.instance_type,
        "availabilityZone": zone,
        "subnet": host.map(|host| host.subnet.as_str()),
        "privateIpAddress": host.and_then(|host| host.address).map(|address| address.to_string()),
        "cpu": instance.resources.cpu_units,
        "memory": instance.resources.memory_mib,
        "tasks": instance.claims.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_what_the_instance_has_and_anything_else_is_refused() {
        let whole = r#"{"cluster":"c","cpu":512,"memory":1024,"instanceType":"m5.large","capacityProvider":"p",
            "subnet":"subnet-1","attributes":{"stack":"prod","gpu":null}}"#;
        let some = |text: &str| Some(text.to_owned());
        let expected = NewInstance {
            cluster: "c".to_owned(),
            cpu_units: Some(512),
            memory_mib: Some(1024),
            instance_type: some("m5.large"),
            capacity_provider: some("p"),
            subnet: some("subnet-1"),
            attributes: vec![("gpu".to_owned(), None), ("stack".to_owned(), some("prod"))],
        };
        assert_eq!(read(whole.as_bytes()), Ok(expected));
        for (body, why) in [
            ("[]", "the body is no JSON object"),
            ("{}", "`cluster` is missing"),
            (r#"{"cluster":1}"#, "`cluster` is no text"),
            (r#"{"cluster":"c","cpu":0}"#, "`cpu` is no number above 0"),
            (r#"{"cluster":"c","memory":"1"}"#, "`memory` is no number above 0"),
            (r#"{"cluster":"c","attributes":[]}"#, "`attributes` is no object"),
            (r#"{"cluster":"c","attributes":{"a":1}}"#, "the attribute `a` is no text"),
            (r#"{"cluster":"c","more":1}"#, "there is no member `more`"),
        ] {
            assert_eq!(read(body.as_bytes()), Err(why.to_owned()), "{body}");
        }
    }
}
