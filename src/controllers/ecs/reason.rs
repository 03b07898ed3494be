//! The words for why a task or container failed. Clients match on them, so they are AWS's own, in this one place.

use base::{ContainerInstanceId, Region};
use node::{ImageError, NetworkError, NetworkFault, PullStage, RegistryFault, RuntimeError, RuntimeErrorKind};
use state::ecs::{Container, ContainerStatus, Task};
use state::secretsmanager::NoVersion;

use super::order::{Obstacle, ObstacleKind};
use super::secret::{FetchFailure, SecretFailure};

/// The reason of a task whose essential container ended, with whatever exit code.
pub(crate) const ESSENTIAL_EXITED: &str = "Essential container in task exited";
/// The reason of a task whose essential container ended before all of them had started. (From user reports; what AWS says
/// when that container ended by itself is unverified.)
pub(crate) const FAILED_TO_START: &str = "Task failed to start";
/// The reason of a task of a service that is not healthy.
pub(crate) const UNHEALTHY: &str = "Task failed container health checks";
/// The reason of a task on Spot capacity that was taken back.
pub(crate) const SPOT_INTERRUPTED: &str = "Your Spot Task was interrupted.";
/// The reason of a container that the kernel killed for its memory.
pub(crate) const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";
/// What the reasons begin with of tasks whose secrets cannot be had.
const SECRETS_FAILED: &str =
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed";
/// What the reasons begin with of tasks whose EFS volumes cannot be had.
const EFS_FAILED: &str = "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes";
/// The longest reason of a container: the API's documented limit, in characters.
const REASON_CHARS_MAX: usize = 1024;

/// How often the retries of a manifest that will not be there are said to be.
const TERMINAL_TRIES: u32 = 7;

/// Whether a task of a service was stopped because it was not healthy.
pub(crate) fn is_unhealthy(reason: &str) -> bool {
    reason == UNHEALTHY
}

/// Whether a task failed for what a service reports as a failure to place it: an image that cannot be had, or whatever
/// else it needs before its containers start.
pub(crate) fn is_placement_failure(reason: &str) -> bool {
    reason.starts_with("CannotPull") || reason.starts_with("ResourceInitializationError")
}

/// Words that a container instance has no place in the network. (Unverified: on AWS such an instance has no agent.)
pub(crate) fn no_instance_network(instance: &ContainerInstanceId) -> String {
    format!("CannotStartContainerError: the container instance {instance} has no network interface")
}

/// Words that no port of a container instance is free, as Docker does.
pub(crate) fn no_free_port(instance: &ContainerInstanceId) -> String {
    format!(
        "CannotStartContainerError: Error response from daemon: all ports are allocated on the container instance \
         {instance}"
    )
}

/// Words that a container instance has no room for a range of ports, as the ECS agent does.
pub(crate) fn no_free_ports(count: u16) -> String {
    format!("HostConfigError: error retrieving docker port map: {count} contiguous host ports unavailable")
}

/// Words the failure to pull an image, as Fargate platform version 1.4.0 does (containerd underneath).
pub(crate) fn cannot_pull(error: &ImageError) -> String {
    let text = match error {
        ImageError::NotFound { reference } => {
            format!("{}: failed to resolve ref {reference}: not found.", retried(PullStage::Resolve, TERMINAL_TRIES))
        }
        ImageError::NoPlatform { platform, .. } => format!(
            "{}: image Manifest does not contain descriptor matching platform '{platform}'",
            retried(PullStage::Manifest, TERMINAL_TRIES)
        ),
        ImageError::InvalidReference { reference, .. } => {
            format!("failed to normalize image reference \"{reference}\": invalid reference format")
        }
        ImageError::Registry { reference, stage, tries, fault } => {
            format!("{}: {}", retried(*stage, *tries), failed_stage(reference, *stage, fault))
        }
        ImageError::Cancelled { .. } => "context canceled".to_owned(),
        // (Unverified: the words around those of the disk.)
        ImageError::Io { path, source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            format!(
                "{}: failed to copy: write {}: no space left on device",
                retried(PullStage::Layer, 1),
                path.display()
            )
        }
        ImageError::InvalidArchive { .. } | ImageError::Io { .. } => with_causes(error),
    };
    bounded(format!("CannotPullContainerError: {text}"))
}

