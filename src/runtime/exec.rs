//! Further processes in containers that run.
//!
//! Each has a small parent of its own, `neargate shim exec`, which joins the container and tells how the process ended. The
//! process's input and output do not go through it: it is handed pipes, or a terminal of the container's own, whose other
//! ends stay here. The parent's socket is the process's life line: it is closed when nobody wants the process any more, and
//! by the kernel when this server ends.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use node::{
    EXEC_PIECE_BYTES_MAX, EXEC_PIECES_MAX, Exec, ExecInput, ExecOutput, ExecSpec, RuntimeError, RuntimeErrorKind,
    TerminalSize,
};
use rustix::fs::OFlags;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use shim_protocol::exec::{DESCRIPTORS, ExecRequest, FromExec, REQUEST_BYTES_MAX, SUBCOMMAND};
use shim_protocol::{FailureKind, MESSAGE_BYTES_MAX};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use crate::FargateRuntime;
use crate::container::{MainProcess, Phase};
use crate::error::failed;
use crate::fork_server::{ForkServer, Shim};
use crate::in_root::ProcessRoot;

/// How long the start of a process may take; longer than its parent's own bound for it.
const START_WAIT_MAX: Duration = Duration::from_secs(40);
/// How much output is still read after the process has ended: others that it has started may go on writing for ever.
const REST_BYTES_MAX: usize = 1024 * 1024;
/// What a terminal takes for the end of its input.
const END_OF_TRANSMISSION: &[u8] = &[4];
/// The character device that makes terminals: major and minor number.
const TERMINAL_MAKER: (u32, u32) = (5, 2);

impl FargateRuntime {
    /// Starts a process in a container; see [`node::Runtime::exec`].
    pub(crate) async fn start_process(&self, spec: &ExecSpec) -> Result<Exec, RuntimeError> {
        let refuse = |kind, message: String| RuntimeError {
            kind,
            action: "start a process",
            subject: spec.container.to_string(),
            message,
        };
        let container = self.find(&spec.container);
        let running = container.and_then(|container| {
            let status = container.status.borrow();
            let process = status.process.filter(|_| matches!(status.phase, Phase::Running { .. }))?;
            Some((container.folder.clone(), process))
        });
        let Some((folder, main)) = running else {
            return Err(refuse(RuntimeErrorKind::Internal, "the container is not running".to_owned()));
        };
        let at = failed(RuntimeErrorKind::Internal, "start a process", &spec.container);
        let mut spawned = Spawned::new(self.shims(), spec.clone(), folder, main).await.map_err(at)?;
        match tokio::time::timeout(START_WAIT_MAX, spawned.control.next()).await {
            Ok(Some(FromExec::Started)) => Ok(spawned.carry()),
            Ok(Some(FromExec::Failed { kind, message })) => {
                let kind = match kind {
                    FailureKind::Start => RuntimeErrorKind::Start,
                    FailureKind::Create => RuntimeErrorKind::Internal,
                };
                Err(refuse(kind, message))
            }
            Ok(Some(FromExec::Exited { .. }) | None) => {
                Err(refuse(RuntimeErrorKind::Internal, "its parent ended before it was started".to_owned()))
            }
            Err(_) => {
                let message = format!("its parent said nothing for {} seconds", START_WAIT_MAX.as_secs());
                Err(refuse(RuntimeErrorKind::Internal, message))
            }
        }
    }
}

/// The socket to a process's parent.
struct Control {
    reader: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Control {
    /// Returns what the parent says next; none once it has ended. Nothing is lost if the wait is given up.
    async fn next(&mut self) -> Option<FromExec> {
        let room = MESSAGE_BYTES_MAX.saturating_sub(self.line.len());
        (&mut self.reader).take(room as u64).read_until(b'\n', &mut self.line).await.ok()?;
        let message = shim_protocol::decode(&self.line);
        self.line.clear();
        message
    }
}

/// Makes an output of a piece of bytes.
type Piece = fn(Bytes) -> ExecOutput;

/// A process, or one about to be, with everything that leads to it.
struct Spawned {
    parent: Shim,
    control: Control,
    ends: Ours,
}

/// Our ends of a process's input and output.
enum Ours {
    Pipes { stdin: Arc<AsyncFd<OwnedFd>>, stdout: Arc<AsyncFd<OwnedFd>>, stderr: Arc<AsyncFd<OwnedFd>> },
    Terminal(Arc<AsyncFd<OwnedFd>>),
}

/// The same before they are watched, and the process's own.
struct Ends {
    ours: Vec<OwnedFd>,
    theirs: [OwnedFd; DESCRIPTORS],
}

impl Spawned {
    async fn new(shims: Arc<ForkServer>, spec: ExecSpec, folder: PathBuf, main: MainProcess) -> io::Result<Self> {
        let has_terminal = spec.terminal.is_some();
        let spawning = tokio::task::spawn_blocking(move || spawn(&shims, &spec, folder, main));
        let (parent, control, ours) = spawning.await.map_err(io::Error::other)??;
        let mut ours = ours.into_iter().map(watch).collect::<io::Result<Vec<_>>>()?;
        let mut next = || ours.pop().ok_or_else(|| io::Error::other("a descriptor is missing"));
        let ends = if has_terminal {
            Ours::Terminal(next()?)
        } else {
            let (stderr, stdout, stdin) = (next()?, next()?, next()?);
            Ours::Pipes { stdin, stdout, stderr }
        };
        let control =
            Control { reader: BufReader::with_capacity(1024, UnixStream::from_std(control)?), line: Vec::new() };
        Ok(Self { parent, control, ends })
    }

