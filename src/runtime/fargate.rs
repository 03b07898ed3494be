//! The runtime itself: which sandboxes and containers there are, and the calls on them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::{Clock, ContainerId, TaskId, Timestamp};
use node::{
    ContainerSpec, ContainerState, ContainerStats, EventSink, Exec, ExecSpec, ForwardBatch, OutputPage, Runtime,
    RuntimeError, RuntimeErrorKind, SandboxSpec, Signal,
};
use shim_protocol::{FirstProcess, ToShim};
use tokio::net::UnixStream;
use tokio::sync::RwLock;

use crate::adopt::Adopter;
use crate::cgroup::Cgroups;
use crate::container::{Container, Listener, Phase};
use crate::error::failed;
use crate::fork_server::{ForkServer, Shim};
use crate::holder;
use crate::preparation::Preparation;
use crate::restart::Restart;
use crate::sandbox::{self, SandboxRecord};
use crate::storage::{Disk, SandboxDisks, Storage};

/// How long a shim may take from its start to the execution of its program; longer than its own bound for it.
const START_WAIT_MAX: Duration = Duration::from_secs(40);
/// How long a shim may take to end after its container's processes have been killed.
const SHIM_WAIT_MAX: Duration = Duration::from_secs(30);

/// Where a runtime works.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder for everything that is known of sandboxes. It must survive the server, and belong to it alone.
    pub run_dir: PathBuf,
    /// The name of the cgroup, in every hierarchy, below which all others are made; one for each server of the machine.
    pub cgroup_root: String,
    /// The program that is executed as a shim, with [`layout::SUBCOMMAND`] and a folder; usually `/proc/self/exe`.
    pub shim_program: PathBuf,
}

/// Runs containers, each by a shim of its own.
pub struct FargateRuntime {
    config: Config,
    shims: Arc<ForkServer>,
    cgroups: Arc<Cgroups>,
    clock: Arc<dyn Clock>,
    events: EventSink,
    storage: Arc<Storage>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    sandboxes: HashMap<TaskId, Arc<Sandbox>>,
    containers: HashMap<ContainerId, Arc<Container>>,
}

impl Known {
    fn containers_of(&self, sandbox: &TaskId) -> Vec<Arc<Container>> {
        self.containers.values().filter(|container| container.sandbox == *sandbox).cloned().collect()
    }
}

/// A sandbox. Starting a container in it holds the lock shared, making and removing it holds it alone.
#[derive(Default)]
struct Sandbox {
    record: RwLock<Option<SandboxRecord>>,
    /// Its disks, as far as they are ready.
    disks: Arc<SandboxDisks>,
    /// Taken by whoever looks for the holder of its process namespace, or makes it.
    holder: tokio::sync::Mutex<()>,
}

impl FargateRuntime {
    /// Finds what an earlier server has left in the run folder, adopts the containers that run, and is ready.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If the run folder cannot be made or read, or the host has no cgroups.
    pub fn new(config: Config, clock: Arc<dyn Clock>, events: EventSink) -> Result<Arc<Self>, RuntimeError> {
        let subject = config.run_dir.display().to_string();
        let at = |action| failed::<io::Error>(RuntimeErrorKind::Internal, action, &subject);
        let cgroups = Arc::new(Cgroups::find(&config.cgroup_root).map_err(at("find the cgroups"))?);
        fs::create_dir_all(&config.run_dir).map_err(at("make the run folder"))?;
        sandbox::spread(&config.run_dir);
        let adopter = Adopter { cgroups: Arc::clone(&cgroups), clock: Arc::clone(&clock), events: Arc::clone(&events) };
        let found = adopter.find(&config.run_dir).map_err(at("find the sandboxes"))?;
        let storage = Arc::new(Storage::new(&config.run_dir, Arc::clone(&clock)).map_err(at("clear the ready disks"))?);
        let sandboxes = found
            .sandboxes
            .into_iter()
            .map(|(id, record)| (id, Arc::new(Sandbox { record: RwLock::new(record), ..Sandbox::default() })));
        let known = Known { sandboxes: sandboxes.collect(), containers: found.containers };
        let shims = Arc::new(ForkServer::new(&config.shim_program));
        let early = Arc::clone(&shims);
        drop(tokio::task::spawn_blocking(move || early.warm_up()));
        Ok(Arc::new(Self { config, shims, cgroups, clock, events, storage, known: Mutex::new(known) }))
    }

