//! Credentials, and the task's protection, which is changed with them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::{Bench, ROLE};

fn with_role() -> Value {
    json!({ "taskRoleArn": ROLE })
}

#[tokio::test]
async fn the_tasks_own_credentials_are_given_in_both_versions() {
    let bench = Bench::new(&with_role()).await;
    let id = bench.task.credentials.clone().unwrap().id;
    let answer = bench.ask("GET", &format!("/v2/credentials/{id}"), "").await;
    assert_eq!(answer, bench.ask("GET", &format!("/v1/credentials?id={id}"), "").await);
    let credentials = serde_json::from_str::<Value>(answer.strip_prefix("200 ").unwrap()).unwrap();
    assert_eq!(credentials["RoleArn"], ROLE);
    assert!(credentials["AccessKeyId"].as_str().unwrap().starts_with("ASIA"));
    assert!(credentials["Expiration"].as_str().unwrap().starts_with("2026-01-01T"));
    let names = ["RoleArn", "AccessKeyId", "SecretAccessKey", "Token", "Expiration"];
    let places = names.map(|name| answer.find(&format!("\"{name}\":")).unwrap());
    assert!(places.is_sorted(), "the members are in their order");
}

#[tokio::test]
async fn others_have_no_credentials_here() {
    let bench = Bench::new(&with_role()).await;
    let id = bench.task.credentials.clone().unwrap().id;
    let unknown = |version| {
        format!(
            "400 {{\"code\":\"InvalidIdInRequest\",\"message\":\"CredentialsV{version}Request: Credentials not found\",\
             \"HTTPErrorCode\":400}}"
        )
    };
    let missing = |version| {
        format!(
            "400 {{\"code\":\"NoIdInRequest\",\"message\":\"CredentialsV{version}Request: No Credential ID in the \
             request\",\"HTTPErrorCode\":400}}"
        )
    };
    assert_eq!(bench.ask_as_stranger(&format!("/v2/credentials/{id}")).await, unknown(2));
    assert_eq!(bench.ask("GET", "/v2/credentials/nobody", "").await, unknown(2));
    assert_eq!(bench.ask("GET", "/v1/credentials?id=nobody", "").await, unknown(1));
    assert_eq!(bench.ask("GET", "/v2/credentials/", "").await, missing(2));
    assert_eq!(bench.ask("GET", "/v1/credentials", "").await, missing(1));
}

#[tokio::test]
async fn credentials_that_have_ended_are_not_there_yet_again() {
    let bench = Bench::new(&with_role()).await;
    let id = bench.task.credentials.clone().unwrap().id;
    bench.clock.advance(Duration::from_secs(24 * 3600));
    let expected = "503 {\"code\":\"CredentialsUninitialized\",\"message\":\"CredentialsV2Request: Credentials \
                    uninitialized for ID\",\"HTTPErrorCode\":503}";
    assert_eq!(bench.ask("GET", &format!("/v2/credentials/{id}"), "").await, expected);
}

const PROTECTION: &str = "/api/{id}/task-protection/v1/state";

#[tokio::test]
async fn a_task_without_a_role_cannot_change_its_protection() {
    let bench = Bench::new(&json!({})).await;
    let arn = bench.task.arn.as_str();
    let expected = format!(
        "403 {{\"error\":{{\"Arn\":\"{arn}\",\"Code\":\"AccessDeniedException\",\"Message\":\"Invalid Request: no task \
         IAM role credentials available for task\"}}}}"
    );
    assert_eq!(bench.ask("GET", PROTECTION, "").await, expected);
    assert_eq!(bench.ask("PUT", PROTECTION, r#"{"ProtectionEnabled": true}"#).await, expected);
}

#[tokio::test]
async fn a_task_of_no_service_cannot_be_protected() {
    let bench = Bench::new(&with_role()).await;
    let arn = bench.task.arn.as_str();
    let expected = format!(r#"200 {{"failure":{{"Arn":"{arn}","Detail":null,"Reason":"TASK_NOT_VALID"}}}}"#);
    assert_eq!(bench.ask("GET", PROTECTION, "").await, expected);
}

#[tokio::test]
async fn a_task_of_a_service_protects_itself() {
    let bench = Bench::new(&with_role()).await;
    let state = bench.kit.emulator().state();
    state.ecs.update_task(bench.kit.scope(), &bench.task.key, |task| task.group = "service:web".to_owned()).unwrap();
    let arn = bench.task.arn.as_str();
    let unprotected =
        format!(r#"200 {{"protection":{{"ExpirationDate":null,"ProtectionEnabled":false,"TaskArn":"{arn}"}}}}"#);
    assert_eq!(bench.ask("GET", PROTECTION, "").await, unprotected);
    let answer = bench.ask("PUT", PROTECTION, r#"{"ProtectionEnabled": true, "ExpiresInMinutes": 60}"#).await;
    assert!(answer.starts_with(r#"200 {"protection":{"ExpirationDate":"2026-01-01T01:00:0"#), "{answer}");
    assert!(answer.ends_with(&format!(r#""ProtectionEnabled":true,"TaskArn":"{arn}"}}}}"#)), "{answer}");
    assert_eq!(bench.ask("GET", PROTECTION, "").await, answer);
    assert_eq!(bench.ask("PUT", PROTECTION, r#"{"protectionEnabled": false}"#).await, unprotected);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_in_the_agents_words() {
    let bench = Bench::new(&with_role()).await;
    let error = |arn: &str, code: &str, message: &str| {
        let arn = if arn.is_empty() { String::new() } else { format!("\"Arn\":\"{arn}\",") };
        format!("{{\"error\":{{{arn}\"Code\":\"{code}\",\"Message\":\"{message}\"}}}}")
    };
    let undecoded = error("", "InvalidParameterException", "UpdateTaskProtection: failed to decode request");
    for body in ["", "{", "[]", r#"{"Other": 1}"#, r#"{"ProtectionEnabled": "yes"}"#] {
        assert_eq!(bench.ask("PUT", PROTECTION, body).await, format!("400 {undecoded}"), "{body}");
    }
    let message = "Invalid request: does not contain 'ProtectionEnabled' field";
    let expected = error(bench.task.arn.as_str(), "InvalidParameterException", message);
    assert_eq!(bench.ask("PUT", PROTECTION, "{}").await, format!("400 {expected}"));
    let expected = error("", "ResourceNotFoundException", "Failed to find a task for the request");
    assert_eq!(bench.ask_as_stranger(PROTECTION).await, format!("404 {expected}"));
    assert_eq!(bench.ask("POST", PROTECTION, "{}").await, "405 ");
    let answer = bench.ask("PUT", PROTECTION, r#"{"ProtectionEnabled": true, "ExpiresInMinutes": 0}"#).await;
    assert!(answer.starts_with("400 {\"requestID\":\""), "{answer}");
    assert!(answer.contains("\"Code\":\"InvalidParameterException\""), "{answer}");
}
