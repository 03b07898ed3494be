//! Objects as bytes, for others in this server: environment files, configuration of routers, transcripts.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt;

use base::Timestamp;
use md5::{Digest as _, Md5};

use super::{Description, Object, Piece, Refusal, S3};

/// Why an object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bucket is not there.
    #[error("The specified bucket does not exist")]
    NoSuchBucket,
    /// The object is not there.
    #[error("The specified key does not exist.")]
    NoSuchKey,
    /// The object is larger than its reader can take.
    #[error("the object has {size} bytes, more than {bytes_max}")]
    TooLarge {
        /// How many bytes it has.
        size: u64,
        /// How many would have been taken.
        bytes_max: u64,
    },
    /// A file cannot be read.
    #[error("cannot read the object's file")]
    Io(#[from] io::Error),
}

/// Why an object cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The bucket is not there.
    #[error("The specified bucket does not exist")]
    NoSuchBucket,
    /// The file cannot be written.
    #[error("cannot write the object's file")]
    Io(#[from] io::Error),
}

impl S3 {
    /// Reads an object of at most `bytes_max` bytes. Blocks on the disk.
    pub fn read(&self, bucket: &str, key: &str, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
        self.bucket(bucket).ok_or(ReadError::NoSuchBucket)?;
        self.read_object(&*self.object(bucket, key).ok_or(ReadError::NoSuchKey)?, bytes_max)
    }

    /// Reads an object of at most `bytes_max` bytes, as it was when it was looked up: its files go some time after it does.
    /// Blocks on the disk.
    pub fn read_object(&self, object: &Object, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
        let size = usize::try_from(object.size).ok().filter(|_| object.size <= bytes_max);
        let size = size.ok_or(ReadError::TooLarge { size: object.size, bytes_max })?;
        let mut bytes = vec![0; size];
        let mut rest = bytes.as_mut_slice();
        for piece in &object.pieces {
            let length = usize::try_from(piece.length).map_or(rest.len(), |length| length.min(rest.len()));
            let (here, after) = rest.split_at_mut(length);
            File::open(self.blobs().path(&piece.blob)?)?.read_exact_at(here, piece.offset)?;
            rest = after;
        }
        Ok(bytes)
    }

    /// Writes an object, replacing one that is there. Blocks on the disk.
    pub fn write(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<(), WriteError> {
        self.bucket(bucket).ok_or(WriteError::NoSuchBucket)?;
        let size = bytes.len() as u64;
        let mut pieces = Vec::new();
        if size > 0 {
            let (path, mut file) = self.blobs().create()?;
            let kept = file.write_all(bytes).and_then(|()| self.blobs().keep(&path));
            let blob = kept.inspect_err(|_| drop(std::fs::remove_file(&path)))?;
            pieces.push(Piece { blob, offset: 0, length: size });
        }
        let object = Object {
            etag: Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
            size,
            last_modified: now,
            pieces,
            part_sizes: Vec::new(),
            checksum: None,
            description: Description { content_type: Some(content_type.to_owned()), ..Description::default() },
        };
        let put = self.put_object(bucket, key, object, |_| Ok::<(), std::convert::Infallible>(()));
        put.map_err(|refusal| match refusal {
            Refusal::NoSuchBucket | Refusal::NotFound | Refusal::NotEmpty => WriteError::NoSuchBucket,
            Refusal::Other(never) => match never {},
        })
    }
}
