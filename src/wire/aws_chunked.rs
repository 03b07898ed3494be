//! The `aws-chunked` content encoding: chunks with signatures, and trailers behind the last one.

/// Longer lines are refused: a chunk's head with its signature has about a hundred bytes.
const LINE_BYTES_MAX: usize = 4096;
/// More trailers are refused; S3 has two.
const TRAILERS_MAX: usize = 16;

/// Takes the chunks apart. Signatures are not checked, as none are.
#[derive(Debug)]
pub(crate) struct Decoder {
    expects: Expects,
    line: Vec<u8>,
    trailers: Vec<(String, String)>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
enum Expects {
    /// The head of a chunk: its size in hexadecimal digits.
    Head,
    /// So many more bytes of a chunk.
    Data(u64),
    /// The line break behind a chunk.
    Break,
    /// A trailer, or the empty line behind the last one.
    Trailer,
    /// Nothing.
    End,
}

/// A body that is not encoded as it says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotChunked;

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { expects: Expects::Head, line: Vec::new(), trailers: Vec::new() }
    }

    /// Takes bytes of the body, and returns the pieces of the content that are in them.
    pub(crate) fn push<'a>(&mut self, mut input: &'a [u8]) -> Result<Vec<&'a [u8]>, NotChunked> {
        let mut found = Vec::new();
        while !input.is_empty() {
            if let Expects::Data(left) = self.expects {
                let take = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
                let (piece, rest) = input.split_at(take);
                found.push(piece);
                input = rest;
                let left = left - take as u64;
                self.expects = if left == 0 { Expects::Break } else { Expects::Data(left) };
                continue;
            }
            let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
                self.keep(input)?;
                break;
            };
            self.keep(&input[..end])?;
            input = &input[end + 1..];
            let line = std::mem::take(&mut self.line);
            self.line_ends(std::str::from_utf8(&line).map_err(|_| NotChunked)?.trim_end_matches('\r'))?;
        }
        Ok(found)
    }

    /// Returns the trailers once everything has come.
    pub(crate) fn finish(self) -> Result<Vec<(String, String)>, NotChunked> {
        let is_whole = self.line.is_empty() && matches!(self.expects, Expects::End | Expects::Trailer);
        is_whole.then_some(self.trailers).ok_or(NotChunked)
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), NotChunked> {
        if self.line.len() + part.len() > LINE_BYTES_MAX {
            return Err(NotChunked);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn line_ends(&mut self, line: &str) -> Result<(), NotChunked> {
        self.expects = match self.expects {
            Expects::Head => {
                let size = line.split(';').next().unwrap_or_default().trim();
                match u64::from_str_radix(size, 16).map_err(|_| NotChunked)? {
                    0 => Expects::Trailer,
                    size => Expects::Data(size),
                }
            }
            Expects::Break if line.is_empty() => Expects::Head,
            Expects::Trailer if line.is_empty() => Expects::End,
            Expects::Trailer if self.trailers.len() < TRAILERS_MAX => {
                let (name, value) = line.split_once(':').ok_or(NotChunked)?;
                self.trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
                Expects::Trailer
            }
            Expects::Break | Expects::Trailer | Expects::Data(_) | Expects::End => return Err(NotChunked),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Decoded = (String, Vec<(String, String)>);

    fn decode(body: &str, piece: usize) -> Result<Decoded, NotChunked> {
        let (mut decoder, mut content) = (Decoder::new(), Vec::new());
        for piece in body.as_bytes().chunks(piece) {
            decoder.push(piece)?.into_iter().for_each(|found| content.extend_from_slice(found));
        }
        Ok((String::from_utf8(content).unwrap(), decoder.finish()?))
    }

    #[test]
    fn chunks_are_joined_however_they_arrive() {
        let body = "5;chunk-signature=ab\r\nhello\r\n6\r\n wo\r\nr\r\n0\r\nx-amz-checksum-crc32: AAAAAA==\r\n\r\n";
        for piece in 1..=body.len() {
            let (content, trailers) = decode(body, piece).unwrap();
            assert_eq!(content, "hello wo\r\nr");
            assert_eq!(trailers, [("x-amz-checksum-crc32".to_owned(), "AAAAAA==".to_owned())]);
        }
        assert_eq!(decode("0;chunk-signature=ab\r\n\r\n", 3).unwrap().0, "");
    }

    #[test]
    fn what_is_cut_off_or_malformed_is_refused() {
        let long = "1".repeat(LINE_BYTES_MAX + 1);
        for body in
            ["", "5\r\nhell", "x\r\n", "1\r\nab\r\n", "0\r\nnocolon\r\n\r\n", "1\r\na\r\n", "0\r\n\r\nmore", &long]
        {
            assert_eq!(decode(body, 7), Err(NotChunked), "{body}");
        }
    }
}
