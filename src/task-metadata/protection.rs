//! The task's own protection from being taken away, through ECS's API with the credentials of the task's role.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use base::{Scope, Timestamp};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use state::State;
use state::ecs::Task;
use state::iam::Session;

use crate::endpoint::Api;
use crate::go_json::Members;
use crate::reply;

/// How long ECS may take: the agent's bound.
const CALL_WAIT: std::time::Duration = std::time::Duration::from_secs(4);
const TARGET: &str = "AmazonEC2ContainerServiceV20141113";

/// What answers look like: one of the three.
#[derive(Default, Serialize)]
struct ResponseView {
    #[serde(rename = "requestID", skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protection: Option<ProtectionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorView>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProtectionView {
    expiration_date: Option<String>,
    protection_enabled: bool,
    task_arn: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FailureView {
    arn: Value,
    detail: Value,
    reason: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorView {
    #[serde(skip_serializing_if = "String::is_empty")]
    arn: String,
    code: String,
    message: String,
}

/// Who asks: the task, its account and region.
pub(crate) type Asking<'a> = Option<(&'a Scope, &'a Task)>;

/// Answers a request about the task's protection.
pub(crate) async fn answer(
    state: &State,
    api: &dyn Api,
    asking: Asking<'_>,
    request: &Request<Bytes>,
    now: Timestamp,
) -> Response<Bytes> {
    let wanted = match *request.method() {
        Method::GET => None,
        Method::PUT => match Wanted::read(request.body()) {
            Some(wanted) => Some(wanted),
            None => {
                let message = "UpdateTaskProtection: failed to decode request";
                return refuse(StatusCode::BAD_REQUEST, "", "InvalidParameterException", message);
            }
        },
        _ => return reply::no_such_method(),
    };
    let Some((scope, task)) = asking else {
        let message = "Failed to find a task for the request";
        return refuse(StatusCode::NOT_FOUND, "", "ResourceNotFoundException", message);
    };
    let arn = task.arn.as_str();
    let (operation, input) = match wanted {
        None => ("GetTaskProtection", json!({ "cluster": task.cluster_arn.as_str(), "tasks": [arn] })),
        Some(Wanted { is_enabled: None, .. }) => {
            let message = "Invalid request: does not contain 'ProtectionEnabled' field";
            return refuse(StatusCode::BAD_REQUEST, arn, "InvalidParameterException", message);
        }
        Some(Wanted { is_enabled: Some(is_enabled), minutes }) => {
            let mut input = json!({
                "cluster": task.cluster_arn.as_str(), "tasks": [arn], "protectionEnabled": is_enabled,
            });
            if let Some(minutes) = minutes {
                input["expiresInMinutes"] = minutes.into();
            }
            ("UpdateTaskProtection", input)
        }
    };
    let session = task.credentials.as_ref().and_then(|known| state.iam.session(&known.access_key_id, now));
    let Some(session) = session else {
        let message = "Invalid Request: no task IAM role credentials available for task";
        return refuse(StatusCode::FORBIDDEN, arn, "AccessDeniedException", message);
    };
    match tokio::time::timeout(CALL_WAIT, api.call(call(scope, &session, operation, &input))).await {
        Ok(response) => shape(arn, &response),
        Err(_) => {
            let message = "Timed out calling ECS Task Protection API";
            refuse(StatusCode::GATEWAY_TIMEOUT, arn, "RequestCanceled", message)
        }
    }
}

/// What a task wants of its protection.
struct Wanted {
    is_enabled: Option<bool>,
    minutes: Option<u64>,
}

impl Wanted {
    /// Reads a body; none if it cannot be read, or has members that nobody knows.
    fn read(body: &[u8]) -> Option<Self> {
        let members = Members::read("TaskProtectionRequest", body).ok()?;
        if members.has_others(&["ProtectionEnabled", "ExpiresInMinutes"]) {
            return None;
        }
        Some(Self {
            is_enabled: members.flag("ProtectionEnabled").ok()?,
            minutes: members.number("ExpiresInMinutes", "int64", i64::MAX.unsigned_abs()).ok()?,
        })
    }
}

/// Makes the request to ECS. Nobody looks at the signature; the key and the token say who it is.
fn call(scope: &Scope, session: &Session, operation: &str, input: &Value) -> Request<Bytes> {
    let region = scope.region.as_str();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/19700101/{region}/ecs/aws4_request, SignedHeaders=host, Signature=0",
        session.access_key_id
    );
    Request::post("/")
        .header(HOST, format!("ecs.{region}.amazonaws.com"))
        .header(AUTHORIZATION, authorization)
        .header("x-amz-security-token", session.token.expose())
        .header("x-amz-target", format!("{TARGET}.{operation}"))
        .header(CONTENT_TYPE, "application/x-amz-json-1.1")
        .body(Bytes::from(input.to_string()))
        .expect("an access key, a token and a region are plain text")
}

/// Shapes ECS's answer as the agent does.
fn shape(arn: &str, response: &Response<Bytes>) -> Response<Bytes> {
    let body = serde_json::from_slice::<Value>(response.body()).unwrap_or_default();
    if !response.status().is_success() {
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let request_id = response.headers().get("x-amzn-requestid").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let error = ErrorView {
            arn: arn.to_owned(),
            code: text("__type").rsplit('#').next().unwrap_or_default().to_owned(),
            message: text("message").to_owned(),
        };
        let view = ResponseView { request_id, error: Some(error), ..ResponseView::default() };
        return reply::json(response.status(), &view);
    }
    if let Some(failure) = body["failures"].get(0) {
        let member = |name: &str| failure[name].clone();
        let failure = FailureView { arn: member("arn"), detail: member("detail"), reason: member("reason") };
        return reply::json(StatusCode::OK, &ResponseView { failure: Some(failure), ..ResponseView::default() });
    }
    let task = &body["protectedTasks"][0];
    let expiration_date =
        task["expirationDate"].as_f64().and_then(|seconds| DateTime::from_secs_f64(seconds).fmt(Format::DateTime).ok());
    let protection = ProtectionView {
        expiration_date,
        protection_enabled: task["protectionEnabled"].as_bool().unwrap_or_default(),
        task_arn: task["taskArn"].clone(),
    };
    reply::json(StatusCode::OK, &ResponseView { protection: Some(protection), ..ResponseView::default() })
}

fn refuse(status: StatusCode, arn: &str, code: &str, message: &str) -> Response<Bytes> {
    let error = ErrorView { arn: arn.to_owned(), code: code.to_owned(), message: message.to_owned() };
    reply::json(status, &ResponseView { error: Some(error), ..ResponseView::default() })
}
