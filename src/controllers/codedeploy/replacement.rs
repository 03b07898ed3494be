//! What the tasks of a replacement task set are: those of the original one, with what the AppSpec changes.

use serde_json::{Value, json};
use state::Document;
use state::codedeploy::{AppSpec, GroupSettings};
use state::ecs::{LaunchType, ServiceCapacity, TaskDefinition, Workload};

use super::plan::Lack;

/// Makes the workload of a replacement.
pub(super) fn workload(
    original: &Workload,
    spec: &AppSpec,
    definition: &TaskDefinition,
    settings: &GroupSettings,
) -> Workload {
    let mut workload = original.clone();
    workload.definition = definition.name.clone();
    workload.definition_arn = definition.arn.clone();
    if let Some(version) = &spec.platform_version {
        workload.platform_version = Some(version.clone());
    }
    if let Some(strategy) = &spec.strategy {
        let launch_type = match &original.capacity {
            ServiceCapacity::Providers { launch_type, .. } => *launch_type,
            // Fargate's own providers are the only ones that a service with a launch type can go over to.
            ServiceCapacity::LaunchType(_) => LaunchType::Fargate,
        };
        workload.capacity = ServiceCapacity::Providers { strategy: strategy.clone(), launch_type };
    }
    if let Some(network) = &spec.network {
        let mut network = network.clone();
        if let Some(known) = original.network.as_ref().filter(|_| network.security_groups.is_empty()) {
            network.security_groups = known.security_groups.clone();
        }
        let shown = json!({ "awsvpcConfiguration": {
            "subnets": network.subnets.iter().map(|subnet| subnet.as_str()).collect::<Vec<_>>(),
            "securityGroups": network.security_groups.iter().map(|group| group.as_str()).collect::<Vec<_>>(),
            "assignPublicIp": if network.assigns_public_ip { "ENABLED" } else { "DISABLED" },
        }});
        workload.network_configuration = Some(Document::new(shown.to_string()));
        workload.network = Some(network);
    }
    workload.load_balancers =
        original.load_balancers.as_ref().map(|known| load_balancers(known, spec, &settings.target_groups));
    workload
}

/// Names the other target group of the pair, and the container of the AppSpec.
fn load_balancers(known: &Document, spec: &AppSpec, pair: &[String]) -> Document {
    let Ok(Value::Array(mut balancers)) = serde_json::from_str::<Value>(known.as_str()) else { return known.clone() };
    for balancer in &mut balancers {
        let Some(arn) = balancer["targetGroupArn"].as_str().map(str::to_owned) else { continue };
        let name = arn.split('/').nth(1).unwrap_or(&arn).to_owned();
        balancer["containerName"] = json!(spec.container);
        balancer["containerPort"] = json!(spec.port);
        // Until there are load balancers, the ARN of the other group is made of its name: its last part is unknown.
        if let Some(other) = pair.iter().find(|other| **other != name).filter(|_| pair.contains(&name)) {
            balancer["targetGroupArn"] = json!(arn.replacen(&format!("/{name}/"), &format!("/{other}/"), 1));
        }
    }
    Document::new(Value::Array(balancers).to_string())
}

/// Says what an AppSpec names that the task definition does not have: ECS would make no task set of it.
pub(super) fn lack(spec: &AppSpec, definition: &TaskDefinition) -> Option<Lack> {
    // With interfaces of their own, containers have ports only in what the user wrote.
    let shown = serde_json::from_str::<Value>(definition.document.as_str()).unwrap_or_default();
    let mut containers = shown["containerDefinitions"].as_array().into_iter().flatten();
    let Some(container) = containers.find(|container| container["name"] == spec.container.as_str()) else {
        return Some(Lack::Container);
    };
    let mut mappings = container["portMappings"].as_array().into_iter().flatten();
    (!mappings.any(|mapping| mapping["containerPort"] == spec.port)).then_some(Lack::Port)
}

#[cfg(test)]
mod tests {
    use state::ecs::{Family, TaskDefinitionName};

    use super::*;

    #[test]
    fn a_replacement_is_in_the_other_target_group_with_the_container_of_the_spec() {
        let spec = AppSpec {
            definition: TaskDefinitionName { family: Family::parse("f").unwrap(), revision: 1 },
            task_definition: "arn".to_owned(),
            container: "web".to_owned(),
            port: 8080,
            platform_version: None,
            network: None,
            strategy: None,
            hooks: Vec::new(),
        };
        let known =
            Document::new(r#"[{"targetGroupArn":"a:targetgroup/blue/1","containerName":"app","containerPort":80}]"#);
        let pair = ["blue".to_owned(), "green".to_owned()];
        let shown = load_balancers(&known, &spec, &pair);
        let expected = r#"[{"containerName":"web","containerPort":8080,"targetGroupArn":"a:targetgroup/green/1"}]"#;
        assert_eq!(shown.as_str(), expected);
        let elsewhere = load_balancers(&known, &spec, &["x".to_owned(), "y".to_owned()]);
        assert!(elsewhere.as_str().contains("targetgroup/blue/1"));
    }
}
