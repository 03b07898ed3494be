//! Ranges of bytes: of a layer that is read, and of a part that is written.

/// What a range of a layer comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    /// There is none that is understood: everything is sent.
    Everything,
    /// From the first byte to before the last.
    Part(u64, u64),
    /// There are no such bytes.
    Unsatisfiable,
}

/// Reads a `Range` header for so many bytes: `bytes=0-9`, `bytes=10-`, `bytes=-10`. Several ranges are not answered as
/// such, which HTTP allows.
pub(crate) fn of_layer(text: &str, size: u64) -> Range {
    let Some((first, last)) = text.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Range::Everything;
    };
    let (start, end) = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(start), Ok(last)) if start <= last => (start, last.saturating_add(1).min(size)),
        (Ok(start), Err(_)) if last.trim().is_empty() => (start, size),
        (Err(_), Ok(count)) if first.trim().is_empty() => (size.saturating_sub(count), size),
        _ => return Range::Everything,
    };
    if start < end { Range::Part(start, end) } else { Range::Unsatisfiable }
}

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
    fn a_range_of_a_layer_has_three_forms() {
        for (text, size, range) in [
            ("bytes=0-0", 10, Range::Part(0, 1)),
            ("bytes=2-99", 10, Range::Part(2, 10)),
            ("bytes=9-", 10, Range::Part(9, 10)),
            ("bytes=-3", 10, Range::Part(7, 10)),
            ("bytes=-99", 10, Range::Part(0, 10)),
            ("bytes=10-", 10, Range::Unsatisfiable),
            ("bytes=-0", 10, Range::Unsatisfiable),
            ("bytes=0-", 0, Range::Unsatisfiable),
            ("bytes=0-1,3-4", 10, Range::Everything),
            ("bytes=5-4", 10, Range::Everything),
            ("bytes=-", 10, Range::Everything),
            ("lines=1-2", 10, Range::Everything),
        ] {
            assert_eq!(of_layer(text, size), range, "{text}");
        }
    }

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
