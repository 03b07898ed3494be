//! What containers find in their environment.

use serde_json::{Value, json};

use crate::bench::{BOTH, Bench, SIMULATED, container_with, id_of, text};

crate::scenarios! {
    BOTH => [
        secrets_are_in_the_environment_and_nowhere_else,
        a_missing_secret_fails_the_task,
        a_missing_parameter_fails_the_task,
        files_of_s3_give_way_to_the_definition,
        a_missing_file_fails_the_task,
        a_container_is_told_where_its_metadata_and_credentials_are,
    ],
    SIMULATED => [credentials_are_renewed_and_go_with_the_task],
}

const ROLE: &str = "arn:aws:iam::123456789012:role/app";

async fn a_missing_secret_fails_the_task(bench: &Bench) {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:gone-AbCdEf";
    let more = json!({ "secrets": [{ "name": "PASSWORD", "valueFrom": arn }] });
    let task = bench.start(&[container_with("app", "true", "exit 0", &more)]).await;
    let task = bench.until_stopped(&task).await;
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    assert_eq!(
        text(&task["stoppedReason"]),
        format!(
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: \
             unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret {arn} \
             from secrets manager: ResourceNotFoundException: Secrets Manager can't find the specified secret."
        )
    );
    assert_eq!(task["containers"][0]["reason"], json!(null));
    bench.assert_node_is_empty().await;
}

async fn a_missing_parameter_fails_the_task(bench: &Bench) {
    let more = json!({ "secrets": [{ "name": "PASSWORD", "valueFrom": "/gone" }] });
    let task = bench.start(&[container_with("app", "true", "exit 0", &more)]).await;
    let reason = text(&bench.until_stopped(&task).await["stoppedReason"]);
    assert!(reason.ends_with("invalid ssm parameters: /gone"), "{reason}");
}

async fn secrets_are_in_the_environment_and_nowhere_else(bench: &Bench) {
    let secret = json!({ "Name": "db", "SecretString": r#"{"user":"u","password":"hunter2"}"# });
    let secret = text(&bench.kit.ask("secretsmanager", "CreateSecret", &secret).await["ARN"]);
    let parameter = json!({ "Name": "/app/key", "Value": "k-1234", "Type": "SecureString" });
    bench.kit.ask("ssm", "PutParameter", &parameter).await;
    let more = json!({ "secrets": [
        { "name": "PASSWORD", "valueFrom": format!("{secret}:password::") },
        { "name": "KEY", "valueFrom": "/app/key" },
    ] });
    let app = container_with("app", "echo $PASSWORD $KEY", "output hunter2 k-1234; exit 0", &more);
    let arn = bench.start(&[app]).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(bench.log("app", &arn).await, ["hunter2 k-1234"]);
    assert!(!task.to_string().contains("hunter2"), "{task}");
    let known = bench.kit.emulator().state().ecs.tasks.walk(bench.kit.scope(), None).map(|(_, task)| task);
    for task in known {
        let record = format!("{task:?}");
        assert!(!record.contains("hunter2") && !record.contains("k-1234"), "{record}");
    }
}

/// Keeps an object in a bucket of its own.
fn put(bench: &Bench, bucket: &str, key: &str, bytes: &[u8]) {
    let (state, now) = (bench.kit.emulator().state(), testkit::START);
    let owner = bench.kit.scope().account;
    let region = bench.kit.scope().region.clone();
    let made = state::s3::Bucket { owner, region, created_at: now };
    assert!(state.s3.create_bucket(bucket, made).is_ok());
    state.s3.write(bucket, key, "text/plain", bytes, now).unwrap();
}

async fn files_of_s3_give_way_to_the_definition(bench: &Bench) {
    put(bench, "config-1", "app.env", b"# a comment\nONE=file\nTWO=file\n");
    put(bench, "config-2", "more.env", b"ONE=later\nTHREE=later\n");
    let more = json!({
        "environment": [
            { "name": "TWO", "value": "definition" },
            { "name": "NEARGATE_SIMULATE", "value": "output file definition later; exit 0" },
        ],
        "environmentFiles": [
            { "type": "s3", "value": "arn:aws:s3:::config-1/app.env" },
            { "type": "s3", "value": "arn:aws:s3:::config-2/more.env" },
        ],
    });
    let arn = bench.start(&[container_with("app", "echo $ONE $TWO $THREE", "", &more)]).await;
    bench.until_stopped(&arn).await;
    assert_eq!(bench.log("app", &arn).await, ["file definition later"]);
}

async fn a_missing_file_fails_the_task(bench: &Bench) {
    let more = json!({ "environmentFiles": [{ "type": "s3", "value": "arn:aws:s3:::gone/app.env" }] });
    let arn = bench.start(&[container_with("app", "true", "exit 0", &more)]).await;
    let reason = text(&bench.until_stopped(&arn).await["stoppedReason"]);
    assert!(reason.starts_with("ResourceInitializationError: failed to download env files: "), "{reason}");
}

/// Registers a container in a definition with a task role, and starts a task of it.
async fn start_with_role(bench: &Bench, container: &Value) -> String {
    bench.register(std::slice::from_ref(container)).await;
    bench.run_task(&json!({ "overrides": { "taskRoleArn": ROLE } })).await
}

async fn a_container_is_told_where_its_metadata_and_credentials_are(bench: &Bench) {
    let command = "echo ${ECS_CONTAINER_METADATA_URI_V4##*/}; echo ${AWS_CONTAINER_CREDENTIALS_RELATIVE_URI%/*}; \
                   trap 'exit 0' TERM; echo ready; sleep 600 & wait";
    let app = container_with("app", command, "output ready", &json!({}));
    let arn = start_with_role(bench, &app).await;
    bench.until_line("app", &arn, "ready").await;
    let task = bench.task(&arn).await;
    if bench.kit.node().is_none() {
        let runtime_id = text(&task["containers"][0]["runtimeId"]);
        assert_eq!(bench.log("app", &arn).await[..2], [runtime_id, "/v2/credentials".to_owned()]);
    }
    let state = bench.kit.emulator().state();
    let (_, known) = state.ecs.tasks.walk(bench.kit.scope(), None).next().unwrap();
    let credentials = known.credentials.clone().unwrap();
    let session = state.iam.session(&credentials.access_key_id, known.created_at).unwrap();
    assert!(session.principal.arn.as_str().ends_with(&format!("assumed-role/app/{}", id_of(&arn))), "{session:?}");
    assert!(known.execution_credentials.is_some());
    assert_ne!(known.execution_credentials, known.credentials);
}

async fn credentials_are_renewed_and_go_with_the_task(bench: &Bench) {
    let arn = start_with_role(bench, &container_with("app", "", "", &json!({}))).await;
    bench.until(&arn, "RUNNING").await;
    let credentials = || {
        let state = bench.kit.emulator().state();
        let (_, known) = state.ecs.tasks.walk(bench.kit.scope(), None).next().unwrap();
        known.credentials.clone()
    };
    let first = credentials().unwrap();
    bench.kit.advance(std::time::Duration::from_secs(5 * 3600 - 1)).await;
    assert_eq!(credentials().as_ref(), Some(&first));
    bench.kit.advance(std::time::Duration::from_secs(1)).await;
    let second = credentials().unwrap();
    assert_eq!(second.id, first.id);
    assert_ne!(second.access_key_id, first.access_key_id);
    bench.stop(&arn).await;
    bench.until_stopped(&arn).await;
    assert_eq!(credentials(), None);
}
