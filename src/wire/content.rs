//! Bodies that are streamed: they go through files, and are in memory a piece at a time.

use std::any::Any;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use crate::check::{Path, Violation};
use crate::checksum::Checksum;
use crate::{DecodeError, Empty, Reader, Shape, Value, Writer};

/// A streamed body.
#[derive(Clone, Debug)]
pub enum Content {
    /// What a client sent: a file that is gone after the request unless the handler moves it to where it belongs.
    Received(Arc<Received>),
    /// What a client is sent: stretches of files, one after the other.
    Stretches(Vec<Stretch>),
}

/// A body that has been received into a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    /// The file.
    pub path: PathBuf,
    /// The bytes in it.
    pub length: u64,
    /// Their MD5.
    pub md5: [u8; 16],
    /// Their checksum: of the algorithm that the client named, or else of the service's own choice.
    pub checksum: Checksum,
}

/// A part of a file.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// The file.
    pub source: Source,
    /// Where in the file it begins.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// A file to be sent.
#[derive(Clone, Debug)]
pub enum Source {
    /// It is open: it can be read even if it is removed meanwhile.
    Open(Arc<File>),
    /// It is opened when its turn comes.
    Path {
        /// Where it is.
        path: PathBuf,
        /// What keeps it there until then.
        held: Arc<dyn Any + Send + Sync>,
    },
}

impl Content {
    /// Returns how many bytes it has.
    pub fn length(&self) -> u64 {
        match self {
            Self::Received(received) => received.length,
            Self::Stretches(stretches) => stretches.iter().map(|stretch| stretch.length).sum(),
        }
    }
}

/// Two contents are equal if they are the same files: generated structures compare what they hold.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Received(a), Self::Received(b)) => a == b,
            (Self::Stretches(a), Self::Stretches(b)) => a == b,
            (Self::Received(_), Self::Stretches(_)) | (Self::Stretches(_), Self::Received(_)) => false,
        }
    }
}

impl PartialEq for Stretch {
    fn eq(&self, other: &Self) -> bool {
        let is_same_source = match (&self.source, &other.source) {
            (Source::Open(a), Source::Open(b)) => Arc::ptr_eq(a, b),
            (Source::Path { path: a, .. }, Source::Path { path: b, .. }) => a == b,
            (Source::Open(_), Source::Path { .. }) | (Source::Path { .. }, Source::Open(_)) => false,
        };
        is_same_source && (self.offset, self.length) == (other.offset, other.length)
    }
}

impl Value for Content {
    fn fill(&mut self, reader: &mut dyn Reader, _shape: &'static Shape) -> Result<(), DecodeError> {
        *self = reader.content()?;
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, _shape: &'static Shape) {
        writer.content(self);
    }

    fn check(&self, _shape: &'static Shape, _path: &Path<'_>, _found: &mut Vec<Violation>) {}

    fn describe(&self) -> String {
        format!("{} bytes", self.length())
    }
}

impl Empty for Content {
    fn empty() -> Self {
        Self::Stretches(Vec::new())
    }
}
