//! Capabilities: Fargate's defaults, and what a definition adds and drops.

use shim_protocol::Request;

use crate::error::ShimError;

/// All that Linux knows, in the order of their numbers.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];
/// Fargate's capabilities, which are Docker's default ones.
const DEFAULTS: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    MKNOD,
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];
const MKNOD: &str = "CAP_MKNOD";
const ALL: &str = "ALL";

/// Returns the capabilities of the container, in the order of their numbers, out of those that this host has to give.
///
/// Without a device controller a container that can make device files can reach the host's disks. libcontainer drives the
/// one of cgroup version 2 only through a C library, so that such hosts withhold that capability instead.
pub(crate) fn resolve(
    request: &Request,
    available: u64,
    warnings: &mut Vec<String>,
) -> Result<Vec<&'static str>, ShimError> {
    let added = Named::parse(&request.capabilities_added)?;
    let dropped = Named::parse(&request.capabilities_dropped)?;
    let is_unified = request.cgroups.iter().any(|place| place.is_unified);
    let mut granted = Vec::new();
    for (number, name) in NAMES.into_iter().enumerate() {
        let is_wanted = if added.has_all {
            !dropped.contains(name)
        } else {
            let is_kept = !dropped.has_all && !dropped.contains(name) && DEFAULTS.contains(&name);
            is_kept || added.contains(name)
        };
        if !is_wanted || (is_unified && name == MKNOD) {
            continue;
        }
        if available >> number & 1 == 1 {
            granted.push(name);
        } else if added.contains(name) {
            warnings.push(format!("the host has no capability {name} to give"));
        }
    }
    Ok(granted)
}

/// Returns the capabilities that this process can give away.
pub(crate) fn available() -> Result<u64, ShimError> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(ShimError::call("read the capabilities"))?;
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    bounding
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .ok_or_else(|| ShimError::create("the kernel does not say which capabilities there are"))
}

struct Named {
    names: Vec<String>,
    has_all: bool,
}

impl Named {
    /// Reads names with or without `CAP_`, in whatever case.
    fn parse(texts: &[String]) -> Result<Self, ShimError> {
        let mut named = Self { names: Vec::with_capacity(texts.len()), has_all: false };
        for text in texts {
            let name = text.to_ascii_uppercase();
            if name == ALL {
                named.has_all = true;
                continue;
            }
            let name = if name.starts_with("CAP_") { name } else { format!("CAP_{name}") };
            if !NAMES.contains(&name.as_str()) {
                return Err(ShimError::create(format!("invalid capability: {text:?}")));
            }
            named.names.push(name);
        }
        Ok(named)
    }

    fn contains(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

#[cfg(test)]
mod tests {
    use shim_protocol::CgroupPlace;

    use super::*;

    fn resolved(added: &[&str], dropped: &[&str]) -> Vec<&'static str> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let request =
            Request { capabilities_added: owned(added), capabilities_dropped: owned(dropped), ..Request::default() };
        resolve(&request, u64::MAX, &mut Vec::new()).unwrap()
    }

    #[test]
    fn the_defaults_are_dockers() {
        let mut defaults = resolved(&[], &[]);
        defaults.sort_unstable();
        let mut expected = DEFAULTS;
        expected.sort_unstable();
        assert_eq!(defaults, expected);
    }

    #[test]
    fn adding_and_dropping_work_as_in_docker() {
        assert_eq!(resolved(&["SYS_PTRACE"], &[]).len(), 15);
        assert!(resolved(&["cap_sys_ptrace"], &[]).contains(&"CAP_SYS_PTRACE"));
        assert_eq!(resolved(&[], &["ALL"]), [""; 0]);
        assert_eq!(resolved(&["CHOWN", "SYS_PTRACE"], &["ALL"]), ["CAP_CHOWN", "CAP_SYS_PTRACE"]);
        assert_eq!(resolved(&[], &["NET_RAW", "CAP_CHOWN"]).len(), 12);
        assert_eq!(resolved(&["ALL"], &["SYS_ADMIN"]).len(), 40);
        assert!(!resolved(&["ALL"], &["SYS_ADMIN"]).contains(&"CAP_SYS_ADMIN"));
    }

    #[test]
    fn what_the_host_has_not_is_left_out_and_said_if_it_was_named() {
        let mut warnings = Vec::new();
        let added = vec!["SYS_PTRACE".to_owned()];
        let request = Request { capabilities_added: added, ..Request::default() };
        assert_eq!(resolve(&request, 1, &mut warnings).unwrap(), ["CAP_CHOWN"]);
        assert_eq!(warnings, ["the host has no capability CAP_SYS_PTRACE to give"]);
    }

    #[test]
    fn device_files_cannot_be_made_where_no_controller_guards_them() {
        let place = CgroupPlace { directory: "/c".into(), is_unified: true, seen_at: None };
        let request = Request { cgroups: vec![place], ..Request::default() };
        let unified = resolve(&request, u64::MAX, &mut Vec::new()).unwrap();
        assert_eq!((unified.len(), unified.contains(&MKNOD)), (13, false));
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        let request = Request { capabilities_dropped: vec!["FLY".to_owned()], ..Request::default() };
        let error = resolve(&request, u64::MAX, &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "invalid capability: \"FLY\"");
    }
}
