//! Kernel parameters: only those that belong to the container's own namespaces.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::error::ShimError;

/// Parameters of the IPC namespace, beside those of message queues.
const OF_IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// The namespace of a network's parameters, and how they are named.
const NETWORK: &str = "net.";

/// Checks the names of the parameters that are wanted. The words of a refusal are runc's.
pub(crate) fn check(wanted: &[(String, String)]) -> Result<(), ShimError> {
    for (name, _) in wanted {
        // Dots become folders; what has slashes would be a path of its own.
        let is_name = !name.contains('/') && name.split('.').all(|part| !part.is_empty());
        let is_namespaced =
            name.starts_with(NETWORK) || name.starts_with("fs.mqueue.") || OF_IPC.contains(&name.as_str());
        if !is_name || !is_namespaced {
            return Err(ShimError::create(format!("sysctl {name:?} is not in a separate kernel namespace")));
        }
    }
    Ok(())
}

/// Returns those that libcontainer has to set, in the namespaces that it makes; of one that is named twice, the last value.
pub(crate) fn of_others(wanted: &[(String, String)]) -> BTreeMap<&str, &str> {
    let others = wanted.iter().filter(|(name, _)| !name.starts_with(NETWORK));
    others.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Sets those of the network namespace, in which this process is. libcontainer would refuse, because it makes none.
pub(crate) fn set_of_network(wanted: &[(String, String)]) -> Result<(), ShimError> {
    let mut wanted = wanted.iter().filter(|(name, _)| name.starts_with(NETWORK)).peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    let proc = own_proc()?;
    for (name, value) in wanted {
        let path = PathBuf::from("sys").join(name.replace('.', "/"));
        rustix::fs::openat(&proc, &path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|file| rustix::io::write(&file, value.as_bytes()))
            .map_err(|error| {
                let reason = std::io::Error::from(error);
                ShimError::create(format!("write sysctl key {name}: open /proc/{}: {reason}", path.display()))
            })?;
    }
    Ok(())
}

/// Opens a proc of one's own: that of a host which is a container itself may be read-only.
fn own_proc() -> Result<OwnedFd, ShimError> {
    let mounted = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC).and_then(|context| {
        rustix::mount::fsconfig_create(&context)?;
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    });
    mounted.or_else(|_| File::open("/proc").map(OwnedFd::from)).map_err(ShimError::call("open /proc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parameters_of_namespaces_are_let_through() {
        let check = |name: &str| check(&[(name.to_owned(), "1".to_owned())]).map_err(|error| error.to_string());
        for name in ["net.core.somaxconn", "net.ipv4.tcp_keepalive_time", "fs.mqueue.msg_max", "kernel.shm_rmid_forced"]
        {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in [
            "kernel.core_pattern",
            "vm.swappiness",
            "fs.file-max",
            "net../../kernel.sysrq",
            "net..x",
            "net.",
            "kernel.shm",
        ] {
            assert_eq!(check(name), Err(format!("sysctl {name:?} is not in a separate kernel namespace")));
        }
    }
}
