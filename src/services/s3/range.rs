//! Ranges of bytes.

use state::s3::Piece;

/// What a range comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Range {
    /// It is none that S3 knows: everything is sent.
    Everything,
    /// From the first byte to before the second.
    Part(u64, u64),
    /// It lies behind the end.
    Unsatisfiable,
}

/// Reads a `Range` header for so many bytes: `bytes=0-9`, `bytes=10-`, `bytes=-10`.
pub(crate) fn parse(text: &str, size: u64) -> Range {
    let Some((first, last)) = text.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Range::Everything;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (start, end) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(size)),
        (Some(first), None) if last.trim().is_empty() => (first, size),
        (None, Some(last)) if first.trim().is_empty() => (size.saturating_sub(last), size),
        _ => return Range::Everything,
    };
    if start < end { Range::Part(start, end) } else { Range::Unsatisfiable }
}

/// Cuts the bytes from `start` to before `end` out of pieces.
pub(crate) fn cut(pieces: &[Piece], start: u64, end: u64) -> Vec<Piece> {
    let mut cut = Vec::new();
    let mut at = 0;
    for piece in pieces {
        let (from, to) = (start.max(at), end.min(at + piece.length));
        if from < to {
            cut.push(Piece { blob: piece.blob.clone(), offset: piece.offset + (from - at), length: to - from });
        }
        at += piece.length;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_three_forms() {
        for (text, size, expected) in [
            ("bytes=0-0", 10, Range::Part(0, 1)),
            ("bytes=2-99", 10, Range::Part(2, 10)),
            ("bytes=9-", 10, Range::Part(9, 10)),
            ("bytes=-3", 10, Range::Part(7, 10)),
            ("bytes=-99", 10, Range::Part(0, 10)),
            ("bytes=10-", 10, Range::Unsatisfiable),
            ("bytes=-0", 10, Range::Unsatisfiable),
            ("bytes=0-", 0, Range::Unsatisfiable),
            ("bytes=5-2", 10, Range::Everything),
            ("bytes=0-1,3-4", 10, Range::Everything),
            ("lines=0-1", 10, Range::Everything),
            ("bytes=-", 10, Range::Everything),
        ] {
            assert_eq!(parse(text, size), expected, "{text}");
        }
    }

    #[test]
    fn a_range_may_span_pieces() {
        let state = state::State::in_memory();
        let now = base::Timestamp::from_millis(0);
        let bucket =
            state::s3::Bucket { owner: base::AccountId::DEFAULT, region: base::Region::default(), created_at: now };
        state.s3.create_bucket("b", bucket).unwrap();
        state.s3.write("b", "k", "", b"0123456789", now).unwrap();
        let blob = state.s3.object("b", "k").unwrap().pieces[0].blob.clone();
        let piece = |offset, length| Piece { blob: blob.clone(), offset, length };
        let pieces = [piece(0, 4), piece(7, 3), piece(1, 1)];
        assert_eq!(cut(&pieces, 3, 8), [piece(3, 1), piece(7, 3), piece(1, 1)]);
        assert_eq!(cut(&pieces, 4, 6), [piece(7, 2)]);
        assert_eq!(cut(&pieces, 0, 8), pieces);
    }
}
