//! The container's output: chunks from two pipes become frames in one file.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use base::Timestamp;
use shim_protocol::output::{HEADER_BYTES, Header, PIECE_BYTES_MAX, Stream};

use crate::error::ShimError;

/// How far the output may run ahead of what a server has said to have delivered, in bytes. Beyond it the container waits
/// in its write. Lines are dropped no earlier than that while there is no server: one that is started again finds them.
const AHEAD_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most bytes of a character in UTF-8, but for its first one.
const CONTINUATION_BYTES_MAX: usize = 3;

/// The output file and what has yet to be written to it.
pub(crate) struct Output {
    file: File,
    written: u64,
    released: u64,
    unwritten: Vec<u8>,
    /// How far output may be ahead before lines are dropped; none means that the container waits.
    buffer_bytes: Option<u64>,
    has_reader: bool,
    dropped: u64,
}

impl Output {
    /// Opens the file, to go on where it ends.
    pub(crate) fn create(path: &Path, buffer_bytes: Option<u64>) -> Result<Self, ShimError> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map_err(ShimError::path("open the output file", path))?;
        // What an earlier run of the container has written is for the server to deliver.
        let written = file.metadata().map_err(ShimError::path("look at the output file", path))?.len();
        Ok(Self { file, written, released: written, unwritten: Vec::new(), buffer_bytes, has_reader: true, dropped: 0 })
    }

    /// Returns the length of the file.
    pub(crate) fn end(&self) -> u64 {
        self.written
    }

    /// Returns how many lines were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Notes whether there is a server that may read.
    pub(crate) fn set_reader(&mut self, has_reader: bool) {
        self.has_reader = has_reader;
    }

    /// Notes that a server has delivered what lies before `up_to`.
    pub(crate) fn release(&mut self, up_to: u64) {
        self.released = self.released.max(up_to.min(self.written));
    }

    /// Returns whether the container may write on.
    pub(crate) fn has_room(&self) -> bool {
        self.buffer_bytes.is_some() || (self.unwritten.is_empty() && self.written - self.released < AHEAD_BYTES_MAX)
    }

    /// Returns whether a write failed that has to be tried again.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Adds a chunk of a stream.
    pub(crate) fn take(&mut self, lines: &mut Lines, chunk: &[u8], at: Timestamp) {
        let mut frames = self.frames();
        lines.split(chunk, at, &mut frames);
        self.dropped += frames.dropped;
    }

    /// Adds what is left of a stream that has ended.
    pub(crate) fn finish(&mut self, lines: &mut Lines, at: Timestamp) {
        let mut frames = self.frames();
        lines.finish(at, &mut frames);
        self.dropped += frames.dropped;
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

    fn frames(&mut self) -> Frames<'_> {
        let ahead = self.written - self.released;
        let room = self.buffer_bytes.map(|bytes| if self.has_reader { bytes } else { bytes.max(AHEAD_BYTES_MAX) });
        Frames { bytes: &mut self.unwritten, ahead, room, dropped: 0 }
    }
}

/// Frames on their way to the file.
struct Frames<'a> {
    bytes: &'a mut Vec<u8>,
    /// How much of what is in the file has yet to be released.
    ahead: u64,
    /// How far all of it may be ahead; none is without limit.
    room: Option<u64>,
    dropped: u64,
}

