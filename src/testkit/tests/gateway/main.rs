//! The way in: HTTP over a socket, with limits that are short enough to be reached.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod site;
mod streamed;

use std::time::Duration;

use serde_json::json;
use server::Limits;

use crate::site::{Connection, Site, WAIT_MAX, post};

/// A bound that is reached at once.
const SHORT: Duration = Duration::from_millis(100);
const LIST_CLUSTERS: &str = "x-amz-target: AmazonEC2ContainerServiceV20141113.ListClusters\r\n";
const CREATE_CLUSTER: &str = "x-amz-target: AmazonEC2ContainerServiceV20141113.CreateCluster\r\n";

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

#[tokio::test]
async fn a_request_is_answered() {
    let site = Site::start(Limits::default()).await;
    let reply = site.ask(&post("/", LIST_CLUSTERS, "{}")).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "clusterArns": [] })));
    assert!(reply.head.to_ascii_lowercase().contains("x-amzn-requestid: "), "{}", reply.head);
}

#[tokio::test]
async fn requests_of_web_pages_are_refused() {
    let site = Site::start(Limits::default()).await;
    for header in ["Origin: https://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        let reply = site.ask(&post("/", &format!("{header}{CREATE_CLUSTER}"), "{}")).await;
        assert_eq!(reply.status, 403, "{header}");
        assert_eq!(reply.json()["__type"], "AccessDeniedException", "{header}");
        let reply = site.ask(&post("/_neargate/reset", header, "")).await;
        assert_eq!(reply.status, 403, "{header}");
    }
    assert_eq!(site.ask(&post("/", LIST_CLUSTERS, "{}")).await.json(), json!({ "clusterArns": [] }));
}

#[tokio::test]
async fn an_image_in_a_web_page_cannot_start_a_task() {
    let site = Site::start(Limits::default()).await;
    let uri = "/?X-Amz-Credential=test/20260101/us-east-1/ecs/aws4_request&Action=CreateCluster";
    let request = format!("GET {uri} HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n\r\n");
    assert_eq!(site.ask(&request).await.status, 403);
}

