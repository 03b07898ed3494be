//! Ranges of bytes, in pieces.

use state::s3::Piece;

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
