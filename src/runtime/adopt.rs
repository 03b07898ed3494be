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

use crate::cgroup::Cgroups;
use crate::container::{self, Container, Listener, MainProcess, Phase};
use crate::sandbox::{self, SandboxRecord};

/// How long a live shim may take for its first word.
const GREETING_WAIT_MAX: Duration = Duration::from_secs(5);

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

    /// Adopts one container; none if it never came as far as to have a shim.
    fn adopt(&self, sandbox: &TaskId, id: ContainerId, folder: &Path) -> Option<Arc<Container>> {
        let has_had_shim = folder.join(layout::SOCKET).exists() || folder.join(layout::EXIT).exists();
        let (container, queue) = Container::new(id, sandbox.clone(), folder.to_owned(), None);
        if !has_had_shim {
            return None;
        }
        match greeting(folder) {
            Ok((stream, started_at, process)) => {
                container.status.send_modify(|status| {
                    status.phase = Phase::Running { started_at };
                    status.process = Some(process);
                });
                let listener = Listener {
                    container: Arc::clone(&container),
                    queue,
                    child: None,
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

/// Connects to a shim and waits for what it says first.
fn greeting(folder: &Path) -> io::Result<(tokio::net::UnixStream, base::Timestamp, MainProcess)> {
    let stream = crate::spawn::connect(folder)?;
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
