//! Values as readers see them. Pure functions.

use aws_smithy_types::base64;
use state::ssm::{ParameterKind, Version};

/// How the ciphertexts of KMS begin.
const HEADER: [u8; 5] = [0x01, 0x02, 0x02, 0x00, 0x78];
/// By how many bytes a ciphertext of KMS is longer than what it hides, roughly.
const OVERHEAD: usize = 147;

/// Returns the value, or for a SecureString that is not to be decrypted a text that hides it.
pub(crate) fn shown(version: &Version, decrypts: bool) -> String {
    match version.kind {
        ParameterKind::SecureString if !decrypts => opaque(version.cipher_seed, version.value.expose().len()),
        ParameterKind::SecureString | ParameterKind::String | ParameterKind::StringList => {
            version.value.expose().to_owned()
        }
    }
}

/// Makes a text that looks like a ciphertext. It is made of the seed alone, so it tells no more than a length.
fn opaque(seed: u64, length: usize) -> String {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    });
    let noise = words.flat_map(u64::to_le_bytes).take(OVERHEAD + length);
    base64::encode(HEADER.into_iter().chain(noise).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opaque_text_looks_like_a_ciphertext_and_stays_the_same() {
        let text = opaque(7, 10);
        assert!(text.starts_with("AQICAH"), "{text}");
        assert_eq!(text, opaque(7, 10));
        assert_ne!(text, opaque(8, 10));
        assert!(opaque(7, 100).len() > text.len());
    }
}