    /// Keeps a few disks of this size ready, the usual one of [`SandboxSpec::storage_bytes`]. Without it, the first sandbox
    /// that has one waits until its disk is made, and its size counts as the usual one.
    pub fn keep_disks_ready(&self, size_bytes: u64) {
        self.storage.keep_ready(size_bytes);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, container: &ContainerId) -> Option<Arc<Container>> {
        self.known().containers.get(container).cloned()
    }

    /// Returns where shims come from.
    pub(crate) fn shims(&self) -> Arc<ForkServer> {
        Arc::clone(&self.shims)
    }

    /// Lets the processes of a sandbox end as fast as they can; nobody is killed whose sandbox is not about to end.
    async fn make_way(&self, sandbox: &TaskId) {
        let (cgroups, name) = (Arc::clone(&self.cgroups), sandbox.clone());
        let lifted = blocking(move || cgroups.lift_cpu_limit(name.as_str())).await;
        if let Err(error) = lifted {
            tracing::warn!(%sandbox, %error, "killed processes keep to the limit of their task");
        }
    }

    fn folder(&self, sandbox: &TaskId) -> PathBuf {
        self.config.run_dir.join(sandbox.as_str())
    }

    /// Starts a container that has just been entered. Whatever it leaves after a failure is the caller's to remove.
    async fn start(
        &self,
        container: &Arc<Container>,
        queue: tokio::sync::mpsc::Receiver<ToShim>,
        spec: &ContainerSpec,
        within: Within,
    ) -> Result<(), RuntimeError> {
        let preparation = Preparation {
            cgroups: Arc::clone(&self.cgroups),
            clock: Arc::clone(&self.clock),
            storage: Arc::clone(&self.storage),
            disks: within.disks,
            sandbox_folder: self.folder(&spec.sandbox),
            folder: container.folder.clone(),
            shims: Arc::clone(&self.shims),
            record: within.record,
            pid_namespace: within.pid_namespace,
            first_process: within.first_process,
            spec: spec.clone(),
        };
        self.supervise(container, queue, &spec.name, move || preparation.run()).await
    }

    /// Starts a shim by `spawn`, listens to it, and waits until its container runs.
    async fn supervise(
        &self,
        container: &Arc<Container>,
        queue: tokio::sync::mpsc::Receiver<ToShim>,
        name: &str,
        spawn: impl FnOnce() -> io::Result<(Shim, std::os::unix::net::UnixStream)> + Send + 'static,
    ) -> Result<(), RuntimeError> {
        let (shim, stream) = blocking(spawn)
            .await
            .and_then(|(shim, stream)| Ok((shim, UnixStream::from_std(stream)?)))
            .inspect_err(|_| container.status.send_modify(|status| status.has_shim = false))
            .map_err(failed(RuntimeErrorKind::Create, "prepare the container", &name))?;
        let listener = Listener {
            container: Arc::clone(container),
            queue,
            shim: Some(shim),
            cgroups: Arc::clone(&self.cgroups),
            clock: Arc::clone(&self.clock),
            events: Arc::clone(&self.events),
        };
        listener.spawn(stream);
        let started = container.wait_until(|status| status.phase != Phase::Starting);
        match tokio::time::timeout(START_WAIT_MAX, started).await {
            Ok(_) => outcome(container, name),
            Err(_) => Err(RuntimeError {
                kind: RuntimeErrorKind::Internal,
                action: "start the process",
                subject: name.to_owned(),
                message: format!("its shim said nothing for {} seconds", START_WAIT_MAX.as_secs()),
            }),
        }
    }

    /// Starts a container anew that has ended.
    async fn restart(
        &self,
        container: &Arc<Container>,
        queue: tokio::sync::mpsc::Receiver<ToShim>,
        disks: &Arc<SandboxDisks>,
        pid_namespace: Option<PathBuf>,
    ) -> Result<(), RuntimeError> {
        let restart = Restart {
            cgroups: Arc::clone(&self.cgroups),
            clock: Arc::clone(&self.clock),
            disks: Arc::clone(disks),
            sandbox: container.sandbox.clone(),
            sandbox_folder: self.folder(&container.sandbox),
            container: container.id.clone(),
            folder: container.folder.clone(),
            shims: Arc::clone(&self.shims),
            pid_namespace,
        };
        self.supervise(container, queue, container.id.as_str(), move || restart.run()).await
    }

