//! Puts an emulator together as the configuration says.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Clock, Ids, ManualClock, SystemClock};
use controllers::{Controllers, Settings};
use image::{Engine, ImageStore, Origin, Registries};
use network::FargateNetwork;
use network::sockets::SocketSink;
use nix::sys::stat::{Mode, umask};
use node::simulated::SimulatedNode;
use node::{EventSink, ImageError, Node};
use reconcile::{ManualTimer, SystemTimer, Timer};
use registry::PullThrough;
use runtime::FargateRuntime;
use state::State;

use crate::own_registry::OwnRegistry;
use crate::upstream::ImageOrigins;
use crate::vpc_server::{self, VpcServer};
use crate::web_client::WebClient;
use crate::{ClockKind, Config, Emulator, ManualTime, NodeKind, Parts, StartError};

/// Only the server's user may look into its folders: below them are the environment of tasks, and files that the root of
/// a container has made setuid.
const FOLDER_MODE: u32 = 0o700;
/// The mask for files of containers, whatever the user's own is: a container's `/` must be open to every user in it.
const CONTAINER_UMASK: u32 = 0o022;
/// What a task may write unless its definition says otherwise, which few do: Fargate's 20 GiB.
const STORAGE_BYTES_USUAL: u64 = 20 * 1024 * 1024 * 1024;
/// The file in the data directory that holds the state.
const STATE_FILE: &str = "state.redb";
/// The program that runs as a shim: this very one, even if its file has been replaced meanwhile.
pub(crate) const SHIM_PROGRAM: &str = "/proc/self/exe";

/// Starts an emulator with the clock, the node and the data directory of the configuration.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn assemble(config: &Config) -> Result<Arc<Emulator>, StartError> {
    let manual_clock = manual_clock(config)?;
    let (clock, timer): (Arc<dyn Clock>, Arc<dyn Timer>) = match &manual_clock {
        Some(manual) => (Arc::clone(manual) as _, Arc::new(ManualTimer::new(Arc::clone(manual)))),
        None => (Arc::new(SystemClock), Arc::new(SystemTimer)),
    };
    let mut manual_time = None;
    let controllers = Controllers::new().with(settings(config));
    let (sockets, waiting_vpcs) = vpc_server::channel();
    let registries: Arc<dyn Origin> =
        Arc::new(Registries::with_docker_users(Arc::clone(&clock), !config.images.asks_elsewhere));
    let (node, real) = match config.node {
        NodeKind::Fargate => {
            let (node, real) = fargate(config, &clock, &registries, controllers.event_sink(), sockets)?;
            (node, Some(real))
        }
        NodeKind::Simulated => {
            let simulated = SimulatedNode::new(Arc::clone(&clock), controllers.event_sink());
            let node = Node { http: Arc::new(WebClient::new()), ..simulated.node() };
            match manual_clock {
                Some(clock) => manual_time = Some(ManualTime::new(clock, simulated)),
                None => _ = tokio::spawn(async move { simulated.run(|at| SystemTimer.sleep_until(at)).await }),
            }
            (node, None)
        }
    };
    let state = match &config.data_dir {
        None => State::in_memory(),
        Some(folder) => {
            make_folder(folder)?;
            manual_time = manual_time.map(|time| time.kept_in(folder));
            State::open(&folder.join(STATE_FILE))?
        }
    };
    let own_registry = || {
        let (state, scope) = (Arc::clone(&state), config.scope.clone());
        OwnRegistry::new(state, Arc::clone(&clock), scope, config.listen.port())
    };
    let upstreams = Arc::new(ImageOrigins::new(Arc::new(own_registry()), registries));
    let caches = PullThrough::new(Arc::clone(&state), Arc::clone(&clock), Ids::system(), upstreams);
    if let Some(RealNode { images, .. }) = &real {
        images.use_registry(Arc::new(own_registry().with_caches(Arc::clone(&caches))));
    }
    let parts = Parts {
        state,
        node,
        node_kind: config.node,
        clock: Arc::clone(&clock),
        timer,
        manual_time,
        ids: Ids::system(),
        scope: config.scope.clone(),
    };
    let emulator = Emulator::start(parts, controllers);
    emulator.use_caches(caches);
    if let Some(RealNode { network, .. }) = real {
        tokio::spawn(VpcServer::new(&emulator, clock, config).run(waiting_vpcs));
        tokio::spawn(adopt_vpcs(network));
    }
    Ok(emulator)
}

/// Answers the tasks again that an earlier server has left running.
async fn adopt_vpcs(network: Arc<FargateNetwork>) {
    if let Err(error) = network.adopt().await {
        tracing::error!(%error, "tasks of an earlier server find no metadata until another one starts in their VPC");
    }
}

