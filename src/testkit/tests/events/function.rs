//! Functions of Lambda as targets, by the script of the simulated node.

use std::time::Duration;

use controllers::{Controllers, Settings};
use node::{HttpAnswer, HttpRequest};
use serde_json::{Value, json};
use state::State;
use testkit::{SimulatedMachine, Testkit, rest_request};

use crate::{ROLE, rule};

const ENDPOINT: &str = "http://lambda:9001";
const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:f";

fn place() -> String {
    format!("{ENDPOINT}/2015-03-31/functions/{}/invocations", FUNCTION.replace(':', "%3A"))
}

fn kit(lambda_endpoint: Option<&str>) -> Testkit {
    let settings = Settings { lambda_endpoint: lambda_endpoint.map(str::to_owned), ..Settings::default() };
    SimulatedMachine::new().start(State::in_memory(), Controllers::new().with(settings))
}

async fn put_event(kit: &Testkit) {
    let target = json!({ "Id": "function", "Arn": FUNCTION, "InputPath": "$.detail" });
    rule(kit, "r", json!({ "EventPattern": r#"{"source":["my.app"]}"# }), target).await;
    let entry = json!({ "Source": "my.app", "DetailType": "Thing", "Detail": "{\"n\":1}" });
    assert_eq!(kit.ask("events", "PutEvents", &json!({ "Entries": [entry] })).await["FailedEntryCount"], 0);
}

fn waiting(kit: &Testkit) -> usize {
    kit.emulator().state().events.deliveries.len()
}

/// Checks that all calls wait for nothing, and returns where to and with what.
fn calls(asked: &[HttpRequest]) -> Vec<(String, Value)> {
    let is_event = ("x-amz-invocation-type".to_owned(), "Event".to_owned());
    assert!(asked.iter().all(|request| request.method == "POST" && request.headers.contains(&is_event)));
    asked.iter().map(|request| (request.url.clone(), serde_json::from_slice(&request.body).unwrap())).collect()
}

#[tokio::test]
async fn a_function_is_called_with_the_event_until_it_is_taken() {
    let kit = kit(Some(ENDPOINT));
    let answer = |status| Ok(HttpAnswer { status, headers: Vec::new(), body: Vec::new() });
    kit.node().unwrap().answer_http(&place(), [answer(503), answer(202)]);
    put_event(&kit).await;
    kit.pass(Duration::from_secs(5)).await;
    let call = (place(), json!({ "n": 1 }));
    assert_eq!(calls(&kit.node().unwrap().take_http_requests()), [call.clone(), call]);
    assert_eq!(waiting(&kit), 0);
}

#[tokio::test]
async fn a_schedule_calls_a_function_with_its_input() {
    let kit = kit(Some(ENDPOINT));
    let wanted = json!({
        "FlexibleTimeWindow": { "Mode": "OFF" },
        "ScheduleExpression": "rate(10 minutes)",
        "Target": { "Arn": FUNCTION, "RoleArn": ROLE, "Input": r#"{"word":"<aws.scheduler.scheduled-time>"}"# },
    });
    let at = ("POST", "/schedules/s");
    let request = rest_request("scheduler", "123456789012", "us-east-1", at, &[], &wanted.to_string());
    assert!(kit.send(request.unwrap()).await.status.is_success());
    kit.pass(Duration::from_mins(11)).await;
    let word = |time: &str| (place(), json!({ "word": time }));
    let expected = [word("2026-01-01T00:00:00Z"), word("2026-01-01T00:10:00Z")];
    assert_eq!(calls(&kit.node().unwrap().take_http_requests()), expected);
}

#[tokio::test]
async fn a_function_that_nobody_plays_is_a_failed_invocation() {
    let kit = kit(None);
    put_event(&kit).await;
    kit.settle().await;
    assert_eq!((kit.node().unwrap().take_http_requests().len(), waiting(&kit)), (0, 0));
}
