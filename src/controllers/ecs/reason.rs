//! The words for why a task or container failed. Clients match on them, so they are AWS's own, in this one place.

use node::{ImageError, NetworkError, RuntimeError, RuntimeErrorKind};

/// The reason of a task whose essential container ended, with whatever exit code.
pub(crate) const ESSENTIAL_EXITED: &str = "Essential container in task exited";
/// The reason of a container that the kernel killed for its memory.
pub(crate) const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";
/// The longest reason of a container: the API's documented limit, in characters.
const REASON_CHARS_MAX: usize = 1024;

/// Words the failure to find an image, as Fargate platform version 1.4.0 does (containerd underneath).
pub(crate) fn cannot_pull(error: &ImageError) -> String {
    let prefix = "CannotPullContainerError: pull image manifest has been retried";
    bounded(match error {
        ImageError::NotFound { reference } => {
            format!("{prefix} 7 time(s): failed to resolve ref {reference}: not found.")
        }
        ImageError::NoPlatform { platform, .. } => {
            format!("{prefix} 7 time(s): image Manifest does not contain descriptor matching platform '{platform}'")
        }
        ImageError::InvalidReference { reference, .. } => {
            format!(
                "CannotPullContainerError: failed to normalize image reference \"{reference}\": invalid reference format"
            )
        }
        ImageError::InvalidArchive { .. } | ImageError::Io { .. } => {
            format!("CannotPullContainerError: {}", with_causes(error))
        }
    })
}

/// Words the failure to make or start a container.
pub(crate) fn cannot_run(error: &RuntimeError) -> String {
    bounded(match error.kind {
        RuntimeErrorKind::Create => format!("CannotCreateContainerError: {}", error.message),
        RuntimeErrorKind::Start => format!(
            "CannotStartContainerError: failed to create new container runtime task: failed to create shim task: OCI \
             runtime create failed: runc create failed: unable to start container process: {}",
            error.message
        ),
        RuntimeErrorKind::Internal => format!("ContainerRuntimeError: {error}"),
    })
}

/// Words the failure to attach a network interface.
pub(crate) fn cannot_attach(error: &NetworkError) -> String {
    bounded(format!("ResourceInitializationError: unable to set up the network interface: {}", with_causes(error)))
}

/// Words the lack of addresses. (The sentence around EC2's error code is from user reports; unverified.)
pub(crate) fn no_free_address(subnet: &str) -> String {
    format!(
        "Unexpected EC2 error while attempting to Create Network Interface in subnet '{subnet}': \
         InsufficientFreeAddressesInSubnet"
    )
}

/// Words a log group that does not exist when the task starts, as Fargate 1.4.0 does.
pub(crate) fn no_log_group() -> String {
    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to \
     create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1"
        .to_owned()
}

/// Words a task that a restart of the machine took away, or somebody else.
pub(crate) fn vanished() -> String {
    "ContainerRuntimeError: the container is no longer known to its node".to_owned()
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn bounded(mut reason: String) -> String {
    if let Some((end, _)) = reason.char_indices().nth(REASON_CHARS_MAX) {
        reason.truncate(end);
    }
    reason
}