fn retried(stage: PullStage, tries: u32) -> String {
    let what = match stage {
        PullStage::Resolve | PullStage::Manifest => "pull image manifest",
        PullStage::Config => "inspect image",
        PullStage::Layer => "ref pull",
    };
    format!("{what} has been retried {tries} time(s)")
}

/// Words what a registry did, with what containerd was doing before it. (Seen: those of `Resolve`, and of `Layer` with a
/// status or without an answer.)
fn failed_stage(reference: &str, stage: PullStage, fault: &RegistryFault) -> String {
    let cause = registry_fault(stage, fault);
    match (stage, fault) {
        (PullStage::Resolve, _) => format!("failed to resolve ref {reference}: {cause}"),
        (_, RegistryFault::WrongContent { .. }) => format!("failed to copy: {cause}"),
        (PullStage::Layer, _) => format!("failed to copy: httpReadSeeker: failed open: {cause}"),
        (PullStage::Manifest | PullStage::Config, _) => format!("httpReadSeeker: failed open: {cause}"),
    }
}

fn registry_fault(stage: PullStage, fault: &RegistryFault) -> String {
    match fault {
        RegistryFault::Unreachable { method, url, why } => {
            format!("failed to do request: {method} \"{url}\": {}", network_fault(why))
        }
        RegistryFault::NoCredentials { .. } => "failed to authorize: no basic auth credentials".to_owned(),
        RegistryFault::Denied { message, .. } => format!(
            "pull access denied, repository does not exist or may require authorization: server message: {message}"
        ),
        RegistryFault::Status { method: "Head", url, status, .. } => {
            // What follows the status is not sent with HEAD.
            format!("unexpected status from HEAD request to {url}: {status}")
        }
        RegistryFault::Status { url, status, message, .. } => {
            let message = message.as_ref().map(|text| format!(" - Server message: {text}")).unwrap_or_default();
            format!("unexpected status code {url}: {status}{message}")
        }
        RegistryFault::WrongContent { wanted, found } => {
            let kind = match stage {
                PullStage::Resolve | PullStage::Manifest => "manifest",
                PullStage::Config => "config",
                PullStage::Layer => "layer",
            };
            format!(
                "failed commit on ref \"{kind}-{wanted}\": unexpected commit digest {found}, expected {wanted}: failed \
                 precondition"
            )
        }
        // (Unverified: containerd has other words for each of these.)
        RegistryFault::Broken(why) => why.clone(),
    }
}

