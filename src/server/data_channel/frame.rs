//! The frames of a data channel: a header of fixed places, and a payload.
//!
//! The format is that of AWS's own client, `session-manager-plugin`; numbers are big-endian:
//!
//! ```text
//!   0  length of the header without this field: 116
//!   4  kind, 32 bytes padded with spaces
//!  36  version of the schema: 1
//!  40  time of making, in ms
//!  48  sequence number
//!  56  flags
//!  64  id, 16 bytes, its lower half first
//!  80  SHA-256 of the payload
//! 112  kind of the payload
//! 116  length of the payload
//! 120  payload
//! ```

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// The longest payload that is taken. Clients send pieces of 1 KiB.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Where the payload begins.
pub(crate) const HEADER_BYTES: usize = 120;

const HEADER_LENGTH: u32 = 116;
const SCHEMA_VERSION: u32 = 1;
/// The first frame of a stream.
pub(crate) const SYN: u64 = 1;
/// The last frame of a stream.
pub(crate) const FIN: u64 = 2;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// From the client to the process.
    InputStreamData,
    /// From the process to the client.
    OutputStreamData,
    /// A frame has arrived.
    Acknowledge,
    /// There is no more.
    ChannelClosed,
    /// The other side may send.
    StartPublication,
    /// The other side may not send for now.
    PausePublication,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::InputStreamData,
        Self::OutputStreamData,
        Self::Acknowledge,
        Self::ChannelClosed,
        Self::StartPublication,
        Self::PausePublication,
    ];

    /// Returns the name in the header.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InputStreamData => "input_stream_data",
            Self::OutputStreamData => "output_stream_data",
            Self::Acknowledge => "acknowledge",
            Self::ChannelClosed => "channel_closed",
            Self::StartPublication => "start_publication",
            Self::PausePublication => "pause_publication",
        }
    }
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayloadKind {
    /// None of its own: the frame's kind says it.
    Undefined,
    /// Bytes of the standard output, or of the standard input.
    Output,
    /// The size of the client's terminal, in JSON.
    Size,
    /// What the client is asked to do first, in JSON.
    HandshakeRequest,
    /// What it has done, in JSON.
    HandshakeResponse,
    /// That it may begin, in JSON.
    HandshakeComplete,
    /// A number with a meaning; see [`Flag`].
    Flag,
    /// Bytes of the standard error.
    StdErr,
    /// The exit code, in decimal digits.
    ExitCode,
    /// One that has no use here.
    Other(u32),
}

impl PayloadKind {
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Undefined,
            1 => Self::Output,
            3 => Self::Size,
            5 => Self::HandshakeRequest,
            6 => Self::HandshakeResponse,
            7 => Self::HandshakeComplete,
            10 => Self::Flag,
            11 => Self::StdErr,
            12 => Self::ExitCode,
            other => Self::Other(other),
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Undefined => 0,
            Self::Output => 1,
            Self::Size => 3,
            Self::HandshakeRequest => 5,
            Self::HandshakeResponse => 6,
            Self::HandshakeComplete => 7,
            Self::Flag => 10,
            Self::StdErr => 11,
            Self::ExitCode => 12,
            Self::Other(number) => number,
        }
    }
}

/// What a payload of the kind [`PayloadKind::Flag`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// The client has no more input.
    EndOfInput,
    /// The client wants the session to end.
    Terminate,
}

impl Flag {
    /// Reads a flag; none if it is one without use here.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        match u32::from_be_bytes(payload.try_into().ok()?) {
            1 => Some(Self::EndOfInput),
            2 => Some(Self::Terminate),
            _ => None,
        }
    }

    /// Writes the flag as a payload.
    pub(crate) fn write(self) -> Bytes {
        let number: u32 = match self {
            Self::EndOfInput => 1,
            Self::Terminate => 2,
        };
        Bytes::copy_from_slice(&number.to_be_bytes())
    }
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) created_ms: u64,
    pub(crate) sequence: i64,
    pub(crate) flags: u64,
    /// A UUID's bits.
    pub(crate) id: u128,
    pub(crate) payload_kind: PayloadKind,
    pub(crate) payload: Bytes,
}

/// Why bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// They are too few, or say that they are another number.
    #[error("a frame of {0} bytes has not the length that it says")]
    Length(usize),
    /// The kind has no name that is known.
    #[error("a frame is of an unknown kind")]
    Kind,
    /// The payload has been changed.
    #[error("a frame's payload is not the one that its digest was made of")]
    Digest,
}

