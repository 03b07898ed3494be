//! Receives bodies: into an upload's file, a piece at a time, or a manifest at once.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use state::ecr::Writing;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::error::Error;

/// How many bytes of a body are gathered before they are written: what it takes in memory, but for one frame.
const GATHERED_BYTES_MAX: usize = 256 * 1024;
/// The largest layer; AWS's limit.
const LAYER_BYTES_MAX: u64 = 52_000 * 1024 * 1024;
/// How much of a body is read that nobody wants any more, so that its sender reads the answer: a usual part of a layer.
const DRAINED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long such a body may take.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// Any body; what breaks it off is only told.
pub(crate) type AnyBody<'a> = dyn Body<Data = Bytes, Error = String> + Send + 'a;

/// A body on its way in.
pub(crate) struct Incoming<'a> {
    body: Pin<&'a mut AnyBody<'a>>,
    pause_max: Duration,
    is_at_end: bool,
}

impl<'a> Incoming<'a> {
    pub(crate) fn new(body: Pin<&'a mut AnyBody<'a>>, pause_max: Duration) -> Self {
        Self { body, pause_max, is_at_end: false }
    }

    /// Returns the next bytes; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match timeout(self.pause_max, self.body.frame()).await {
            Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
            Ok(None) => {
                self.is_at_end = true;
                Ok(None)
            }
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, "a body ended early");
                self.is_at_end = true;
                Err(Error::body_broken("The body ended early"))
            }
            Err(_) => {
                self.is_at_end = true;
                Err(Error::body_broken("The body did not go on in time"))
            }
        }
    }

    /// Puts the body at the end of an upload. What has come stays if it breaks off; a body that turns out to have another
    /// length than it is `expected` to have is taken back.
    pub(crate) async fn append(&mut self, mut writing: Writing, expected: Option<u64>) -> Result<Writing, Error> {
        let begin = writing.mark();
        let end = expected.map_or(LAYER_BYTES_MAX, |bytes| writing.length().saturating_add(bytes));
        let (mut gathered, mut gathered_bytes) = (Vec::new(), 0);
        loop {
            let next = self.next().await;
            let is_last = !matches!(next, Ok(Some(_)));
            if let Ok(Some(bytes)) = &next {
                gathered_bytes += bytes.len();
                gathered.push(bytes.clone());
            }
            let length = writing.length() + gathered_bytes as u64;
            if length > end || length > LAYER_BYTES_MAX {
                writing.rewind(begin);
                return Err(match expected {
                    Some(_) if length <= LAYER_BYTES_MAX => {
                        Error::size_invalid("The body has more bytes than its range")
                    }
                    Some(_) | None => Error::too_large(LAYER_BYTES_MAX),
                });
            }
            if gathered_bytes > 0 && (is_last || gathered_bytes >= GATHERED_BYTES_MAX) {
                writing = write(writing, std::mem::take(&mut gathered)).await?;
                gathered_bytes = 0;
            }
            match next {
                Ok(Some(_)) => {}
                Ok(None) if expected.is_none() || writing.length() == end => return Ok(writing),
                Ok(None) => {
                    writing.rewind(begin);
                    return Err(Error::size_invalid("The body has fewer bytes than its range"));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Receives a whole body of at most `bytes_max` bytes.
    pub(crate) async fn collect(&mut self, bytes_max: usize) -> Result<Bytes, Error> {
        let mut joined = BytesMut::new();
        while let Some(bytes) = self.next().await? {
            if joined.len() + bytes.len() > bytes_max {
                return Err(Error::too_large(bytes_max as u64));
            }
            joined.extend_from_slice(&bytes);
        }
        Ok(joined.freeze())
    }

    /// Reads what is left, within bounds.
    pub(crate) async fn drain(&mut self) {
        let read = async {
            let mut bytes_left = DRAINED_BYTES_MAX;
            while !self.is_at_end
                && let Ok(Some(bytes)) = self.next().await
                && let Some(left) = bytes_left.checked_sub(bytes.len())
            {
                bytes_left = left;
            }
        };
        if timeout(DRAIN_TIME_MAX, read).await.is_err() {
            tracing::debug!("a body that nobody wants is cut off");
        }
    }
}

async fn write(mut writing: Writing, pieces: Vec<Bytes>) -> Result<Writing, Error> {
    let written = off_thread(move || {
        for piece in pieces {
            writing.write(&piece)?;
        }
        Ok(writing)
    });
    written.await?.map_err(|error: std::io::Error| Error::disk(&error))
}

/// Does something that waits for the disk away from the threads that answer requests.
pub(crate) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "something that a registry did panicked");
        Error::internal()
    })
}
