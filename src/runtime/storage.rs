//! Disks of sandboxes: what limits how much the containers of a task write.
//!
//! A disk is attached and mounted, in no namespace, for as long as its sandbox exists, so that containers come and go
//! without it being made ready again. A few of the usual size are made ready in the background, because making one takes
//! longer than starting a container may.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use base::{Clock, Timestamp};
use disk::Device;

/// The disks that are kept ready.
const READY_MAX: usize = 4;
/// The sizes of which an empty image is kept, to be copied; further ones take their place.
const EMPTY_MAX: usize = 16;
/// The jobs that may wait for the worker; one that does not fit is done by who has it.
const JOBS_MAX: usize = 64;
/// The worker's niceness: whoever starts a container goes first.
const WORKER_NICENESS: i32 = 19;
/// How long the worker waits after a disk that could not be made; twice as long after each further one.
const RETRY_WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest that it waits.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(60);
/// Where ready disks lie, in the run folder. No sandbox has such a name.
const READY_FOLDER: &str = ".disks";

/// A disk in use. The file system goes before the device that it is on.
#[derive(Debug)]
pub(crate) struct Disk {
    mounted: OwnedFd,
    device: Device,
}

impl Disk {
    /// Makes a disk ready whose image exists; finds it attached if a container of an earlier server has it.
    pub(crate) fn open(image: &Path) -> io::Result<Self> {
        Self::of(Device::attach(image)?)
    }

    fn of(device: Device) -> io::Result<Self> {
        Ok(Self { mounted: disk::mount(device.path())?, device })
    }

    fn make(image: &Path, empty: &Path) -> io::Result<Self> {
        disk::copy(empty, image)?;
        Device::attach_new(image).and_then(Self::of).inspect_err(|_| {
            // What matters is why it cannot be used.
            let _ = fs::remove_file(image);
        })
    }

    /// Returns the device file.
    pub(crate) fn device(&self) -> &Path {
        self.device.path()
    }

    /// Returns how much is written to it.
    pub(crate) fn used_bytes(&self) -> io::Result<u64> {
        let state = rustix::fs::fstatvfs(&self.mounted)?;
        Ok((state.f_blocks - state.f_bfree) * state.f_frsize)
    }
}

/// The disks of one sandbox, by their images.
#[derive(Debug, Default)]
pub(crate) struct SandboxDisks {
    open: Mutex<HashMap<PathBuf, Arc<Disk>>>,
}

impl SandboxDisks {
    /// Returns the disk of an image, with `make` if it is not open yet; none if there can be none.
    pub(crate) fn get_or(
        &self,
        image: &Path,
        make: impl FnOnce() -> io::Result<Option<Disk>>,
    ) -> io::Result<Option<Arc<Disk>>> {
        // Held while it is made: an image must not be attached twice.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(disk) = open.get(image) {
            return Ok(Some(Arc::clone(disk)));
        }
        let disk = make()?.map(Arc::new);
        open.extend(disk.iter().map(|disk| (image.to_owned(), Arc::clone(disk))));
        Ok(disk)
    }

    /// Returns the disk of an image if it is open.
    pub(crate) fn get(&self, image: &Path) -> Option<Arc<Disk>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(image).cloned()
    }

    /// Takes all disks out.
    pub(crate) fn take(&self) -> Vec<Arc<Disk>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(_, disk)| disk).collect()
    }
}

/// Gives disks out, and takes them back.
pub(crate) struct Storage {
    shared: Arc<Shared>,
    jobs: Option<SyncSender<Job>>,
    worker: Option<JoinHandle<()>>,
}

struct Shared {
    folder: PathBuf,
    ready: Mutex<Ready>,
    /// The sizes of which there is an empty image to copy.
    empty: Mutex<HashSet<u64>>,
    /// Whether the host cannot have disks at all.
    is_unsupported: AtomicBool,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Ready {
    /// The size of the ready disks; none while nobody has said which one is usual.
    size_bytes: Option<u64>,
    disks: Vec<(PathBuf, Disk)>,
    made: u64,
}

/// When the worker tries again, and how long it waits until then.
struct Retry {
    at: Timestamp,
    wait: Duration,
}

enum Job {
    Refill,
    Detach(Vec<Arc<Disk>>),
}

impl Storage {
    /// Takes away what an earlier server kept ready, and starts the worker.
    pub(crate) fn new(run_dir: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let folder = run_dir.join(READY_FOLDER);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let shared = Arc::new(Shared {
            folder,
            ready: Mutex::default(),
            empty: Mutex::default(),
            is_unsupported: AtomicBool::new(false),
            clock,
        });
        let (jobs, queue) = sync_channel(JOBS_MAX);
        let working = Arc::clone(&shared);
        let worker = std::thread::Builder::new().name("disks".to_owned()).spawn(move || working.work(&queue))?;
        Ok(Self { shared, jobs: Some(jobs), worker: Some(worker) })
    }

