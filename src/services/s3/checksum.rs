//! Checksums in outputs.

use api::s3 as api;
use state::s3::ObjectChecksum;
use wire::checksum::{Algorithm, Checksum};

/// Sets the member of an output that is for a checksum's algorithm.
macro_rules! set_checksum {
    ($output:expr, $checksum:expr) => {
        if let Some(checksum) = $checksum {
            let value = Some(checksum.value.clone());
            match wire::checksum::Algorithm::named(&checksum.algorithm) {
                Some(wire::checksum::Algorithm::Crc32) => $output.checksum_crc32 = value,
                Some(wire::checksum::Algorithm::Crc32c) => $output.checksum_crc32_c = value,
                Some(wire::checksum::Algorithm::Crc64Nvme) => $output.checksum_crc64_nvme = value,
                Some(wire::checksum::Algorithm::Sha1) => $output.checksum_sha1 = value,
                Some(wire::checksum::Algorithm::Sha256) => $output.checksum_sha256 = value,
                None => {}
            }
        }
    };
}
pub(crate) use set_checksum;

/// Makes the record of a checksum of bytes.
pub(crate) fn of_bytes(checksum: &Checksum) -> ObjectChecksum {
    ObjectChecksum {
        algorithm: checksum.algorithm.as_str().to_owned(),
        value: checksum.value.clone(),
        is_composite: false,
    }
}

/// Says what a checksum is of.
pub(crate) fn kind(checksum: &ObjectChecksum) -> api::ChecksumType {
    if checksum.is_composite { api::ChecksumType::Composite } else { api::ChecksumType::FullObject }
}

/// Joins the checksums of parts, each with its size; none where one has none of the algorithm.
pub(crate) fn of_parts(
    algorithm: Algorithm,
    is_composite: bool,
    parts: &[(Option<&ObjectChecksum>, u64)],
) -> Option<ObjectChecksum> {
    let value = |checksum: Option<&ObjectChecksum>| {
        checksum.filter(|checksum| checksum.algorithm == algorithm.as_str()).map(|checksum| checksum.value.clone())
    };
    let value = if is_composite {
        algorithm.compose(&parts.iter().map(|(checksum, _)| value(*checksum)).collect::<Option<Vec<_>>>()?)?
    } else {
        let parts = parts.iter().map(|(checksum, size)| Some((value(*checksum)?, *size)));
        algorithm.join(&parts.collect::<Option<Vec<_>>>()?)?
    };
    Some(ObjectChecksum { algorithm: algorithm.as_str().to_owned(), value, is_composite })
}