#[tokio::test]
async fn requests_for_other_hosts_are_refused() {
    let site = Site::start(Limits::default()).await;
    let request = format!("POST / HTTP/1.1\r\nHost: evil.example\r\n{LIST_CLUSTERS}Content-Length: 2\r\n\r\n{{}}");
    let reply = site.ask(&request).await;
    assert_eq!(reply.status, 403);
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("--allow-host evil.example"), "{message}");
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_cut_off() {
    let site = Site::start(limits(|limits| limits.head_timeout = SHORT)).await;
    for start in ["", "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nx-slow:"] {
        let mut connection = site.connect().await;
        connection.send(start).await;
        let rest = connection.until_closed().await;
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408"), "{rest}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_cut_off() {
    let site = Site::start(limits(|limits| limits.body_timeout = SHORT)).await;
    let head = format!("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n{LIST_CLUSTERS}Content-Length: 100\r\n\r\n{{");
    let reply = site.ask(&head).await;
    assert_eq!((reply.status, &reply.json()["__type"]), (408, &json!("RequestTimeout")));
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_harms_nobody() {
    let site = Site::start(Limits::default()).await;
    let mut connection = site.connect().await;
    connection
        .send(&format!("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n{LIST_CLUSTERS}Content-Length: 100\r\n\r\n{{"))
        .await;
    drop(connection);
    assert_eq!(site.ask(&post("/", LIST_CLUSTERS, "{}")).await.status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let site = Site::start(limits(|limits| limits.body_bytes = 10)).await;
    assert_eq!(site.ask(&post("/", LIST_CLUSTERS, "{        }")).await.status, 200);
    let reply = site.ask(&post("/", LIST_CLUSTERS, "{         }")).await;
    assert_eq!((reply.status, &reply.json()["__type"]), (413, &json!("RequestEntityTooLarge")));
    let chunked = "Transfer-Encoding: chunked\r\n\r\n6\r\n{     \r\n6\r\n     }\r\n0\r\n\r\n";
    let request = format!("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n{LIST_CLUSTERS}{chunked}");
    assert_eq!(site.ask(&request).await.status, 413);
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_before_it_is_sent() {
    let site = Site::start(limits(|limits| (limits.body_bytes, limits.archive_bytes) = (10, 10))).await;
    for (uri, headers) in [("/", LIST_CLUSTERS), ("/_neargate/images?name=app", "")] {
        let head = format!("POST {uri} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: 11\r\n\r\n");
        assert_eq!(site.ask(&head).await.status, 413, "{uri}");
    }
}

#[tokio::test]
async fn bodies_have_a_limit_in_common_and_give_their_room_back() {
    let site = Site::start(limits(|limits| (limits.body_bytes, limits.bodies_bytes) = (10, 10))).await;
    let head = format!("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n{LIST_CLUSTERS}Expect: 100-continue\r\n");
    let mut first = site.connect().await;
    first.send(&format!("{head}Content-Length: 10\r\n\r\n")).await;
    assert_eq!(first.reply().await.status, 100);
    first.send("{        ").await;
    let crowded = async {
        loop {
            // The server may yet have to read what the first has sent.
            let reply = site.ask(&post("/", LIST_CLUSTERS, "{}")).await;
            if reply.status != 200 {
                return reply;
            }
        }
    };
    let reply = tokio::time::timeout(WAIT_MAX, crowded).await.expect("the first takes its room in time");
    assert_eq!((reply.status, &reply.json()["__type"]), (503, &json!("ServiceUnavailable")));
    first.send("}").await;
    assert_eq!(first.reply().await.status, 200);
    assert_eq!(site.ask(&post("/", LIST_CLUSTERS, "{        }")).await.status, 200);
}

#[tokio::test]
async fn a_body_in_pieces_is_received_whole() {
    let site = Site::start(Limits::default()).await;
    let pieces = "Transfer-Encoding: chunked\r\n\r\n9\r\n{\"cluster\r\n5\r\nName\"\r\n8\r\n:\"made\"}\r\n0\r\n\r\n";
    let request = format!("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n{CREATE_CLUSTER}{pieces}");
    assert_eq!(site.ask(&request).await.json()["cluster"]["clusterName"], "made");
}

#[tokio::test]
async fn a_client_that_never_reads_its_answers_is_cut_off() {
    let site = Site::start(limits(|limits| limits.write_timeout = SHORT)).await;
    let mut connection = site.connect().await;
    connection.send_until_closed(&post("/", LIST_CLUSTERS, "{}").repeat(1_000)).await;
}

#[tokio::test]
async fn an_image_archive_has_a_limit_of_its_own() {
    let site = Site::start(limits(|limits| limits.archive_bytes = 10)).await;
    let reply = site.ask(&post("/_neargate/images?name=app", "", "0123456789a")).await;
    assert_eq!(reply.status, 413);
    assert_eq!(site.ask(&post("/_neargate/images?name=app", "", "0123456789")).await.status, 200);
    let listed = site.ask("GET /_neargate/images HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await.json();
    assert_eq!(listed["images"][0]["reference"], "docker.io/library/app:latest");
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let site = Site::start(limits(|limits| limits.headers = 10)).await;
    let headers = |count: usize| (0..count).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    let reply = site.ask(&post("/", &format!("{LIST_CLUSTERS}{}", headers(2)), "{}")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(site.ask(&post("/", &format!("{LIST_CLUSTERS}{}", headers(20)), "{}")).await.status, 431);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let site = Site::start(limits(|limits| limits.head_bytes = 8192)).await;
    let reply = site.ask(&post("/", &format!("x-long: {}\r\n", "x".repeat(20_000)), "{}")).await;
    assert_eq!(reply.status, 431);
}

#[tokio::test]
async fn no_more_connections_are_let_in_than_the_limit_says() {
    let site = Site::start(limits(|limits| limits.connections = 1)).await;
    let mut first = site.connect().await;
    first.send(&post("/", LIST_CLUSTERS, "{}")).await;
    assert_eq!(first.reply().await.status, 200);
    let mut second = site.connect().await;
    second.send(&post("/", LIST_CLUSTERS, "{}")).await;
    assert!(tokio::time::timeout(SHORT, second.reply()).await.is_err(), "the second has to wait");
    drop(first);
    assert_eq!(second.reply().await.status, 200);
}

#[tokio::test]
async fn a_shutdown_lets_a_request_that_is_under_way_end() {
    let mut site = Site::start(Limits::default()).await;
    let mut connection = half_sent(&site).await;
    site.stop();
    connection.send("}").await;
    assert_eq!(connection.reply().await.status, 200);
    assert_eq!(connection.until_closed().await, "");
    site.ended().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_longer_than_the_drain_timeout() {
    let mut site = Site::start(limits(|limits| limits.drain_timeout = SHORT)).await;
    let _connection = half_sent(&site).await;
    site.stop();
    site.ended().await;
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_a_shutdown() {
    let mut site = Site::start(Limits::default()).await;
    let mut connection = site.connect().await;
    connection.send(&post("/", LIST_CLUSTERS, "{}")).await;
    connection.reply().await;
    site.stop();
    assert_eq!(connection.until_closed().await, "");
    site.ended().await;
}

/// Sends a request up to the last byte of its body; the server is known to read it.
async fn half_sent(site: &Site) -> Connection {
    let mut connection = site.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n";
    connection.send(&format!("{head}{LIST_CLUSTERS}\r\n")).await;
    assert_eq!(connection.reply().await.status, 100);
    connection.send("{").await;
    connection
}

#[tokio::test]
async fn health_tells_version_node_services_and_uptime() {
    let site = Site::start(Limits::default()).await;
    let reply = site.ask("GET /_neargate/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
    let health = reply.json();
    assert_eq!(reply.status, 200);
    assert_eq!((&health["status"], &health["node"]), (&json!("running"), &json!("simulated")));
    assert!(health["version"].is_string() && health["uptime_seconds"].is_number(), "{health}");
    let services = health["services"].as_array().unwrap();
    assert!(["ecs", "logs", "sts"].iter().all(|id| services.contains(&json!(id))), "{health}");
}

#[tokio::test]
async fn a_reset_empties_the_state_at_both_its_paths() {
    let site = Site::start(Limits::default()).await;
    for path in ["/_neargate/reset", "/moto-api/reset"] {
        site.ask(&post("/", CREATE_CLUSTER, "{}")).await;
        assert_ne!(site.ask(&post("/", LIST_CLUSTERS, "{}")).await.json(), json!({ "clusterArns": [] }));
        let reply = site.ask(&post(path, "", "")).await;
        assert_eq!((reply.status, reply.json()), (200, json!({ "status": "ok" })), "{path}");
        assert_eq!(site.ask(&post("/", LIST_CLUSTERS, "{}")).await.json(), json!({ "clusterArns": [] }), "{path}");
    }
}

#[tokio::test]
async fn an_interruption_of_spot_tasks_says_whom_it_met_or_why_it_met_nobody() {
    let site = Site::start(Limits::default()).await;
    let reply = site.ask(&post("/_neargate/spot/interrupt", "", "")).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "tasks": [] })));
    let large = format!("{{\"cluster\":\"{}\"}}", "c".repeat(64 * 1024));
    for (body, status, words) in [
        (r#"{"cluster":"none"}"#, 404, "there is no cluster none; `aws ecs list-clusters`"),
        (r#"{"tasks":["none"]}"#, 404, "there is no task none here; `aws ecs list-tasks`"),
        (r#"{"task":"none"}"#, 400, "there is no member `task`; send {"),
        (large.as_str(), 400, "larger than 65536 bytes"),
    ] {
        let reply = site.ask(&post("/_neargate/spot/interrupt", "", body)).await;
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert_eq!(reply.status, status, "{message}");
        assert!(message.contains(words), "{message}");
    }
    let reply = site.ask("GET /_neargate/spot/interrupt HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
    assert_eq!(reply.status, 405);
    let reply = site.ask(&post("/_neargate/spot/interrupt", "Origin: https://evil.example\r\n", "")).await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn time_passes_by_request_in_steps_and_says_how_late_it_is() {
    let site = Site::start(Limits::default()).await;
    let get = "GET /_neargate/clock HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let clock = site.ask(get).await.json();
    assert_eq!((clock["clock"].as_str(), clock["now"].as_str()), (Some("manual"), Some("2026-01-01T00:00:00Z")));
    for (body, now) in [
        (r#"{"duration":"30m"}"#, "2026-01-01T00:30:00Z"),
        (r#"{"seconds":0.5}"#, "2026-01-01T00:30:00.5Z"),
        (r#"{"to":"2026-01-01T01:00:00Z"}"#, "2026-01-01T01:00:00Z"),
        (r#"{"seconds":0}"#, "2026-01-01T01:00:00Z"),
    ] {
        let reply = site.ask(&post("/_neargate/clock/advance", "", body)).await;
        assert_eq!((reply.status, reply.json()["now"].as_str()), (200, Some(now)), "{body}");
    }
    for (body, words) in [
        (r#"{"to":"2026-01-01T00:00:00Z"}"#, "2026-01-01T00:00:00Z is in the past: it is 2026-01-01T01:00:00Z"),
        (r#"{"to":"2027-01-03T00:00:00Z"}"#, "no more than a year may pass at once; send {"),
        (r#"{"minutes":1}"#, "there is no member `minutes`; send {"),
    ] {
        let reply = site.ask(&post("/_neargate/clock/advance", "", body)).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text().contains(words), "{}", reply.text());
    }
    let reply = site.ask(&post("/_neargate/clock/advance", "Origin: https://evil.example\r\n", "{}")).await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn paths_and_methods_that_there_are_not_are_told() {
    let site = Site::start(Limits::default()).await;
    for (request, status) in [
        (post("/_neargate/x", "", ""), 404),
        (post("/_neargate/", "", ""), 404),
        (post("/_neargate/health", "", ""), 405),
        (post("/_neargate/clock", "", ""), 405),
        ("GET /_neargate/clock/advance HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned(), 405),
        ("GET /moto-api/reset HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned(), 405),
        ("DELETE /_neargate/images HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned(), 400),
        ("DELETE /_neargate/images?name=nope HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned(), 404),
        (post("/_neargate/images?name=%20", "", "x"), 400),
    ] {
        let reply = site.ask(&request).await;
        assert_eq!(reply.status, status, "{request}");
        assert!(reply.json()["message"].is_string(), "{request}");
    }
}