impl Frames<'_> {
    /// Adds a line, or drops it. One that finds nothing before it is never too long.
    fn add(&mut self, header: Header, line: &[u8]) {
        let ahead = self.ahead + self.bytes.len() as u64;
        let length = (HEADER_BYTES + line.len()) as u64;
        if ahead > 0 && self.room.is_some_and(|room| ahead + length > room) {
            self.dropped += 1;
            return;
        }
        self.bytes.extend_from_slice(&header.to_bytes());
        self.bytes.extend_from_slice(line);
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

    fn split(&mut self, mut chunk: &[u8], at: Timestamp, frames: &mut Frames<'_>) {
        while let Some(end) = memchr::memchr(b'\n', chunk) {
            let (line, rest) = (&chunk[..end], &chunk[end + 1..]);
            if self.pending.is_empty() && line.len() <= PIECE_BYTES_MAX {
                frames.add(self.header(line.len(), at), line);
            } else {
                self.extend(line, at, frames);
                self.emit(self.pending.len(), at, frames);
            }
            chunk = rest;
        }
        self.extend(chunk, at, frames);
    }

    /// Adds to the pending line, and emits full pieces of it as soon as more follows.
    fn extend(&mut self, mut bytes: &[u8], at: Timestamp, frames: &mut Frames<'_>) {
        while self.pending.len() + bytes.len() > PIECE_BYTES_MAX {
            let (now, later) = bytes.split_at(PIECE_BYTES_MAX - self.pending.len());
            self.pending.extend_from_slice(now);
            self.emit(whole_characters(&self.pending), at, frames);
            bytes = later;
        }
        self.pending.extend_from_slice(bytes);
    }

    fn finish(&mut self, at: Timestamp, frames: &mut Frames<'_>) {
        if !self.pending.is_empty() {
            self.emit(self.pending.len(), at, frames);
        }
        self.pending = Vec::new();
    }

    fn emit(&mut self, count: usize, at: Timestamp, frames: &mut Frames<'_>) {
        frames.add(self.header(count, at), &self.pending[..count]);
        self.pending.drain(..count);
    }

    fn header(&self, length: usize, at: Timestamp) -> Header {
        let len = u32::try_from(length).expect("a piece is no longer than PIECE_BYTES_MAX");
        Header { at, stream: self.stream, len }
    }
}

/// Returns how many bytes come before a character that is not whole; all of them if there is none at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(CONTINUATION_BYTES_MAX)..bytes.len();
    for start in tail.rev() {
        let length = match bytes[start] {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if start + length > bytes.len() { start } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut bytes, mut found) = (Lines::new(Stream::Stdout), Vec::new(), Vec::new());
        let mut frames = Frames { bytes: &mut bytes, ahead: 0, room: None, dropped: 0 };
        chunks.iter().for_each(|chunk| lines.split(chunk, Timestamp::from_millis(1), &mut frames));
        lines.finish(Timestamp::from_millis(1), &mut frames);
        let mut rest = bytes.as_slice();
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
        let mut output = Output::create(&folder.path().join("output"), None).unwrap();
        output.written = AHEAD_BYTES_MAX;
        assert!(!output.has_room());
        output.release(1);
        assert!(output.has_room());
    }

    #[test]
    fn pieces_are_cut_between_characters() {
        for (character, before) in [("é", 1), ("€", 1), ("€", 2), ("😀", 1), ("😀", 2), ("😀", 3)] {
            let line = format!("{}{character}rest\n", "x".repeat(PIECE_BYTES_MAX - before));
            let pieces = lines_of(&[line.as_bytes()]);
            let expected = ["x".repeat(PIECE_BYTES_MAX - before), format!("{character}rest")];
            assert_eq!(pieces, expected.map(String::into_bytes), "{character} {before}");
        }
        let no_text = [vec![0xbf; PIECE_BYTES_MAX + 1], b"\n".to_vec()].concat();
        let lengths = lines_of(&[&no_text]).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths, [PIECE_BYTES_MAX, 1], "what is no text is cut anywhere");
    }

    #[test]
    fn lines_that_find_the_buffer_full_are_dropped_where_the_container_must_not_wait() {
        let frame = (HEADER_BYTES + 10) as u64;
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::create(&folder.path().join("output"), Some(2 * frame)).unwrap();
        let (mut lines, at) = (Lines::new(Stream::Stdout), Timestamp::from_millis(1));
        let mut write = |output: &mut Output, count: usize| {
            output.take(&mut lines, "123456789x\n".repeat(count).as_bytes(), at);
            output.flush();
            (output.end() / frame, output.dropped())
        };
        assert_eq!(write(&mut output, 3), (2, 1));
        assert_eq!(write(&mut output, 1), (2, 2));
        assert!(output.has_room(), "it goes on reading all the same");
        output.release(frame);
        assert_eq!(write(&mut output, 2), (3, 3));
        output.set_reader(false);
        assert_eq!(write(&mut output, 100), (103, 3), "a server that is not there comes back");
    }

    #[test]
    fn a_line_longer_than_the_buffer_passes_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::create(&folder.path().join("output"), Some(5)).unwrap();
        output.take(&mut Lines::new(Stream::Stdout), b"longer than that\nnext\n", Timestamp::from_millis(1));
        assert_eq!(output.dropped(), 1);
    }
}
