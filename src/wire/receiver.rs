//! Receives the body of an object in S3's ways: plain or `aws-chunked`, with digests before or behind it.

use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use md5::Digest as _;

use crate::aws_chunked::{Decoder, NotChunked};
use crate::checksum::{Algorithm, Hasher, hex};
use crate::{ApiError, Received};

/// The largest body of one request, 5 GiB, as in S3.
pub const CONTENT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// Takes a body apart and computes its digests while it is written to a file.
#[derive(Debug)]
pub struct Receiver {
    chunked: Option<Decoder>,
    length: u64,
    expected_length: Option<u64>,
    md5: md5::Md5,
    expected_md5: Option<Vec<u8>>,
    sha256: Option<(sha2::Sha256, String)>,
    checksum: Hasher,
    algorithm: Algorithm,
    expected_checksum: Option<String>,
}

/// Why a body is not received.
#[derive(Debug)]
pub enum ReceiveError {
    /// The client is to blame.
    Api(ApiError),
    /// The file cannot be written.
    Io(io::Error),
}

impl Receiver {
    /// Reads from a request's head how its body comes.
    pub fn new(head: &Parts) -> Result<Self, ApiError> {
        let headers = &head.headers;
        let sha256 = text(headers, "x-amz-content-sha256").unwrap_or_default();
        let is_chunked = sha256.starts_with("STREAMING-")
            || text(headers, "content-encoding").is_some_and(|encodings| encodings.contains("aws-chunked"));
        let expected_length = if is_chunked {
            number(headers, "x-amz-decoded-content-length")?
        } else {
            number(headers, CONTENT_LENGTH.as_str())?
        };
        if expected_length.is_some_and(|length| length > CONTENT_BYTES_MAX) {
            return Err(too_large());
        }
        let expected_md5 = text(headers, "content-md5").map(|value| {
            STANDARD
                .decode(value)
                .ok()
                .filter(|bytes| bytes.len() == 16)
                .ok_or_else(|| ApiError::client("InvalidDigest", "The Content-MD5 you specified was invalid."))
        });
        let (algorithm, expected_checksum) = expected_checksum(headers)?;
        let is_digest = sha256.len() == 64 && !is_chunked;
        Ok(Self {
            chunked: is_chunked.then(Decoder::new),
            length: 0,
            expected_length,
            md5: md5::Md5::new(),
            expected_md5: expected_md5.transpose()?,
            sha256: is_digest.then(|| (sha2::Sha256::new(), sha256.to_ascii_lowercase())),
            checksum: algorithm.hasher(),
            algorithm,
            expected_checksum,
        })
    }

    /// Takes bytes of the body and writes what they hold to a file.
    pub fn push(&mut self, bytes: &[u8], file: &mut dyn io::Write) -> Result<(), ReceiveError> {
        let Some(decoder) = &mut self.chunked else { return self.take(bytes, file) };
        let pieces = decoder.push(bytes).map_err(|NotChunked| ReceiveError::Api(malformed()))?;
        pieces.into_iter().try_for_each(|piece| self.take(piece, file))
    }

    fn take(&mut self, bytes: &[u8], file: &mut dyn io::Write) -> Result<(), ReceiveError> {
        self.length += bytes.len() as u64;
        if self.length > self.expected_length.unwrap_or(CONTENT_BYTES_MAX) {
            let is_too_large = self.expected_length.is_none();
            return Err(ReceiveError::Api(if is_too_large { too_large() } else { incomplete() }));
        }
        self.md5.update(bytes);
        self.checksum.update(bytes);
        if let Some((sha256, _)) = &mut self.sha256 {
            sha256.update(bytes);
        }
        file.write_all(bytes).map_err(ReceiveError::Io)
    }

    /// Compares what came with what was announced. `path` is the file that it was written to.
    pub fn finish(self, path: PathBuf) -> Result<Received, ApiError> {
        let trailers = self.chunked.map_or(Ok(Vec::new()), Decoder::finish).map_err(|NotChunked| incomplete())?;
        if self.expected_length.is_some_and(|length| length != self.length) {
            return Err(incomplete());
        }
        let md5: [u8; 16] = self.md5.finalize().into();
        if self.expected_md5.is_some_and(|expected| expected != md5) {
            let message = "The Content-MD5 you specified did not match what we received.";
            return Err(ApiError::client("BadDigest", message));
        }
        if self.sha256.is_some_and(|(sha256, expected)| hex(&sha256.finalize()) != expected) {
            let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
            return Err(ApiError::client("XAmzContentSHA256Mismatch", message));
        }
        let checksum = self.checksum.finish();
        let trailer = trailers.into_iter().find(|(name, _)| name == self.algorithm.header()).map(|(_, value)| value);
        if let Some(expected) = self.expected_checksum.or(trailer) {
            if self.algorithm.parse(&expected).is_none() {
                return Err(invalid_checksum(self.algorithm));
            }
            if expected != checksum.value {
                let name = self.algorithm.as_str();
                let message = format!("The {name} you specified did not match the calculated checksum.");
                return Err(ApiError::client("BadDigest", message));
            }
        }
        Ok(Received { path, length: self.length, md5, checksum })
    }
}

