//! Ranges of bytes of what is downloaded: the `Range` header.

/// What a range of so many bytes comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// There is none that is understood: everything is sent.
    Everything,
    /// From the first byte to before the second.
    Part(u64, u64),
    /// There are no such bytes.
    Unsatisfiable,
}

impl ByteRange {
    /// Reads a `Range` header for so many bytes: `bytes=0-9`, `bytes=10-`, `bytes=-10`. Several ranges are not answered as
    /// such, which HTTP allows.
    pub fn parse(text: &str, size: u64) -> Self {
        let Some((first, last)) = text.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Self::Everything;
        };
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let (start, end) = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(size)),
            (Some(first), None) if last.trim().is_empty() => (first, size),
            (None, Some(last)) if first.trim().is_empty() => (size.saturating_sub(last), size),
            _ => return Self::Everything,
        };
        if start < end { Self::Part(start, end) } else { Self::Unsatisfiable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_three_forms() {
        for (text, size, expected) in [
            ("bytes=0-0", 10, ByteRange::Part(0, 1)),
            ("bytes=2-99", 10, ByteRange::Part(2, 10)),
            ("bytes=9-", 10, ByteRange::Part(9, 10)),
            ("bytes=-3", 10, ByteRange::Part(7, 10)),
            ("bytes=-99", 10, ByteRange::Part(0, 10)),
            ("bytes=10-", 10, ByteRange::Unsatisfiable),
            ("bytes=-0", 10, ByteRange::Unsatisfiable),
            ("bytes=0-", 0, ByteRange::Unsatisfiable),
            ("bytes=5-2", 10, ByteRange::Everything),
            ("bytes=5-4", 10, ByteRange::Everything),
            ("bytes=0-1,3-4", 10, ByteRange::Everything),
            ("lines=0-1", 10, ByteRange::Everything),
            ("lines=1-2", 10, ByteRange::Everything),
            ("bytes=-", 10, ByteRange::Everything),
        ] {
            assert_eq!(ByteRange::parse(text, size), expected, "{text}");
        }
    }
}
