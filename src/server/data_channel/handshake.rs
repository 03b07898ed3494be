//! What is said before a session begins: what the agent asks the client to do, and what that has done.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The version that the agent says: clients take some abilities from it.
const AGENT_VERSION: &str = "3.3.2299.0";

/// How a session's process is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionType {
    /// By a terminal: what ECS Exec opens.
    InteractiveCommands,
    /// By pipes.
    NonInteractiveCommands,
}

impl SessionType {
    fn as_str(self) -> &'static str {
        match self {
            Self::InteractiveCommands => "InteractiveCommands",
            Self::NonInteractiveCommands => "NonInteractiveCommands",
        }
    }
}

/// The first message of a connection, a text: who connects.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Opening {
    #[serde(default)]
    pub(crate) message_schema_version: String,
    #[serde(default)]
    pub(crate) request_id: String,
    pub(crate) token_value: String,
    #[serde(default)]
    pub(crate) client_id: String,
    #[serde(default)]
    pub(crate) client_version: String,
}

/// What the client has done of what it was asked.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Response {
    processed_client_actions: Option<Vec<Processed>>,
    errors: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Processed {
    action_type: String,
    action_status: u32,
    error: Option<String>,
}

/// The status of an action that succeeded.
const SUCCESS: u32 = 1;

/// Makes the request. Nothing is asked but to know the session's type: the channel is not encrypted by a key of KMS.
pub(crate) fn request(session_type: SessionType) -> Bytes {
    let parameters = json!({ "SessionType": session_type.as_str(), "Properties": null });
    let action = json!({ "ActionType": "SessionType", "ActionParameters": parameters });
    write(&json!({ "AgentVersion": AGENT_VERSION, "RequestedClientActions": [action] }))
}

/// Reads the response; on the error the client cannot have this session.
pub(crate) fn read_response(payload: &[u8]) -> Result<(), String> {
    let response = serde_json::from_slice::<Response>(payload).map_err(|error| error.to_string())?;
    if let Some(error) = response.errors.into_iter().flatten().next() {
        return Err(error);
    }
    let failed = response.processed_client_actions.into_iter().flatten().find(|done| done.action_status != SUCCESS);
    failed.map_or(Ok(()), |done| Err(done.error.unwrap_or(done.action_type)))
}

/// Makes the message that the session begins.
pub(crate) fn complete(took: Duration) -> Bytes {
    let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    write(&json!({ "HandshakeTimeToComplete": took_ns, "CustomerMessage": "" }))
}

/// Makes the client's response to a request.
pub(crate) fn respond(request: &[u8]) -> Bytes {
    let request = serde_json::from_slice::<Value>(request).unwrap_or_default();
    let actions = request["RequestedClientActions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let done = actions.iter().map(|action| json!({ "ActionType": action["ActionType"], "ActionStatus": SUCCESS }));
    let done = done.collect::<Vec<_>>();
    write(&json!({ "ClientVersion": env!("CARGO_PKG_VERSION"), "ProcessedClientActions": done, "Errors": [] }))
}

fn write(value: &Value) -> Bytes {
    value.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_client_does_what_it_is_asked() {
        assert_eq!(read_response(&respond(&request(SessionType::InteractiveCommands))), Ok(()));
    }

    #[test]
    fn a_client_that_cannot_says_why() {
        let failed =
            json!({ "ProcessedClientActions": [{ "ActionType": "SessionType", "ActionStatus": 2, "Error": "no" }] });
        assert_eq!(read_response(failed.to_string().as_bytes()), Err("no".to_owned()));
        let failed = json!({ "ProcessedClientActions": null, "Errors": ["never"] });
        assert_eq!(read_response(failed.to_string().as_bytes()), Err("never".to_owned()));
        assert!(read_response(b"?").is_err());
    }
}
