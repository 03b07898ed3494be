//! Definitions and tasks for the tests of this crate.

use std::sync::Arc;

use base::{AccountId, Arn, Ids, Region, Scope, SequentialEntropy, Timestamp};
use state::Document;
use state::ecs::{
    Cluster, ClusterName, ContainerDefinition, Family, Launch, NetworkMode, Overrides, Ports, Task, TaskDefinition,
    TaskDefinitionName, TaskDefinitionStatus, TaskSize, TaskStart,
};

/// Makes a task of these containers, at the beginning of time and of its life.
pub(crate) fn task(containers: Vec<ContainerDefinition>) -> Task {
    let scope = Scope::new(AccountId::DEFAULT, Region::default());
    let began = Timestamp::from_millis(0);
    let cluster = Cluster::new(&scope, ClusterName::default_cluster(), began, Vec::new());
    let definition = definition(containers);
    let ids = Ids::new(Arc::new(SequentialEntropy::default()));
    start(&cluster, &definition, "family:f").task(&ids, &scope, began)
}

/// Says how a task of a group is started on Fargate.
pub(crate) fn start<'a>(cluster: &'a Cluster, definition: &'a TaskDefinition, group: &str) -> TaskStart<'a> {
    TaskStart {
        cluster,
        definition,
        overrides: Overrides::default(),
        size: TaskSize::of(definition),
        group: group.to_owned(),
        started_by: None,
        launch: Launch::Fargate { platform_version: "1.4.0".to_owned() },
        capacity_provider: None,
        network: None,
        client_token: None,
        is_exec_enabled: false,
        tags: Vec::new(),
        volumes: Vec::new(),
    }
}

/// Makes a definition of these containers.
pub(crate) fn definition(containers: Vec<ContainerDefinition>) -> TaskDefinition {
    let scope = Scope::new(AccountId::DEFAULT, Region::default());
    TaskDefinition {
        name: TaskDefinitionName { family: Family::parse("f").expect("a letter is a family"), revision: 1 },
        arn: Arn::new("ecs", &scope, "task-definition/f:1"),
        status: TaskDefinitionStatus::Active,
        registered_at: Timestamp::from_millis(0),
        deregistered_at: None,
        delete_requested_at: None,
        registered_by: String::new(),
        tags: Vec::new(),
        document: Document::new("{}"),
        requires_fargate: true,
        is_fargate_compatible: true,
        network_mode: NetworkMode::Awsvpc,
        cpu_units: None,
        memory_mib: None,
        ephemeral_storage_gib: None,
        execution_role_arn: None,
        task_role_arn: None,
        shares_pids: false,
        volumes: Vec::new(),
        allows_fault_injection: false,
        cpu_architecture: None,
        containers,
    }
}

/// Makes an essential container that asks for nothing.
pub(crate) fn container(name: &str) -> ContainerDefinition {
    ContainerDefinition {
        name: name.to_owned(),
        image: "busybox".to_owned(),
        cpu_units: 0,
        memory_mib: None,
        memory_reservation_mib: None,
        is_essential: true,
        entry_point: None,
        command: None,
        environment: Vec::new(),
        working_directory: None,
        user: None,
        is_root_read_only: false,
        stop_timeout_s: None,
        log: None,
        log_router: None,
        health_check: None,
        depends_on: Vec::new(),
        start_timeout_s: None,
        restart_policy: None,
        secrets: Vec::new(),
        environment_files: Vec::new(),
        repository_credentials: None,
        docker_labels: Vec::new(),
        mount_points: Vec::new(),
        volumes_from: Vec::new(),
        tmpfs: Vec::new(),
        capabilities_added: Vec::new(),
        capabilities_dropped: Vec::new(),
        has_init: false,
        ulimits: Vec::new(),
        system_controls: Vec::new(),
        port_mappings: Vec::new(),
        links: Vec::new(),
        extra_hosts: Vec::new(),
        host_ports: Ports::default(),
        gpus: 0,
    }
}