    /// Starts a container in a sandbox, unless it is known already.
    async fn start_in(&self, spec: &ContainerSpec, within: Within) -> Result<(), RuntimeError> {
        let folder = sandbox::containers(&self.folder(&spec.sandbox)).join(spec.id.as_str());
        let image = Some(Arc::clone(&spec.root.image));
        let (container, queue) = Container::new(spec.id.clone(), spec.sandbox.clone(), folder, image);
        let earlier = match self.known().containers.entry(spec.id.clone()) {
            Entry::Occupied(entry) => Some(Arc::clone(entry.get())),
            Entry::Vacant(entry) => {
                entry.insert(Arc::clone(&container));
                None
            }
        };
        if let Some(earlier) = earlier {
            earlier.wait_until(|status| status.phase != Phase::Starting).await;
            return outcome(&earlier, &spec.name);
        }
        let result = self.start(&container, queue, spec, within).await;
        if let Err(error) = &result {
            let (kind, message) = (error.kind, error.message.clone());
            container.status.send_modify(|status| status.phase = Phase::Failed { kind, message });
            self.discard(&container).await;
        }
        result
    }

    /// Returns the process namespace that a sandbox's containers share, and makes it if nobody holds it.
    async fn pid_namespace(
        &self,
        sandbox: &Sandbox,
        record: &SandboxRecord,
        id: &TaskId,
    ) -> Result<PathBuf, RuntimeError> {
        let _holder = sandbox.holder.lock().await;
        if let Some(known) = self.find(&holder::id(id)) {
            if let Some(namespace) = holder::namespace(&known) {
                return Ok(namespace);
            }
            let gone = known.wait_until(|status| !status.has_shim);
            // Whatever still holds it up ends with its cgroup.
            let _ = tokio::time::timeout(SHIM_WAIT_MAX, gone).await;
            self.discard(&known).await;
        }
        let at = |action| failed::<io::Error>(RuntimeErrorKind::Internal, action, id);
        let spec = holder::spec(id, &self.folder(id)).map_err(at("make the process namespace"))?;
        // It writes nothing, and so needs no disk.
        let record = SandboxRecord { has_storage: false, ..record.clone() };
        let within = Within {
            record,
            disks: Arc::clone(&sandbox.disks),
            pid_namespace: None,
            first_process: FirstProcess::Holder,
        };
        self.start_in(&spec, within).await?;
        let namespace = self.find(&spec.id).and_then(|holder| holder::namespace(&holder));
        namespace.ok_or_else(|| at("make the process namespace")(io::Error::other("its holder has ended at once")))
    }

    /// Takes everything of a container away whose start has failed.
    async fn discard(&self, container: &Arc<Container>) {
        let (cgroups, clock, lost) = (Arc::clone(&self.cgroups), Arc::clone(&self.clock), Arc::clone(container));
        let ended = blocking(move || cgroups.remove(lost.sandbox.as_str(), Some(lost.id.as_str()), &*clock)).await;
        // A shim that does not end now is left to itself: nothing of its container is left.
        let gone = container.wait_until(|status| !status.has_shim);
        let _ = tokio::time::timeout(SHIM_WAIT_MAX, gone).await;
        let folder = container.folder.clone();
        let removed = blocking(move || remove_folder(&folder)).await;
        if let Err(error) = ended.and(removed) {
            tracing::error!(container = %container.id, %error, "cannot remove a container that did not start");
        }
        self.known().containers.remove(&container.id);
    }
}

impl Drop for FargateRuntime {
    fn drop(&mut self) {
        let known = self.known.get_mut().unwrap_or_else(PoisonError::into_inner);
        known.containers.values().for_each(|container| container.stop_listening());
        if known.sandboxes.is_empty() {
            self.cgroups.remove_root_if_empty();
        }
    }
}

#[async_trait]
impl Runtime for FargateRuntime {
    async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<(), RuntimeError> {
        let sandbox = Arc::clone(self.known().sandboxes.entry(spec.id.clone()).or_default());
        let mut record = sandbox.record.write().await;
        // A reboot leaves the folder and takes the cgroups: then all is made again.
        if record.is_some() && self.cgroups.has_sandbox(&spec.id) {
            return Ok(());
        }
        let (cgroups, folder, wanted) = (Arc::clone(&self.cgroups), self.folder(&spec.id), spec.clone());
        let (storage, disks) = (Arc::clone(&self.storage), Arc::clone(&sandbox.disks));
        let saved = blocking(move || {
            cgroups.create_sandbox(&wanted)?;
            sandbox::make(&folder)?;
            let image = sandbox::storage_image(&folder);
            let disk = match wanted.storage_bytes {
                Some(_) if image.exists() => disks.get_or(&image, || Disk::open(&image).map(Some))?,
                Some(size_bytes) => disks.get_or(&image, || storage.make(&image, size_bytes))?,
                None => None,
            };
            sandbox::save(&folder, &wanted, disk.is_some())
        })
        .await
        .map_err(failed(RuntimeErrorKind::Create, "make the cgroup and files", &spec.id))?;
        *record = Some(saved);
        Ok(())
    }

