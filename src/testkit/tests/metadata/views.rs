//! Metadata and stats.

use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::json;

use crate::bench::Bench;

async fn check(path: &str, expected: Expect) {
    let bench = Bench::new(&json!({})).await;
    expected.assert_eq(&bench.ask("GET", path, "").await);
}

#[tokio::test]
async fn a_container_in_version_4() {
    check("/v4/{id}", expect![[r#"200 {"DockerId":"00000000000000000000000000000006-0000000008","Name":"web","DockerName":"web","Image":"httpd:2.4","ImageID":"sha256:a7fd5937efe161ef13814cf61ad41f9295bf599111b6515dc1513a7fd12f7ce0","Ports":[{"ContainerPort":80,"Protocol":"tcp","HostPort":80}],"Labels":{"com.amazonaws.ecs.cluster":"arn:aws:ecs:us-east-1:123456789012:cluster/default","com.amazonaws.ecs.container-name":"web","com.amazonaws.ecs.task-arn":"arn:aws:ecs:us-east-1:123456789012:task/default/00000000000000000000000000000006","com.amazonaws.ecs.task-definition-family":"app","com.amazonaws.ecs.task-definition-version":"1","team":"a\u0026b"},"DesiredStatus":"RUNNING","KnownStatus":"RUNNING","Limits":{"CPU":128,"Memory":256},"CreatedAt":"2026-01-01T00:00:00Z","StartedAt":"2026-01-01T00:00:00Z","Type":"NORMAL","Volumes":[{"DockerName":"shared","Destination":"/srv"}],"LogDriver":"awslogs","LogOptions":{"awslogs-group":"/ecs/test","awslogs-region":"us-east-1","awslogs-stream":"test/web/00000000000000000000000000000006"},"ContainerARN":"arn:aws:ecs:us-east-1:123456789012:container/default/00000000000000000000000000000006/00000000-0000-4000-8000-000000000007","Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["172.31.0.4"],"AttachmentIndex":0,"MACAddress":"0a:0e:00:00:00:00","IPv4SubnetCIDRBlock":"172.31.0.0/20","DomainNameServers":["172.31.0.2"],"DomainNameSearchList":["ec2.internal"],"PrivateDNSName":"ip-172-31-0-4.ec2.internal","SubnetGatewayIpv4Address":"172.31.0.1/20"}],"Snapshotter":"overlayfs"}"#]]).await;
}

#[tokio::test]
async fn a_task_in_version_4() {
    check("/v4/{id}/task", expect![[r#"200 {"Cluster":"arn:aws:ecs:us-east-1:123456789012:cluster/default","TaskARN":"arn:aws:ecs:us-east-1:123456789012:task/default/00000000000000000000000000000006","Family":"app","Revision":"1","DesiredStatus":"RUNNING","KnownStatus":"RUNNING","Limits":{"CPU":0.25,"Memory":512},"PullStartedAt":"2026-01-01T00:00:00Z","PullStoppedAt":"2026-01-01T00:00:00Z","AvailabilityZone":"us-east-1a","LaunchType":"FARGATE","Containers":[{"DockerId":"00000000000000000000000000000006-0000000008","Name":"web","DockerName":"web","Image":"httpd:2.4","ImageID":"sha256:a7fd5937efe161ef13814cf61ad41f9295bf599111b6515dc1513a7fd12f7ce0","Ports":[{"ContainerPort":80,"Protocol":"tcp","HostPort":80}],"Labels":{"com.amazonaws.ecs.cluster":"arn:aws:ecs:us-east-1:123456789012:cluster/default","com.amazonaws.ecs.container-name":"web","com.amazonaws.ecs.task-arn":"arn:aws:ecs:us-east-1:123456789012:task/default/00000000000000000000000000000006","com.amazonaws.ecs.task-definition-family":"app","com.amazonaws.ecs.task-definition-version":"1","team":"a\u0026b"},"DesiredStatus":"RUNNING","KnownStatus":"RUNNING","Limits":{"CPU":128,"Memory":256},"CreatedAt":"2026-01-01T00:00:00Z","StartedAt":"2026-01-01T00:00:00Z","Type":"NORMAL","Volumes":[{"DockerName":"shared","Destination":"/srv"}],"LogDriver":"awslogs","LogOptions":{"awslogs-group":"/ecs/test","awslogs-region":"us-east-1","awslogs-stream":"test/web/00000000000000000000000000000006"},"ContainerARN":"arn:aws:ecs:us-east-1:123456789012:container/default/00000000000000000000000000000006/00000000-0000-4000-8000-000000000007","Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["172.31.0.4"],"AttachmentIndex":0,"MACAddress":"0a:0e:00:00:00:00","IPv4SubnetCIDRBlock":"172.31.0.0/20","DomainNameServers":["172.31.0.2"],"DomainNameSearchList":["ec2.internal"],"PrivateDNSName":"ip-172-31-0-4.ec2.internal","SubnetGatewayIpv4Address":"172.31.0.1/20"}],"Snapshotter":"overlayfs"},{"DockerId":"00000000000000000000000000000006-0000000010","Name":"helper","DockerName":"helper","Image":"busybox","ImageID":"sha256:9ec75bc3c7eaf418a313a82d249ca3dbe2345493433c77c62405ad5b981ab979","Labels":{"com.amazonaws.ecs.cluster":"arn:aws:ecs:us-east-1:123456789012:cluster/default","com.amazonaws.ecs.container-name":"helper","com.amazonaws.ecs.task-arn":"arn:aws:ecs:us-east-1:123456789012:task/default/00000000000000000000000000000006","com.amazonaws.ecs.task-definition-family":"app","com.amazonaws.ecs.task-definition-version":"1"},"DesiredStatus":"STOPPED","KnownStatus":"STOPPED","ExitCode":3,"Limits":{"CPU":2},"CreatedAt":"2026-01-01T00:00:00Z","StartedAt":"2026-01-01T00:00:00Z","FinishedAt":"2026-01-01T00:00:01Z","Type":"NORMAL","ContainerARN":"arn:aws:ecs:us-east-1:123456789012:container/default/00000000000000000000000000000006/00000000-0000-4000-8000-000000000009","Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["172.31.0.4"],"AttachmentIndex":0,"MACAddress":"0a:0e:00:00:00:00","IPv4SubnetCIDRBlock":"172.31.0.0/20","DomainNameServers":["172.31.0.2"],"DomainNameSearchList":["ec2.internal"],"PrivateDNSName":"ip-172-31-0-4.ec2.internal","SubnetGatewayIpv4Address":"172.31.0.1/20"}],"Snapshotter":"overlayfs"}],"ClockDrift":{"ClockErrorBound":0.5,"ReferenceTimestamp":"2026-01-01T00:01:00Z","ClockSynchronizationStatus":"SYNCHRONIZED"},"EphemeralStorageMetrics":{"Utilized":0,"Reserved":20496},"FaultInjectionEnabled":false}"#]]).await;
}

#[tokio::test]
async fn tags_are_shown_where_they_are_asked_for() {
    let bench = Bench::new(&json!({ "enableFaultInjection": true })).await;
    let shown = bench.ask("GET", "/v4/{id}/taskWithTags", "").await;
    assert!(shown.contains(r#""TaskTags":{"stage":"test"},"LaunchType":"FARGATE""#), "{shown}");
    assert!(shown.ends_with(r#""FaultInjectionEnabled":true}"#), "{shown}");
    assert!(!bench.ask("GET", "/v4/{id}/task", "").await.contains("TaskTags"));
}

#[tokio::test]
async fn a_container_in_version_3() {
    check("/v3/{id}", expect![[r#"200 {"DockerId":"00000000000000000000000000000006-0000000008","Name":"web","DockerName":"web","Image":"httpd:2.4","ImageID":"sha256:a7fd5937efe161ef13814cf61ad41f9295bf599111b6515dc1513a7fd12f7ce0","Ports":[{"ContainerPort":80,"Protocol":"tcp","HostPort":80}],"Labels":{"com.amazonaws.ecs.cluster":"arn:aws:ecs:us-east-1:123456789012:cluster/default","com.amazonaws.ecs.container-name":"web","com.amazonaws.ecs.task-arn":"arn:aws:ecs:us-east-1:123456789012:task/default/00000000000000000000000000000006","com.amazonaws.ecs.task-definition-family":"app","com.amazonaws.ecs.task-definition-version":"1","team":"a\u0026b"},"DesiredStatus":"RUNNING","KnownStatus":"RUNNING","Limits":{"CPU":128,"Memory":256},"CreatedAt":"2026-01-01T00:00:00Z","StartedAt":"2026-01-01T00:00:00Z","Type":"NORMAL","Volumes":[{"DockerName":"shared","Destination":"/srv"}],"Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["172.31.0.4"]}]}"#]]).await;
}

#[tokio::test]
async fn a_task_in_version_3() {
    check("/v3/{id}/task", expect![[r#"200 {"Cluster":"arn:aws:ecs:us-east-1:123456789012:cluster/default","TaskARN":"arn:aws:ecs:us-east-1:123456789012:task/default/00000000000000000000000000000006","Family":"app","Revision":"1","DesiredStatus":"RUNNING","KnownStatus":"RUNNING","Limits":{"CPU":0.25,"Memory":512},"PullStartedAt":"2026-01-01T00:00:00Z","PullStoppedAt":"2026-01-01T00:00:00Z","AvailabilityZone":"us-east-1a","Containers":[{"DockerId":"00000000000000000000000000000006-0000000008","Name":"web","DockerName":"web","Image":"httpd:2.4","ImageID":"sha256:a7fd5937efe161ef13814cf61ad41f9295bf599111b6515dc1513a7fd12f7ce0","Ports":[{"ContainerPort":80,"Protocol":"tcp","HostPort":80}],"Labels":{"com.amazonaws.ecs.cluster":"arn:aws:ecs:us-east-1:123456789012:cluster/default","com.amazonaws.ecs.container-name":"web","com.amazonaws.ecs.task-arn":"arn:aws:ecs:us-east-1:123456789012:task/default/00000000000000000000000000000006","com.amazonaws.ecs.task-definition-family":"app","com.amazonaws.ecs.task-definition-version":"1","team":"a\u0026b"},"DesiredStatus":"RUNNING","KnownStatus":"RUNNING","Limits":{"CPU":128,"Memory":256},"CreatedAt":"2026-01-01T00:00:00Z","StartedAt":"2026-01-01T00:00:00Z","Type":"NORMAL","Volumes":[{"DockerName":"shared","Destination":"/srv"}],"Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["172.31.0.4"]}]},{"DockerId":"00000000000000000000000000000006-0000000010","Name":"helper","DockerName":"helper","Image":"busybox","ImageID":"sha256:9ec75bc3c7eaf418a313a82d249ca3dbe2345493433c77c62405ad5b981ab979","Labels":{"com.amazonaws.ecs.cluster":"arn:aws:ecs:us-east-1:123456789012:cluster/default","com.amazonaws.ecs.container-name":"helper","com.amazonaws.ecs.task-arn":"arn:aws:ecs:us-east-1:123456789012:task/default/00000000000000000000000000000006","com.amazonaws.ecs.task-definition-family":"app","com.amazonaws.ecs.task-definition-version":"1"},"DesiredStatus":"STOPPED","KnownStatus":"STOPPED","ExitCode":3,"Limits":{"CPU":2},"CreatedAt":"2026-01-01T00:00:00Z","StartedAt":"2026-01-01T00:00:00Z","FinishedAt":"2026-01-01T00:00:01Z","Type":"NORMAL","Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["172.31.0.4"]}]}]}"#]]).await;
}

#[tokio::test]
async fn version_2_knows_the_task_by_its_address() {
    let bench = Bench::new(&json!({})).await;
    assert_eq!(bench.ask("GET", "/v2/metadata", "").await, bench.ask("GET", "/v3/{id}/task", "").await);
    assert_eq!(bench.ask("GET", "/v2/metadata/{id}", "").await, bench.ask("GET", "/v3/{id}", "").await);
    assert_eq!(bench.ask("GET", "/v2/stats/{id}", "").await, bench.ask("GET", "/v3/{id}/stats", "").await);
    assert_eq!(bench.ask("GET", "/v2/stats", "").await, bench.ask("GET", "/v3/{id}/task/stats", "").await);
}

#[tokio::test]
async fn the_stats_of_a_container() {
    check("/v4/{id}/stats", expect![[r#"200 {"read":"2026-01-01T00:00:02Z","preread":"0001-01-01T00:00:00Z","num_procs":0,"pids_stats":{"current":1},"blkio_stats":{"io_service_bytes_recursive":[],"io_serviced_recursive":[],"io_queue_recursive":[],"io_service_time_recursive":[],"io_wait_time_recursive":[],"io_merged_recursive":[],"io_time_recursive":[],"sectors_recursive":[]},"cpu_stats":{"cpu_usage":{"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0},"system_cpu_usage":0,"online_cpus":1,"throttling_data":{"periods":0,"throttled_periods":0,"throttled_time":0}},"precpu_stats":{"cpu_usage":{"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0},"throttling_data":{"periods":0,"throttled_periods":0,"throttled_time":0}},"memory_stats":{"usage":0,"max_usage":0,"stats":{"hierarchical_memory_limit":536870912},"limit":9223372036854771712},"name":"web","id":"00000000000000000000000000000006-0000000008","networks":{"eth1":{"rx_bytes":0,"rx_packets":0,"rx_errors":0,"rx_dropped":0,"tx_bytes":0,"tx_packets":0,"tx_errors":0,"tx_dropped":0}}}"#]]).await;
}

#[tokio::test]
async fn the_stats_of_a_task_are_null_for_what_has_ended() {
    let bench = Bench::new(&json!({})).await;
    let shown = bench.ask("GET", "/v4/{id}/task/stats", "").await;
    let (web, helper) = (bench.id("web"), bench.id("helper"));
    assert!(shown.contains(&format!(r#""{web}":{{"read":"#)), "{shown}");
    assert!(shown.contains(&format!(r#""{helper}":null"#)), "{shown}");
    let path = format!("/v4/{helper}/stats");
    let expected = format!("500 \"Unable to get container stats for: {helper}\"");
    assert_eq!(bench.ask("GET", &path, "").await, expected);
}

#[tokio::test]
async fn what_has_ended_shows_how() {
    let bench = Bench::new(&json!({})).await;
    let shown = bench.ask("GET", &format!("/v4/{}", bench.id("helper")), "").await;
    let statuses = r#""DesiredStatus":"STOPPED","KnownStatus":"STOPPED","ExitCode":3,"Limits":{"CPU":2},"#;
    assert!(shown.contains(statuses), "{shown}");
    assert!(shown.contains(r#""FinishedAt":"2026-01-01T00:00:01"#), "{shown}");
}

#[tokio::test]
async fn whoever_is_not_the_task_finds_nothing() {
    let bench = Bench::new(&json!({})).await;
    let id = bench.id("web");
    let in_words =
        |what: &str, of: &str| format!("404 \"{what} handler: unable to get {of} from v3 endpoint ID: {id}\"");
    let container = "container ID from request: unable to get docker ID";
    let task = "task arn from request: unable to get task Arn";
    for (path, expected) in [
        ("/v4/{id}", in_words("V4 container metadata", container)),
        ("/v4/{id}/task", in_words("V4 task metadata", task)),
        ("/v4/{id}/taskWithTags", in_words("V4 task metadata", task)),
        ("/v4/{id}/stats", in_words("V4 container stats", task)),
        ("/v4/{id}/task/stats", in_words("V4 task stats", task)),
        ("/v3/{id}", in_words("V3 container metadata", container)),
    ] {
        assert_eq!(bench.ask_as_stranger(path).await, expected);
        assert_eq!(bench.ask_from_another_vpc(path).await, expected);
    }
    let expected = "404 \"V2 task metadata handler: unable to get task ARN from request: unable to associate \
                    '172.31.0.200' with task\"";
    assert_eq!(bench.ask_as_stranger("/v2/metadata").await, expected);
    let expected = "404 \"V4 container metadata handler: unable to get container ID from request: unable to get \
                    docker ID from v3 endpoint ID: nobody\"";
    assert_eq!(bench.ask("GET", "/v4/nobody", "").await, expected);
}

#[tokio::test]
async fn other_paths_lead_nowhere() {
    let bench = Bench::new(&json!({})).await;
    for path in ["/", "/v5/{id}", "/v4/{id}/other", "/latest/meta-data/"] {
        assert_eq!(bench.ask("GET", path, "").await, "404 404 page not found\n");
    }
}

#[tokio::test]
async fn a_task_that_asks_too_often_is_held_back_and_others_are_not() {
    let bench = Bench::new(&json!({})).await;
    for _ in 0..60 {
        assert!(bench.ask("GET", "/v4/{id}", "").await.starts_with("200"));
    }
    assert_eq!(bench.ask("GET", "/v4/{id}", "").await, "429 You have reached maximum request limit.");
    assert!(bench.ask_as_stranger("/v4/{id}").await.starts_with("404"));
    bench.clock.advance(Duration::from_millis(25));
    assert!(bench.ask("GET", "/v4/{id}", "").await.starts_with("200"));
}

#[tokio::test]
async fn a_stopped_task_asks_no_more() {
    let bench = Bench::new(&json!({})).await;
    bench.kit.ecs("StopTask", &json!({ "task": bench.task.arn.as_str() })).await;
    bench.kit.advance(Duration::from_secs(60)).await;
    assert!(bench.ask("GET", "/v4/{id}", "").await.starts_with("404"));
}
