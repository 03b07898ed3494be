//! Events and schedules over the end of a server. The records are in a file; the node and its clock are new.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Ids, ManualClock, Timestamp};
use controllers::Controllers;
use node::HttpAnswer;
use node::simulated::SimulatedNode;
use reconcile::ManualTimer;
use serde_json::{Value, json};
use server::{Emulator, NodeKind, Parts};
use state::State;
use testkit::{START, Testkit, json_request};

const ENDPOINT: &str = "http://localhost:9/hook";
const TURNS_MAX: usize = 2_000;

/// A server on a file.
struct Server {
    emulator: Arc<Emulator>,
    node: Arc<SimulatedNode>,
}

impl Server {
    /// Starts one at a time, in seconds after the usual start of the clock.
    fn start(file: &Path, at_s: i64) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(START.as_millis() + at_s * 1000)));
        let controllers = Controllers::new();
        let node = SimulatedNode::new(Arc::clone(&clock) as Arc<dyn Clock>, controllers.event_sink());
        let parts = Parts {
            state: State::open(file).unwrap(),
            node: node.node(),
            node_kind: NodeKind::Simulated,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            timer: Arc::new(ManualTimer::new(clock)),
            manual_time: None,
            ids: Ids::system(),
            scope: Testkit::simulated().scope().clone(),
        };
        Self { emulator: Emulator::start(parts, controllers), node }
    }

    async fn ask(&self, operation: &str, input: &Value) -> Value {
        let request = json_request("events", operation, "123456789012", "us-east-1", &input.to_string());
        let reply = self.emulator.call(request).await;
        assert!(reply.status().is_success(), "{operation}: {:?}", reply.body());
        serde_json::from_slice(reply.body()).unwrap_or_default()
    }

    async fn settle(&self) {
        let driver = self.emulator.controllers().driver();
        let rest = driver.is_idle_within(Duration::from_secs(10));
        assert!(rest.await);
        for _ in 0..TURNS_MAX / 100 {
            tokio::task::yield_now().await;
        }
    }

    /// Ends it as a kill would, but for what the journal's thread is writing.
    async fn end(self) {
        self.emulator.state().flush().unwrap();
        self.emulator.shutdown(true).await;
    }
}

#[tokio::test]
async fn what_was_not_delivered_is_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let first = Server::start(&file, 0);
    let busy = || Ok(HttpAnswer { status: 503, headers: Vec::new(), body: Vec::new() });
    first.node.answer_http(ENDPOINT, [busy()]);
    let parameters = json!({ "ApiKeyAuthParameters": { "ApiKeyName": "k", "ApiKeyValue": "v" } });
    let connection = json!({ "Name": "c", "AuthorizationType": "API_KEY", "AuthParameters": parameters });
    let connection = first.ask("CreateConnection", &connection).await["ConnectionArn"].clone();
    let destination =
        json!({ "Name": "d", "ConnectionArn": connection, "InvocationEndpoint": ENDPOINT, "HttpMethod": "POST" });
    let arn = first.ask("CreateApiDestination", &destination).await["ApiDestinationArn"].clone();
    first.ask("PutRule", &json!({ "Name": "r", "EventPattern": r#"{"source":["my.app"]}"# })).await;
    first.ask("PutTargets", &json!({ "Rule": "r", "Targets": [{ "Id": "1", "Arn": arn }] })).await;
    let entry = json!({ "Source": "my.app", "DetailType": "Thing", "Detail": "{}" });
    first.ask("PutEvents", &json!({ "Entries": [entry] })).await;
    first.settle().await;
    assert_eq!(first.node.take_http_requests().len(), 1);
    first.end().await;
    let second = Server::start(&file, 10);
    second.settle().await;
    assert_eq!(second.node.take_http_requests().len(), 1);
    assert!(second.emulator.state().events.deliveries.is_empty());
    second.end().await;
}

#[tokio::test]
async fn of_the_times_without_a_server_only_the_last_is_seen_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let first = Server::start(&file, 0);
    first.ask("PutRule", &json!({ "Name": "tick", "ScheduleExpression": "rate(10 minutes)" })).await;
    let log = json!({ "Id": "1", "Arn": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/events/x" });
    first.ask("PutTargets", &json!({ "Rule": "tick", "Targets": [log] })).await;
    let scope = Testkit::simulated().scope().clone();
    first.emulator.state().logs.make_group(&scope, "/aws/events/x", START);
    first.settle().await;
    first.end().await;
    let second = Server::start(&file, 3605);
    second.settle().await;
    let state = second.emulator.state();
    let stream = state.logs.streams_of(&scope, "/aws/events/x").next().unwrap();
    let seen = state.logs.with_events(&scope, &stream.name, |events| {
        events
            .sorted()
            .iter()
            .map(|event| serde_json::from_str::<Value>(&event.message).unwrap()["time"].clone())
            .collect::<Vec<_>>()
    });
    assert_eq!(seen, ["2026-01-01T01:00:00Z"]);
    second.end().await;
}
