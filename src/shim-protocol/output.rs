//! The output file: frames, each a header and one line of a container's output without its line end.

use base::Timestamp;

/// The longest piece of a line: CloudWatch Logs' limit for an event, 256 KiB, less its 26 bytes of overhead.
pub const PIECE_BYTES_MAX: usize = 256 * 1024 - 26;

/// The length of a frame's header: time, stream, length.
pub const HEADER_BYTES: usize = 8 + 1 + 4;

/// Where a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// When the line was read from the container.
    pub at: Timestamp,
    /// Where it was written.
    pub stream: Stream,
    /// The number of bytes that follow.
    pub len: u32,
}

impl Header {
    /// Writes the header in front of its line.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&self.at.as_millis().to_le_bytes());
        bytes[8] = match self.stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        bytes[9..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// Reads a header. None if the bytes are not one: the offset was not a frame's, or its space has been released.
    pub fn from_bytes(bytes: [u8; HEADER_BYTES]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, stream, i, j, k, l] = bytes;
        let stream = match stream {
            1 => Stream::Stdout,
            2 => Stream::Stderr,
            _ => return None,
        };
        let len = u32::from_le_bytes([i, j, k, l]);
        if len as usize > PIECE_BYTES_MAX {
            return None;
        }
        let at = Timestamp::from_millis(i64::from_le_bytes([a, b, c, d, e, f, g, h]));
        Some(Self { at, stream, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back() {
        let header = Header { at: Timestamp::from_millis(1_700_000_000_123), stream: Stream::Stderr, len: 77 };
        assert_eq!(Header::from_bytes(header.to_bytes()), Some(header));
    }

    #[test]
    fn zeroes_of_a_hole_are_no_header() {
        assert_eq!(Header::from_bytes([0; HEADER_BYTES]), None);
    }

    #[test]
    fn a_length_that_no_shim_writes_is_no_header() {
        let header = Header { at: Timestamp::from_millis(0), stream: Stream::Stdout, len: u32::MAX };
        assert_eq!(Header::from_bytes(header.to_bytes()), None);
    }
}
