//! AppSpecs: what a deployment is to deploy. Requests bring them along, or the controller reads them from S3.

use base::{Arn, SecurityGroupId, SubnetId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Stage, yaml};
use crate::ecs::{Family, ProviderShare, TaskDefinitionName, TaskNetwork};

/// What an AppSpec says of the replacement task set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSpec {
    /// The task definition.
    pub definition: TaskDefinitionName,
    /// Its ARN, as the AppSpec has it.
    pub task_definition: String,
    /// The container that takes the traffic.
    pub container: String,
    /// Its port.
    pub port: u16,
    /// The platform version, if it is to change.
    pub platform_version: Option<String>,
    /// The network, if it is to change.
    pub network: Option<TaskNetwork>,
    /// The capacity providers, if they are to change.
    pub strategy: Option<Vec<ProviderShare>>,
    /// The functions that are to be called, with the lifecycle events at which they are.
    pub hooks: Vec<(String, String)>,
}

impl AppSpec {
    /// The longest AppSpec.
    pub const BYTES_MAX: usize = 64 * 1024;

    /// Reads an AppSpec for an ECS service, in YAML or JSON, or says in words what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(text)
    }

    /// Returns the function that is to be called at a lifecycle event.
    pub fn hook(&self, event: &str) -> Option<&str> {
        self.hooks.iter().find(|(known, _)| known == event).map(|(_, function)| function.as_str())
    }
}

fn parse(text: &str) -> Result<AppSpec, String> {
    if text.len() > AppSpec::BYTES_MAX {
        return Err(format!("it is larger than {} bytes", AppSpec::BYTES_MAX));
    }
    // YAML's JSON is nearly JSON, but only nearly.
    let document = match serde_json::from_str::<Value>(text) {
        Ok(document) => document,
        Err(_) => yaml::read(text)?,
    };
    if document.is_null() {
        return Err("it is empty".to_owned());
    }
    let version = member(&document, "version").and_then(scalar).ok_or("it has no version")?;
    if version != "0.0" && version != "0" {
        return Err(format!("its version is {version}, not 0.0"));
    }
    let resources = member(&document, "resources").and_then(Value::as_array).ok_or("it has no list of Resources")?;
    let [resource] = resources.as_slice() else { return Err("it has not one resource".to_owned()) };
    let target = resource.as_object().and_then(|members| members.values().next()).ok_or("its resource is empty")?;
    let kind = member(target, "type").and_then(scalar).unwrap_or_default();
    if kind != "AWS::ECS::Service" {
        return Err(format!("the type of its resource is `{kind}`, not AWS::ECS::Service"));
    }
    let properties = member(target, "properties").ok_or("its resource has no Properties")?;
    let task_definition = member(properties, "taskdefinition").and_then(scalar).ok_or("it names no TaskDefinition")?;
    let definition = definition(&task_definition)
        .ok_or_else(|| format!("`{task_definition}` is no ARN of a task definition with its revision"))?;
    let balancer = member(properties, "loadbalancerinfo").ok_or("it has no LoadBalancerInfo")?;
    let container = member(balancer, "containername").and_then(scalar).ok_or("it names no ContainerName")?;
    let port = member(balancer, "containerport").and_then(scalar).and_then(|port| port.parse::<u16>().ok());
    Ok(AppSpec {
        definition,
        task_definition,
        container,
        port: port.ok_or("it names no ContainerPort")?,
        platform_version: member(properties, "platformversion").and_then(scalar),
        network: member(properties, "networkconfiguration").map(network).transpose()?,
        strategy: member(properties, "capacityproviderstrategy").map(strategy).transpose()?,
        hooks: member(&document, "hooks").map(hooks).transpose()?.unwrap_or_default(),
    })
}

/// Returns a member that is there, in whatever case its name is written.
fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let members = value.as_object()?.iter();
    members.filter(|(known, value)| known.eq_ignore_ascii_case(name) && !value.is_null()).map(|(_, value)| value).next()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().map(|items| items.iter().filter_map(scalar).collect()).unwrap_or_default()
}

fn definition(arn: &str) -> Option<TaskDefinitionName> {
    let arn = Arn::parse(arn)?;
    let (family, revision) = arn.resource_of("task-definition")?.split_once(':')?;
    Some(TaskDefinitionName { family: Family::parse(family)?, revision: revision.parse().ok()? })
}

