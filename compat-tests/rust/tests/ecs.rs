//! The AWS SDK for Rust: a task from its cluster to its end, pages, and errors by their types.
//!
//! `NEARGATE_ENDPOINT` is where the server is, `NEARGATE_SUBNET` a subnet of it; `test_rust.py` starts one and sets them.

use std::time::{Duration, SystemTime};

use aws_sdk_ecs::Client;
use aws_sdk_ecs::client::Waiters;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::operation::RequestId;
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, ClusterField, Compatibility, ContainerDefinition, LaunchType,
    NetworkConfiguration, NetworkMode, TaskStopCode,
};
use connection::{client, variable};

mod connection;

const PATIENCE: Duration = Duration::from_secs(60);
const REVISIONS: i32 = 5;
const NO_TASK: &str = "00000000000000000000000000000000";

/// Makes a name that no other run uses.
fn name(of: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    format!("rust-{of}-{}", now.as_nanos())
}

async fn register(client: &Client, family: &str) -> String {
    let container = ContainerDefinition::builder()
        .name("main")
        .image("busybox:latest")
        .set_command(Some(
            ["/bin/sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done"].map(str::to_owned).into(),
        ))
        .build();
    let registered = client
        .register_task_definition()
        .family(family)
        .requires_compatibilities(Compatibility::Fargate)
        .network_mode(NetworkMode::Awsvpc)
        .cpu("256")
        .memory("512")
        .container_definitions(container)
        .send()
        .await
        .unwrap();
    registered.task_definition().unwrap().task_definition_arn().unwrap().to_owned()
}

#[tokio::test]
async fn a_task_goes_from_its_cluster_to_its_end() {
    let (client, name) = (client(), name("task"));
    let created = client.create_cluster().cluster_name(&name).send().await.unwrap();
    assert!(created.request_id().is_some());
    assert_eq!(created.cluster().unwrap().status(), Some("ACTIVE"));

    let definition = register(&client, &name).await;
    assert!(definition.ends_with(&format!("task-definition/{name}:1")), "{definition}");

    let network = AwsVpcConfiguration::builder()
        .subnets(variable("NEARGATE_SUBNET"))
        .assign_public_ip(AssignPublicIp::Enabled)
        .build()
        .unwrap();
    let started = client
        .run_task()
        .cluster(&name)
        .task_definition(&definition)
        .launch_type(LaunchType::Fargate)
        .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build())
        .send()
        .await
        .unwrap();
    assert!(started.failures().is_empty());
    let task = started.tasks()[0].task_arn().unwrap();
    assert_eq!(started.tasks()[0].last_status(), Some("PROVISIONING"));
    client.wait_until_tasks_running().cluster(&name).tasks(task).wait(PATIENCE).await.unwrap();

    let kept = client.delete_cluster().cluster(&name).send().await.unwrap_err().into_service_error();
    assert!(kept.is_cluster_contains_tasks_exception(), "{kept:?}");

    client.stop_task().cluster(&name).task(task).reason("enough").send().await.unwrap();
    client.wait_until_tasks_stopped().cluster(&name).tasks(task).wait(PATIENCE).await.unwrap();
    let described = client.describe_tasks().cluster(&name).tasks(task).send().await.unwrap();
    let stopped = &described.tasks()[0];
    assert_eq!(stopped.stop_code(), Some(&TaskStopCode::UserInitiated));
    assert_eq!(stopped.stopped_reason(), Some("enough"));
    assert_eq!(stopped.containers()[0].exit_code(), Some(7));
    assert!(stopped.started_at().unwrap() <= stopped.stopped_at().unwrap());

    let deleted = client.delete_cluster().cluster(&name).send().await.unwrap();
    assert_eq!(deleted.cluster().unwrap().status(), Some("INACTIVE"));
}

#[tokio::test]
async fn pages_hold_every_revision_once() {
    let (client, name) = (client(), name("pages"));
    let mut wanted = Vec::new();
    for _ in 0..REVISIONS {
        wanted.push(register(&client, &name).await);
    }
    let mut pages = client.list_task_definitions().family_prefix(&name).into_paginator().page_size(2).send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(page.task_definition_arns().len() <= 2);
        found.extend_from_slice(page.task_definition_arns());
    }
    assert_eq!(found, wanted);
}

/// Checks the code, the status and the words of an error.
#[track_caller]
fn is<E>(error: &SdkError<E>, code: &str, message: &str)
where
    E: ProvideErrorMetadata + std::fmt::Debug,
{
    let SdkError::ServiceError(context) = error else { panic!("{error:?}") };
    assert_eq!((context.err().code(), context.err().message()), (Some(code), Some(message)));
    assert_eq!(context.raw().status().as_u16(), 400);
    assert!(context.err().meta().request_id().is_some());
}

#[tokio::test]
async fn errors_have_their_types() {
    let (client, name) = (client(), name("errors"));
    let error = client.delete_cluster().cluster(&name).send().await.unwrap_err();
    is(&error, "ClusterNotFoundException", "Cluster not found.");
    assert!(error.into_service_error().is_cluster_not_found_exception());

    let error = client.describe_task_definition().task_definition("missing").send().await.unwrap_err();
    is(&error, "ClientException", "Unable to describe task definition.");
    assert!(error.into_service_error().is_client_exception());

    client.create_cluster().cluster_name(&name).send().await.unwrap();
    let error = client.stop_task().cluster(&name).task(NO_TASK).send().await.unwrap_err();
    is(&error, "InvalidParameterException", "The referenced task was not found.");
    assert!(error.into_service_error().is_invalid_parameter_exception());

    let error = client.update_service().cluster(&name).service("missing").send().await.unwrap_err();
    is(&error, "ServiceNotFoundException", "Service not found.");
    assert!(error.into_service_error().is_service_not_found_exception());

    let arn = format!("arn:aws:ecs:us-east-1:000000000000:daemon/{name}/missing");
    let error = client.describe_daemon().daemon_arn(arn).send().await.unwrap_err();
    is(&error, "DaemonNotFoundException", "Daemon not found.");
    assert!(error.into_service_error().is_daemon_not_found_exception());

    client.delete_cluster().cluster(&name).send().await.unwrap();
}

#[tokio::test]
async fn what_is_only_missing_is_a_failure() {
    let (client, name) = (client(), name("missing"));
    let answer = client.describe_clusters().clusters(&name).include(ClusterField::Tags).send().await.unwrap();
    assert!(answer.clusters().is_empty());
    assert_eq!(answer.failures()[0].reason(), Some("MISSING"));
    assert_eq!(answer.failures()[0].arn(), Some(format!("arn:aws:ecs:us-east-1:000000000000:cluster/{name}").as_str()));
}
