//! Finding the sandboxes and containers of an earlier server: live shims are connected to, dead ones' ends are read.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, ContainerId, TaskId};
use node::EventSink;
use shim_protocol::{FromShim, MESSAGE_BYTES_MAX, Request, layout};

use crate::cgroup::{Cgroups, pause};
use crate::container::{self, Container, Listener, MainProcess, Phase};
use crate::sandbox::{self, SandboxRecord};
use crate::spawn;

/// How long a live shim may take for its first word.
const GREETING_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long one may take from its start until its container runs, in looks.
const LOOKS_MAX: u32 = 5_000;

/// What was found in the run folder.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) sandboxes: HashMap<TaskId, Option<SandboxRecord>>,
    pub(crate) containers: HashMap<ContainerId, Arc<Container>>,
}

/// What a listener to an adopted shim needs.
pub(crate) struct Adopter {
    pub(crate) cgroups: Arc<Cgroups>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: EventSink,
}

impl Adopter {
    /// Looks through the run folder and the cgroups. Must be called within a tokio runtime.
    pub(crate) fn find(&self, run_dir: &Path) -> io::Result<Found> {
        let mut found = Found::default();
        for name in self.cgroups.sandboxes() {
            found.sandboxes.insert(TaskId::new(name), None);
        }
        // What begins with a dot is the runtime's own.
        for name in folders(run_dir)?.into_iter().filter(|name| !name.starts_with('.')) {
            let folder = run_dir.join(&name);
            let id = TaskId::new(name);
            found.sandboxes.insert(id.clone(), sandbox::load(&folder));
            for name in folders(&sandbox::containers(&folder)).unwrap_or_default() {
                let folder = sandbox::containers(&folder).join(&name);
                if let Some(container) = self.adopt(&id, ContainerId::new(name), &folder) {
                    found.containers.insert(container.id.clone(), container);
                }
            }
        }
        Ok(found)
    }

    /// Adopts one container; none if its program never ran. Then whoever wants it starts it, as if nobody had tried.
    fn adopt(&self, sandbox: &TaskId, id: ContainerId, folder: &Path) -> Option<Arc<Container>> {
        let met = meet(folder);
        let has_run = folder.join(layout::SOCKET).exists() || folder.join(layout::EXIT).exists();
        if met.is_err() && !has_run {
            return None;
        }
        let (container, queue) = Container::new(id, sandbox.clone(), folder.to_owned(), None);
        match met {
            Ok((stream, started_at, process)) => {
                container.status.send_modify(|status| {
                    status.phase = Phase::Running { started_at };
                    status.process = Some(process);
                });
                let listener = Listener {
                    container: Arc::clone(&container),
                    queue,
                    shim: None,
                    cgroups: Arc::clone(&self.cgroups),
                    clock: Arc::clone(&self.clock),
                    events: Arc::clone(&self.events),
                };
                listener.spawn(stream);
                tracing::info!(container = %container.id, "adopted a running container");
            }
            Err(error) => {
                tracing::info!(container = %container.id, %error, "found a container that has ended");
                container::note_lost(&container, &self.cgroups, &*self.clock, None);
                container.status.send_modify(|status| status.has_shim = false);
            }
        }
        Some(container)
    }
}

/// Returns the layers of every container in a run folder, also of those that an earlier server has started: their
/// folders must stay for as long as the sandbox does.
///
/// # Errors
///
/// If the folder cannot be read. One that does not exist has no containers.
pub fn layers_in_use(run_dir: &Path) -> io::Result<HashSet<PathBuf>> {
    let mut layers = HashSet::new();
    for sandbox in folders(run_dir)? {
        let containers = sandbox::containers(&run_dir.join(sandbox));
        for container in folders(&containers)? {
            let request = match std::fs::read(containers.join(container).join(layout::REQUEST)) {
                Ok(request) => request,
                // It is being made, with an image that is held, or is being removed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // One that was never finished has had no shim.
            let request = serde_json::from_slice::<Request>(&request);
            layers.extend(request.into_iter().flat_map(|request| request.layers));
        }
    }
    Ok(layers)
}

/// A shim that was met: the connection to it, when its container was started, and its process.
type Met = (tokio::net::UnixStream, base::Timestamp, MainProcess);

/// Connects to the shim of the container in `folder`. One that is still on its way to start it is waited for: the server
/// that has spawned it was killed, and it goes on.
fn meet(folder: &Path) -> io::Result<Met> {
    let mut looks = 0;
    loop {
        // In this order: a shim that ends between the two was met, or its end is in the folder.
        let is_alive = spawn::is_alive(folder)?;
        match greeting(folder) {
            Err(error) if is_alive && looks < LOOKS_MAX && !is_timeout(&error) => looks += 1,
            met => return met,
        }
        pause(spawn::LOOK_EVERY_MS);
    }
}

/// Whether a shim was asked and said nothing.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Connects to a shim and waits for what it says first.
fn greeting(folder: &Path) -> io::Result<Met> {
    let stream = spawn::connect(folder)?;
    stream.set_read_timeout(Some(GREETING_WAIT_MAX))?;
    let line = read_line(&stream)?;
    let Some(FromShim::Started { at, pid, shim, .. }) = shim_protocol::decode(&line) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the shim does not say that its container runs"));
    };
    stream.set_nonblocking(true)?;
    Ok((tokio::net::UnixStream::from_std(stream)?, at, MainProcess { pid, shim }))
}

