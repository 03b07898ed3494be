//! Reading a container's output file, and giving back the space of what has been delivered.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use node::{OutputLine, OutputPage, OutputStream};
use rustix::fs::FallocateFlags;
use shim_protocol::output::{HEADER_BYTES, Header, PIECE_BYTES_MAX, Stream};

/// The most that one page holds, whatever is asked for.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

const _: () = assert!(PIECE_BYTES_MAX == OutputLine::BYTES_MAX, "a shim's pieces are the lines of a page");

/// Reads as [`read`] does from an output that grows no more. What is not whole then never will be: a shim that was killed
/// in the middle of a write left it, and the page goes past it, so that whoever waits for the end comes to it.
pub(crate) fn read_ended(path: &Path, from: u64, end: u64, bytes_max: usize) -> io::Result<OutputPage> {
    let mut page = read(path, from, end, bytes_max)?;
    if page.lines.is_empty() {
        page.next = page.next.max(end);
    }
    Ok(page)
}

/// Reads whole lines between `from` and `end`, about `bytes_max` bytes of them, but at least one if there is any.
pub(crate) fn read(path: &Path, from: u64, end: u64, bytes_max: usize) -> io::Result<OutputPage> {
    let mut page = OutputPage { lines: Vec::new(), next: from };
    if from >= end {
        return Ok(page);
    }
    let file = File::open(path)?;
    let there = usize::try_from(end - from).unwrap_or(usize::MAX);
    let mut bytes = vec![0; there.min(bytes_max.clamp(HEADER_BYTES, PAGE_BYTES_MAX))];
    file.read_exact_at(&mut bytes, from)?;
    let first = first_frame_bytes(&bytes, from)?;
    if first > bytes.len() && first <= there {
        bytes.resize(first, 0);
        file.read_exact_at(&mut bytes, from)?;
    }
    let mut rest = bytes.as_slice();
    while let Some(Frame { header, line, after }) = split_frame(rest, page.next)? {
        let stream = match header.stream {
            Stream::Stdout => OutputStream::Stdout,
            Stream::Stderr => OutputStream::Stderr,
        };
        page.lines.push(OutputLine { at: header.at, stream, bytes: line.to_vec() });
        page.next += (rest.len() - after.len()) as u64;
        rest = after;
    }
    Ok(page)
}

fn first_frame_bytes(bytes: &[u8], at: u64) -> io::Result<usize> {
    Ok(match bytes.first_chunk() {
        Some(header) => HEADER_BYTES + parse(*header, at)?.len as usize,
        None => HEADER_BYTES,
    })
}

/// A frame, and what follows it.
struct Frame<'a> {
    header: Header,
    line: &'a [u8],
    after: &'a [u8],
}

/// Splits the first frame off; none if it is not whole.
fn split_frame(bytes: &[u8], at: u64) -> io::Result<Option<Frame<'_>>> {
    let Some((header, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let header = parse(*header, at)?;
    Ok(rest.split_at_checked(header.len as usize).map(|(line, after)| Frame { header, line, after }))
}

fn parse(header: [u8; HEADER_BYTES], at: u64) -> io::Result<Header> {
    Header::from_bytes(header).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("no line of output begins at {at}, or it has been released"))
    })
}

/// Gives the space before `up_to` back to the disk. The offsets of what follows stay. A file that was removed meanwhile,
/// with its container, has nothing more to give.
pub(crate) fn release(path: &Path, up_to: u64) -> io::Result<()> {
    if up_to == 0 {
        return Ok(());
    }
    let file = match File::options().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    match rustix::fs::fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, up_to) {
        // A file system without holes keeps it until the container is removed.
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use base::Timestamp;

    use super::*;

    fn file_of(lines: &[&[u8]]) -> (tempfile::NamedTempFile, u64) {
        let mut bytes = Vec::new();
        for line in lines {
            let len = u32::try_from(line.len()).unwrap();
            let header = Header { at: Timestamp::from_millis(1), stream: Stream::Stdout, len };
            bytes.extend_from_slice(&header.to_bytes());
            bytes.extend_from_slice(line);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        (file, bytes.len() as u64)
    }

    fn texts(page: &OutputPage) -> Vec<&[u8]> {
        page.lines.iter().map(|line| line.bytes.as_slice()).collect()
    }

    #[test]
    fn pages_follow_one_another_without_gap() {
        let lines: &[&[u8]] = &[b"one", b"", b"three", b"four"];
        let (file, end) = file_of(lines);
        for bytes_max in 0..100 {
            let (mut from, mut seen) = (0, Vec::new());
            while from < end {
                let page = read(file.path(), from, end, bytes_max).unwrap();
                assert!(page.next > from, "{bytes_max}");
                seen.extend(page.lines.into_iter().map(|line| line.bytes));
                from = page.next;
            }
            assert_eq!(seen, lines, "{bytes_max}");
        }
    }

    #[test]
    fn a_line_longer_than_the_page_comes_alone() {
        let (file, end) = file_of(&[&[b'x'; 500], b"y"]);
        assert_eq!(texts(&read(file.path(), 0, end, 10).unwrap()), [&[b'x'; 500]]);
    }

    #[test]
    fn a_frame_that_is_not_whole_yet_waits() {
        let (file, end) = file_of(&[b"one", b"two"]);
        let page = read(file.path(), 0, end - 1, 1_000).unwrap();
        assert_eq!(texts(&page), [b"one"]);
        let again = read(file.path(), page.next, end - 1, 1_000).unwrap();
        assert_eq!(again, OutputPage { lines: Vec::new(), next: page.next });
    }

    #[test]
    fn a_frame_that_was_torn_by_the_end_is_passed_over() {
        let (file, end) = file_of(&[b"one", b"two"]);
        let second = read(file.path(), 0, end, HEADER_BYTES).unwrap().next;
        for torn in second + 1..end {
            let page = read_ended(file.path(), 0, torn, 1_000).unwrap();
            assert_eq!((texts(&page), page.next), (vec![b"one".as_slice()], second), "{torn}");
            let rest = read_ended(file.path(), page.next, torn, 1_000).unwrap();
            assert_eq!(rest, OutputPage { lines: Vec::new(), next: torn }, "{torn}");
        }
        assert_eq!(read_ended(file.path(), end + 7, end, 10).unwrap().next, end + 7);
    }

    #[test]
    fn reading_past_the_end_gives_an_empty_page() {
        let (file, end) = file_of(&[b"one"]);
        assert_eq!(read(file.path(), end + 7, end, 10).unwrap(), OutputPage { lines: Vec::new(), next: end + 7 });
    }

    #[test]
    fn removed_output_is_released() {
        let (file, end) = file_of(&[b"one"]);
        let path = file.into_temp_path();
        std::fs::remove_file(&path).unwrap();
        release(&path, end).unwrap();
    }

    #[test]
    fn released_output_leaves_the_disk_and_cannot_be_read_again() {
        let (file, end) = file_of(&[&vec![b'x'; 100_000], b"last"]);
        let before = file.path().metadata().unwrap().blocks();
        let next = read(file.path(), 0, end, 1).unwrap().next;
        release(file.path(), next).unwrap();
        assert!(file.path().metadata().unwrap().blocks() < before);
        assert!(read(file.path(), 0, end, 10).is_err());
        assert_eq!(texts(&read(file.path(), next, end, 10).unwrap()), [b"last"]);
    }
}
