//! The container's output: chunks from two pipes become frames in one file.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use base::Timestamp;
use shim_protocol::output::{Header, PIECE_BYTES_MAX, Stream};

use crate::error::ShimError;

/// How far the output may run ahead of what a server has said to have delivered, in bytes. Beyond it the container waits
/// in its write.
const AHEAD_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The output file and what has yet to be written to it.
pub(crate) struct Output {
    file: File,
    written: u64,
    released: u64,
    unwritten: Vec<u8>,
}

impl Output {
    /// Opens the file, to go on where it ends.
    pub(crate) fn create(path: &Path) -> Result<Self, ShimError> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map_err(ShimError::path("open the output file", path))?;
        // What an earlier run of the container has written is for the server to deliver.
        let written = file.metadata().map_err(ShimError::path("look at the output file", path))?.len();
        Ok(Self { file, written, released: written, unwritten: Vec::new() })
    }

    /// Returns the length of the file.
    pub(crate) fn end(&self) -> u64 {
        self.written
    }

    /// Notes that a server has delivered what lies before `up_to`.
    pub(crate) fn release(&mut self, up_to: u64) {
        self.released = self.released.max(up_to.min(self.written));
    }

    /// Returns whether the container may write on.
    pub(crate) fn has_room(&self) -> bool {
        self.unwritten.is_empty() && self.written - self.released < AHEAD_BYTES_MAX
    }

    /// Returns whether a write failed that has to be tried again.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Adds a chunk of a stream.
    pub(crate) fn take(&mut self, lines: &mut Lines, chunk: &[u8], at: Timestamp) {
        lines.split(chunk, at, &mut self.unwritten);
    }

    /// Adds what is left of a stream that has ended.
    pub(crate) fn finish(&mut self, lines: &mut Lines, at: Timestamp) {
        lines.finish(at, &mut self.unwritten);
    }

    /// Writes what there is. A full disk is no reason to lose it: the rest stays, and is tried again.
    pub(crate) fn flush(&mut self) {
        let mut done = 0;
        while done < self.unwritten.len() {
            match self.file.write(&self.unwritten[done..]) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.unwritten.drain(..done);
        self.written += done as u64;
    }
}

/// Cuts one stream into lines.
pub(crate) struct Lines {
    stream: Stream,
    pending: Vec<u8>,
}

impl Lines {
    /// Starts at the beginning of a line.
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, pending: Vec::new() }
    }

    fn split(&mut self, mut chunk: &[u8], at: Timestamp, frames: &mut Vec<u8>) {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            self.extend(&chunk[..end], at, frames);
            self.emit(at, frames);
            chunk = &chunk[end + 1..];
        }
        self.extend(chunk, at, frames);
    }

    /// Adds to the pending line, and emits full pieces of it as soon as more follows.
    fn extend(&mut self, mut bytes: &[u8], at: Timestamp, frames: &mut Vec<u8>) {
        while self.pending.len() + bytes.len() > PIECE_BYTES_MAX {
            let (now, later) = bytes.split_at(PIECE_BYTES_MAX - self.pending.len());
            self.pending.extend_from_slice(now);
            self.emit(at, frames);
            bytes = later;
        }
        self.pending.extend_from_slice(bytes);
    }

    fn finish(&mut self, at: Timestamp, frames: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            self.emit(at, frames);
        }
        self.pending = Vec::new();
    }

    fn emit(&mut self, at: Timestamp, frames: &mut Vec<u8>) {
        let len = u32::try_from(self.pending.len()).expect("a piece is shorter than PIECE_BYTES_MAX");
        frames.extend_from_slice(&Header { at, stream: self.stream, len }.to_bytes());
        frames.extend_from_slice(&self.pending);
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use shim_protocol::output::HEADER_BYTES;

    use super::*;

    fn lines_of(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut frames, mut found) = (Lines::new(Stream::Stdout), Vec::new(), Vec::new());
        chunks.iter().for_each(|chunk| lines.split(chunk, Timestamp::from_millis(1), &mut frames));
        lines.finish(Timestamp::from_millis(1), &mut frames);
        let mut rest = frames.as_slice();
        while !rest.is_empty() {
            let (header, after) = rest.split_at(HEADER_BYTES);
            let len = Header::from_bytes(header.try_into().unwrap()).unwrap().len as usize;
            found.push(after[..len].to_vec());
            rest = &after[len..];
        }
        found
    }

    #[test]
    fn chunks_are_cut_at_line_ends_wherever_they_fall() {
        assert_eq!(lines_of(&[b"a\nb", b"c\n", b"\n", b"d"]), [&b"a"[..], b"bc", b"", b"d"]);
        assert_eq!(lines_of(&[b"", b"a", b"\n"]), [b"a"]);
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_one_piece() {
        let line = [vec![b'x'; PIECE_BYTES_MAX], b"\n".to_vec()].concat();
        assert_eq!(lines_of(&[&line]).len(), 1);
    }

    #[test]
    fn a_longer_line_comes_in_pieces() {
        let line = [vec![b'x'; 2 * PIECE_BYTES_MAX + 5], b"\n".to_vec()].concat();
        let lengths = lines_of(&[&line[..7], &line[7..]]).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths, [PIECE_BYTES_MAX, PIECE_BYTES_MAX, 5]);
    }

    #[test]
    fn output_far_ahead_of_its_release_holds_the_container_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::create(&folder.path().join("output")).unwrap();
        output.written = AHEAD_BYTES_MAX;
        assert!(!output.has_room());
        output.release(1);
        assert!(output.has_room());
    }
}