    /// Lets input and output flow until the process has ended or nobody wants it any more.
    fn carry(self) -> Exec {
        let (input, read) = mpsc::channel(EXEC_PIECES_MAX);
        let (write, output) = mpsc::channel(EXEC_PIECES_MAX);
        tokio::spawn(self.run(read, write));
        Exec { input, output }
    }

    async fn run(self, input: mpsc::Receiver<ExecInput>, output: mpsc::Sender<ExecOutput>) {
        let Self { parent, mut control, ends } = self;
        let (has_ended, ended) = watch::channel(false);
        let (input, outputs) = match ends {
            Ours::Pipes { stdin, stdout, stderr } => {
                let outputs = [(stdout, ExecOutput::Stdout as Piece), (stderr, ExecOutput::Stderr)];
                (feed_pipe(stdin, input).boxed(), Vec::from(outputs))
            }
            Ours::Terminal(terminal) => {
                let outputs = vec![(Arc::clone(&terminal), ExecOutput::Stdout as Piece)];
                (feed_terminal(terminal, input).boxed(), outputs)
            }
        };
        let outputs = join_all(outputs.into_iter().map(|(fd, piece)| pump(fd, &output, piece, ended.clone())));
        let end = async {
            let code = match control.next().await {
                Some(FromExec::Exited { code }) => Some(code),
                Some(FromExec::Started | FromExec::Failed { .. }) | None => None,
            };
            // The pumps may have come to the end before.
            let _ = has_ended.send(true);
            code
        };
        let code = tokio::select! {
            (_, code) = async { tokio::join!(outputs, end) } => code,
            // Nobody wants the process any more: its parent sees the socket close, and kills it.
            () = output.closed() => None,
            () = input => unreachable!("input is taken for as long as the process is wanted"),
        };
        drop(control);
        // The parent has nothing left to do but to end.
        let _ = parent.ended().await;
        if let Some(code) = code {
            // Whoever has stopped listening need not know.
            let _ = output.send(ExecOutput::Exited(code)).await;
        }
    }
}

fn watch(fd: OwnedFd) -> io::Result<Arc<AsyncFd<OwnedFd>>> {
    // SAFETY: what is registered owns its descriptor, which is open and the same for as long as it lives.
    Ok(Arc::new(unsafe { AsyncFd::register(fd) }?))
}

/// Starts the parent and asks it for the process. Returns it, the socket, and our ends.
fn spawn(
    shims: &ForkServer,
    spec: &ExecSpec,
    folder: PathBuf,
    main: MainProcess,
) -> io::Result<(Shim, StdUnixStream, Vec<OwnedFd>)> {
    let Ends { ours, theirs } = match spec.terminal {
        Some(size) => open_terminal(main, size)?,
        None => open_pipes()?,
    };
    let (control, their_control) = StdUnixStream::pair()?;
    let null = File::options().write(true).open("/dev/null")?;
    let args = [OsStr::new(SUBCOMMAND), OsStr::new(spec.container.as_str())];
    let parent = shims.fork(&args, &OwnedFd::from(their_control), &OwnedFd::from(null))?;
    let request = ExecRequest {
        folder,
        pid: main.pid,
        shim: main.shim,
        args: spec.args.clone(),
        user: spec.user.clone(),
        has_terminal: spec.terminal.is_some(),
    };
    let line = shim_protocol::encode(&request);
    if line.len() > REQUEST_BYTES_MAX {
        return Err(io::Error::other("argument list too long"));
    }
    send(&control, &line, &theirs)?;
    control.set_nonblocking(true)?;
    Ok((parent, control, ours))
}

fn send(control: &StdUnixStream, line: &[u8], fds: &[OwnedFd; DESCRIPTORS]) -> io::Result<()> {
    let fds = fds.each_ref().map(AsFd::as_fd);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("there is no room for the descriptors"));
    }
    let sent = sendmsg(control, &[io::IoSlice::new(line)], &mut ancillary, SendFlags::NOSIGNAL)?;
    io::Write::write_all(&mut &*control, &line[sent..])
}

