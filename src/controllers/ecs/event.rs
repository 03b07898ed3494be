//! What happens to resources of ECS, as the events that ECS emits of it.

use base::{Scope, Timestamp};
use serde_json::{Map, Value, json};
use state::Document;
use state::ecs::{
    Container, ContainerInstance, DeploymentChange, EVENT_SOURCE, Eni, HealthStatus, Launch, Occurrence, Resources,
    ServiceAction, Task,
};
use state::events::Event;

/// Makes the event of an occurrence.
pub(crate) fn event_of(occurrence: &Occurrence, scope: &Scope, at: Timestamp, id: String) -> Event {
    let (resource, detail) = match occurrence {
        Occurrence::Task(task) => (task.arn.to_string(), task_detail(task, at)),
        Occurrence::ContainerInstance(instance) => (instance.arn.to_string(), instance_detail(instance, at)),
        Occurrence::ServiceAction(action) => (action.service.to_string(), action_detail(action, at)),
        Occurrence::DeploymentChange(change) => (change.service.to_string(), deployment_detail(change, at)),
    };
    Event {
        id,
        source: EVENT_SOURCE.to_owned(),
        detail_type: occurrence.detail_type().to_owned(),
        account: scope.account,
        at,
        region: scope.region.clone(),
        resources: vec![resource],
        detail: Document::new(Value::Object(detail).to_string()),
        hops: 0,
    }
}

/// The members of an object, without those that are not there.
#[derive(Default)]
struct Members(Map<String, Value>);

impl Members {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    fn put_if<T: Into<Value>>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    fn put_at(&mut self, name: &str, at: Option<Timestamp>) {
        self.put_if(name, at.map(Timestamp::iso_millis));
    }
}

/// A task, much as DescribeTasks shows it; without its tags.
fn task_detail(task: &Task, at: Timestamp) -> Map<String, Value> {
    let mut detail = Members::default();
    detail.put("attachments", task.eni.iter().map(attachment).collect::<Value>());
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    detail.put("attributes", json!([{ "name": "ecs.cpu-architecture", "value": architecture }]));
    detail.put_if("availabilityZone", task.availability_zone.clone());
    detail.put_if("capacityProviderName", task.capacity_provider.clone());
    detail.put("clusterArn", task.cluster_arn.as_str());
    detail.put_if("containerInstanceArn", container_instance_arn(task));
    if task.connectivity_at.is_some() {
        let is_over = task.stopped_at.is_some();
        detail.put("connectivity", if is_over { "DISCONNECTED" } else { "CONNECTED" });
    }
    detail.put_at("connectivityAt", task.connectivity_at);
    detail.put("containers", task.containers.iter().map(|one| container(task, one)).collect::<Value>());
    detail.put_if("cpu", task.cpu_units.map(|units| units.to_string()));
    detail.put_if("memory", task.memory_mib.map(|mib| mib.to_string()));
    detail.put_at("createdAt", Some(task.created_at));
    detail.put("desiredStatus", task.desired_status());
    detail.put("enableExecuteCommand", task.is_exec_enabled);
    detail.put_at("executionStoppedAt", task.execution_stopped_at);
    detail.put("group", task.group.as_str());
    if task.health() != HealthStatus::Unknown {
        detail.put("healthStatus", task.health().as_str());
    }
    detail.put("lastStatus", task.last_status.as_str());
    detail.put("launchType", task.launch.launch_type().as_str());
    detail.put("overrides", overrides(task));
    if let Launch::Fargate { platform_version } = &task.launch {
        detail.put("platformVersion", platform_version.as_str());
        detail.put("ephemeralStorage", json!({ "sizeInGiB": task.ephemeral_storage_gib }));
    }
    detail.put_at("pullStartedAt", task.pull_started_at);
    detail.put_at("pullStoppedAt", task.pull_stopped_at);
    detail.put_at("startedAt", task.started_at);
    detail.put_if("startedBy", task.started_by.clone());
    detail.put_if("stopCode", task.stop_code());
    detail.put_if("stoppedReason", task.stop.as_ref().map(|stop| stop.reason.clone()));
    detail.put_at("stoppingAt", task.stop.as_ref().map(|stop| stop.at));
    detail.put_at("stoppedAt", task.stopped_at);
    detail.put("taskArn", task.arn.as_str());
    detail.put("taskDefinitionArn", task.definition_arn.as_str());
    detail.put_at("updatedAt", Some(at));
    detail.put("version", task.version);
    detail.0
}

/// Builds the ARN from the cluster's, whose form it shares.
fn container_instance_arn(task: &Task) -> Option<String> {
    let id = task.launch.container_instance()?;
    let (of_account, _) = task.cluster_arn.as_str().split_once(":cluster/")?;
    Some(format!("{of_account}:container-instance/{}/{id}", task.key.cluster))
}

