//! Where events go, and what is made of them on the way.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Document;

use super::{Parameter, Retry};

/// Where events go. What of it only AWS would use is in `shown`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Its id within its rule; a schedule's target has none.
    pub id: String,
    /// The ARN of what is called.
    pub arn: String,
    /// What it is given.
    pub input: Input,
    /// Which tasks to run, if it is a cluster.
    pub ecs: Option<EcsTarget>,
    /// What else an API destination is given.
    pub http: Option<HttpTarget>,
    /// Source and type of the event that a schedule puts on a bus; none passes an event on as it is.
    #[serde(default)]
    pub posts_as: Option<(String, String)>,
    /// For how long it is tried again.
    pub retry: Retry,
    /// Its dead-letter queue, which is not there: what cannot be delivered is only noted in the log.
    pub dead_letter: Option<String>,
    /// The target as responses show it.
    pub shown: Document,
}

/// What a target is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// The event.
    Event,
    /// Always the same JSON.
    Constant(String),
    /// A part of the event, by a JSON path.
    Path(String),
    /// A text with parts of the event in it.
    Template {
        /// JSON paths by the names that the template has for them.
        paths: Vec<(String, String)>,
        /// The text; `<name>` stands for a part.
        template: String,
    },
}

/// Which tasks to run: RunTask's request, as far as it is known beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EcsTarget {
    /// Members of the request of RunTask, as JSON.
    pub request: Document,
}

/// What else an API destination is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpTarget {
    /// What stands for each `*` of the path.
    pub path_values: Vec<String>,
    /// Headers.
    pub headers: Vec<Parameter>,
    /// Parameters of the query.
    pub query: Vec<Parameter>,
}

impl EcsTarget {
    /// Makes the request of `EcsParameters`, which rules and schedules spell alike.
    pub fn of_parameters(parameters: &Document) -> Self {
        let parameters = serde_json::from_str::<Value>(parameters.as_str()).unwrap_or_default();
        let mut request = Map::new();
        let mut take = |from: &str, to: &str| {
            if let Some(value) = parameters.get(from).filter(|value| !value.is_null()) {
                request.insert(to.to_owned(), value.clone());
            }
        };
        take("TaskDefinitionArn", "taskDefinition");
        take("TaskCount", "count");
        take("LaunchType", "launchType");
        take("PlatformVersion", "platformVersion");
        take("Group", "group");
        take("CapacityProviderStrategy", "capacityProviderStrategy");
        take("EnableECSManagedTags", "enableECSManagedTags");
        take("EnableExecuteCommand", "enableExecuteCommand");
        take("PlacementConstraints", "placementConstraints");
        take("PlacementStrategy", "placementStrategy");
        take("PropagateTags", "propagateTags");
        take("ReferenceId", "referenceId");
        if let Some(vpc) = parameters.pointer("/NetworkConfiguration/awsvpcConfiguration") {
            let mut network = Map::new();
            for (from, to) in
                [("Subnets", "subnets"), ("SecurityGroups", "securityGroups"), ("AssignPublicIp", "assignPublicIp")]
            {
                if let Some(value) = vpc.get(from).filter(|value| !value.is_null()) {
                    network.insert(to.to_owned(), value.clone());
                }
            }
            request.insert("networkConfiguration".to_owned(), json!({ "awsvpcConfiguration": network }));
        }
        if let Some(Value::Array(tags)) = parameters.get("Tags") {
            request.insert("tags".to_owned(), tags.iter().flat_map(tags_of).collect());
        }
        Self { request: Document::new(Value::Object(request).to_string()) }
    }
}

/// Reads a tag: a key and a value so named, as rules spell it, or a map of keys to values, as schedules may.
fn tags_of(tag: &Value) -> Vec<Value> {
    let member = |upper: &str, lower: &str| tag.get(upper).or_else(|| tag.get(lower)).cloned();
    match (member("Key", "key"), member("Value", "value"), tag) {
        (Some(key), Some(value), _) => vec![json!({ "key": key, "value": value })],
        (_, _, Value::Object(map)) => map.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_a_target_become_a_request_of_run_task() {
        let parameters = json!({
            "TaskDefinitionArn": "arn:td",
            "TaskCount": 2,
            "LaunchType": "FARGATE",
            "NetworkConfiguration": {
                "awsvpcConfiguration": { "Subnets": ["subnet-1"], "AssignPublicIp": "ENABLED" }
            },
            "PropagateTags": "TASK_DEFINITION",
            "Tags": [{ "Key": "a", "Value": "b" }, { "c": "d" }],
        });
        let request: Value =
            serde_json::from_str(EcsTarget::of_parameters(&Document::new(parameters.to_string())).request.as_str())
                .unwrap();
        let expected = json!({
            "taskDefinition": "arn:td",
            "count": 2,
            "launchType": "FARGATE",
            "networkConfiguration": {
                "awsvpcConfiguration": { "subnets": ["subnet-1"], "assignPublicIp": "ENABLED" }
            },
            "propagateTags": "TASK_DEFINITION",
            "tags": [{ "key": "a", "value": "b" }, { "key": "c", "value": "d" }],
        });
        assert_eq!(request, expected);
    }
}