fn open_pipes() -> io::Result<Ends> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC);
    let (stdin, our_stdin) = pipe()?;
    let (our_stdout, stdout) = pipe()?;
    let (our_stderr, stderr) = pipe()?;
    let ours = vec![our_stdin, our_stdout, our_stderr];
    for fd in &ours {
        // Only our end: the process's own are as programs expect them.
        rustix::io::ioctl_fionbio(fd, true)?;
    }
    Ok(Ends { ours, theirs: [stdin, stdout, stderr] })
}

/// Makes a terminal of the container's own, so that the process finds its name in the container's /dev/pts.
fn open_terminal(main: MainProcess, size: TerminalSize) -> io::Result<Ends> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
    let master = ProcessRoot::of(main.pid)?.open(Path::new("dev/pts/ptmx"), flags)?;
    // The container's root may have put something else in its place.
    let device = rustix::fs::fstat(&master)?.st_rdev;
    if (rustix::fs::major(device), rustix::fs::minor(device)) != TERMINAL_MAKER {
        return Err(io::Error::other("the container's /dev/pts/ptmx is no maker of terminals"));
    }
    rustix::pty::unlockpt(&master)?;
    let theirs =
        rustix::pty::ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    resize(&master, size)?;
    let theirs = [theirs.try_clone()?, theirs.try_clone()?, theirs];
    Ok(Ends { ours: vec![master], theirs })
}

fn resize(terminal: &impl AsFd, size: TerminalSize) -> io::Result<()> {
    let size = Winsize { ws_col: size.columns, ws_row: size.rows, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

/// Writes input to a pipe until there is no more, or nobody reads it; then the pipe is closed.
async fn feed_pipe(pipe: Arc<AsyncFd<OwnedFd>>, mut input: mpsc::Receiver<ExecInput>) {
    while let Some(piece) = input.recv().await {
        let written = match piece {
            ExecInput::Data(bytes) => write_all(&pipe, &bytes).await,
            ExecInput::Resize(_) => Ok(()),
            ExecInput::End => break,
        };
        if written.is_err() {
            break;
        }
    }
    drop(pipe);
    discard(input).await;
}

/// Writes input to a terminal. Its end is a key that is pressed: the terminal itself stays.
async fn feed_terminal(terminal: Arc<AsyncFd<OwnedFd>>, mut input: mpsc::Receiver<ExecInput>) {
    while let Some(piece) = input.recv().await {
        let done = match piece {
            ExecInput::Data(bytes) => write_all(&terminal, &bytes).await,
            ExecInput::Resize(size) => resize(&terminal.get_ref(), size),
            ExecInput::End => write_all(&terminal, END_OF_TRANSMISSION).await,
        };
        if done.is_err() {
            break;
        }
    }
    drop(terminal);
    discard(input).await;
}

/// Takes input that nobody reads, so that whoever sends it does not wait.
async fn discard(mut input: mpsc::Receiver<ExecInput>) {
    while input.recv().await.is_some() {}
    std::future::pending().await
}

async fn write_all(fd: &AsyncFd<OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let mut ready = fd.writable().await?;
        if let Ok(written) = ready.try_io(|fd| Ok(rustix::io::write(fd, bytes)?)) {
            bytes = &bytes[written?..];
        }
    }
    Ok(())
}

/// Reads until there is no more, or until the process has ended and what it has written is read.
async fn pump(
    fd: Arc<AsyncFd<OwnedFd>>,
    output: &mpsc::Sender<ExecOutput>,
    piece: Piece,
    mut has_ended: watch::Receiver<bool>,
) {
    let mut chunk = vec![0; EXEC_PIECE_BYTES_MAX];
    loop {
        let read = tokio::select! {
            ended = has_ended.wait_for(|has_ended| *has_ended) => {
                drop(ended);
                break;
            }
            read = read_some(&fd, &mut chunk) => read,
        };
        match read {
            Ok(count) if count > 0 => {
                if output.send(piece(Bytes::copy_from_slice(&chunk[..count]))).await.is_err() {
                    return;
                }
            }
            // A terminal that nobody has open any more gives an error instead of an end.
            Ok(_) | Err(_) => return,
        }
    }
    let mut left = REST_BYTES_MAX;
    // Without waiting: the kernel has by now what the process wrote before its end.
    while left > 0 {
        let Ok(count @ 1..) = rustix::io::read(fd.get_ref(), &mut chunk[..]) else { return };
        left = left.saturating_sub(count);
        if output.send(piece(Bytes::copy_from_slice(&chunk[..count]))).await.is_err() {
            return;
        }
    }
}

async fn read_some(fd: &AsyncFd<OwnedFd>, chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut ready = fd.readable().await?;
        if let Ok(read) = ready.try_io(|fd| Ok(rustix::io::read(fd, &mut *chunk)?)) {
            return read;
        }
    }
}