    async fn start_container(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        let no_sandbox = || RuntimeError {
            kind: RuntimeErrorKind::Internal,
            action: "start the process",
            subject: spec.name.clone(),
            message: format!("there is no sandbox {}", spec.sandbox),
        };
        let sandbox = self.known().sandboxes.get(&spec.sandbox).cloned().ok_or_else(no_sandbox)?;
        let record = sandbox.record.read().await;
        let shared = record.clone().ok_or_else(no_sandbox)?;
        let first_process = if spec.isolation.has_init { FirstProcess::Init } else { FirstProcess::Program };
        let within = |pid_namespace| {
            let (record, disks) = (shared.clone(), Arc::clone(&sandbox.disks));
            self.start_in(spec, Within { record, disks, pid_namespace, first_process })
        };
        if !shared.shares_pids || self.find(&spec.id).is_some() {
            return within(None).await;
        }
        let namespace = self.pid_namespace(&sandbox, &shared, &spec.sandbox).await?;
        match within(Some(namespace.clone())).await {
            // Its holder was killed in between.
            Err(_) if !namespace.exists() => {
                let namespace = self.pid_namespace(&sandbox, &shared, &spec.sandbox).await?;
                within(Some(namespace)).await
            }
            done => done,
        }
    }

    async fn restart_container(&self, container: &ContainerId, ended_at: Timestamp) -> Result<(), RuntimeError> {
        let at = |action| failed::<io::Error>(RuntimeErrorKind::Internal, action, container);
        let gone = || at("restart the process")(io::Error::other("there is no such container"));
        let ended = self.find(container).ok_or_else(gone)?;
        let sandbox = self.known().sandboxes.get(&ended.sandbox).cloned().ok_or_else(gone)?;
        let record = sandbox.record.read().await;
        let shared = record.as_ref().ok_or_else(gone)?;
        let has_ended_then =
            |known: &Container| known.state().and_then(|state| state.exit).is_some_and(|exit| exit.at == ended_at);
        if !has_ended_then(&ended) {
            return Ok(());
        }
        let without_shim = ended.wait_until(|status| !status.has_shim);
        tokio::time::timeout(SHIM_WAIT_MAX, without_shim)
            .await
            .map_err(|_| at("end the shim")(io::Error::from(io::ErrorKind::TimedOut)))?;
        let pid_namespace = match shared.shares_pids {
            true => Some(self.pid_namespace(&sandbox, shared, &ended.sandbox).await?),
            false => None,
        };
        let (next, queue) = ended.next_run();
        {
            // Who asks at the same time finds the run that has begun.
            let mut known = self.known();
            if !known.containers.get(container).is_some_and(|known| Arc::ptr_eq(known, &ended)) {
                return Ok(());
            }
            known.containers.insert(container.clone(), Arc::clone(&next));
        }
        let restarted = self.restart(&next, queue, &sandbox.disks, pid_namespace).await;
        if restarted.is_err() {
            let (cgroups, clock, lost) = (Arc::clone(&self.cgroups), Arc::clone(&self.clock), Arc::clone(&next));
            // Nobody would listen to what has come to run all the same.
            let removed =
                blocking(move || cgroups.remove(lost.sandbox.as_str(), Some(lost.id.as_str()), &*clock)).await;
            if let Err(error) = removed {
                tracing::error!(%container, %error, "cannot end a container that was not restarted");
            }
            // It stays ended, as it was.
            self.known().containers.insert(container.clone(), ended);
        }
        restarted
    }

    async fn exec(&self, spec: &ExecSpec) -> Result<Exec, RuntimeError> {
        self.start_process(spec).await
    }

    async fn signal_container(&self, container: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        if let Some(container) = self.find(container) {
            if signal == Signal::KILL {
                self.make_way(&container.sandbox).await;
            }
            container.ask(ToShim::Signal { number: signal.0 }).await;
        }
        Ok(())
    }

    async fn container(&self, container: &ContainerId) -> Option<ContainerState> {
        self.find(container)?.state()
    }

    async fn read_output(
        &self,
        container: &ContainerId,
        from: u64,
        bytes_max: usize,
    ) -> Result<OutputPage, RuntimeError> {
        let nothing = OutputPage { lines: Vec::new(), next: from };
        let Some(found) = self.find(container) else { return Ok(nothing) };
        let (end, has_ended) = {
            let status = found.status.borrow();
            (status.output_end, matches!(status.phase, Phase::Exited { .. }))
        };
        if from >= end {
            return Ok(nothing);
        }
        let read = if has_ended { crate::output::read_ended } else { crate::output::read };
        blocking(move || read(&found.output(), from, end, bytes_max)).await.map_err(failed(
            RuntimeErrorKind::Internal,
            "read the output",
            container,
        ))
    }