    /// Keeps disks of that size ready from now on.
    pub(crate) fn keep_ready(&self, size_bytes: u64) {
        self.shared.ready().size_bytes = Some(size_bytes);
        self.ask(Job::Refill);
    }

    /// Makes a disk with its image at `image`: a ready one, or, where there is none of that size, a new one. None, with a
    /// warning once, where the host cannot have disks at all: then nothing limits what is written.
    ///
    /// # Errors
    ///
    /// If this disk could not be made, on a host that can have disks.
    pub(crate) fn make(&self, image: &Path, size_bytes: u64) -> io::Result<Option<Disk>> {
        if self.shared.is_unsupported() {
            return Ok(None);
        }
        let ready = {
            let mut ready = self.shared.ready();
            let found = if ready.size_bytes == Some(size_bytes) { ready.disks.pop() } else { None };
            ready.size_bytes.get_or_insert(size_bytes);
            found
        };
        self.ask(Job::Refill);
        let made = match ready {
            Some((path, disk)) => fs::rename(path, image).map(|()| disk),
            None => self.shared.empty(size_bytes).and_then(|empty| Disk::make(image, &empty)),
        };
        match made {
            Ok(disk) => Ok(Some(disk)),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.shared.give_up(&error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Detaches disks, sooner or later. Their images may be gone already.
    pub(crate) fn give_back(&self, disks: Vec<Arc<Disk>>) {
        if !disks.is_empty() {
            self.ask(Job::Detach(disks));
        }
    }

    fn ask(&self, job: Job) {
        // A refill that does not fit is not needed; disks that do not fit are detached by being dropped here.
        let _ = self.jobs.as_ref().map(|jobs| jobs.try_send(job));
    }
}

impl Drop for Storage {
    /// Detaches everything that is ready, and waits until it is.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
        self.shared.ready().disks.clear();
        // The next server takes away what is left.
        let _ = fs::remove_dir_all(&self.shared.folder);
    }
}

impl Shared {
    fn ready(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an empty image of that size. Whoever needs the same one waits until it is made.
    fn empty(&self, size_bytes: u64) -> io::Result<PathBuf> {
        let name = |size_bytes: u64| self.folder.join(format!("{size_bytes}.empty"));
        let mut known = self.empty.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(&size_bytes) {
            if known.len() == EMPTY_MAX {
                for size_bytes in known.drain() {
                    fs::remove_file(name(size_bytes))?;
                }
            }
            fs::create_dir_all(&self.folder)?;
            disk::make(&name(size_bytes), size_bytes)?;
            known.insert(size_bytes);
        }
        Ok(name(size_bytes))
    }

    fn is_unsupported(&self) -> bool {
        self.is_unsupported.load(Ordering::Relaxed)
    }

    /// Makes no disks any more.
    fn give_up(&self, error: &io::Error) {
        if !self.is_unsupported.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "cannot limit what tasks write: disks are not to be had here");
        }
    }

    fn work(&self, queue: &Receiver<Job>) {
        // Without it the worker is only less polite.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), WORKER_NICENESS);
        let mut retry: Option<Retry> = None;
        loop {
            let job = match &retry {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(retry) => queue.recv_timeout(retry.at.since(self.clock.now())),
            };
            match job {
                Ok(Job::Detach(disks)) => drop(disks),
                Ok(Job::Refill) | Err(RecvTimeoutError::Timeout) => {
                    let now = self.clock.now();
                    if retry.as_ref().is_none_or(|retry| retry.at <= now) {
                        retry = self.refill().err().map(|error| self.retry(retry.as_ref(), &error));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn retry(&self, last: Option<&Retry>, error: &io::Error) -> Retry {
        let wait = last.map_or(RETRY_WAIT_MIN, |last| (last.wait * 2).min(RETRY_WAIT_MAX));
        tracing::warn!(%error, wait_ms = wait.as_millis(), "cannot keep disks ready");
        Retry { at: self.clock.now().plus(wait), wait }
    }

    fn refill(&self) -> io::Result<()> {
        // Where disks cannot be had, it is not tried again and again.
        while !self.is_unsupported() {
            let (size_bytes, image) = {
                let mut ready = self.ready();
                let Some(size_bytes) = ready.size_bytes.filter(|_| ready.disks.len() < READY_MAX) else {
                    return Ok(());
                };
                ready.made += 1;
                (size_bytes, self.folder.join(format!("{}.img", ready.made)))
            };
            match self.empty(size_bytes).and_then(|empty| Disk::make(&image, &empty)) {
                Ok(disk) => self.ready().disks.push((image, disk)),
                Err(error) if error.kind() == io::ErrorKind::Unsupported => self.give_up(&error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
