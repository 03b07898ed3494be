//! The bodies of Smithy RPC v2: CBOR, RFC 8949.

mod read;
mod write;

pub use read::CborReader;
pub use write::CborWriter;

/// The tag of a number that is a point in time, in seconds since 1970.
const EPOCH_TAG: u64 = 1;

#[cfg(test)]
mod tests;
