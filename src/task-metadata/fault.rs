//! Faults that a task injects into its own network.

use bytes::Bytes;
use http::{Response, StatusCode};
use node::{Fault, FaultError, FaultKind, Network};
use serde::Serialize;
use state::ecs::Task;

use crate::fault_request;
use crate::path::{FaultAction, FaultName};
use crate::reply;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatusView {
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorView {
    error: String,
}

/// What a request about a fault is about.
pub(crate) struct FaultRequest<'a> {
    pub(crate) name: FaultName,
    pub(crate) action: FaultAction,
    /// The container that the path names.
    pub(crate) container: &'a str,
    pub(crate) body: &'a [u8],
}

/// What is to be done, once it is read.
enum Wanted {
    Start(Fault),
    Stop(FaultKind),
    Status(FaultKind),
}

/// Answers a request about a fault of the task's network. `task` is the asking one, with whether its definition allows it.
pub(crate) async fn answer(
    network: &dyn Network,
    task: Option<(&Task, bool)>,
    request: FaultRequest<'_>,
) -> Response<Bytes> {
    let FaultRequest { name, action, container, body } = request;
    let wanted = match action {
        FaultAction::Start => fault_request::fault(name, body).map(Wanted::Start),
        FaultAction::Stop => fault_request::kind(name, body).map(Wanted::Stop),
        FaultAction::Status => fault_request::kind(name, body).map(Wanted::Status),
    };
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, why),
    };
    let Some((task, is_allowed)) = task else {
        let why =
            format!("unable to get task arn from request: unable to get task Arn from v3 endpoint ID: {container}");
        return refuse(StatusCode::NOT_FOUND, why);
    };
    if !is_allowed {
        let why = format!("enableFaultInjection is not enabled for task: {}", task.arn);
        return refuse(StatusCode::BAD_REQUEST, why);
    }
    match act(network, task, wanted).await {
        Ok(response) => response,
        Err(FaultError::TimedOut) => {
            let why = format!("{} {}: request timed out", action.as_str(), name.as_str());
            refuse(StatusCode::INTERNAL_SERVER_ERROR, why)
        }
        Err(FaultError::Network(error)) => {
            tracing::warn!(task = %task.key.id, %error, cause = %error.source, "a fault cannot be injected");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal error".to_owned())
        }
    }
}

async fn act(network: &dyn Network, task: &Task, wanted: Wanted) -> Result<Response<Bytes>, FaultError> {
    let sandbox = &task.key.id;
    match wanted {
        Wanted::Start(fault) => {
            match fault.kind() {
                // Started twice, a black hole runs once.
                kind @ FaultKind::BlackholePort(_) if network.has_fault(sandbox, kind).await? => {
                    return Ok(status("running"));
                }
                FaultKind::BlackholePort(_) => {}
                FaultKind::Latency | FaultKind::PacketLoss => {
                    for (kind, name) in [(FaultKind::Latency, "latency"), (FaultKind::PacketLoss, "packet loss")] {
                        if network.has_fault(sandbox, kind).await? {
                            let why = format!("There is already one network {name} fault running");
                            return Ok(refuse(StatusCode::CONFLICT, why));
                        }
                    }
                }
            }
            network.start_fault(sandbox, &fault).await?;
            Ok(status("running"))
        }
        Wanted::Stop(kind) => {
            network.stop_fault(sandbox, kind).await?;
            Ok(status("stopped"))
        }
        Wanted::Status(kind) => {
            let is_there = network.has_fault(sandbox, kind).await?;
            Ok(status(if is_there { "running" } else { "not-running" }))
        }
    }
}

fn status(status: &'static str) -> Response<Bytes> {
    reply::json(StatusCode::OK, &StatusView { status })
}

fn refuse(status: StatusCode, error: String) -> Response<Bytes> {
    reply::json(status, &ErrorView { error })
}
