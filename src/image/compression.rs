//! Which compression a stream has, told by its first bytes.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const BUFFER_BYTES: usize = 128 * 1024;

/// A stream that is decompressed if it was compressed.
pub(crate) enum Decoder<R: Read> {
    Plain(BufReader<R>),
    Gzip(Box<MultiGzDecoder<BufReader<R>>>),
    Zstd(Box<zstd::Decoder<'static, BufReader<R>>>),
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of `stream` and takes the decoder they ask for.
    pub(crate) fn new(stream: R) -> io::Result<Self> {
        let mut stream = BufReader::with_capacity(BUFFER_BYTES, stream);
        let start = stream.fill_buf()?;
        Ok(if start.starts_with(&GZIP_MAGIC) {
            Self::Gzip(Box::new(MultiGzDecoder::new(stream)))
        } else if start.starts_with(&ZSTD_MAGIC) {
            Self::Zstd(Box::new(zstd::Decoder::with_buffer(stream)?))
        } else {
            Self::Plain(stream)
        })
    }

    /// Says whether there is anything to decompress.
    pub(crate) fn is_compressed(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Gzip(_) | Self::Zstd(_) => true,
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Gzip(stream) => stream.read(buffer),
            Self::Zstd(stream) => stream.read(buffer),
        }
    }
}