impl Frame {
    /// Writes the frame.
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.payload.len());
        bytes.extend_from_slice(&HEADER_LENGTH.to_be_bytes());
        bytes.extend_from_slice(format!("{:32}", self.kind.as_str()).as_bytes());
        bytes.extend_from_slice(&SCHEMA_VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.created_ms.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.flags.to_be_bytes());
        bytes.extend_from_slice(&self.id.rotate_left(64).to_be_bytes());
        bytes.extend_from_slice(&Sha256::digest(&self.payload));
        bytes.extend_from_slice(&self.payload_kind.number().to_be_bytes());
        let length = u32::try_from(self.payload.len()).expect("a payload is short");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes.into()
    }

    /// Reads a frame.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, FrameError> {
        let wrong = || FrameError::Length(bytes.len());
        let mut fields = Fields(bytes.get(..HEADER_BYTES).ok_or_else(wrong)?);
        if u32::from_be_bytes(fields.next()) != HEADER_LENGTH {
            return Err(wrong());
        }
        let name = fields.next::<32>();
        // Some clients pad with zeroes.
        let name = name.trim_ascii_end().split(|byte| *byte == 0).next().unwrap_or_default();
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str().as_bytes() == name).ok_or(FrameError::Kind)?;
        let _schema_version = fields.next::<4>();
        let created_ms = u64::from_be_bytes(fields.next());
        let sequence = i64::from_be_bytes(fields.next());
        let flags = u64::from_be_bytes(fields.next());
        let id = u128::from_be_bytes(fields.next()).rotate_left(64);
        let digest = fields.next::<32>();
        let payload_kind = PayloadKind::from_number(u32::from_be_bytes(fields.next()));
        let length = u32::from_be_bytes(fields.next()) as usize;
        if length > PAYLOAD_BYTES_MAX || bytes.len() != HEADER_BYTES + length {
            return Err(wrong());
        }
        let payload = bytes.slice(HEADER_BYTES..);
        // Frames without a payload come with any digest.
        if !payload.is_empty() && Sha256::digest(&payload)[..] != digest {
            return Err(FrameError::Digest);
        }
        Ok(Self { kind, created_ms, sequence, flags, id, payload_kind, payload })
    }
}

/// The places of a header, one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn next<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("a header has all its fields");
        self.0 = rest;
        *field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame {
            kind: Kind::InputStreamData,
            created_ms: 1_700_000_000_123,
            sequence: 7,
            flags: SYN,
            id: 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f,
            payload_kind: PayloadKind::Output,
            payload: Bytes::from_static(b"hi"),
        }
    }

    #[test]
    fn a_frame_reads_back() {
        assert_eq!(Frame::decode(&frame().encode()), Ok(frame()));
        for number in 0..20 {
            assert_eq!(PayloadKind::from_number(number).number(), number);
        }
    }

    #[test]
    fn the_places_are_those_of_awss_client() {
        let bytes = frame().encode();
        assert_eq!(bytes.len(), 122);
        assert_eq!(bytes[..4], [0, 0, 0, 116]);
        assert_eq!(&bytes[4..36], b"input_stream_data               ");
        assert_eq!(bytes[36..40], [0, 0, 0, 1]);
        assert_eq!(bytes[48..56], [0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(bytes[64..80], [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7], "the lower half comes first");
        assert_eq!(bytes[112..], [0, 0, 0, 1, 0, 0, 0, 2, b'h', b'i']);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let good = frame().encode();
        let length = |bytes: Bytes| assert_eq!(Frame::decode(&bytes), Err(FrameError::Length(bytes.len())));
        length(Bytes::new());
        length(good.slice(..HEADER_BYTES - 1));
        length(good.slice(..good.len() - 1));
        let with = |place: usize, byte: u8| {
            let mut bytes = good.to_vec();
            bytes[place] = byte;
            Frame::decode(&bytes.into())
        };
        assert_eq!(with(3, 117), Err(FrameError::Length(good.len())));
        assert_eq!(with(116, 0xff), Err(FrameError::Length(good.len())));
        assert_eq!(with(4, b'x'), Err(FrameError::Kind));
        assert_eq!(with(121, b'o'), Err(FrameError::Digest));
    }

    #[test]
    fn a_frame_without_payload_needs_no_digest() {
        let empty = Frame { kind: Kind::StartPublication, payload: Bytes::new(), ..frame() };
        let mut bytes = empty.encode().to_vec();
        bytes[80..112].fill(0);
        assert_eq!(Frame::decode(&bytes.into()), Ok(empty));
    }

    #[test]
    fn flags_are_numbers() {
        assert_eq!(Flag::read(&[0, 0, 0, 2]), Some(Flag::Terminate));
        assert_eq!(Flag::read(&Flag::EndOfInput.write()), Some(Flag::EndOfInput));
        assert_eq!((Flag::read(&[0, 0, 0, 9]), Flag::read(&[2])), (None, None));
    }
}
