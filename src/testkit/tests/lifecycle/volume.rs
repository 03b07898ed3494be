//! Volumes, and what containers may do.

use serde_json::{Value, json};

use crate::bench::{BOTH, Bench, container_with, text};

crate::scenarios! {
    BOTH => [
        containers_share_a_volume,
        a_container_mounts_the_volumes_of_another,
        a_file_system_outlives_the_task,
        a_file_system_that_there_is_not_fails_the_task,
        a_volume_at_launch_has_the_size_that_was_asked_for,
        a_read_only_root_has_places_to_write_to,
    ],
}

/// Registers containers and volumes.
async fn register(bench: &Bench, containers: &[Value], volumes: &Value) {
    let input = json!({
        "family": "app",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
        "containerDefinitions": containers,
        "volumes": volumes,
    });
    bench.kit.ecs("RegisterTaskDefinition", &input).await;
}

async fn containers_share_a_volume(bench: &Bench) {
    let writer = container_with(
        "writer",
        "echo hello >/out/file",
        "exit 0",
        &json!({ "essential": false, "mountPoints": [{ "sourceVolume": "data", "containerPath": "/out" }] }),
    );
    let reader = container_with(
        "reader",
        "cat /in/file; (echo x >/in/other) 2>/dev/null || echo refused",
        r#"output "hello\nrefused"; exit 0"#,
        &json!({
            "dependsOn": [{ "containerName": "writer", "condition": "SUCCESS" }],
            "mountPoints": [{ "sourceVolume": "data", "containerPath": "/in", "readOnly": true }],
        }),
    );
    register(bench, &[writer, reader], &json!([{ "name": "data" }])).await;
    let arn = bench.run_task(&json!({})).await;
    bench.until_stopped(&arn).await;
    assert_eq!(bench.log("reader", &arn).await, ["hello", "refused"]);
}

async fn a_container_mounts_the_volumes_of_another(bench: &Bench) {
    let mounts = json!([{ "sourceVolume": "data", "containerPath": "/data" }]);
    let first = container_with(
        "first",
        "echo hello >/data/file",
        "exit 0",
        &json!({ "essential": false, "mountPoints": mounts }),
    );
    let second = container_with(
        "second",
        "cat /data/file",
        "output hello; exit 0",
        &json!({
            "dependsOn": [{ "containerName": "first", "condition": "SUCCESS" }],
            "volumesFrom": [{ "sourceContainer": "first" }],
        }),
    );
    register(bench, &[first, second], &json!([{ "name": "data" }])).await;
    let arn = bench.run_task(&json!({})).await;
    bench.until_stopped(&arn).await;
    assert_eq!(bench.log("second", &arn).await, ["hello"]);
}

/// Runs a container with a part of an EFS file system at `/efs`.
async fn run_with_efs(bench: &Bench, command: &str, script: &str, efs: &Value) -> Value {
    let mounts = json!({ "mountPoints": [{ "sourceVolume": "efs", "containerPath": "/efs" }] });
    let app = container_with("app", command, script, &mounts);
    register(bench, &[app], &json!([{ "name": "efs", "efsVolumeConfiguration": efs }])).await;
    let arn = bench.run_task(&json!({})).await;
    bench.until_stopped(&arn).await
}

async fn a_file_system_that_there_is_not_fails_the_task(bench: &Bench) {
    let task = run_with_efs(bench, "true", "exit 0", &json!({ "fileSystemId": "fs-12345678" })).await;
    let reason = text(&task["stoppedReason"]);
    let expected = "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: \
                    Failed to resolve \"fs-12345678.efs.us-east-1.amazonaws.com\" - check that your file system ID is \
                    correct";
    assert!(reason.starts_with(expected), "{reason}");
    assert_eq!(task["stopCode"], "TaskFailedToStart");
}

