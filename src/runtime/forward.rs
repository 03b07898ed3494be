//! Handing lines to a log router in a container, in Fluentd's forward protocol: a tag, the records, and an option that asks
//! for an acknowledgement, as one MessagePack array.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use base::Timestamp;
use node::{ForwardBatch, OutputStream};
use rustix::fs::{FileType, OFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::container::MainProcess;
use crate::in_root::ProcessRoot;

/// How long a router may take for one batch.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 256;
/// What an acknowledgement begins with: a map of one pair, whose key is `ack`.
const ACKNOWLEDGEMENT: &[u8] = b"\x81\xa3ack";

/// Hands a batch to the router whose main process that is.
pub(crate) async fn forward(router: MainProcess, batch: &ForwardBatch) -> io::Result<()> {
    let path = batch.socket.clone();
    let socket = tokio::task::spawn_blocking(move || find_socket(router, &path)).await.map_err(io::Error::other)??;
    tokio::time::timeout(ANSWER_WAIT_MAX, exchange(&socket, &encode(batch), batch.chunk.as_deref()))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the router does not answer"))?
}

/// Finds the socket in the container, where no symbolic link leads out.
fn find_socket(router: MainProcess, path: &Path) -> io::Result<OwnedFd> {
    let root = ProcessRoot::of(router.pid)?;
    // The process may have ended, and its number be another one's by now.
    if parent_of(router.pid)? != router.shim {
        return Err(io::Error::new(io::ErrorKind::NotConnected, "the router has ended"));
    }
    let socket = root.open(path, OFlags::PATH | OFlags::NOFOLLOW)?;
    match FileType::from_raw_mode(rustix::fs::fstat(&socket)?.st_mode) {
        FileType::Socket => Ok(socket),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no socket")),
    }
}

fn parent_of(pid: u32) -> io::Result<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
    parent.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Sends a message, and waits until it is acknowledged, or read.
async fn exchange(socket: &OwnedFd, message: &[u8], chunk: Option<&str>) -> io::Result<()> {
    let mut stream = UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await?;
    stream.write_all(message).await?;
    let mut answer = Vec::new();
    let Some(chunk) = chunk else {
        // It closes the connection when it has come to our end of it.
        stream.shutdown().await?;
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        return Ok(());
    };
    let mut reader = stream.take(ANSWER_BYTES_MAX);
    while !answer.ends_with(chunk.as_bytes()) {
        if reader.read_buf(&mut answer).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the router does not acknowledge"));
        }
    }
    if answer.starts_with(ACKNOWLEDGEMENT) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the router answers something else"))
}

/// Writes a batch as the protocol has it.
fn encode(batch: &ForwardBatch) -> Vec<u8> {
    let bytes = batch.lines.iter().map(|line| line.bytes.len()).sum::<usize>();
    let labels = batch.labels.iter().map(|(name, value)| name.len() + value.len() + 10).sum::<usize>();
    let mut out = Vec::with_capacity(bytes + batch.lines.len() * (labels + 48) + 256);
    array(&mut out, 3);
    text(&mut out, batch.tag.as_bytes());
    array(&mut out, batch.lines.len());
    for line in &batch.lines {
        array(&mut out, 2);
        time(&mut out, line.at);
        map(&mut out, batch.labels.len() + 2);
        for (name, value) in &batch.labels {
            text(&mut out, name.as_bytes());
            text(&mut out, value.as_bytes());
        }
        text(&mut out, b"source");
        text(
            &mut out,
            match line.stream {
                OutputStream::Stdout => b"stdout",
                OutputStream::Stderr => b"stderr",
            },
        );
        text(&mut out, b"log");
        text(&mut out, &line.bytes);
    }
    map(&mut out, 1 + usize::from(batch.chunk.is_some()));
    text(&mut out, b"size");
    unsigned(&mut out, batch.lines.len());
    if let Some(chunk) = &batch.chunk {
        text(&mut out, b"chunk");
        text(&mut out, chunk.as_bytes());
    }
    out
}

fn array(out: &mut Vec<u8>, length: usize) {
    header(out, length, (0x90, 15), &[(0xdc, 2), (0xdd, 4)]);
}

fn map(out: &mut Vec<u8>, length: usize) {
    header(out, length, (0x80, 15), &[(0xde, 2), (0xdf, 4)]);
}

/// Writes text; bytes that are none stay as they are.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    header(out, bytes.len(), (0xa0, 31), &[(0xd9, 1), (0xda, 2), (0xdb, 4)]);
    out.extend_from_slice(bytes);
}

fn unsigned(out: &mut Vec<u8>, number: usize) {
    header(out, number, (0x00, 127), &[(0xcc, 1), (0xcd, 2), (0xce, 4)]);
}

/// Writes a type and a number: within one byte if it is at most `small`, or else by the first wide form that holds it.
fn header(out: &mut Vec<u8>, number: usize, (base, small): (u8, u8), wide: &[(u8, usize)]) {
    if let Ok(number) = u8::try_from(number)
        && number <= small
    {
        return out.push(base | number);
    }
    let bytes = u32::try_from(number).expect("a batch is far shorter than 4 GiB").to_be_bytes();
    for (kind, width) in wide {
        let (unused, used) = bytes.split_at(bytes.len() - width);
        if unused.iter().all(|byte| *byte == 0) {
            out.push(*kind);
            return out.extend_from_slice(used);
        }
    }
}