/// Words the lack of an answer as Go's programs do.
fn network_fault(fault: &NetworkFault) -> String {
    match fault {
        NetworkFault::Lookup(host) => format!("dial tcp: lookup {host}: no such host"),
        NetworkFault::Refused(address) => format!("dial tcp {address}: connect: connection refused"),
        NetworkFault::ConnectTimeout(address) => format!("dial tcp {address}: i/o timeout"),
        NetworkFault::Tls(why) => format!("tls: failed to verify certificate: {why}"),
        NetworkFault::Timeout => "net/http: timeout awaiting response headers".to_owned(),
        // (Unverified: the words are those of Go's client for a body that does not end in time.)
        NetworkFault::Slow => {
            "context deadline exceeded (Client.Timeout or context cancellation while reading body)".to_owned()
        }
        NetworkFault::Broken => "unexpected EOF".to_owned(),
        NetworkFault::Other(why) => why.clone(),
    }
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

/// Words a pattern of `awslogs` that is none. (The words are the driver's; that the task says them so is unverified.)
pub(crate) fn no_log_pattern(cause: &str) -> String {
    bad_logger(&format!("awslogs could not parse multiline pattern key: {cause}"))
}

/// Words options of a log driver that it cannot work with. (The end of the sentence is unverified.)
pub(crate) fn bad_logger(cause: &str) -> String {
    bounded(format!("ResourceInitializationError: failed to validate logger args: {cause} : exit status 1"))
}

/// Words a configuration of a log router that cannot be read. (Unverified: Fargate has no such configuration.)
pub(crate) fn no_router_configuration(cause: &str) -> String {
    bounded(format!("ResourceInitializationError: unable to download the FireLens configuration from S3: {cause}"))
}

/// Words a secret or parameter that a starting task cannot have, as Fargate 1.4.0 does.
pub(crate) fn no_secret(failure: &SecretFailure) -> String {
    let source = match failure {
        SecretFailure::Parameters(_) => "secrets from ssm",
        SecretFailure::Arn | SecretFailure::Fetch { .. } | SecretFailure::NotJson(_) | SecretFailure::NoJsonKey(_) => {
            "secret from asm"
        }
    };
    let cause = match failure {
        // (Unverified: the words are those of the agent on container instances.)
        SecretFailure::Arn => "unexpected ARN format with parameters when trying to retrieve ASM secret".to_owned(),
        SecretFailure::Fetch { secret, cause } => {
            format!("failed to fetch secret {secret} from secrets manager: {}", not_fetched(cause))
        }
        SecretFailure::NotJson(message) => message.clone(),
        SecretFailure::NoJsonKey(key) => {
            format!("retrieved secret from Secrets Manager did not contain json key {key}")
        }
        // (The comma between several names is unverified.)
        SecretFailure::Parameters(names) => format!("invalid ssm parameters: {}", names.join(",")),
    };
    bounded(format!("{SECRETS_FAILED}: unable to retrieve {source}: service call has been retried 1 time(s): {cause}"))
}

/// Words credentials of a private registry that a starting task cannot have. (Seen for a secret that cannot be fetched;
/// the words for one that is not as it should be are unverified.)
pub(crate) fn no_registry_credentials(parameter: &str, failure: &SecretFailure) -> String {
    let cause = match failure {
        SecretFailure::Fetch { cause, .. } => {
            format!("asm fetching secret from the service for {parameter}: {}", not_fetched(cause))
        }
        SecretFailure::Arn | SecretFailure::NotJson(_) | SecretFailure::NoJsonKey(_) | SecretFailure::Parameters(_) => {
            "asm fetching authorization data: unable to unmarshal secret value, invalid schema".to_owned()
        }
    };
    bounded(format!(
        "{SECRETS_FAILED}: unable to get registry auth from asm: service call has been retried 1 time(s): {cause}"
    ))
}

/// Words an environment file that cannot be had or read; `cause` is S3's error or the reader's. (Seen up to the cause,
/// whose form is unverified.)
pub(crate) fn no_environment_file(cause: &str) -> String {
    bounded(format!(
        "ResourceInitializationError: failed to download env files: file download command: non empty error stream: {cause}"
    ))
}

fn not_fetched(failure: &FetchFailure) -> String {
    let not_found = "ResourceNotFoundException: Secrets Manager can't find the specified secret";
    match failure {
        FetchFailure::NotFound => format!("{not_found}."),
        FetchFailure::Version(NoVersion::Stage(stage)) => format!("{not_found} value for staging label: {stage}"),
        FetchFailure::Version(NoVersion::Id(id)) => format!("{not_found} value for VersionId: {id}"),
        FetchFailure::Version(NoVersion::Mismatch) => {
            "InvalidRequestException: You provided a VersionStage that is not associated to the provided VersionId."
                .to_owned()
        }
        FetchFailure::Deleted => {
            "InvalidRequestException: You can't perform this operation on the secret because it was \
                                  marked for deletion."
                .to_owned()
        }
    }
}

/// Words a container that waits for another one in vain: the agent's own words, as they were seen in reports.
pub(crate) fn cannot_depend(task: &Task, container: &Container, obstacle: Obstacle) -> String {
    let target = dependency_node(container);
    let Some(dependency) = task.containers.get(obstacle.dependency) else { return vanished() };
    let dependency = dependency_node(dependency);
    let failed = format!("failed to resolve container ordering dependency [{dependency}] for target [{target}]");
    let cause = match obstacle.kind {
        ObstacleKind::TimedOut => {
            format!("container ordering dependency [{dependency}] for target [{target}] has timed out.")
        }
        ObstacleKind::Failed => format!("{failed} as dependency did not exit successfully."),
        ObstacleKind::NeverStarts => format!("{failed} because dependency will never start"),
        ObstacleKind::Ended => failed,
    };
    bounded(format!("CannotStartContainerError: dependency graph: {cause}"))
}

/// Shows a container as the agent does in these words.
fn dependency_node(container: &Container) -> String {
    let known = match container.status {
        ContainerStatus::Pending => "NONE",
        ContainerStatus::Running => "RUNNING",
        ContainerStatus::Stopped => "STOPPED",
    };
    let exit = container.exit_code.map(|code| format!(" - Exit: {code}")).unwrap_or_default();
    format!("{}({}) ({known}->RUNNING){exit}", container.name, container.image)
}

/// Words a volume that a starting task cannot have. (Unverified: AWS refuses most of these before.)
pub(crate) fn no_volume(name: &str, why: &str) -> String {
    bounded(format!("ResourceInitializationError: unable to set up volume {name}: {why}"))
}

/// Words an EFS file system that there is not, as Fargate 1.4.0 does.
pub(crate) fn no_file_system(file_system: &str, region: &Region) -> String {
    bounded(format!(
        "{EFS_FAILED}: stderr: Failed to resolve \"{file_system}.efs.{region}.amazonaws.com\" - check that your file system \
         ID is correct, and ensure that the VPC has an EFS mount target for this file system ID. See \
         https://docs.aws.amazon.com/console/efs/mount-dns-name for more detail. Attempting to lookup mount target ip \
         address using botocore. Failed to import necessary dependency botocore, please install botocore first. : \
         unsuccessful EFS utils command execution; code: 1"
    ))
}

/// Words a folder that an EFS file system does not have, as Fargate 1.4.0 does.
pub(crate) fn no_folder(file_system: &str, region: &Region, folder: &str) -> String {
    bounded(format!(
        "{EFS_FAILED}: stderr: b'mount.nfs4: mounting {file_system}.efs.{region}.amazonaws.com:{folder} failed, reason \
         given by server: No such file or directory' : unsuccessful EFS utils command execution; code: 32"
    ))
}

/// Words an access point that there is not, or not of that file system, as Fargate 1.4.0 does.
pub(crate) fn no_access_point() -> String {
    format!(
        "{EFS_FAILED}: stderr: b'mount.nfs4: access denied by server while mounting 127.0.0.1:/' : unsuccessful EFS utils \
         command execution; code: 32"
    )
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

#[cfg(test)]
mod tests {
    use node::Platform;

    use super::*;

    const REFERENCE: &str = "docker.io/library/x:latest";
    const URL: &str = "https://registry-1.docker.io/v2/library/x/manifests/latest";

    fn registry(stage: PullStage, tries: u32, fault: RegistryFault) -> ImageError {
        ImageError::Registry { reference: REFERENCE.to_owned(), stage, tries, fault }
    }

    fn unreachable(method: &'static str, why: NetworkFault) -> RegistryFault {
        RegistryFault::Unreachable { method, url: URL.to_owned(), why }
    }

    fn status(method: &'static str, status: &str, message: Option<&str>) -> RegistryFault {
        let message = message.map(str::to_owned);
        RegistryFault::Status { method, url: URL.to_owned(), status: status.to_owned(), message }
    }

    #[test]
    fn failed_pulls_are_told_in_the_words_of_fargate() {
        let address = || "registry-1.docker.io:443".to_owned();
        let denied = RegistryFault::Denied {
            registry: "docker.io".to_owned(),
            message: "insufficient_scope: authorization failed".to_owned(),
        };
        let wrong = RegistryFault::WrongContent { wanted: "sha256:a".to_owned(), found: "sha256:b".to_owned() };
        let limit =
            status("Get", "429 Too Many Requests", Some("toomanyrequests: You have reached your pull rate limit."));
        let reference = || REFERENCE.to_owned();
        let rows = [
            (
                ImageError::NotFound { reference: reference() },
                "pull image manifest has been retried 7 time(s): failed to resolve ref docker.io/library/x:latest: not \
                 found."
                    .to_owned(),
            ),
            (
                ImageError::NoPlatform { reference: reference(), platform: Platform::LinuxAmd64 },
                "pull image manifest has been retried 7 time(s): image Manifest does not contain descriptor matching \
                 platform 'linux/amd64'"
                    .to_owned(),
            ),
            (
                registry(PullStage::Resolve, 5, unreachable("Head", NetworkFault::ConnectTimeout(address()))),
                format!(
                    "pull image manifest has been retried 5 time(s): failed to resolve ref docker.io/library/x:latest: \
                     failed to do request: Head \"{URL}\": dial tcp registry-1.docker.io:443: i/o timeout"
                ),
            ),
            (
                registry(PullStage::Resolve, 1, denied),
                "pull image manifest has been retried 1 time(s): failed to resolve ref docker.io/library/x:latest: pull \
                 access denied, repository does not exist or may require authorization: server message: \
                 insufficient_scope: authorization failed"
                    .to_owned(),
            ),
            (
                registry(PullStage::Config, 5, limit),
                format!(
                    "inspect image has been retried 5 time(s): httpReadSeeker: failed open: unexpected status code {URL}: \
                     429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit."
                ),
            ),
            (
                registry(PullStage::Layer, 5, unreachable("Get", NetworkFault::Broken)),
                format!(
                    "ref pull has been retried 5 time(s): failed to copy: httpReadSeeker: failed open: failed to do \
                     request: Get \"{URL}\": unexpected EOF"
                ),
            ),
            (
                registry(PullStage::Layer, 3, wrong),
                "ref pull has been retried 3 time(s): failed to copy: failed commit on ref \"layer-sha256:a\": unexpected \
                 commit digest sha256:b, expected sha256:a: failed precondition"
                    .to_owned(),
            ),
            (
                ImageError::InvalidReference { reference: "A B".to_owned(), why: "no".to_owned() },
                "failed to normalize image reference \"A B\": invalid reference format".to_owned(),
            ),
            (ImageError::Cancelled { reference: reference() }, "context canceled".to_owned()),
            (
                ImageError::Io {
                    action: "write to",
                    path: "/images/staging".into(),
                    source: std::sync::Arc::new(std::io::ErrorKind::StorageFull.into()),
                },
                "ref pull has been retried 1 time(s): failed to copy: write /images/staging: no space left on device"
                    .to_owned(),
            ),
            (
                registry(PullStage::Layer, 5, unreachable("Get", NetworkFault::Slow)),
                format!(
                    "ref pull has been retried 5 time(s): failed to copy: httpReadSeeker: failed open: failed to do \
                     request: Get \"{URL}\": context deadline exceeded (Client.Timeout or context cancellation while \
                     reading body)"
                ),
            ),
        ];
        for (error, expected) in rows {
            assert_eq!(cannot_pull(&error), format!("CannotPullContainerError: {expected}"));
        }
    }

    #[test]
    fn a_reason_is_no_longer_than_the_api_allows() {
        let message = Some("x".repeat(2_000));
        let fault = status("Get", "500 Internal Server Error", message.as_deref());
        assert_eq!(cannot_pull(&registry(PullStage::Layer, 5, fault)).chars().count(), REASON_CHARS_MAX);
    }
}
