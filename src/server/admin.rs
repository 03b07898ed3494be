//! What AWS does not have: health, reset, images, container instances, interruptions of Spot tasks, the clock. Under
//! `/_neargate/`.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::{Emulator, Limits, clock, image_admin, instance, spot};

/// The folder of all paths here.
const PREFIX: &str = "/_neargate/";
/// The path by which test suites written for moto reset their server.
const MOTO_RESET: &str = "/moto-api/reset";

/// What an admin request comes to: a status and a JSON body.
pub(crate) type Answer = (StatusCode, Value);

/// Returns whether a request is for Neargate itself and not for a service of AWS.
pub(crate) fn is_for(request: &Parts) -> bool {
    request.uri.path().starts_with(PREFIX) || request.uri.path() == MOTO_RESET
}

/// Receives the body of a request of at most so many bytes, or says why not.
pub(crate) async fn receive(body: Incoming, bytes_max: usize, pause_max: Duration) -> Result<Bytes, Answer> {
    match timeout(pause_max, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => {
            let message = format!("the body ended early or is larger than {bytes_max} bytes: {error}");
            Err((StatusCode::BAD_REQUEST, json!({ "message": message })))
        }
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, json!({ "message": "the body did not arrive in time" }))),
    }
}

/// Answers a request for Neargate itself.
pub(crate) async fn answer(emulator: &Emulator, limits: &Limits, request: &Parts, body: Incoming) -> Response<Bytes> {
    let path = request.uri.path();
    let (status, body) = match (&request.method, path.strip_prefix(PREFIX).unwrap_or(path)) {
        (&Method::GET, "health") => (StatusCode::OK, health(emulator)),
        (&Method::POST, "reset" | MOTO_RESET) => reset(emulator).await,
        (&Method::GET, "images") => list_images(emulator).await,
        (&Method::POST, "images") => load_image(emulator, limits, request, body).await,
        (&Method::DELETE, "images") => remove_image(emulator, request).await,
        (&Method::POST, "images/pull") => return image_admin::pull(emulator, body, limits.body_timeout).await,
        (&Method::GET, "images/inspect") => match parameter(request, "name") {
            Some(name) => image_admin::inspect(emulator, &name).await,
            None => no_name(),
        },
        (&Method::POST, "images/prune") => {
            let all = parameter(request, "all").is_some_and(|all| all == "true");
            image_admin::prune(emulator, all).await
        }
        (&Method::GET, "clock") => (StatusCode::OK, clock::show(emulator)),
        (&Method::POST, "clock/advance") => clock::advance(emulator, body, limits.body_timeout).await,
        (&Method::POST, "spot/interrupt") => spot::interrupt(emulator, body, limits.body_timeout).await,
        (&Method::GET, "instances") => instance::list(emulator),
        (&Method::POST, "instances") => instance::add(emulator, body, limits.body_timeout).await,
        (&Method::DELETE, "instances") => match parameter(request, "name") {
            Some(name) => {
                let is_forced = parameter(request, "force").is_some_and(|force| force == "true");
                instance::remove(emulator, &name, is_forced)
            }
            None => no_name(),
        },
        (
            _,
            "health" | "reset" | MOTO_RESET | "images" | "images/pull" | "images/inspect" | "images/prune"
            | "instances" | "spot/interrupt" | "clock" | "clock/advance",
        ) => (StatusCode::METHOD_NOT_ALLOWED, json!({ "message": format!("{path} does not take {}", request.method) })),
        _ => (StatusCode::NOT_FOUND, json!({ "message": format!("{path} is no path of Neargate") })),
    };
    Response::builder()
        .status(status)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(format!("{body}\n")))
        .expect("the headers are constants")
}

fn health(emulator: &Emulator) -> Value {
    let services = services::ALL.iter().map(|service| service.model.id);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "status": "running",
        "node": emulator.node_kind().to_string(),
        "uptime_seconds": emulator.uptime().as_secs_f64(),
        "services": services.collect::<Vec<_>>(),
    })
}

async fn reset(emulator: &Emulator) -> Answer {
    match emulator.reset().await {
        Ok(()) => (StatusCode::OK, json!({ "status": "ok" })),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, json!({ "message": error.to_string() })),
    }
}

async fn list_images(emulator: &Emulator) -> Answer {
    match emulator.node().images.list().await {
        Ok(images) => {
            (StatusCode::OK, json!({ "images": images.iter().map(image_admin::summary).collect::<Vec<_>>() }))
        }
        Err(error) => image_admin::failed(&error),
    }
}

async fn load_image(emulator: &Emulator, limits: &Limits, request: &Parts, body: Incoming) -> Answer {
    let name = parameter(request, "name");
    let archive = match receive_archive(body, limits).await {
        Ok(archive) => archive,
        Err(answer) => return answer,
    };
    match emulator.node().images.load(archive.path(), name.as_deref()).await {
        Ok(images) => {
            (StatusCode::OK, json!({ "images": images.iter().map(image_admin::summary).collect::<Vec<_>>() }))
        }
        Err(error) => image_admin::failed(&error),
    }
}

async fn remove_image(emulator: &Emulator, request: &Parts) -> Answer {
    let Some(name) = parameter(request, "name") else { return no_name() };
    match emulator.node().images.remove(&name).await {
        Ok(()) => (StatusCode::OK, json!({ "removed": name })),
        Err(error) => image_admin::failed(&error),
    }
}

/// Writes the body into a temporary file, which goes when it is dropped.
async fn receive_archive(mut body: Incoming, limits: &Limits) -> Result<tempfile::NamedTempFile, Answer> {
    let too_large = || {
        let message = format!("the archive is larger than {} bytes", limits.archive_bytes);
        (StatusCode::PAYLOAD_TOO_LARGE, json!({ "message": message }))
    };
    if body.size_hint().lower() > limits.archive_bytes {
        return Err(too_large());
    }
    let failed = |error: std::io::Error| {
        let message = format!("cannot keep the archive in {}: {error}", std::env::temp_dir().display());
        (StatusCode::INSUFFICIENT_STORAGE, json!({ "message": message }))
    };
    let archive = tempfile::NamedTempFile::new().map_err(failed)?;
    let mut file = tokio::fs::File::from_std(archive.reopen().map_err(failed)?);
    let mut received = 0_u64;
    while let Some(frame) = next_frame(&mut body, limits.body_timeout).await? {
        received += frame.len() as u64;
        if received > limits.archive_bytes {
            return Err(too_large());
        }
        file.write_all(&frame).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(archive)
}

async fn next_frame(body: &mut Incoming, pause_max: Duration) -> Result<Option<Bytes>, Answer> {
    match timeout(pause_max, body.frame()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
        Ok(Some(Err(error))) => {
            Err((StatusCode::BAD_REQUEST, json!({ "message": format!("the archive ended early: {error}") })))
        }
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, json!({ "message": "the archive did not arrive in time" }))),
    }
}

fn parameter(request: &Parts, name: &str) -> Option<String> {
    let mut parameters = wire::parameters(request.uri.query().unwrap_or_default());
    parameters.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

fn no_name() -> Answer {
    (StatusCode::BAD_REQUEST, json!({ "message": "the parameter `name` is missing" }))
}
