//! The shim's life: start, carry output, answer servers, note the end.

use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use base::{Clock, SystemClock, Timestamp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use shim_protocol::output::Stream;
use shim_protocol::{Exit, FromShim, Request, ToShim, layout};

use crate::connection::Connection;
use crate::error::{self, ShimError};
use crate::output::{Lines, Output};
use crate::start::{self, Started};
use crate::{cgroup, exit, start::Started as Container, stdin};

/// The servers that may be connected at a time; a further one replaces the eldest.
const CONNECTIONS_MAX: usize = 8;
/// The most that is read from a stream at once: what a pipe holds.
const CHUNK_BYTES: usize = 64 * 1024;
/// How long output is waited for after the main process has ended, in rounds of [`RETRY_MS`]. Every other process of the
/// container has ended before it, so that only one that has left its process namespace can hold a pipe open.
const DRAIN_ROUNDS_MAX: u32 = 10;
/// How long a server is waited for to take the news of the end, in rounds of [`RETRY_MS`].
const FAREWELL_ROUNDS_MAX: u32 = 10;
/// How long to wait before trying again what failed, such as writing to a full disk, in milliseconds.
const RETRY_MS: i64 = 100;
/// How long to wait for the processes that made the container to be reaped, in milliseconds.
const REAP_MS: i64 = 5;

/// Runs the container in `folder` until it has ended, and its end is written down.
pub(crate) fn run(folder: &Path) -> Result<(), ShimError> {
    // A group of its own, so that Ctrl-C at the server's terminal is not for us. It fails for who leads one already.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(ShimError::call("adopt orphans"))?;
    rustix::process::chdir(folder).map_err(ShimError::path("enter", folder))?;
    let mut servers = Vec::from_iter(first_server()?);
    let clock = SystemClock;
    let started = read_request().and_then(|request| {
        let output = Output::create(Path::new(layout::OUTPUT), request.limits.output_buffer_bytes)?;
        let listener = UnixListener::bind(layout::SOCKET_UNFINISHED).map_err(ShimError::call("listen"))?;
        listener.set_nonblocking(true).map_err(ShimError::call("listen"))?;
        let container = start::start(&request, folder)?;
        // A server that finds the socket knows that the container was started.
        fs::rename(layout::SOCKET_UNFINISHED, layout::SOCKET).map_err(ShimError::call("name the socket"))?;
        exit::forget()?;
        Ok((request, output, listener, container))
    });
    match started {
        Ok((request, output, listener, container)) => {
            let mut container = container;
            let warnings = std::mem::take(&mut container.warnings);
            let mut shim = Shim::new(container, output, clock.now());
            let news = shim.started(warnings);
            servers.iter_mut().for_each(|server: &mut Connection| server.tell(&news));
            shim.servers = servers;
            shim.supervise(&listener, &clock)?;
            shim.end(&request, &clock)
        }
        Err(error) => {
            let news = FromShim::Failed { kind: error.kind(), message: error::chain(&error) };
            servers.iter_mut().for_each(|server| server.tell(&news));
            Err(error)
        }
    }
}

/// Returns the connection to the server that has started this shim, if standard input is one.
fn first_server() -> Result<Option<Connection>, ShimError> {
    let socket = stdin::take()?;
    let is_socket = rustix::net::sockopt::socket_type(&socket).is_ok();
    Ok(is_socket.then(|| UnixStream::from(socket)).and_then(Connection::new))
}

fn read_request() -> Result<Request, ShimError> {
    let path = Path::new(layout::REQUEST);
    let text = fs::read(path).map_err(ShimError::path("read", path))?;
    Ok(serde_json::from_slice(&text)?)
}

/// One of the container's two streams.
struct Pipe {
    fd: Option<OwnedFd>,
    lines: Lines,
}

struct Shim {
    container: ContainerProcess,
    pipes: [Pipe; 2],
    output: Output,
    servers: Vec<Connection>,
    chunk: Box<[u8]>,
}

struct ContainerProcess {
    pid: nix::unistd::Pid,
    pidfd: OwnedFd,
    started_at: Timestamp,
    code: Option<i32>,
    /// Whether the process between launcher and container has been reaped too.
    has_strangers: bool,
}

/// What woke the shim.
#[derive(Default)]
struct Ready {
    has_exited: bool,
    has_caller: bool,
    pipes: [bool; 2],
    servers: Vec<bool>,
}

impl Shim {
    fn new(container: Container, output: Output, started_at: Timestamp) -> Self {
        let Started { pid, pidfd, stdout, stderr, warnings: _ } = container;
        Self {
            container: ContainerProcess { pid, pidfd, started_at, code: None, has_strangers: true },
            pipes: [
                Pipe { fd: Some(stdout), lines: Lines::new(Stream::Stdout) },
                Pipe { fd: Some(stderr), lines: Lines::new(Stream::Stderr) },
            ],
            output,
            servers: Vec::new(),
            chunk: vec![0; CHUNK_BYTES].into_boxed_slice(),
        }
    }

    fn started(&self, warnings: Vec<String>) -> FromShim {
        FromShim::Started {
            pid: self.container.pid.as_raw().unsigned_abs(),
            shim: std::process::id(),
            at: self.container.started_at,
            warnings,
        }
    }

    /// Works until the main process has ended.
    fn supervise(&mut self, listener: &UnixListener, clock: &dyn Clock) -> Result<(), ShimError> {
        while self.container.code.is_none() {
            let ready = self.wait(listener)?;
            self.serve(&ready, listener, clock);
            if ready.has_exited || self.container.has_strangers {
                self.container.reap();
            }
        }
        Ok(())
    }

    fn wait(&self, listener: &UnixListener) -> Result<Ready, ShimError> {
        let timeout_ms = match () {
            () if self.container.has_strangers => Some(REAP_MS),
            () if self.output.is_stuck() => Some(RETRY_MS),
            () => None,
        };
        let mut fds = Vec::with_capacity(4 + self.servers.len());
        fds.push(PollFd::new(&self.container.pidfd, PollFlags::IN));
        fds.push(PollFd::new(listener, PollFlags::IN));
        for server in &self.servers {
            let unsent = if server.has_unsent() { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::new(server, PollFlags::IN | unsent));
        }
        let has_room = self.output.has_room();
        let open = self.pipes.iter().map(|pipe| pipe.fd.as_ref().filter(|_| has_room)).collect::<Vec<_>>();
        fds.extend(open.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::IN)));
        poll_within(&mut fds, timeout_ms)?;

        let mut woken = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut next = || woken.next().unwrap_or_default();
        Ok(Ready {
            has_exited: next(),
            has_caller: next(),
            servers: self.servers.iter().map(|_| next()).collect(),
            pipes: std::array::from_fn(|index| open[index].is_some() && next()),
        })
    }

    fn serve(&mut self, ready: &Ready, listener: &UnixListener, clock: &dyn Clock) {
        self.output.set_reader(!self.servers.is_empty());
        for index in 0..self.pipes.len() {
            if ready.pipes[index] {
                self.read(index, clock.now());
            }
        }
        self.output.flush();
        for index in 0..self.servers.len() {
            if ready.servers.get(index) == Some(&true) {
                let asked = self.servers[index].receive();
                asked.into_iter().for_each(|message| self.obey(message));
                self.servers[index].send();
            }
        }
        if ready.has_caller {
            self.accept(listener);
        }
        let end = self.output.end();
        self.servers.iter_mut().for_each(|server| server.tell_output(end));
        self.servers.retain(Connection::is_open);
    }

    /// Reads once from a stream; closes it at its end.
    fn read(&mut self, index: usize, at: Timestamp) {
        let Pipe { fd, lines } = &mut self.pipes[index];
        let Some(pipe) = fd else { return };
        match rustix::io::read(pipe.as_fd(), &mut self.chunk[..]) {
            Ok(count) if count > 0 => self.output.take(lines, &self.chunk[..count], at),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(_) | Err(_) => {
                self.output.finish(lines, at);
                *fd = None;
            }
        }
    }

    fn accept(&mut self, listener: &UnixListener) {
        let Ok((stream, _)) = listener.accept() else { return };
        let Some(mut server) = Connection::new(stream) else { return };
        server.tell(&self.started(Vec::new()));
        if self.servers.len() == CONNECTIONS_MAX {
            self.servers.remove(0);
        }
        self.servers.push(server);
    }

    fn obey(&mut self, message: ToShim) {
        match message {
            ToShim::Signal { number } => {
                // SAFETY: any number is a signal's or is refused by the kernel; real-time signals have no name here.
                let result = unsafe {
                    libc::syscall(
                        libc::SYS_pidfd_send_signal,
                        std::os::fd::AsRawFd::as_raw_fd(&self.container.pidfd),
                        number,
                        std::ptr::null::<libc::siginfo_t>(),
                        0,
                    )
                };
                if result != 0 {
                    let _ = writeln!(std::io::stderr(), "cannot send signal {number}");
                }
            }
            ToShim::Release { up_to } => self.output.release(up_to),
        }
    }

    /// Reads what is left of the output, writes the end down and tells it.
    fn end(mut self, request: &Request, clock: &dyn Clock) -> Result<(), ShimError> {
        let finished_at = clock.now();
        if request.pid_namespace.is_some() {
            // The main process was not the first of its namespace, whose end ends all others.
            cgroup::end_all(request);
        }
        self.drain(clock)?;
        let exit = Exit {
            code: self.container.code.unwrap_or(128 + libc::SIGKILL),
            is_oom_killed: exit::is_oom_killed(request),
            started_at: self.container.started_at,
            finished_at,
            output_end: self.output.end(),
        };
        exit::save(&exit)?;
        self.servers.iter_mut().for_each(|server| server.tell(&FromShim::Exited(exit.clone())));
        for place in &request.cgroups {
            // Best effort: the runtime removes what is left together with the sandbox's cgroup.
            let _ = fs::remove_dir(&place.directory);
        }
        self.say_farewell()
    }

    /// Empties the pipes. No backpressure any more: what they hold is bounded.
    fn drain(&mut self, clock: &dyn Clock) -> Result<(), ShimError> {
        let mut rounds = 0;
        while rounds < DRAIN_ROUNDS_MAX && (self.output.is_stuck() || self.pipes.iter().any(|pipe| pipe.fd.is_some())) {
            let open = self.pipes.iter().map(|pipe| pipe.fd.as_ref()).collect::<Vec<_>>();
            let mut fds = open.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::IN)).collect::<Vec<_>>();
            poll_within(&mut fds, Some(RETRY_MS))?;
            let mut woken = fds.iter().map(|fd| !fd.revents().is_empty());
            let ready: [bool; 2] =
                std::array::from_fn(|index| open[index].is_some() && woken.next().unwrap_or_default());
            rounds = if ready.contains(&true) { 0 } else { rounds + 1 };
            for (index, _) in ready.iter().enumerate().filter(|(_, is_ready)| **is_ready) {
                self.read(index, clock.now());
            }
            self.output.flush();
        }
        for pipe in &mut self.pipes {
            self.output.finish(&mut pipe.lines, clock.now());
        }
        self.output.flush();
        if self.output.dropped() > 0 {
            let _ = writeln!(std::io::stderr(), "{} lines were dropped: the buffer was full", self.output.dropped());
        }
        Ok(())
    }

    fn say_farewell(&mut self) -> Result<(), ShimError> {
        for _ in 0..FAREWELL_ROUNDS_MAX {
            let mut fds = self
                .servers
                .iter()
                .filter(|server| server.has_unsent())
                .map(|server| PollFd::new(server, PollFlags::OUT))
                .collect::<Vec<_>>();
            if fds.is_empty() {
                break;
            }
            poll_within(&mut fds, Some(RETRY_MS))?;
            self.servers.iter_mut().for_each(Connection::send);
        }
        Ok(())
    }
}

impl ContainerProcess {
    /// Reaps every child that has ended, and notes the exit code of the main process.
    fn reap(&mut self) {
        while let Some(ended) = exit::reap() {
            if ended.pid == self.pid {
                self.code = Some(ended.code);
            } else {
                self.has_strangers = false;
            }
        }
    }
}

fn poll_within(fds: &mut [PollFd<'_>], timeout_ms: Option<i64>) -> Result<(), ShimError> {
    let timeout = timeout_ms.map(|ms| Timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 });
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(ShimError::call("wait for anything to happen")(error)),
    }
}
