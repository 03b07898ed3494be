//! The credentials of a task's roles.

use base::Timestamp;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;
use state::State;
use state::ecs::Task;

use crate::{go_json, reply};

/// Credentials, as SDKs read them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CredentialsView<'a> {
    role_arn: &'a str,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    expiration: String,
}

#[derive(Serialize)]
struct ErrorView {
    code: &'static str,
    message: String,
    #[serde(rename = "HTTPErrorCode")]
    status: u16,
}

/// Answers with the credentials of this id, if they are the asking task's.
pub(crate) fn answer(state: &State, task: Option<&Task>, version: u8, id: &str, now: Timestamp) -> Response<Bytes> {
    let refuse = |status: StatusCode, code, message: &str| {
        let message = format!("CredentialsV{version}Request: {message}");
        reply::json(status, &ErrorView { code, message, status: status.as_u16() })
    };
    if id.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "NoIdInRequest", "No Credential ID in the request");
    }
    let of_task = task.into_iter().flat_map(|task| [&task.credentials, &task.execution_credentials]).flatten();
    let Some(known) = of_task.into_iter().find(|known| known.id == id) else {
        return refuse(StatusCode::BAD_REQUEST, "InvalidIdInRequest", "Credentials not found");
    };
    let session = state.iam.session(&known.access_key_id, now);
    let Some((session, role)) = session.as_ref().and_then(|session| Some((session, session.role.as_ref()?))) else {
        // They are renewed before they end; this is the moment in between after a long pause.
        let message = "Credentials uninitialized for ID";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "CredentialsUninitialized", message);
    };
    let view = CredentialsView {
        role_arn: role.as_str(),
        access_key_id: &session.access_key_id,
        secret_access_key: session.secret_access_key.expose(),
        token: session.token.expose(),
        expiration: expiration(session.expires_at),
    };
    reply::json(StatusCode::OK, &view)
}

/// Writes when credentials end: in whole seconds, as the service that gives them to ECS's agent does.
fn expiration(at: Timestamp) -> String {
    go_json::time(Timestamp::from_millis(at.as_millis() / 1000 * 1000))
}