/// Writes a time as the protocol's own type 0: seconds and nanoseconds.
fn time(out: &mut Vec<u8>, at: Timestamp) {
    let (seconds, milliseconds) = (at.as_millis().div_euclid(1000), at.as_millis().rem_euclid(1000));
    let nanoseconds = u32::try_from(milliseconds * 1_000_000).expect("less than a second");
    out.extend_from_slice(&[0xd7, 0x00]);
    // The protocol's times end in 2106; one before 1970 is its first.
    out.extend_from_slice(&u32::try_from(seconds.max(0)).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&nanoseconds.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use node::OutputLine;
    use rustix::fs::{CWD, Mode};
    use tokio::net::UnixListener;

    use super::*;

    fn batch(lines: &[&[u8]]) -> ForwardBatch {
        let line = |bytes: &&[u8]| OutputLine {
            at: Timestamp::from_millis(1_000_000_001_500),
            stream: OutputStream::Stderr,
            bytes: bytes.to_vec(),
        };
        ForwardBatch {
            socket: PathBuf::from("/var/run/fluent.sock"),
            tag: "app-firelens-1".to_owned(),
            chunk: Some("c1".to_owned()),
            labels: vec![("container_name".to_owned(), "app".to_owned())],
            lines: lines.iter().map(line).collect(),
        }
    }

    #[test]
    fn a_batch_is_written_as_the_protocol_has_it() {
        let expected = [
            b"\x93\xaeapp-firelens-1\x91\x92\xd7\x00\x3b\x9a\xca\x01\x1d\xcd\x65\x00".as_slice(),
            b"\x83\xaecontainer_name\xa3app\xa6source\xa6stderr\xa3log\xa5hello",
            b"\x82\xa4size\x01\xa5chunk\xa2c1",
        ];
        assert_eq!(encode(&batch(&[b"hello"])), expected.concat());
    }

    #[test]
    fn lengths_take_the_shortest_form() {
        let of = |write: fn(&mut Vec<u8>, usize), length| {
            let mut out = Vec::new();
            write(&mut out, length);
            out
        };
        let header_of_text = |length| {
            let mut out = Vec::new();
            text(&mut out, &vec![0; length]);
            out.truncate(out.len() - length);
            out
        };
        assert_eq!(
            [of(array, 15), of(array, 16), of(array, 65_536)],
            [vec![0x9f], vec![0xdc, 0, 16], vec![0xdd, 0, 1, 0, 0]]
        );
        assert_eq!([of(map, 0), of(map, 16)], [vec![0x80], vec![0xde, 0, 16]]);
        assert_eq!(
            [of(unsigned, 127), of(unsigned, 128), of(unsigned, 256)],
            [vec![0x7f], vec![0xcc, 128], vec![0xcd, 1, 0]]
        );
        assert_eq!(
            [header_of_text(31), header_of_text(32), header_of_text(256), header_of_text(65_536)],
            [vec![0xbf], vec![0xd9, 32], vec![0xda, 1, 0], vec![0xdb, 0, 1, 0, 0]]
        );
    }

    /// Sends a batch to a socket that answers like that.
    async fn answered(answer: &'static [u8]) -> io::Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("router.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (message, mut read) = (encode(&batch(&[b"one", b"two"])), Vec::new());
        let router = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            while read.len() < message.len() {
                stream.read_buf(&mut read).await.unwrap();
            }
            for byte in answer {
                stream.write_all(&[*byte]).await.unwrap();
            }
        };
        let socket = rustix::fs::openat(CWD, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let (sent, ()) = tokio::join!(exchange(&socket, &message, Some("c1")), router);
        assert_eq!(read, message);
        sent
    }

    #[tokio::test]
    async fn a_batch_counts_once_it_is_acknowledged() {
        answered(b"\x81\xa3ack\xa2c1").await.unwrap();
        answered(b"\x81\xa3ack\xd9\x02c1").await.unwrap();
        for answer in [b"".as_slice(), b"\x81\xa3ack\xa2c2", b"\x81\xa3nak\xa2c1", b"HTTP/1.1 400 c1"] {
            assert!(answered(answer).await.is_err(), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_batch_for_a_router_that_acknowledges_nothing_counts_once_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("router.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let message = encode(&ForwardBatch { chunk: None, ..batch(&[b"one"]) });
        let router = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            read
        };
        let socket = rustix::fs::openat(CWD, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let (sent, read) = tokio::join!(exchange(&socket, &message, None), router);
        sent.unwrap();
        assert!(read == message && message.ends_with(b"\x81\xa4size\x01"));
    }

    #[test]
    fn what_is_no_socket_of_the_router_is_not_connected_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink("/dev/null", folder.path().join("link")).unwrap();
        let own = MainProcess { pid: std::process::id(), shim: std::os::unix::process::parent_id() };
        for path in [&file, &folder.path().join("link"), &folder.path().join("missing")] {
            assert!(find_socket(own, path).is_err(), "{}", path.display());
        }
        let listener = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
        find_socket(own, &folder.path().join("s")).unwrap();
        assert!(find_socket(MainProcess { shim: 0, ..own }, &folder.path().join("s")).is_err());
        drop(listener);
    }
}