/// Makes a file system with a mount target in the default VPC's first subnet, and an access point of user 1000.
async fn make_file_system(bench: &Bench) -> (String, String) {
    let subnet = bench.subnet().await;
    let scope = bench.kit.scope();
    let state = bench.kit.emulator().state();
    let known = state.ec2.subnets.get(scope, &base::SubnetId::new(subnet.as_str())).unwrap();
    let (file_system, access_point) = ("fs-0123456789abcdef0".to_owned(), "fsap-0123456789abcdef0".to_owned());
    let arn = |kind: &str, id: &str| base::Arn::new("elasticfilesystem", scope, &format!("{kind}/{id}"));
    let row = state::efs::FileSystem {
        id: file_system.clone(),
        arn: arn("file-system", &file_system),
        creation_token: "t".to_owned(),
        created_at: testkit::START,
        performance_mode: "generalPurpose".to_owned(),
        throughput_mode: "bursting".to_owned(),
        provisioned_throughput_mibps: None,
        kms_key: None,
        availability_zone: None,
        backup_status: "DISABLED".to_owned(),
        overwrite_protection: "ENABLED".to_owned(),
        policy: None,
        lifecycle: None,
        tags: Vec::new(),
    };
    state.efs.file_systems.insert(scope, &file_system, row);
    let point = state::efs::AccessPoint {
        id: access_point.clone(),
        arn: arn("access-point", &access_point),
        file_system: file_system.clone(),
        client_token: "t".to_owned(),
        posix_user: None,
        root_directory: state::efs::RootDirectory {
            path: "/app".to_owned(),
            creation: Some(state::efs::Creation { owner_uid: 1000, owner_gid: 1001, permissions: "0750".to_owned() }),
        },
        tags: Vec::new(),
    };
    state.efs.access_points.insert(scope, &access_point, point);
    let target = state::efs::MountTarget {
        id: "fsmt-1".to_owned(),
        file_system: file_system.clone(),
        vpc: known.vpc.clone(),
        subnet: known.id.clone(),
        availability_zone: known.availability_zone.clone(),
        address: std::net::Ipv4Addr::new(172, 31, 0, 99),
        network_interface: base::EniId::new("eni-1"),
        security_groups: Vec::new(),
    };
    state.efs.mount_targets.insert(scope, &"fsmt-1".to_owned(), target);
    (file_system, access_point)
}

async fn a_file_system_outlives_the_task(bench: &Bench) {
    let (file_system, access_point) = make_file_system(bench).await;
    let through_point = json!({
        "fileSystemId": file_system,
        "transitEncryption": "ENABLED",
        "authorizationConfig": { "accessPointId": access_point },
    });
    let task = run_with_efs(bench, "echo kept >/efs/file", "exit 0", &through_point).await;
    assert_eq!(task["containers"][0]["exitCode"], 0, "{task}");
    let whole = json!({ "fileSystemId": file_system });
    let task = run_with_efs(bench, "cat /efs/app/file", "output kept; exit 0", &whole).await;
    assert_eq!(bench.log("app", task["taskArn"].as_str().unwrap()).await, ["kept"]);
    let missing = json!({ "fileSystemId": file_system, "rootDirectory": "/missing" });
    let task = run_with_efs(bench, "true", "exit 0", &missing).await;
    if bench.kit.node().is_none() {
        let reason = text(&task["stoppedReason"]);
        assert!(reason.contains("No such file or directory"), "{reason}");
    }
}

async fn a_volume_at_launch_has_the_size_that_was_asked_for(bench: &Bench) {
    let mounts = json!({ "mountPoints": [{ "sourceVolume": "ebs", "containerPath": "/ebs" }] });
    let app = container_with("app", "echo hello >/ebs/file; cat /ebs/file", "output hello; exit 0", &mounts);
    register(bench, &[app], &json!([{ "name": "ebs", "configuredAtLaunch": true }])).await;
    let role = "arn:aws:iam::123456789012:role/ecsInfrastructureRole";
    let ebs = json!({ "sizeInGiB": 1, "roleArn": role });
    let volumes = json!({ "volumeConfigurations": [{ "name": "ebs", "managedEBSVolume": ebs }] });
    let arn = bench.run_task(&volumes).await;
    bench.until_stopped(&arn).await;
    assert_eq!(bench.log("app", &arn).await, ["hello"]);
    let input = bench.run_task_input(&json!({})).await;
    let (code, message) = bench.kit.call("ecs", "RunTask", &input).await.error();
    assert!(code.ends_with("InvalidParameterException"), "{code} {message}");
}

async fn a_read_only_root_has_places_to_write_to(bench: &Bench) {
    let more = json!({
        "readonlyRootFilesystem": true,
        "linuxParameters": { "tmpfs": [{ "containerPath": "/scratch", "size": 8 }] },
        "ulimits": [{ "name": "nofile", "softLimit": 128, "hardLimit": 256 }],
    });
    let command = "(echo x >/file) 2>/dev/null || echo refused; echo y >/scratch/file && cat /scratch/file; ulimit -n";
    let app = container_with("app", command, r#"output "refused\ny\n128"; exit 0"#, &more);
    let arn = bench.start(&[app]).await;
    bench.until_stopped(&arn).await;
    assert_eq!(bench.log("app", &arn).await, ["refused", "y", "128"]);
}
