//! Readers that hash, count and bound what passes through them.

use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

const DRAIN_BYTES: usize = 64 * 1024;

/// Hashes and counts what is read through it, and fails once that is more than a bound.
pub(crate) struct Metered<R> {
    inner: R,
    hasher: Sha256,
    bytes: u64,
    bytes_max: u64,
}

impl<R: Read> Metered<R> {
    pub(crate) fn new(inner: R, bytes_max: u64) -> Self {
        Self { inner, hasher: Sha256::new(), bytes: 0, bytes_max }
    }

    /// Reads to the end and returns the digest and the length of all that was read from the start.
    pub(crate) fn finish(mut self) -> io::Result<(Digest, u64)> {
        let mut buffer = vec![0; DRAIN_BYTES];
        while self.read(&mut buffer)? > 0 {}
        Ok((Digest::finish(self.hasher), self.bytes))
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        if self.bytes > self.bytes_max {
            return Err(io::Error::other(format!("more than the {} bytes that are allowed", self.bytes_max)));
        }
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// Bounds what a tar reader takes for the headers of one entry, and keeps it.
///
/// The tar reader holds long names and PAX records in memory, however long they claim to be; and it parses PAX records
/// line by line, which breaks binary extended attributes. The kept bytes let `pax` read them by length.
pub(crate) struct HeaderTap<R> {
    inner: R,
    position: u64,
    kept: Rc<RefCell<KeptHeader>>,
}

/// What the tar reader has read of the current entry's headers.
#[derive(Default)]
pub(crate) struct KeptHeader {
    /// Where in the stream `bytes` starts.
    pub(crate) start: u64,
    pub(crate) bytes: Vec<u8>,
    bytes_max: Option<usize>,
}

impl KeptHeader {
    /// Starts to keep, at most `bytes_max`, until [`KeptHeader::pause`].
    pub(crate) fn resume(&mut self, bytes_max: u64) {
        self.bytes.clear();
        self.bytes_max = Some(usize::try_from(bytes_max).unwrap_or(usize::MAX));
    }

    /// Lets what follows pass unkept and unbounded.
    pub(crate) fn pause(&mut self) {
        self.bytes_max = None;
    }
}

impl<R> HeaderTap<R> {
    pub(crate) fn new(inner: R) -> (Self, Rc<RefCell<KeptHeader>>) {
        let kept = Rc::<RefCell<KeptHeader>>::default();
        (Self { inner, position: 0, kept: Rc::clone(&kept) }, kept)
    }
}

impl<R: Read> Read for HeaderTap<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let mut kept = self.kept.borrow_mut();
        if let Some(bytes_max) = kept.bytes_max {
            if kept.bytes.is_empty() {
                kept.start = self.position;
            }
            if kept.bytes.len() + read > bytes_max {
                return Err(io::Error::other(format!("the headers of an entry are longer than {bytes_max} bytes")));
            }
            kept.bytes.extend_from_slice(&buffer[..read]);
        }
        self.position += read as u64;
        Ok(read)
    }
}

impl<R: Seek> Seek for HeaderTap<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = self.inner.seek(to)?;
        Ok(self.position)
    }
}
