//! A blob on its way from the task that fetches it to the thread that unpacks it.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use node::ImageError;
use tokio::sync::mpsc;

/// How many pieces may wait for their reader. One is what a connection had at once, some hundred KiB at most.
const PIECES_MAX: usize = 4;

pub(super) type Sender = mpsc::Sender<Result<Bytes, ImageError>>;

/// Reads the pieces; blocks.
pub(super) struct Pieces {
    receiver: mpsc::Receiver<Result<Bytes, ImageError>>,
    current: Bytes,
    /// What has yet to come.
    left: u64,
}

/// Makes a way for a blob of `size_bytes`.
pub(super) fn channel(size_bytes: u64) -> (Sender, Pieces) {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    (sender, Pieces { receiver, current: Bytes::new(), left: size_bytes })
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(Ok(piece)) => {
                    self.left = self.left.saturating_sub(piece.len() as u64);
                    self.current = piece;
                }
                Some(Err(error)) => return Err(io::Error::other(error)),
                None if self.left == 0 => return Ok(0),
                // Whoever fetches was told to end.
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let read = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}
