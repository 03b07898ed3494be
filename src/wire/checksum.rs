//! The checksums that clients send along with bodies, and that are kept with them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc::{CRC_32_ISCSI, CRC_32_ISO_HDLC, CRC_64_NVME, Crc, Table};
use md5::Digest as _;

/// Sixteen bytes a step: bodies come by the gigabyte.
static CRC32: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);
static CRC32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);
static CRC64: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_NVME);

/// How a checksum is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// CRC-32.
    Crc32,
    /// CRC-32C.
    Crc32c,
    /// CRC-64/NVME, which S3 computes where the client names none.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// A checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// How it was computed.
    pub algorithm: Algorithm,
    /// Its bytes in base 64, as headers have it.
    pub value: String,
}

/// Computes a checksum piece by piece.
pub struct Hasher(State);

enum State {
    Crc32(crc::Digest<'static, u32, Table<16>>),
    Crc32c(crc::Digest<'static, u32, Table<16>>),
    Crc64(crc::Digest<'static, u64, Table<16>>),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// Returns the name in requests, as in `CRC64NVME`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// Returns the header that carries a checksum, as in `x-amz-checksum-crc64nvme`.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// Finds the algorithm of a name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
    }

    /// Tells whether the checksum of a whole follows from those of its parts.
    pub fn is_linear(self) -> bool {
        match self {
            Self::Crc32 | Self::Crc32c | Self::Crc64Nvme => true,
            Self::Sha1 | Self::Sha256 => false,
        }
    }

    /// Starts a checksum.
    pub fn hasher(self) -> Hasher {
        Hasher(match self {
            Self::Crc32 => State::Crc32(CRC32.digest()),
            Self::Crc32c => State::Crc32c(CRC32C.digest()),
            Self::Crc64Nvme => State::Crc64(CRC64.digest()),
            Self::Sha1 => State::Sha1(sha1::Sha1::new()),
            Self::Sha256 => State::Sha256(sha2::Sha256::new()),
        })
    }

    /// Returns how many bytes a checksum has.
    fn width(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Reads a checksum as headers have it; none if it is not one of this algorithm.
    pub fn parse(self, value: &str) -> Option<Vec<u8>> {
        STANDARD.decode(value).ok().filter(|bytes| bytes.len() == self.width())
    }

    /// Computes the checksum of a whole from its parts, each with its length; none if it does not follow from them.
    pub fn join(self, parts: &[(String, u64)]) -> Option<String> {
        let polynomial = match self {
            Self::Crc32 => 0xedb8_8320,
            Self::Crc32c => 0x82f6_3b78,
            Self::Crc64Nvme => 0x9a6c_9329_ac4b_c9b5,
            Self::Sha1 | Self::Sha256 => return None,
        };
        let width = self.width();
        let mut whole = 0;
        for (value, length) in parts {
            let bytes = self.parse(value)?;
            let part = bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            whole = followed_by_zeros(whole, *length, polynomial, width * 8) ^ part;
        }
        Some(STANDARD.encode(&whole.to_be_bytes()[8 - width..]))
    }

    /// Computes the checksum of a multipart object that is made of the checksums of its parts: `<checksum>-<parts>`.
    pub fn compose(self, parts: &[String]) -> Option<String> {
        let mut hasher = self.hasher();
        for part in parts {
            hasher.update(&self.parse(part)?);
        }
        Some(format!("{}-{}", hasher.finish().value, parts.len()))
    }
}

impl Hasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Crc32(digest) | State::Crc32c(digest) => digest.update(bytes),
            State::Crc64(digest) => digest.update(bytes),
            State::Sha1(digest) => digest.update(bytes),
            State::Sha256(digest) => digest.update(bytes),
        }
    }

    /// Returns the checksum.
    pub fn finish(self) -> Checksum {
        let (algorithm, bytes) = match self.0 {
            State::Crc32(digest) => (Algorithm::Crc32, digest.finalize().to_be_bytes().to_vec()),
            State::Crc32c(digest) => (Algorithm::Crc32c, digest.finalize().to_be_bytes().to_vec()),
            State::Crc64(digest) => (Algorithm::Crc64Nvme, digest.finalize().to_be_bytes().to_vec()),
            State::Sha1(digest) => (Algorithm::Sha1, digest.finalize().to_vec()),
            State::Sha256(digest) => (Algorithm::Sha256, digest.finalize().to_vec()),
        };
        Checksum { algorithm, value: STANDARD.encode(bytes) }
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

/// Computes the MD5 of bytes.
pub fn md5(bytes: &[u8]) -> [u8; 16] {
    md5::Md5::digest(bytes).into()
}

/// Renders bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the remainder of a text of which `sum` is the remainder, once `zeros` zero bytes follow it. Bits are reflected.
/// A linear map over GF(2), squared for each binary digit of the number of zeros.
fn followed_by_zeros(mut sum: u64, mut zeros: u64, polynomial: u64, width: usize) -> u64 {
    let times = |map: &[u64], sum: u64| {
        map.iter().enumerate().filter(|(bit, _)| sum >> bit & 1 == 1).fold(0, |total, (_, row)| total ^ row)
    };
    let squared = |map: Vec<u64>| map.iter().map(|row| times(&map, *row)).collect::<Vec<u64>>();
    // One zero bit: every bit moves down, and the last one brings in the polynomial.
    let mut map = (0..width).map(|bit| if bit == 0 { polynomial } else { 1 << (bit - 1) }).collect::<Vec<u64>>();
    for _ in 0..3 {
        map = squared(map);
    }
    while zeros > 0 {
        if zeros & 1 == 1 {
            sum = times(&map, sum);
        }
        zeros >>= 1;
        if zeros > 0 {
            map = squared(map);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(algorithm: Algorithm, text: &[u8]) -> String {
        let mut hasher = algorithm.hasher();
        text.chunks(3).for_each(|piece| hasher.update(piece));
        hasher.finish().value
    }

    #[test]
    fn each_algorithm_has_its_check_value() {
        // The check value of a CRC is that of "123456789".
        for (algorithm, check) in [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (Algorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ] {
            let value = of(algorithm, b"123456789");
            assert_eq!(hex(&algorithm.parse(&value).unwrap()), check, "{algorithm:?}");
            assert_eq!(Algorithm::named(&algorithm.as_str().to_lowercase()), Some(algorithm));
        }
        assert_eq!(hex(&md5(b"")), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn the_checksum_of_a_whole_follows_from_its_parts() {
        let text = (0..10_000_u32).map(|n| n.to_le_bytes()[0].wrapping_mul(31)).collect::<Vec<_>>();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let parts = [&text[..5000], &text[5000..5001], &text[5001..5001], &text[5001..]];
            let parts = parts.map(|part| (of(algorithm, part), part.len() as u64));
            assert_eq!(algorithm.join(&parts).unwrap(), of(algorithm, &text), "{algorithm:?}");
        }
        assert_eq!(Algorithm::Sha1.join(&[]), None);
        assert_eq!(Algorithm::Crc32.join(&[("AAAA".to_owned(), 1)]), None, "three bytes are no CRC-32");
    }

    #[test]
    fn a_composite_checksum_counts_its_parts() {
        let parts = [of(Algorithm::Crc32, b"a"), of(Algorithm::Crc32, b"b")];
        assert!(Algorithm::Crc32.compose(&parts).unwrap().ends_with("==-2"));
    }
}
