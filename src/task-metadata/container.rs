//! The metadata of a container.

use std::collections::BTreeMap;

use serde::Serialize;
use state::ec2::Subnet;
use state::ecs::{Container, ContainerStatus, HealthStatus, Task};

use crate::echoed::EchoedContainer;
use crate::go_json;
use crate::path::Version;

/// The CPU units of a container that was given none.
const CPU_UNITS_MIN: u32 = 2;
/// The driver whose stream is shown instead of the prefix that it is made of.
const AWSLOGS: &str = "awslogs";
const STREAM_PREFIX: &str = "awslogs-stream-prefix";
/// What unpacks images: layers under an overlay.
const SNAPSHOTTER: &str = "overlayfs";

/// What is shown of a container, in the agent's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ContainerView {
    docker_id: String,
    name: String,
    docker_name: String,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<PortView>,
    labels: BTreeMap<String, String>,
    desired_status: &'static str,
    known_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    limits: LimitsView,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<VolumeView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_driver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_options: Option<BTreeMap<String, String>>,
    #[serde(rename = "ContainerARN", skip_serializing_if = "Option::is_none")]
    container_arn: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    networks: Vec<NetworkView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshotter: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_count: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PortView {
    container_port: u16,
    protocol: String,
    host_port: u16,
}

#[derive(Debug, Serialize)]
struct LimitsView {
    #[serde(rename = "CPU")]
    cpu_units: u32,
    #[serde(rename = "Memory", skip_serializing_if = "Option::is_none")]
    memory_mib: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthView {
    status: &'static str,
    status_since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    output: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeView {
    docker_name: String,
    destination: String,
}

/// The task's interface, as each of its containers shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NetworkView {
    network_mode: &'static str,
    #[serde(rename = "IPv4Addresses")]
    ipv4_addresses: Vec<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    interface: Option<InterfaceView>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct InterfaceView {
    attachment_index: u32,
    #[serde(rename = "MACAddress")]
    mac_address: String,
    #[serde(rename = "IPv4SubnetCIDRBlock")]
    subnet_cidr: String,
    domain_name_servers: Vec<String>,
    domain_name_search_list: Vec<String>,
    #[serde(rename = "PrivateDNSName")]
    private_dns_name: String,
    #[serde(rename = "SubnetGatewayIpv4Address")]
    subnet_gateway: String,
}

/// What of a VPC a container's metadata shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) vpc: &'a state::ec2::Vpc,
    pub(crate) subnet: &'a Subnet,
}

/// Shapes a container; older versions show less.
pub(crate) fn view(
    version: Version,
    task: &Task,
    container: &Container,
    echoed: Option<&EchoedContainer>,
    networks: Vec<NetworkView>,
) -> ContainerView {
    let is_v4 = version == Version::V4;
    let log = echoed.and_then(|echoed| echoed.log_configuration.as_ref()).filter(|_| is_v4);
    let started_at = container.restarted_at.or(container.started_at);
    ContainerView {
        docker_id: container.id.to_string(),
        name: container.name.clone(),
        // On Fargate both names are the same.
        docker_name: container.name.clone(),
        image: container.image.clone(),
        image_id: container.image_digest.clone().unwrap_or_default(),
        ports: echoed.map(ports).unwrap_or_default(),
        labels: labels(task, container, echoed),
        desired_status: if container.status == ContainerStatus::Stopped { "STOPPED" } else { task.desired_status() },
        known_status: known_status(container),
        exit_code: container.exit_code,
        limits: LimitsView { cpu_units: container.cpu_units.max(CPU_UNITS_MIN), memory_mib: container.memory_mib },
        created_at: container.started_at.map(go_json::time),
        started_at: started_at.map(go_json::time),
        finished_at: container.finished_at.map(go_json::time),
        r#type: "NORMAL",
        health: container.health.as_ref().map(|health| HealthView {
            status: health.status.as_str(),
            status_since: go_json::time(health.since),
            exit_code: health.exit_code.filter(|_| health.status != HealthStatus::Unknown),
            output: health.output.clone(),
        }),
        volumes: echoed.map(volumes).unwrap_or_default(),
        log_driver: log.map(|log| log.log_driver.clone()),
        log_options: log.map(|log| log_options(task, container, &log.log_driver, &log.options)),
        container_arn: is_v4.then(|| container.arn.to_string()),
        networks,
        snapshotter: is_v4.then_some(SNAPSHOTTER),
        restart_count: (is_v4 && container.has_restart_policy).then_some(container.restart_count),
    }
}

/// Shapes the network of a task; none before its interface has an address.
pub(crate) fn networks(version: Version, task: &Task, place: Option<Place<'_>>) -> Vec<NetworkView> {
    let Some(eni) = &task.eni else { return Vec::new() };
    let Some(address) = eni.address else { return Vec::new() };
    let interface = place.filter(|_| version == Version::V4).map(|Place { vpc, subnet }| {
        let private_dns_name = eni.private_dns_name.clone().unwrap_or_default();
        // The name is that of the host, and the domain to search.
        let domain = private_dns_name.split_once('.').map(|(_, domain)| domain.to_owned());
        InterfaceView {
            attachment_index: 0,
            mac_address: eni.mac.clone().unwrap_or_default(),
            subnet_cidr: subnet.cidr.to_string(),
            domain_name_servers: vec![vpc.cidr.nth(2).to_string()],
            domain_name_search_list: domain.into_iter().collect(),
            private_dns_name,
            subnet_gateway: format!("{}/{}", subnet.cidr.nth(1), subnet.cidr.prefix_len),
        }
    });
    vec![NetworkView { network_mode: "awsvpc", ipv4_addresses: vec![address.to_string()], interface }]
}

fn known_status(container: &Container) -> &'static str {
    match container.status {
        // Its image may be there, but nothing is made of it before its process is started.
        ContainerStatus::Pending if container.image_digest.is_some() => "PULLED",
        ContainerStatus::Pending => "NONE",
        ContainerStatus::Running => "RUNNING",
        ContainerStatus::Stopped => "STOPPED",
    }
}