fn overrides(task: &Task) -> Value {
    let given = task.overrides.document.as_ref().and_then(|document| serde_json::from_str(document.as_str()).ok());
    let unchanged = || {
        let entries = task.containers.iter().map(|container| json!({ "name": container.name }));
        json!({ "containerOverrides": entries.collect::<Value>() })
    };
    given.unwrap_or_else(unchanged)
}

/// An interface is an `eni` here, and an `ElasticNetworkInterface` in the API.
fn attachment(eni: &Eni) -> Value {
    let details = eni.details().map(|(name, value)| json!({ "name": name, "value": value }));
    json!({
        "id": eni.attachment_id,
        "type": "eni",
        "status": eni.status.as_str(),
        "details": details.collect::<Value>(),
    })
}

fn container(task: &Task, container: &Container) -> Value {
    let mut shown = Members::default();
    shown.put("containerArn", container.arn.as_str());
    shown.put("cpu", container.cpu_units.to_string());
    shown.put_if("exitCode", container.exit_code);
    shown.put("image", container.image.as_str());
    shown.put_if("imageDigest", container.image_digest.clone());
    shown.put("lastStatus", container.status.as_str());
    shown.put_if("memory", container.memory_mib.map(|mib| mib.to_string()));
    shown.put_if("memoryReservation", container.memory_reservation_mib.map(|mib| mib.to_string()));
    shown.put("name", container.name.as_str());
    if let Some(health) = &container.health {
        shown.put("healthStatus", health.status.as_str());
    }
    let address = task.eni.as_ref().and_then(|eni| Some((eni, eni.address?)));
    let interfaces = address
        .map(|(eni, address)| json!({ "attachmentId": eni.attachment_id, "privateIpv4Address": address.to_string() }));
    shown.put("networkInterfaces", interfaces.into_iter().collect::<Value>());
    let is_on_instance = task.launch.container_instance().is_some();
    if is_on_instance {
        let bindings = container.network_bindings.iter().map(|binding| {
            let mut shown = Members::default();
            shown.put_if("bindIP", binding.bind_ip.clone());
            shown.put_if("containerPort", binding.container_port);
            shown.put_if("containerPortRange", binding.container_port_range.clone());
            shown.put_if("hostPort", binding.host_port);
            shown.put_if("hostPortRange", binding.host_port_range.clone());
            shown.put_if("protocol", binding.protocol.clone());
            Value::Object(shown.0)
        });
        shown.put("networkBindings", bindings.collect::<Value>());
    }
    shown.put_if("reason", container.reason.clone());
    let id = if is_on_instance {
        container.agent_runtime_id.clone()
    } else {
        container.started_at.map(|_| container.id.to_string())
    };
    shown.put_if("runtimeId", id);
    if task.is_exec_enabled && !is_on_instance {
        shown.put("managedAgents", json!([{ "name": "ExecuteCommandAgent", "status": container.status.as_str() }]));
    }
    shown.put("taskArn", task.arn.as_str());
    Value::Object(shown.0)
}

fn instance_detail(instance: &ContainerInstance, at: Timestamp) -> Map<String, Value> {
    let mut detail = Members::default();
    detail.put("agentConnected", instance.is_agent_connected);
    let attributes = instance.attributes.iter().map(|attribute| match &attribute.value {
        Some(value) => json!({ "name": attribute.name, "value": value }),
        None => json!({ "name": attribute.name }),
    });
    detail.put("attributes", attributes.collect::<Value>());
    let cluster = instance.arn.as_str().split_once(":container-instance/");
    detail.put_if("clusterArn", cluster.map(|(account, _)| format!("{account}:cluster/{}", instance.key.cluster)));
    detail.put("containerInstanceArn", instance.arn.as_str());
    detail.put_if("ec2InstanceId", instance.ec2_instance_id.clone());
    detail.put_at("registeredAt", Some(instance.registered_at));
    detail.put("registeredResources", resources(&instance.resources));
    detail.put("remainingResources", resources(&instance.remaining()));
    detail.put("status", instance.status.as_str());
    detail.put("version", instance.version);
    let versions = instance.version_info.as_ref().and_then(|info| serde_json::from_str::<Value>(info.as_str()).ok());
    detail.put("versionInfo", versions.unwrap_or_else(|| json!({})));
    detail.put_at("updatedAt", Some(at));
    detail.0
}

fn resources(has: &Resources) -> Value {
    let ports = |ports: &std::collections::BTreeSet<u16>| ports.iter().map(u16::to_string).collect::<Vec<_>>();
    json!([
        { "name": "CPU", "type": "INTEGER", "integerValue": has.cpu_units },
        { "name": "MEMORY", "type": "INTEGER", "integerValue": has.memory_mib },
        { "name": "PORTS", "type": "STRINGSET", "stringSetValue": ports(&has.ports.tcp) },
        { "name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": ports(&has.ports.udp) },
    ])
}

