//! One container as the server knows it, and the task that listens to its shim.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use base::{Clock, ContainerId, TaskId, Timestamp};
use node::{ContainerState, Event, EventSink, ExitStatus, Image, RuntimeErrorKind};
use shim_protocol::{Exit, FailureKind, FromShim, MESSAGE_BYTES_MAX, ToShim, layout};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::cgroup::Cgroups;
use crate::fork_server::Shim;
use crate::holder;

/// The requests that may wait for a shim to read them.
const REQUESTS_MAX: usize = 64;
/// What is assumed of a container whose shim was killed: that it was killed with it.
const CODE_UNKNOWN: i32 = 137;

/// Where a container stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its shim has yet to say anything.
    Starting,
    /// Its program runs.
    Running {
        /// Since when.
        started_at: Timestamp,
    },
    /// It has ended.
    Exited {
        /// When its program was executed.
        started_at: Timestamp,
        /// How it ended.
        exit: ExitStatus,
    },
    /// It could not be started, and nothing of it is left.
    Failed {
        /// How far it came.
        kind: RuntimeErrorKind,
        /// Why.
        message: String,
    },
}

/// What is known of a container.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) phase: Phase,
    pub(crate) output_end: u64,
    pub(crate) has_shim: bool,
    /// Its main process, once it was started.
    pub(crate) process: Option<MainProcess>,
}

/// A container's main process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MainProcess {
    /// Its number on the host.
    pub(crate) pid: u32,
    /// Its parent's, which is the shim.
    pub(crate) shim: u32,
}

/// One container.
pub(crate) struct Container {
    pub(crate) id: ContainerId,
    pub(crate) sandbox: TaskId,
    pub(crate) folder: PathBuf,
    pub(crate) status: watch::Sender<Status>,
    requests: mpsc::Sender<ToShim>,
    listener: Mutex<Option<AbortHandle>>,
    /// Held so that the layers stay; unknown for a container of an earlier server, see [`crate::layers_in_use`].
    _image: Option<Arc<Image>>,
}

impl Container {
    /// Makes a container that is about to start, and the queue of what its shim is to be asked.
    pub(crate) fn new(
        id: ContainerId,
        sandbox: TaskId,
        folder: PathBuf,
        image: Option<Arc<Image>>,
    ) -> (Arc<Self>, mpsc::Receiver<ToShim>) {
        let (requests, queue) = mpsc::channel(REQUESTS_MAX);
        let status =
            watch::Sender::new(Status { phase: Phase::Starting, output_end: 0, has_shim: true, process: None });
        let listener = Mutex::default();
        (Arc::new(Self { id, sandbox, folder, status, requests, listener, _image: image }), queue)
    }

    /// Makes its next run, about to start, whose output goes on where this one's ended.
    pub(crate) fn next_run(&self) -> (Arc<Self>, mpsc::Receiver<ToShim>) {
        let (id, sandbox, folder) = (self.id.clone(), self.sandbox.clone(), self.folder.clone());
        let (next, queue) = Self::new(id, sandbox, folder, self._image.clone());
        next.status.send_modify(|status| status.output_end = self.status.borrow().output_end);
        (next, queue)
    }

    /// Returns what callers see of it: nothing before its program runs.
    pub(crate) fn state(&self) -> Option<ContainerState> {
        let status = self.status.borrow();
        let (started_at, exit) = match &status.phase {
            Phase::Starting | Phase::Failed { .. } => return None,
            Phase::Running { started_at } => (*started_at, None),
            Phase::Exited { started_at, exit } => (*started_at, Some(exit.clone())),
        };
        Some(ContainerState { started_at, exit, output_end: status.output_end })
    }

    /// Returns the path of its output file.
    pub(crate) fn output(&self) -> PathBuf {
        self.folder.join(layout::OUTPUT)
    }

    /// Asks something of the shim; one that has ended cannot be asked, and need not be.
    pub(crate) async fn ask(&self, message: ToShim) {
        // The queue's other end goes when the shim does.
        let _ = self.requests.send(message).await;
    }

    /// Waits until a condition holds.
    pub(crate) async fn wait_until(&self, holds: impl FnMut(&Status) -> bool) -> Status {
        let mut changes = self.status.subscribe();
        changes.wait_for(holds).await.expect("the container holds the sender while it waits").clone()
    }

    /// Takes note of how it ended.
    pub(crate) fn note_exit(&self, exit: &Exit) {
        let Exit { code, is_oom_killed, started_at, finished_at, output_end } = *exit;
        let exit = ExitStatus { code, is_oom_killed, at: finished_at };
        self.status.send_modify(|status| {
            status.phase = Phase::Exited { started_at, exit };
            status.output_end = output_end;
        });
    }

    /// Ends the listening, so that a runtime that is dropped leaves no task behind.
    pub(crate) fn stop_listening(&self) {
        if let Some(listener) = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take() {
            listener.abort();
        }
    }
}

/// Listens to one shim.
pub(crate) struct Listener {
    pub(crate) container: Arc<Container>,
    pub(crate) queue: mpsc::Receiver<ToShim>,
    /// The shim's process, if this server has started it.
    pub(crate) shim: Option<Shim>,
    pub(crate) cgroups: Arc<Cgroups>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: EventSink,
}

impl Listener {
    /// Listens until the shim has ended.
    pub(crate) fn spawn(self, stream: UnixStream) {
        let container = Arc::clone(&self.container);
        let task = tokio::spawn(self.run(stream));
        *container.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
    }