    async fn release_output(&self, container: &ContainerId, up_to: u64) -> Result<(), RuntimeError> {
        let Some(found) = self.find(container) else { return Ok(()) };
        let up_to = up_to.min(found.status.borrow().output_end);
        found.ask(ToShim::Release { up_to }).await;
        blocking(move || crate::output::release(&found.output(), up_to)).await.map_err(failed(
            RuntimeErrorKind::Internal,
            "release the output",
            container,
        ))
    }

    async fn forward_output(&self, router: &ContainerId, batch: &ForwardBatch) -> Result<(), RuntimeError> {
        let process = self.find(router).and_then(|container| {
            let status = container.status.borrow();
            status.process.filter(|_| matches!(status.phase, Phase::Running { .. }))
        });
        let forwarded = match process {
            Some(process) => crate::forward::forward(process, batch).await,
            None => Err(io::Error::new(io::ErrorKind::NotConnected, "the router does not run")),
        };
        forwarded.map_err(failed(RuntimeErrorKind::Internal, "hand output to the log router", router))
    }

    async fn remove_sandbox(&self, sandbox: &TaskId) -> Result<(), RuntimeError> {
        let at = |action| failed::<io::Error>(RuntimeErrorKind::Internal, action, sandbox);
        let Some(entry) = self.known().sandboxes.get(sandbox).cloned() else { return Ok(()) };
        let mut record = entry.record.write().await;
        let (cgroups, clock, id) = (Arc::clone(&self.cgroups), Arc::clone(&self.clock), sandbox.clone());
        blocking(move || cgroups.remove(id.as_str(), None, &*clock)).await.map_err(at("end the processes"))?;
        let containers = self.known().containers_of(sandbox);
        for container in &containers {
            let gone = container.wait_until(|status| !status.has_shim);
            tokio::time::timeout(SHIM_WAIT_MAX, gone)
                .await
                .map_err(|_| at("end the shims")(io::Error::from(io::ErrorKind::TimedOut)))?;
        }
        let (folder, storage, disks) = (self.folder(sandbox), Arc::clone(&self.storage), Arc::clone(&entry.disks));
        let removal = blocking(move || {
            // Images go before their disks are detached, so that nothing is written back to them.
            remove_folder(&folder)?;
            storage.give_back(disks.take());
            Ok(())
        });
        removal.await.map_err(at("remove the files"))?;
        *record = None;
        let mut known = self.known();
        known.containers.retain(|_, container| container.sandbox != *sandbox);
        known.sandboxes.remove(sandbox);
        Ok(())
    }

    async fn stats(&self, container: &ContainerId) -> Option<ContainerStats> {
        let found = self.find(container)?;
        if found.state()?.exit.is_some() {
            return None;
        }
        let (cgroups, now) = (Arc::clone(&self.cgroups), self.clock.now());
        let read =
            blocking(move || crate::stats::read(cgroups.of_container(found.sandbox.as_str(), found.id.as_str()), now));
        read.await.inspect_err(|error| tracing::debug!(%container, %error, "a container is not counted")).ok()
    }

    async fn storage_used(&self, sandbox: &TaskId) -> Option<u64> {
        let disks = Arc::clone(&self.known().sandboxes.get(sandbox)?.disks);
        let disk = disks.get(&sandbox::storage_image(&self.folder(sandbox)))?;
        disk.used_bytes().ok()
    }

    async fn sandboxes(&self) -> Result<Vec<TaskId>, RuntimeError> {
        let mut names = self.known().sandboxes.keys().cloned().collect::<Vec<_>>();
        names.sort_unstable();
        Ok(names)
    }
}

/// What a container is started in.
struct Within {
    record: SandboxRecord,
    disks: Arc<SandboxDisks>,
    pid_namespace: Option<PathBuf>,
    first_process: FirstProcess,
}

/// Returns what the start of a container came to.
fn outcome(container: &Container, name: &str) -> Result<(), RuntimeError> {
    match container.status.borrow().phase.clone() {
        Phase::Starting | Phase::Running { .. } | Phase::Exited { .. } => Ok(()),
        Phase::Failed { kind, message } => {
            let action = match kind {
                RuntimeErrorKind::Create => "make the container",
                RuntimeErrorKind::Start | RuntimeErrorKind::Internal => "start the process",
            };
            Err(RuntimeError { kind, action, subject: name.to_owned(), message })
        }
    }
}

pub(crate) fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