fn labels(task: &Task, container: &Container, echoed: Option<&EchoedContainer>) -> BTreeMap<String, String> {
    let mut labels = echoed.map(|echoed| echoed.docker_labels.clone()).unwrap_or_default();
    for (name, value) in [
        ("cluster", task.cluster_arn.to_string()),
        ("container-name", container.name.clone()),
        ("task-arn", task.arn.to_string()),
        ("task-definition-family", task.definition.family.to_string()),
        ("task-definition-version", task.definition.revision.to_string()),
    ] {
        labels.insert(format!("com.amazonaws.ecs.{name}"), value);
    }
    labels
}

/// On an interface of the task's own, a port is reached under its own number.
fn ports(echoed: &EchoedContainer) -> Vec<PortView> {
    let ports = echoed.port_mappings.iter().filter_map(|mapping| {
        let port = mapping.container_port?;
        let protocol = mapping.protocol.clone().unwrap_or_else(|| "tcp".to_owned());
        Some(PortView { container_port: port, protocol, host_port: port })
    });
    ports.collect()
}

fn volumes(echoed: &EchoedContainer) -> Vec<VolumeView> {
    let volumes = echoed.mount_points.iter().map(|mount| VolumeView {
        docker_name: mount.source_volume.clone(),
        destination: mount.container_path.clone(),
    });
    volumes.collect()
}

fn log_options(
    task: &Task,
    container: &Container,
    driver: &str,
    options: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut shown = options.clone();
    if driver == AWSLOGS
        && let Some(prefix) = shown.remove(STREAM_PREFIX)
    {
        shown.insert("awslogs-stream".to_owned(), format!("{prefix}/{}/{}", container.name, task.key.id));
    }
    shown
}
