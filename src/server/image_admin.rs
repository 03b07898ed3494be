//! What `neargate image` asks of a server: pulls with their progress, inspection, clean-up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use node::{
    ImageDetail, ImageError, ImageSource, ImageSummary, Platform, PullBehavior, PullProgress, PullRequest,
    RegistryCredentials,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::Emulator;
use crate::download::Lines;

/// The longest request.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// How often at most progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// How many lines may wait for a slow client.
const LINES_MAX: usize = 16;

/// A pull that is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    platform: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// Pulls an image. The answer is a JSON object a line: how far it is, and last what it came to.
pub(crate) async fn pull(emulator: &Emulator, body: Incoming, pause_max: Duration) -> Response<Bytes> {
    let bad = |message: String| {
        let body = Bytes::from(format!("{}\n", json!({ "message": message })));
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    };
    let body = match timeout(pause_max, Limited::new(body, REQUEST_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) | Err(_) => return bad("the request did not arrive".to_owned()),
    };
    let wanted = match serde_json::from_slice::<Wanted>(&body) {
        Ok(wanted) => wanted,
        Err(error) => return bad(format!("the request is no pull: {error}")),
    };
    let platform = match wanted.platform.as_deref().map(|text| Platform::parse(text).ok_or(text)).transpose() {
        Ok(platform) => platform.unwrap_or_else(Platform::host),
        Err(text) => return bad(format!("`{text}` is no platform: linux/amd64 or linux/arm64")),
    };
    let credentials =
        wanted.username.zip(wanted.password).map(|(username, password)| RegistryCredentials { username, password });
    let (advance, progress) = watch::channel(PullProgress::default());
    let request = PullRequest {
        platform,
        credentials,
        // Who asks for it by hand wants to know what the registry has.
        behavior: PullBehavior::Always,
        progress: Some(Arc::new(move |progress| _ = advance.send_replace(*progress))),
        ..PullRequest::new(wanted.name)
    };
    let (lines, told) = mpsc::channel(LINES_MAX);
    let images = Arc::clone(&emulator.node().images);
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = images.pull(&request) => ended,
            // The pull ends with who waits for it.
            () = tell(&lines, progress) => return,
        };
        let outcome = match ended {
            Ok(image) => json!({ "digest": image.digest }),
            Err(error) => json!({ "message": shown(&error) }),
        };
        // Nobody may be left to hear it.
        _ = lines.send(line(&outcome)).await;
    });
    let mut response = Response::new(Bytes::new());
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/x-ndjson"));
    response.extensions_mut().insert(Lines::new(told));
    response
}

/// Tells how far a pull is, until nobody listens.
async fn tell(lines: &mpsc::Sender<Bytes>, mut progress: watch::Receiver<PullProgress>) {
    loop {
        tokio::select! {
            () = lines.closed() => return,
            changed = progress.changed() => if changed.is_err() {
                return lines.closed().await;
            },
        }
        let PullProgress { layers, layers_done, bytes, bytes_done } = *progress.borrow_and_update();
        let told = json!({ "layers": layers, "layers_done": layers_done, "bytes": bytes, "bytes_done": bytes_done });
        if lines.send(line(&told)).await.is_err() {
            return;
        }
        tokio::time::sleep(PROGRESS_EVERY).await;
    }
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

/// Tells all that is known of an image.
pub(crate) async fn inspect(emulator: &Emulator, name: &str) -> (StatusCode, Value) {
    match emulator.node().images.inspect(name).await {
        Ok(detail) => (StatusCode::OK, detailed(&detail)),
        Err(error) => failed(&error),
    }
}

/// Removes what no container uses.
pub(crate) async fn prune(emulator: &Emulator, all: bool) -> (StatusCode, Value) {
    match emulator.node().images.prune(all).await {
        Ok(pruned) => (StatusCode::OK, json!({ "removed": pruned.references, "freed_bytes": pruned.freed_bytes })),
        Err(error) => failed(&error),
    }
}

fn detailed(detail: &ImageDetail) -> Value {
    let mut all = summary(&detail.summary);
    let config = &detail.config;
    let more = json!({
        "index_digest": detail.index_digest,
        "platform": detail.platform,
        "used_at": detail.used_at.map(|at| at.to_string()),
        "in_use": detail.is_in_use,
        "layers": detail
            .layers
            .iter()
            .map(|(digest, size_bytes)| json!({ "digest": digest, "size_bytes": size_bytes }))
            .collect::<Vec<_>>(),
        "config": {
            "entrypoint": config.entrypoint,
            "cmd": config.cmd,
            "env": config.env,
            "working_dir": config.working_dir,
            "user": config.user,
            "stop_signal": config.stop_signal,
        },
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}

/// Shows a line of the listing.
pub(crate) fn summary(image: &ImageSummary) -> Value {
    json!({
        "reference": image.reference,
        "digest": image.digest,
        "size_bytes": image.size_bytes,
        "loaded_at": image.loaded_at.to_string(),
        "source": match image.source {
            ImageSource::Loaded => "loaded",
            ImageSource::Pulled => "pulled",
            ImageSource::Engine => "docker",
        },
    })
}

/// Answers with an error.
pub(crate) fn failed(error: &ImageError) -> (StatusCode, Value) {
    let status = match error {
        ImageError::NotFound { .. } => StatusCode::NOT_FOUND,
        ImageError::InvalidReference { .. } | ImageError::NoPlatform { .. } | ImageError::InvalidArchive { .. } => {
            StatusCode::BAD_REQUEST
        }
        ImageError::Registry { .. } => StatusCode::BAD_GATEWAY,
        ImageError::Io { .. } | ImageError::Cancelled { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, json!({ "message": shown(error) }))
}

fn shown(error: &ImageError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