fn action_detail(action: &ServiceAction, at: Timestamp) -> Map<String, Value> {
    let mut detail = Members::default();
    detail.put("eventType", action.kind.as_str());
    detail.put("eventName", action.name.as_str());
    detail.put("clusterArn", action.cluster.as_str());
    detail.put_at("createdAt", Some(at));
    detail.put_if("reason", action.reason.clone());
    for (name, arns) in [
        ("taskArns", &action.tasks),
        ("containerInstanceArns", &action.container_instances),
        ("capacityProviderArns", &action.capacity_providers),
    ] {
        if !arns.is_empty() {
            detail.put(name, arns.iter().map(base::Arn::as_str).collect::<Value>());
        }
    }
    detail.0
}

fn deployment_detail(change: &DeploymentChange, at: Timestamp) -> Map<String, Value> {
    let mut detail = Members::default();
    detail.put("eventType", change.kind.as_str());
    detail.put("eventName", change.name.as_str());
    detail.put("deploymentId", change.deployment.as_str());
    detail.put_at("updatedAt", Some(at));
    detail.put("reason", change.reason.as_str());
    detail.0
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Arn, Region};
    use state::ecs::OccurrenceType;

    use super::super::samples;
    use super::*;

    fn scope() -> Scope {
        Scope::new(AccountId::DEFAULT, Region::default())
    }

    fn detail(occurrence: &Occurrence) -> Value {
        let event = event_of(occurrence, &scope(), Timestamp::from_millis(1_402), "id".to_owned());
        assert_eq!((event.source.as_str(), event.detail_type.as_str()), ("aws.ecs", occurrence.detail_type()));
        serde_json::from_str(event.detail.as_str()).unwrap()
    }

    #[test]
    fn a_service_action_shows_what_it_is_about_and_nothing_else() {
        let action = ServiceAction {
            service: Arn::new("ecs", &scope(), "service/default/web"),
            cluster: Arn::new("ecs", &scope(), "cluster/default"),
            kind: OccurrenceType::Error,
            name: "SERVICE_TASK_PLACEMENT_FAILURE".to_owned(),
            reason: Some("RESOURCE:FARGATE".to_owned()),
            tasks: Vec::new(),
            container_instances: Vec::new(),
            capacity_providers: vec![Arn::new("ecs", &scope(), "capacity-provider/FARGATE_SPOT")],
        };
        let expected = json!({
            "eventType": "ERROR",
            "eventName": "SERVICE_TASK_PLACEMENT_FAILURE",
            "clusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/default",
            "createdAt": "1970-01-01T00:00:01.402Z",
            "reason": "RESOURCE:FARGATE",
            "capacityProviderArns": ["arn:aws:ecs:us-east-1:000000000000:capacity-provider/FARGATE_SPOT"],
        });
        assert_eq!(detail(&Occurrence::ServiceAction(action)), expected);
    }

    #[test]
    fn a_deployment_shows_its_id_and_reason() {
        let change = DeploymentChange {
            service: Arn::new("ecs", &scope(), "service/default/web"),
            kind: OccurrenceType::Info,
            name: "SERVICE_DEPLOYMENT_COMPLETED".to_owned(),
            deployment: "ecs-svc/1".to_owned(),
            reason: "ECS deployment ecs-svc/1 completed.".to_owned(),
        };
        let expected = json!({
            "eventType": "INFO",
            "eventName": "SERVICE_DEPLOYMENT_COMPLETED",
            "deploymentId": "ecs-svc/1",
            "updatedAt": "1970-01-01T00:00:01.402Z",
            "reason": "ECS deployment ecs-svc/1 completed.",
        });
        assert_eq!(detail(&Occurrence::DeploymentChange(change)), expected);
    }

    #[test]
    fn a_task_shows_no_tags_and_no_times_that_were_not() {
        let mut task = samples::task(vec![samples::container("web")]);
        task.tags = vec![state::Tag { key: "a".to_owned(), value: "b".to_owned() }];
        let shown = detail(&Occurrence::Task(std::sync::Arc::new(task)));
        for absent in ["tags", "startedAt", "stoppedAt", "stopCode", "startedBy", "containerInstanceArn"] {
            assert!(shown.get(absent).is_none(), "{absent}");
        }
        assert_eq!(shown["updatedAt"], "1970-01-01T00:00:01.402Z");
        assert_eq!(shown["version"], 1);
        assert_eq!(shown["overrides"], json!({ "containerOverrides": [{ "name": "web" }] }));
        assert_eq!(shown["containers"][0]["lastStatus"], "PENDING");
    }

    #[test]
    fn a_task_under_notice_says_so() {
        let mut task = samples::task(vec![samples::container("web")]);
        let stop = state::ecs::StopRequest {
            code: state::ecs::StopCode::SpotInterruption,
            reason: "Your Spot Task was interrupted.".to_owned(),
            at: Timestamp::from_millis(0),
        };
        task.stop = Some(stop);
        let shown = detail(&Occurrence::Task(std::sync::Arc::new(task)));
        assert_eq!((&shown["stopCode"], &shown["desiredStatus"]), (&json!("TerminationNotice"), &json!("STOPPED")));
    }
}