/// Finds which checksum a client sends, and its value if that stands in the head.
fn expected_checksum(headers: &HeaderMap) -> Result<(Algorithm, Option<String>), ApiError> {
    let mut sent =
        Algorithm::ALL.into_iter().filter_map(|algorithm| Some((algorithm, text(headers, algorithm.header())?)));
    if let Some((algorithm, value)) = sent.next() {
        if sent.next().is_some() {
            // (unverified)
            let message = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.";
            return Err(ApiError::client("InvalidRequest", message));
        }
        algorithm.parse(value).ok_or_else(|| invalid_checksum(algorithm))?;
        return Ok((algorithm, Some(value.to_owned())));
    }
    let trailer = text(headers, "x-amz-trailer").and_then(|names| {
        Algorithm::ALL
            .into_iter()
            .find(|known| names.split(',').any(|name| name.trim().eq_ignore_ascii_case(known.header())))
    });
    let named = text(headers, "x-amz-sdk-checksum-algorithm").and_then(Algorithm::named);
    Ok((trailer.or(named).unwrap_or(Algorithm::Crc64Nvme), None))
}

fn invalid_checksum(algorithm: Algorithm) -> ApiError {
    ApiError::client("InvalidRequest", format!("Value for {} header is invalid.", algorithm.header()))
}

fn incomplete() -> ApiError {
    let message = "You did not provide the number of bytes specified by the Content-Length HTTP header";
    ApiError::client("IncompleteBody", message)
}

fn malformed() -> ApiError {
    // (unverified)
    ApiError::client("InvalidRequest", "The body is not encoded as aws-chunked.")
}

fn too_large() -> ApiError {
    ApiError::client("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, ApiError> {
    let Some(value) = text(headers, name) else { return Ok(None) };
    value.parse().map(Some).map_err(|_| ApiError::client("InvalidArgument", format!("Invalid value of {name}.")))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn receive(headers: &[(&str, &str)], body: &str) -> Result<Received, String> {
        let mut request = Request::put("/b/k");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let mut receiver = Receiver::new(&head).map_err(|error| error.to_string())?;
        let mut file = Vec::new();
        for piece in body.as_bytes().chunks(4) {
            receiver.push(piece, &mut file).map_err(|error| match error {
                ReceiveError::Api(error) => error.to_string(),
                ReceiveError::Io(error) => error.to_string(),
            })?;
        }
        let received = receiver.finish("f".into()).map_err(|error| error.to_string())?;
        assert_eq!(received.length, file.len() as u64);
        Ok(received)
    }

    #[test]
    fn a_body_is_received_with_its_digests() {
        let received = receive(&[("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")], "123456789").unwrap();
        assert_eq!(hex(&received.md5), "25f9e794323b453885f5181f1b624d0b");
        assert_eq!(received.checksum.algorithm, Algorithm::Crc64Nvme);
        let chunked = [
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "9"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ];
        let body = "9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n";
        let received = receive(&chunked, body).unwrap();
        assert_eq!((received.length, received.checksum.value.as_str()), (9, "y/Q5Jg=="));
        let wrong = body.replace("y/Q5Jg==", "AAAAAA==");
        let error = "BadDigest: The CRC32 you specified did not match the calculated checksum.";
        assert_eq!(receive(&chunked, &wrong).unwrap_err(), error);
        assert!(receive(&chunked, &body[..20]).unwrap_err().starts_with("IncompleteBody"));
    }

    #[test]
    fn what_does_not_match_is_refused() {
        for (headers, code) in [
            (("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="), "BadDigest"),
            (("content-md5", "short"), "InvalidDigest"),
            (("x-amz-checksum-crc32", "AAAAAA=="), "BadDigest"),
            (("x-amz-checksum-crc32", "AAAA"), "InvalidRequest"),
            (("content-length", "10"), "IncompleteBody"),
            (("content-length", "2"), "IncompleteBody"),
            (("content-length", "99999999999"), "EntityTooLarge"),
            (
                ("x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
                "XAmzContentSHA256Mismatch",
            ),
        ] {
            let error = receive(&[headers], "123456789").unwrap_err();
            assert!(error.starts_with(&format!("{code}:")), "{headers:?}: {error}");
        }
    }
}