fn network(value: &Value) -> Result<TaskNetwork, String> {
    let vpc = member(value, "awsvpcconfiguration").ok_or("its NetworkConfiguration has no AwsvpcConfiguration")?;
    let list = |name: &str| member(vpc, name).map(texts).unwrap_or_default();
    let subnets = list("subnets").into_iter().map(SubnetId::new).collect::<Vec<_>>();
    if subnets.is_empty() {
        return Err("its AwsvpcConfiguration has no Subnets".to_owned());
    }
    Ok(TaskNetwork {
        subnets,
        security_groups: list("securitygroups").into_iter().map(SecurityGroupId::new).collect(),
        assigns_public_ip: member(vpc, "assignpublicip").and_then(scalar).as_deref() == Some("ENABLED"),
    })
}

fn strategy(value: &Value) -> Result<Vec<ProviderShare>, String> {
    let shares = value.as_array().ok_or("its CapacityProviderStrategy is no list")?;
    let number = |share: &Value, name: &str| {
        member(share, name).and_then(scalar).and_then(|text| text.parse::<u32>().ok()).unwrap_or_default()
    };
    let share = |share: &Value| {
        let provider = member(share, "capacityprovider").and_then(scalar).ok_or("it names no CapacityProvider")?;
        Ok(ProviderShare { provider, base: number(share, "base"), weight: number(share, "weight") })
    };
    shares.iter().map(share).collect()
}

fn hooks(value: &Value) -> Result<Vec<(String, String)>, String> {
    let mut hooks = Vec::new();
    for hook in value.as_array().ok_or("its Hooks are no list")? {
        for (event, function) in hook.as_object().ok_or("one of its Hooks is no mapping")? {
            let known =
                Stage::HOOKS.into_iter().filter_map(Stage::hook).find(|known| known.eq_ignore_ascii_case(event));
            let known = known.ok_or_else(|| format!("`{event}` is no lifecycle event with a hook"))?;
            hooks.push((known.to_owned(), scalar(function).ok_or_else(|| format!("{event} names no function"))?));
        }
    }
    Ok(hooks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:ecs:us-east-1:123456789012:task-definition/web:7";

    fn yaml(properties: &str) -> String {
        format!(
            "version: 0.0\nResources:\n  - TargetService:\n      Type: AWS::ECS::Service\n      Properties:\n{properties}"
        )
    }

    #[test]
    fn yaml_and_json_say_the_same() {
        let text = yaml(&format!(
            "        TaskDefinition: \"{ARN}\"\n        LoadBalancerInfo:\n          ContainerName: app\n          \
             ContainerPort: 8080\n        NetworkConfiguration:\n          AwsvpcConfiguration:\n            \
             Subnets: [subnet-1]\n            SecurityGroups: [sg-1]\n            AssignPublicIp: ENABLED\nHooks:\n  - \
             BeforeInstall: f\n"
        ));
        let json = format!(
            r#"{{"version":0.0,"Resources":[{{"TargetService":{{"Type":"AWS::ECS::Service","Properties":{{
            "TaskDefinition":"{ARN}","LoadBalancerInfo":{{"ContainerName":"app","ContainerPort":8080}},
            "NetworkConfiguration":{{"awsvpcConfiguration":{{"subnets":["subnet-1"],"securityGroups":["sg-1"],
            "assignPublicIp":"ENABLED"}}}}}}}}}}],"Hooks":[{{"beforeInstall":"f"}}]}}"#
        );
        let spec = parse(&text).unwrap();
        assert_eq!(parse(&json).unwrap(), spec);
        assert_eq!((spec.definition.to_string().as_str(), spec.container.as_str(), spec.port), ("web:7", "app", 8080));
        assert_eq!(spec.hooks, [("BeforeInstall".to_owned(), "f".to_owned())]);
    }

    #[test]
    fn what_is_missing_is_said() {
        let service = |rest: &str| yaml(&format!("        TaskDefinition: {ARN}\n{rest}"));
        for (text, why) in [
            ("", "it is empty"),
            ("a: b", "it has no version"),
            ("version: 1.0", "its version is 1.0, not 0.0"),
            ("version: 0.0", "it has no list of Resources"),
            ("version: 0.0\nResources: []", "it has not one resource"),
            ("version: 0.0\nResources: [{A: {Type: B}}]", "the type of its resource is `B`, not AWS::ECS::Service"),
            (&yaml("        TaskDefinition: web"), "`web` is no ARN of a task definition with its revision"),
            (&service(""), "it has no LoadBalancerInfo"),
            (&service("        LoadBalancerInfo: {ContainerName: a}"), "it names no ContainerPort"),
            (
                &service("        LoadBalancerInfo: {ContainerName: a, ContainerPort: 80}\nHooks: [{Later: f}]"),
                "`Later` is no lifecycle event with a hook",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), why, "{text}");
        }
    }
}