/// Reads one line and not a byte more: what follows is for the listener.
fn read_line(stream: &UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut bytes = BufReader::with_capacity(1, stream).take(MESSAGE_BYTES_MAX as u64);
    bytes.read_until(b'\n', &mut line)?;
    Ok(line)
}

/// Lists the folders in a folder; one that does not exist has none.
pub(crate) fn folders(path: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_request(run_dir: &Path, container: &str, content: &[u8]) {
        let folder = sandbox::containers(&run_dir.join("t")).join(container);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(layout::REQUEST), content).unwrap();
    }

    /// Makes a folder whose container has a shim for as long as the file is held.
    fn shim(folder: &Path) -> std::fs::File {
        let log = std::fs::File::create(folder.join(layout::LOG)).unwrap();
        log.try_lock().unwrap();
        log
    }

    #[tokio::test]
    async fn a_shim_that_is_still_starting_its_container_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let _shim = shim(folder.path());
        let path = folder.path().to_owned();
        let meeting = tokio::task::spawn_blocking(move || meet(&path).map(|(_, at, process)| (at, process)));
        let unfinished = folder.path().join(layout::SOCKET_UNFINISHED);
        let listener = tokio::net::UnixListener::bind(&unfinished).unwrap();
        std::fs::rename(unfinished, folder.path().join(layout::SOCKET)).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let at = base::Timestamp::from_millis(7);
        let news = FromShim::Started { at, pid: 2, shim: 1, warnings: Vec::new() };
        tokio::io::AsyncWriteExt::write_all(&mut stream, &shim_protocol::encode(&news)).await.unwrap();
        assert_eq!(meeting.await.unwrap().unwrap(), (at, MainProcess { pid: 2, shim: 1 }));
    }

    #[tokio::test]
    async fn a_shim_that_ends_without_having_started_its_container_was_none() {
        let folder = tempfile::tempdir().unwrap();
        let shim = shim(folder.path());
        assert!(spawn::is_alive(folder.path()).unwrap());
        let path = folder.path().to_owned();
        let meeting = tokio::task::spawn_blocking(move || meet(&path).map(drop));
        drop(shim);
        assert_eq!(meeting.await.unwrap().unwrap_err().kind(), io::ErrorKind::NotFound);
        spawn::wait_until_gone(folder.path()).unwrap();
        assert!(!folder.path().join(layout::SOCKET).exists());
    }

    #[test]
    fn the_layers_in_use_are_those_of_all_requests_that_are_whole() {
        let run_dir = tempfile::tempdir().unwrap();
        let layers = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        for (container, names) in [("a", ["/1", "/2"]), ("b", ["/2", "/3"])] {
            let request = Request { layers: layers(&names), ..Request::default() };
            write_request(run_dir.path(), container, &serde_json::to_vec(&request).unwrap());
        }
        write_request(run_dir.path(), "torn", b"{\"id\"");
        std::fs::create_dir_all(sandbox::containers(&run_dir.path().join("t")).join("being made")).unwrap();
        std::fs::create_dir_all(run_dir.path().join("empty")).unwrap();
        let used = layers_in_use(run_dir.path()).unwrap();
        assert_eq!(used, layers(&["/1", "/2", "/3"]).into_iter().collect());
        assert!(layers_in_use(&run_dir.path().join("missing")).unwrap().is_empty());
    }
}