    async fn run(mut self, stream: UnixStream) {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::with_capacity(1024, reader);
        let mut line = Vec::new();
        loop {
            tokio::select! {
                // A message that is cut short by a request stays in `line`.
                is_open = read_line(&mut reader, &mut line) => {
                    if !is_open {
                        break;
                    }
                    if let Some(message) = shim_protocol::decode(&line) {
                        self.hear(message);
                    }
                    line.clear();
                }
                Some(request) = self.queue.recv() => send(&mut writer, &request).await,
            }
        }
        self.settle().await;
    }

    fn hear(&self, message: FromShim) {
        let container = &self.container;
        match message {
            FromShim::Started { at, pid, shim, warnings } => {
                for warning in warnings {
                    tracing::warn!(container = %container.id, warning, "a container lacks what it was to have");
                }
                container.status.send_modify(|status| {
                    status.process = Some(MainProcess { pid, shim });
                    if status.phase == Phase::Starting {
                        status.phase = Phase::Running { started_at: at };
                    }
                });
            }
            FromShim::Failed { kind, message } => {
                let kind = match kind {
                    FailureKind::Create => RuntimeErrorKind::Create,
                    FailureKind::Start => RuntimeErrorKind::Start,
                };
                container.status.send_modify(|status| status.phase = Phase::Failed { kind, message });
            }
            FromShim::Output { end } => {
                container.status.send_modify(|status| status.output_end = status.output_end.max(end));
                self.tell(|sandbox, container| Event::Output { sandbox, container });
            }
            FromShim::Exited(exit) => {
                container.note_exit(&exit);
                self.tell(|sandbox, container| Event::Exited { sandbox, container });
            }
        }
    }

    fn tell(&self, event: impl FnOnce(TaskId, ContainerId) -> Event) {
        if holder::is_holder(&self.container) {
            return;
        }
        (self.events)(event(self.container.sandbox.clone(), self.container.id.clone()));
    }

    /// Finds out what became of a container whose shim says no more, and reaps the shim.
    async fn settle(mut self) {
        // It has closed its last connection, and has nothing left to do but to end.
        if let Some(shim) = self.shim.take()
            && let Err(error) = shim.ended().await
        {
            tracing::error!(container = %self.container.id, %error, "cannot wait for the end of a shim");
        }
        let phase = self.container.status.borrow().phase.clone();
        match phase {
            Phase::Exited { .. } | Phase::Failed { .. } => {}
            Phase::Running { started_at } => {
                self.note_lost(Some(started_at)).await;
                self.tell(|sandbox, container| Event::Exited { sandbox, container });
            }
            Phase::Starting => {
                let message = "the shim ended before the container was ready".to_owned();
                let kind = RuntimeErrorKind::Internal;
                self.container.status.send_modify(|status| status.phase = Phase::Failed { kind, message });
            }
        }
        self.container.status.send_modify(|status| status.has_shim = false);
    }

    async fn note_lost(&self, started_at: Option<Timestamp>) {
        let (container, cgroups, clock) =
            (Arc::clone(&self.container), Arc::clone(&self.cgroups), Arc::clone(&self.clock));
        let noted = tokio::task::spawn_blocking(move || note_lost(&container, &cgroups, &*clock, started_at)).await;
        if let Err(error) = noted {
            tracing::error!(container = %self.container.id, %error, "cannot note the end of a lost container");
        }
    }
}

/// Notes the end of a container whose shim is gone: the one that the shim wrote down, or else, since a container does
/// not outlive its shim, that it was killed.
pub(crate) fn note_lost(container: &Container, cgroups: &Cgroups, clock: &dyn Clock, started_at: Option<Timestamp>) {
    if let Some(exit) = read_exit(container) {
        return container.note_exit(&exit);
    }
    if let Err(error) = cgroups.remove(container.sandbox.as_str(), Some(container.id.as_str()), clock) {
        tracing::error!(container = %container.id, %error, "cannot end a container that lost its shim");
    }
    let finished_at = clock.now();
    let output_end = std::fs::metadata(container.output()).map(|file| file.len()).unwrap_or_default();
    let exit = Exit {
        code: CODE_UNKNOWN,
        is_oom_killed: false,
        started_at: started_at.unwrap_or(finished_at),
        finished_at,
        output_end,
    };
    let path = container.folder.join(layout::EXIT);
    let written = std::fs::write(&path, shim_protocol::encode(&exit));
    if let Err(error) = written {
        tracing::warn!(container = %container.id, %error, "cannot write down the end of a container");
    }
    container.note_exit(&exit);
}

/// Reads what the shim has written down of the end.
pub(crate) fn read_exit(container: &Container) -> Option<Exit> {
    shim_protocol::decode(&std::fs::read(container.folder.join(layout::EXIT)).ok()?)
}

/// Reads one line, or the rest of one; returns whether the shim may say more.
async fn read_line(reader: &mut BufReader<OwnedReadHalf>, line: &mut Vec<u8>) -> bool {
    while line.last() != Some(&b'\n') && line.len() < MESSAGE_BYTES_MAX {
        let Ok(found) = reader.fill_buf().await else { return false };
        if found.is_empty() {
            return false;
        }
        let count = found.iter().position(|byte| *byte == b'\n').map_or(found.len(), |end| end + 1);
        line.extend_from_slice(&found[..count]);
        reader.consume(count);
    }
    true
}

async fn send(writer: &mut OwnedWriteHalf, request: &ToShim) {
    // A shim that is gone shows on the reading side.
    let _ = writer.write_all(&shim_protocol::encode(request)).await;
}
