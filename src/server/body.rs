//! Receives the bodies of API requests, within bounds for each and for all.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::Limits;

/// The bytes of bodies that may still be held, in all requests together.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
}

/// A whole body. Its bytes count as held for as long as this lives.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    room: Option<OwnedSemaphorePermit>,
}

/// Why a body was not received.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is larger than a body may be.
    #[error("The request body is larger than {0} bytes.")]
    TooLarge(usize),
    /// The bodies of all requests together are more than may be held.
    #[error("Too many request bodies are being received. Try again.")]
    NoRoom,
    /// The connection ended, or said something that is no body.
    #[error("The request body ended early.")]
    Early(#[source] hyper::Error),
    /// It took too long.
    #[error("The request body did not arrive in time.")]
    Late,
}

impl BodyError {
    /// Returns the status and error code that a client is told.
    pub(crate) fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
            // SDKs try again after it.
            Self::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            Self::Early(_) => (StatusCode::BAD_REQUEST, "IncompleteBody"),
            Self::Late => (StatusCode::REQUEST_TIMEOUT, "RequestTimeout"),
        }
    }
}

impl Room {
    /// Makes room for so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))) }
    }

    /// Receives a body. One that says beforehand that it is too large is refused before it is sent.
    pub(crate) async fn receive(&self, body: Incoming, limits: &Limits) -> Result<Received, BodyError> {
        if body.size_hint().lower() > limits.body_bytes as u64 {
            return Err(BodyError::TooLarge(limits.body_bytes));
        }
        timeout(limits.body_timeout, self.collect(body, limits.body_bytes)).await.unwrap_or(Err(BodyError::Late))
    }

    async fn collect(&self, mut body: Incoming, bytes_max: usize) -> Result<Received, BodyError> {
        let mut received = Received { bytes: Bytes::new(), room: None };
        let mut joined = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(bytes) = frame.map_err(BodyError::Early)?.into_data() else { continue };
            if received.bytes.len() + joined.len() + bytes.len() > bytes_max {
                return Err(BodyError::TooLarge(bytes_max));
            }
            received.hold(self.take(bytes.len())?);
            // Most bodies come in one piece, which is then not copied.
            if received.bytes.is_empty() && joined.is_empty() {
                received.bytes = bytes;
            } else {
                joined.extend_from_slice(&std::mem::take(&mut received.bytes));
                joined.extend_from_slice(&bytes);
            }
        }
        if !joined.is_empty() {
            received.bytes = joined.freeze();
        }
        Ok(received)
    }

    /// Takes room, or fails if there is none: to wait for it while holding some could wait for ever.
    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, BodyError> {
        let bytes = u32::try_from(bytes).map_err(|_| BodyError::NoRoom)?;
        Arc::clone(&self.free).try_acquire_many_owned(bytes).map_err(|_| BodyError::NoRoom)
    }
}

impl Received {
    fn hold(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
    }
}
