//! The OCI configuration: what Fargate gives every container, and what the request adds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use shim_protocol::Request;

use crate::error::ShimError;
use crate::seccomp;
use crate::user::User;

/// PATH of a container whose image and definition set none.
const PATH_DEFAULT: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Parts of /proc and /sys that tell of the host, or reach it.
const MASKED_PATHS: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What the container sees and may do, as far as it has to be found out first.
#[derive(Default)]
pub(crate) struct View<'a> {
    /// The source and the place of each read-only bind mount, in order.
    pub(crate) binds: Vec<(PathBuf, PathBuf)>,
    /// The same for mounts that are as they shall be already.
    pub(crate) staged: Vec<(PathBuf, PathBuf)>,
    /// Its capabilities.
    pub(crate) capabilities: Vec<&'static str>,
    /// Its kernel parameters.
    pub(crate) sysctls: BTreeMap<&'a str, &'a str>,
}

/// Writes `config.json` into the bundle, for a container whose root file system is mounted at `root`.
pub(crate) fn save(
    request: &Request,
    user: &User,
    view: &View<'_>,
    root: &Path,
    bundle: &Path,
) -> Result<(), ShimError> {
    let path = bundle.join("config.json");
    let file = File::create(&path).map_err(ShimError::path("make", &path))?;
    Ok(serde_json::to_writer(BufWriter::new(file), &config(request, user, view, root))?)
}

pub(crate) fn config(request: &Request, user: &User, view: &View<'_>, root: &Path) -> Value {
    let capabilities = &view.capabilities;
    json!({
        "ociVersion": "1.2.0",
        "hostname": request.hostname,
        "root": { "path": root, "readonly": request.is_read_only },
        "process": {
            "args": request.args,
            "env": env(request, user),
            "cwd": crate::root::absolute(&request.working_dir),
            "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.supplementary },
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
        },
        "mounts": mounts(request, view),
        "linux": {
            "namespaces": namespaces(request),
            "maskedPaths": MASKED_PATHS,
            "readonlyPaths": READ_ONLY_PATHS,
            "seccomp": seccomp::profile(),
            "sysctl": view.sysctls,
        },
    })
}

fn env(request: &Request, user: &User) -> Vec<String> {
    let mut env = request.env.clone();
    let has = |name: &str| request.env.iter().any(|pair| pair.split('=').next() == Some(name));
    if !has("PATH") {
        env.push(PATH_DEFAULT.to_owned());
    }
    if !has("HOME") {
        env.push(format!("HOME={}", user.home));
    }
    env
}

/// Returns the namespaces that are still to be made: the launcher is in that of the network already.
fn namespaces(request: &Request) -> Vec<Value> {
    let mut namespaces = ["ipc", "uts", "mount", "cgroup"].map(|kind| json!({ "type": kind })).to_vec();
    namespaces.push(match &request.pid_namespace {
        Some(path) => json!({ "type": "pid", "path": path }),
        None => json!({ "type": "pid" }),
    });
    namespaces
}

fn mounts(request: &Request, view: &View<'_>) -> Vec<Value> {
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] }),
        json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] }),
        json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] }),
        json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
                "options": ["nosuid", "noexec", "nodev"] }),
        json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs",
                "options": ["nosuid", "noexec", "nodev", "ro"] }),
    ];
    // What the definition puts in the place of one of these is in its stead.
    mounts.retain(|mount| !view.staged.iter().any(|(_, destination)| mount["destination"] == json!(destination)));
    mounts.extend(view.staged.iter().map(|(source, destination)| {
        json!({ "destination": destination, "type": "bind", "source": source, "options": ["rbind"] })
    }));
    mounts.extend(view.binds.iter().map(|(source, destination)| {
        json!({ "destination": destination, "type": "bind", "source": source,
                "options": ["bind", "ro", "nosuid", "noexec", "nodev"] })
    }));
    mounts.extend(request.files.iter().map(|file| {
        json!({ "destination": file.destination, "type": "bind", "source": file.source, "options": ["bind", "rw"] })
    }));
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User { uid: 1, gid: 2, supplementary: vec![3], home: "/home/app".to_owned() }
    }

    fn config_of(request: &Request) -> Value {
        config(request, &user(), &View::default(), Path::new("/box"))
    }

    #[test]
    fn path_and_home_are_given_unless_set() {
        let config = config_of(&Request::default());
        assert_eq!(config["process"]["env"], json!([PATH_DEFAULT, "HOME=/home/app"]));
        let env = vec!["PATH=/x".to_owned(), "HOME=/y".to_owned()];
        let config = config_of(&Request { env: env.clone(), ..Request::default() });
        assert_eq!(config["process"]["env"], json!(env));
    }

    #[test]
    fn privileges_may_be_gained_so_that_seccomp_is_loaded_before_they_are_dropped() {
        assert!(config_of(&Request::default())["process"].get("noNewPrivileges").is_none());
    }

    #[test]
    fn libcontainer_reads_the_configuration() {
        let text = config_of(&Request { args: vec!["true".to_owned()], ..Request::default() }).to_string();
        let spec: libcontainer::oci_spec::runtime::Spec = serde_json::from_str(&text).unwrap();
        let linux = spec.linux().as_ref().unwrap();
        assert!(linux.resources().is_none(), "cgroups are the runtime's business, not libcontainer's");
        assert!(linux.seccomp().is_some());
    }
}
