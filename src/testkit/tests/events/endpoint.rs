//! HTTP endpoints as targets, by the script of the simulated node.

use std::time::Duration;

use node::{HttpAnswer, HttpError};
use serde_json::{Value, json};
use testkit::Testkit;

use crate::{ROLE, rule};

const ENDPOINT: &str = "http://localhost:9/hook";

fn answer(status: u16) -> Result<HttpAnswer, HttpError> {
    Ok(HttpAnswer { status, headers: Vec::new(), body: Vec::new() })
}

/// Makes an API destination behind a rule for events of `my.app`.
async fn endpoint(kit: &Testkit, authorization: Value, retry: Value) {
    kit.ask("events", "CreateConnection", &authorization).await;
    let connection = kit.ask("events", "DescribeConnection", &json!({ "Name": "c" })).await;
    let wanted = json!({
        "Name": "d", "ConnectionArn": connection["ConnectionArn"], "InvocationEndpoint": ENDPOINT, "HttpMethod": "POST",
    });
    let made = kit.ask("events", "CreateApiDestination", &wanted).await;
    let target = json!({
        "Id": "hook", "Arn": made["ApiDestinationArn"], "RoleArn": ROLE, "InputPath": "$.detail", "RetryPolicy": retry,
    });
    rule(kit, "r", json!({ "EventPattern": r#"{"source":["my.app"]}"# }), target).await;
}

fn basic() -> Value {
    let parameters = json!({ "BasicAuthParameters": { "Username": "u", "Password": "p" } });
    json!({ "Name": "c", "AuthorizationType": "BASIC", "AuthParameters": parameters })
}

async fn put_event(kit: &Testkit) {
    let entry = json!({ "Source": "my.app", "DetailType": "Thing", "Detail": "{\"n\":1}" });
    let put = kit.ask("events", "PutEvents", &json!({ "Entries": [entry] })).await;
    assert_eq!(put["FailedEntryCount"], 0);
}

fn waiting(kit: &Testkit) -> usize {
    kit.emulator().state().events.deliveries.len()
}

#[tokio::test]
async fn an_endpoint_is_asked_with_what_its_connection_says() {
    let kit = Testkit::simulated();
    endpoint(&kit, basic(), json!({})).await;
    put_event(&kit).await;
    kit.settle().await;
    let asked = kit.node().unwrap().take_http_requests();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].method.as_str(), asked[0].url.as_str()), ("POST", ENDPOINT));
    assert!(asked[0].headers.contains(&("Authorization".to_owned(), "Basic dTpw".to_owned())));
    assert_eq!(asked[0].body, b"{\"n\":1}");
    assert_eq!(waiting(&kit), 0);
}

#[tokio::test]
async fn an_endpoint_that_fails_is_asked_again_with_growing_waits() {
    let kit = Testkit::simulated();
    let nobody = || Err(HttpError::Unreachable { why: "nobody there".to_owned() });
    kit.node().unwrap().answer_http(ENDPOINT, [answer(503), nobody(), answer(429), answer(200)]);
    endpoint(&kit, basic(), json!({})).await;
    put_event(&kit).await;
    kit.settle().await;
    let mut asked = Vec::new();
    for second in 0..=10 {
        asked.extend(kit.node().unwrap().take_http_requests().iter().map(|_| second));
        kit.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(asked, [0, 1, 3, 7]);
    assert_eq!(waiting(&kit), 0);
}

#[tokio::test]
async fn an_endpoint_that_refuses_or_fails_too_often_is_given_up() {
    let kit = Testkit::simulated();
    kit.node().unwrap().answer_http(ENDPOINT, [answer(400), answer(500)]);
    endpoint(&kit, basic(), json!({ "MaximumRetryAttempts": 2 })).await;
    put_event(&kit).await;
    kit.pass(Duration::from_secs(30)).await;
    assert_eq!((kit.node().unwrap().take_http_requests().len(), waiting(&kit)), (1, 0));
    put_event(&kit).await;
    kit.pass(Duration::from_secs(30)).await;
    assert_eq!((kit.node().unwrap().take_http_requests().len(), waiting(&kit)), (3, 0));
}

#[tokio::test]
async fn an_event_that_is_too_old_is_given_up() {
    let kit = Testkit::simulated();
    kit.node().unwrap().answer_http(ENDPOINT, [answer(500)]);
    endpoint(&kit, basic(), json!({ "MaximumEventAgeInSeconds": 60 })).await;
    put_event(&kit).await;
    kit.pass(Duration::from_mins(10)).await;
    // After 0, 1, 3, 7, 15 and 31 seconds; the next time would be after 63.
    assert_eq!((kit.node().unwrap().take_http_requests().len(), waiting(&kit)), (6, 0));
}

#[tokio::test]
async fn a_token_is_fetched_where_the_connection_says() {
    const TOKENS: &str = "http://localhost:9/token";
    let kit = Testkit::simulated();
    let body = br#"{"access_token":"abc"}"#.to_vec();
    kit.node().unwrap().answer_http(TOKENS, [Ok(HttpAnswer { status: 200, headers: Vec::new(), body })]);
    let parameters = json!({ "OAuthParameters": {
        "ClientParameters": { "ClientID": "id", "ClientSecret": "s&t" },
        "AuthorizationEndpoint": TOKENS,
        "HttpMethod": "POST",
    } });
    let connection =
        json!({ "Name": "c", "AuthorizationType": "OAUTH_CLIENT_CREDENTIALS", "AuthParameters": parameters });
    endpoint(&kit, connection, json!({})).await;
    put_event(&kit).await;
    kit.settle().await;
    let asked = kit.node().unwrap().take_http_requests();
    assert_eq!(asked[0].body, b"grant_type=client_credentials&client_id=id&client_secret=s%26t");
    assert!(asked[1].headers.contains(&("Authorization".to_owned(), "Bearer abc".to_owned())));
}

#[tokio::test]
async fn a_slow_endpoint_holds_no_other_target_up() {
    let kit = Testkit::simulated();
    kit.node().unwrap().answer_http(ENDPOINT, [answer(500)]);
    endpoint(&kit, basic(), json!({})).await;
    let target = crate::log_target(&kit).await;
    kit.ask("events", "PutTargets", &json!({ "Rule": "r", "Targets": [target] })).await;
    put_event(&kit).await;
    put_event(&kit).await;
    kit.settle().await;
    assert_eq!(crate::logged(&kit).await.len(), 2);
    assert_eq!(waiting(&kit), 2);
}
