//! Receives bodies that are streamed: into files, a piece at a time, with their digests.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Body;
use state::State;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use wire::{ApiError, Content, ReceiveError, Receiver};

/// How many bodies are received at once from the user, and again from tasks; clients are asked to try again beyond it.
pub(crate) const UPLOADS_MAX: usize = 256;
/// How many bytes of a body are gathered before they are written: what it takes in memory, but for one frame. So many must
/// come within the time that a body has to go on, which is its least rate.
const GATHERED_BYTES_MAX: usize = 128 * 1024;

/// A body in a file. The file goes with it unless somebody has moved it by then.
#[derive(Debug)]
pub(crate) struct Upload {
    path: PathBuf,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the file of a request's body stays until the next start");
        }
    }
}

/// What is done to the file away from the threads that answer requests.
struct Writing {
    receiver: Receiver,
    file: File,
    gathered: Vec<Bytes>,
}

impl Writing {
    fn write(mut self) -> Result<Self, ReceiveError> {
        for bytes in std::mem::take(&mut self.gathered) {
            self.receiver.push(&bytes, &mut self.file)?;
        }
        Ok(self)
    }
}

/// Receives a body. `wait_max` is how long the next [`GATHERED_BYTES_MAX`] of it, or its end, may take.
pub(crate) async fn receive<B>(
    state: &Arc<State>,
    head: &Parts,
    body: B,
    wait_max: Duration,
) -> Result<(Upload, Content), ApiError>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let receiver = Receiver::new(head)?;
    let (path, file) = state.s3.blobs().create().map_err(|error| broken(&ReceiveError::Io(error)))?;
    let upload = Upload { path: path.clone() };
    let mut writing = Writing { receiver, file, gathered: Vec::new() };
    let mut body = std::pin::pin!(body);
    let mut is_over = false;
    while !is_over {
        let gathering = timeout(wait_max, gather(&mut body, &mut writing.gathered));
        is_over = gathering.await.unwrap_or_else(|_| Err(late()))?;
        writing = write(writing).await?;
    }
    let received = writing.receiver.finish(path)?;
    Ok((upload, Content::Received(Arc::new(received))))
}

/// Tells whether a client waits to be told to go on, and will not be, because its body is empty. botocore takes the status
/// of such an answer for that of the next one on the same connection, which must therefore be another connection.
pub(crate) fn is_never_continued(head: &Parts) -> bool {
    let is_empty = head.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
    is_empty && head.headers.contains_key(EXPECT)
}

/// Gathers what is written at a time. Returns whether the body is over.
async fn gather<B>(body: &mut std::pin::Pin<&mut B>, gathered: &mut Vec<Bytes>) -> Result<bool, ApiError>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut gathered_bytes = 0;
    while gathered_bytes < GATHERED_BYTES_MAX {
        let Some(frame) = body.frame().await else { return Ok(true) };
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "a request's body ended early");
            let message = "You did not provide the number of bytes specified by the Content-Length HTTP header";
            ApiError::client("IncompleteBody", message)
        })?;
        let bytes = frame.into_data().unwrap_or_default();
        gathered_bytes += bytes.len();
        gathered.push(bytes);
    }
    Ok(false)
}

fn late() -> ApiError {
    let message = "Your socket connection to the server was not read from or written to within the timeout period.";
    ApiError::client("RequestTimeout", message)
}

async fn write(writing: Writing) -> Result<Writing, ApiError> {
    let written = spawn_blocking(|| writing.write()).await;
    written.unwrap_or_else(|_| Err(ReceiveError::Api(ApiError::internal()))).map_err(|error| broken(&error))
}

fn broken(error: &ReceiveError) -> ApiError {
    match error {
        ReceiveError::Api(error) => ApiError::new(error.code(), error.status(), error.message()),
        ReceiveError::Io(error) => {
            tracing::error!(%error, "a request's body cannot be kept");
            ApiError::new("InternalError", 500, "We encountered an internal error. Please try again.")
        }
    }
}
