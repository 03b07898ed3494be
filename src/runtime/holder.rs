//! The holder: what keeps the process namespace of a sandbox whose containers share it.
//!
//! It is a container without a program, with an empty root file system and the restrictions of any other, made by the same
//! shim. Its process is the first one of the namespace, adopts orphans and reaps them, as ECS's pause container does. It is
//! there from the start of the sandbox's first container until the sandbox is removed; if it is killed, the kernel ends
//! all processes of the namespace with it, and the next container that is started gets a new one.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use base::{ContainerId, TaskId};
use node::{ContainerLimits, ContainerSpec, Image, ImageConfig, Isolation, RootFileSystem};

use crate::container::{Container, Phase};

/// The name of the container, in messages and in its id.
const NAME: &str = "pause";
/// The folder with nothing in it that it has for an image; in the sandbox's folder.
const EMPTY_LAYER: &str = "empty";

/// Returns the id of a sandbox's holder.
pub(crate) fn id(sandbox: &TaskId) -> ContainerId {
    ContainerId::new(format!("{sandbox}-{NAME}"))
}

/// Returns whether a container is a holder, of which nobody outside knows.
pub(crate) fn is_holder(container: &Container) -> bool {
    container.id == id(&container.sandbox)
}

/// Describes the holder of a sandbox.
pub(crate) fn spec(sandbox: &TaskId, sandbox_folder: &std::path::Path) -> std::io::Result<ContainerSpec> {
    let layer = sandbox_folder.join(EMPTY_LAYER);
    fs::create_dir_all(&layer)?;
    let image = Image { digest: String::new(), config: ImageConfig::default(), layers: vec![layer] };
    Ok(ContainerSpec {
        id: id(sandbox),
        sandbox: sandbox.clone(),
        name: NAME.to_owned(),
        root: RootFileSystem { image: Arc::new(image), is_read_only: true },
        args: vec![format!("/{NAME}")],
        env: Vec::new(),
        working_dir: String::new(),
        user: String::new(),
        limits: ContainerLimits::default(),
        isolation: Isolation { capabilities_dropped: vec!["ALL".to_owned()], ..Isolation::default() },
    })
}

/// Returns the namespace that a holder holds, if it runs.
pub(crate) fn namespace(holder: &Container) -> Option<PathBuf> {
    let status = holder.status.borrow();
    let process = status.process.filter(|_| matches!(status.phase, Phase::Running { .. }))?;
    let namespace = PathBuf::from(format!("/proc/{}/ns/pid", process.pid));
    // Of one that has just been killed there is no namespace any more; its shim has yet to say so.
    namespace.exists().then_some(namespace)
}