/// What of a node with containers is told more than the traits know.
struct RealNode {
    network: Arc<FargateNetwork>,
    images: Arc<ImageStore>,
}

fn fargate(
    config: &Config,
    clock: &Arc<dyn Clock>,
    registries: &Arc<dyn Origin>,
    events: EventSink,
    sockets: SocketSink,
) -> Result<(Node, RealNode), StartError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(StartError::NotRoot);
    }
    umask(Mode::from_bits_truncate(CONTAINER_UMASK));
    let data_dir = make_folder(&config.data_dir())?;
    let run_dir = make_folder(&data_dir.join("tasks"))?;
    keep_private(&run_dir)?;
    let tasks = run_dir.clone();
    let in_use = Arc::new(move || runtime::layers_in_use(&tasks));
    let images =
        ImageStore::open(&data_dir.join("images"), Arc::clone(clock), in_use, store_options(config, registries))
            .map_err(|error| match error {
                // The store holds the lock for the whole data directory.
                ImageError::Io { action: "lock", .. } => StartError::InUse { path: data_dir.clone() },
                error => StartError::Images(error),
            })?;
    let instance = instance(&data_dir);
    let network = FargateNetwork::new(network::Config { instance: instance.clone(), sockets: Some(sockets) })?;
    let cgroup_root = format!("neargate-{instance}");
    let runtime_config = runtime::Config { run_dir, cgroup_root, shim_program: SHIM_PROGRAM.into() };
    let runtime = FargateRuntime::new(runtime_config, Arc::clone(clock), events)?;
    runtime.keep_disks_ready(config.ephemeral_storage_mib.map_or(STORAGE_BYTES_USUAL, |mib| mib * 1024 * 1024));
    let http = Arc::new(WebClient::new());
    let node = Node { runtime, network: Arc::clone(&network) as _, images: Arc::clone(&images) as _, http };
    Ok((node, RealNode { network, images }))
}

/// Makes the clock that somebody else moves, if the configuration wants one.
fn manual_clock(config: &Config) -> Result<Option<Arc<ManualClock>>, StartError> {
    let ClockKind::Manual { start } = config.clock else { return Ok(None) };
    if config.node != NodeKind::Simulated {
        return Err(StartError::ManualClock);
    }
    // What is kept bears times until then.
    let left = config.data_dir.as_deref().and_then(ManualTime::left_in);
    let start = start.unwrap_or_else(|| left.unwrap_or_else(|| SystemClock.now()));
    Ok(Some(Arc::new(ManualClock::new(left.map_or(start, |left| left.max(start))))))
}

/// Says where images come from.
fn store_options(config: &Config, registries: &Arc<dyn Origin>) -> image::Options {
    let images = config.images;
    image::Options {
        limits: image::Limits::default(),
        registries: Some(Arc::clone(registries)),
        engine: images.asks_engine.then(Engine::usual),
        layer_bytes_max: images.layer_bytes_max,
    }
}

/// Says how tasks are to run.
fn settings(config: &Config) -> Settings {
    Settings {
        pull_behavior: config.images.pull_behavior,
        ephemeral_storage_mib: config.ephemeral_storage_mib,
        host_folders: config.host_folders.clone(),
        node_has_files: config.node == NodeKind::Fargate,
        paces: config.paces.clone(),
        lambda_endpoint: config.lambda_endpoint.clone(),
        ..Settings::new(&config.data_dir())
    }
}

/// Makes a folder that nobody else can look into; one that is there keeps its mode.
fn make_folder(path: &Path) -> Result<PathBuf, StartError> {
    let failed = |source| StartError::DataDir { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path).map_err(failed)?;
    path.canonicalize().map_err(failed)
}

fn keep_private(folder: &Path) -> Result<(), StartError> {
    let failed = |source| StartError::DataDir { path: folder.to_owned(), source };
    std::fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE)).map_err(failed)
}

/// Names what a server makes in the kernel, so that servers with different data directories do not meet, and one finds
/// again what it made before: six hexadecimal digits of the folder's FNV-1a hash.
fn instance(data_dir: &Path) -> String {
    let bytes = data_dir.as_os_str().as_encoded_bytes();
    let hash = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    format!("{:06x}", hash & 0x00ff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn folders_that_are_made_are_private_and_others_keep_their_mode() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let made = make_folder(&folder.path().join("a/b")).unwrap();
        assert_eq!((mode(folder.path()), mode(&made)), (0o755, 0o700));
        make_folder(folder.path()).unwrap();
        assert_eq!(mode(folder.path()), 0o755);
        keep_private(folder.path()).unwrap();
        assert_eq!(mode(folder.path()), 0o700);
    }
}
