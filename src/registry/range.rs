//! Ranges of bytes of a part that is written.

/// Reads a `Content-Range` header of a part that is written: the first byte and the last, as in `0-9` or
/// `bytes 0-9/*`.
pub(crate) fn of_part(text: &str) -> Option<(u64, u64)> {
    let text = text.trim();
    let text = text.strip_prefix("bytes").map_or(text, |rest| rest.trim_start_matches(['=', ' ']));
    let text = text.split_once('/').map_or(text, |(range, _)| range);
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim().parse::<u64>().ok()?, last.trim().parse::<u64>().ok()?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_a_part_is_two_numbers() {
        for text in ["0-9", "bytes 0-9/10", "bytes=0-9", "bytes 0-9/*"] {
            assert_eq!(of_part(text), Some((0, 9)), "{text}");
        }
        for text in ["", "9", "9-0", "-9", "0-", "a-b", "bytes */10"] {
            assert_eq!(of_part(text), None, "{text}");
        }
    }
}
