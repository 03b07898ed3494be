//! Kernel parameters: only those that belong to the container's own namespaces.

use std::collections::BTreeMap;

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

/// Returns the parameters as OCI's `linux.sysctl`; of one that is named twice, the last value. The words of a refusal are
/// runc's.
pub(crate) fn resolve(wanted: &[(String, String)]) -> Result<BTreeMap<&str, &str>, ShimError> {
    for (name, _) in wanted {
        // libcontainer makes folders of the dots; what has slashes would be a path of its own.
        let is_name = !name.contains('/') && name.split('.').all(|part| !part.is_empty());
        let is_namespaced =
            name.starts_with("net.") || name.starts_with("fs.mqueue.") || OF_IPC.contains(&name.as_str());
        if !is_name || !is_namespaced {
            return Err(ShimError::create(format!("sysctl {name:?} is not in a separate kernel namespace")));
        }
    }
    Ok(wanted.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parameters_of_namespaces_are_let_through() {
        let resolve = |name: &str| resolve(&[(name.to_owned(), "1".to_owned())]).map(|_| ()).map_err(|e| e.to_string());
        for name in ["net.core.somaxconn", "net.ipv4.tcp_keepalive_time", "fs.mqueue.msg_max", "kernel.shm_rmid_forced"]
        {
            assert_eq!(resolve(name), Ok(()), "{name}");
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
            assert_eq!(resolve(name), Err(format!("sysctl {name:?} is not in a separate kernel namespace")));
        }
    }
}
