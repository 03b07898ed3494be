//! Sends bodies that are streamed: from files, a piece at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::{poll_fn, unfold};
use http::Response;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use wire::{Content, Source, Stretch};

/// How many bytes are read at a time: what a response takes in memory, once here and once on its way.
const PIECE_BYTES: usize = 256 * 1024;

/// The body of any response.
pub(crate) type Outgoing = Either<Full<Bytes>, UnsyncBoxBody<Bytes, io::Error>>;

/// Gives a response the body that it has: the one in memory, or the content that goes with it.
pub(crate) fn with_body(mut response: Response<Bytes>) -> Response<Outgoing> {
    if let Some(lines) = response.extensions_mut().remove::<Lines>() {
        return response.map(|_| Either::Right(lines.streamed()));
    }
    match response.extensions_mut().remove::<Content>() {
        Some(Content::Stretches(stretches)) => response.map(|_| Either::Right(streamed(stretches))),
        Some(Content::Received(_)) | None => response.map(|body| Either::Left(Full::new(body))),
    }
}

/// Lines that go out as they come; an extension of a response.
#[derive(Clone)]
pub(crate) struct Lines(Arc<Mutex<mpsc::Receiver<Bytes>>>);

impl Lines {
    pub(crate) fn new(lines: mpsc::Receiver<Bytes>) -> Self {
        Self(Arc::new(Mutex::new(lines)))
    }

    fn streamed(self) -> UnsyncBoxBody<Bytes, io::Error> {
        let lines = poll_fn(move |cx| {
            let line = self.0.lock().unwrap_or_else(PoisonError::into_inner).poll_recv(cx);
            line.map(|line| line.map(|line| Ok(Frame::data(line))))
        });
        StreamBody::new(lines).boxed_unsync()
    }
}

fn streamed(stretches: Vec<Stretch>) -> UnsyncBoxBody<Bytes, io::Error> {
    let pieces = unfold(Reading { left: stretches.into(), file: None }, |reading| async {
        // Files are read away from the threads that answer requests.
        match spawn_blocking(|| reading.next()).await {
            Ok(Ok((piece, reading))) => piece.map(|piece| (Ok(Frame::data(piece)), reading)),
            Ok(Err(error)) => {
                tracing::error!(%error, "the file of an object cannot be read");
                Some((Err(error), Reading { left: VecDeque::new(), file: None }))
            }
            Err(_) => None,
        }
    });
    StreamBody::new(pieces).boxed_unsync()
}

struct Reading {
    left: VecDeque<Stretch>,
    /// The file of the first stretch.
    file: Option<Arc<File>>,
}

impl Reading {
    /// Reads the next piece; none at the end.
    fn next(mut self) -> io::Result<(Option<Bytes>, Self)> {
        let Some(stretch) = self.left.front_mut() else { return Ok((None, self)) };
        let file = match (&self.file, &stretch.source) {
            (Some(file), _) | (None, Source::Open(file)) => Arc::clone(file),
            (None, Source::Path { path, .. }) => Arc::new(File::open(path)?),
        };
        let length = usize::try_from(stretch.length).map_or(PIECE_BYTES, |length| length.min(PIECE_BYTES));
        let mut piece = vec![0; length];
        file.read_exact_at(&mut piece, stretch.offset)?;
        stretch.offset += length as u64;
        stretch.length -= length as u64;
        self.file = Some(file);
        if stretch.length == 0 {
            self.left.pop_front();
            self.file = None;
        }
        Ok((Some(Bytes::from(piece)), self))
    }
}
