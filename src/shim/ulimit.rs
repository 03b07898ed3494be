//! Limits of processes, as far as this host allows them.

use std::io;

use shim_protocol::Ulimit;

use crate::error::ShimError;

type Resource = libc::__rlimit_resource_t;

/// Fargate's limit of open files, soft and hard.
const OPEN_FILES: u64 = 65_535;
const NOFILE: &str = "nofile";
/// The names, as ECS and ulimit(1) have them.
const NAMES: [(&str, Resource); 16] = [
    ("as", libc::RLIMIT_AS),
    ("core", libc::RLIMIT_CORE),
    ("cpu", libc::RLIMIT_CPU),
    ("data", libc::RLIMIT_DATA),
    ("fsize", libc::RLIMIT_FSIZE),
    ("locks", libc::RLIMIT_LOCKS),
    ("memlock", libc::RLIMIT_MEMLOCK),
    ("msgqueue", libc::RLIMIT_MSGQUEUE),
    ("nice", libc::RLIMIT_NICE),
    (NOFILE, libc::RLIMIT_NOFILE),
    ("nproc", libc::RLIMIT_NPROC),
    ("rss", libc::RLIMIT_RSS),
    ("rtprio", libc::RLIMIT_RTPRIO),
    ("rttime", libc::RLIMIT_RTTIME),
    ("sigpending", libc::RLIMIT_SIGPENDING),
    ("stack", libc::RLIMIT_STACK),
];

/// A limit that can be set without privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    resource: Resource,
    soft: u64,
    hard: u64,
}

/// Finds the limits to set at last, and raises this process's hard ones for them while that can be done. Where the host
/// forbids it, the nearest that it allows is taken, with a warning; for Fargate's own default only in the log.
pub(crate) fn prepare(wanted: &[Ulimit], warnings: &mut Vec<String>) -> Result<Vec<Limit>, ShimError> {
    let mut limits = Vec::with_capacity(wanted.len() + 1);
    if !wanted.iter().any(|ulimit| ulimit.name == NOFILE) {
        let (limit, refusal) = raise(NOFILE, libc::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)?;
        limits.push(limit);
        if let Some(refusal) = refusal {
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("{refusal}\n"));
        }
    }
    for Ulimit { name, soft, hard } in wanted {
        let Some((_, resource)) = NAMES.iter().find(|(known, _)| known == name) else {
            return Err(ShimError::create(format!("invalid ulimit type: {name}")));
        };
        let (limit, refusal) = raise(name, *resource, soft.unwrap_or(u64::MAX), hard.unwrap_or(u64::MAX))?;
        limits.push(limit);
        warnings.extend(refusal);
    }
    Ok(limits)
}

/// Sets the limits, the last thing before the program is executed: what comes before may need more than they leave.
pub(crate) fn apply(limits: &[Limit]) -> io::Result<()> {
    limits.iter().try_for_each(|limit| set(limit.resource, limit.soft, limit.hard))
}

/// Makes sure that a hard limit can be set later. Returns it, or the nearest one and what is to be said about it.
fn raise(name: &str, resource: Resource, soft: u64, hard: u64) -> Result<(Limit, Option<String>), ShimError> {
    let (own_soft, own_hard) = get(resource).map_err(ShimError::call("read the limits"))?;
    let allowed = |hard| Limit { resource, soft: soft.min(hard), hard };
    if hard <= own_hard || set(resource, own_soft, hard).is_ok() {
        return Ok((allowed(hard), None));
    }
    let refusal = format!("the host allows a hard limit {name} of {own_hard}, not of {hard}");
    Ok((allowed(own_hard), Some(refusal)))
}

fn get(resource: Resource) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes the structure, which lives until the call returns.
    let result = unsafe { libc::getrlimit(resource, &raw mut limit) };
    if result == 0 { Ok((limit.rlim_cur, limit.rlim_max)) } else { Err(io::Error::last_os_error()) }
}

fn set(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the kernel reads the structure, which lives until the call returns.
    let result = unsafe { libc::setrlimit(resource, &raw const limit) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ulimit(name: &str, soft: Option<u64>, hard: Option<u64>) -> Ulimit {
        Ulimit { name: name.to_owned(), soft, hard }
    }

    #[test]
    fn open_files_are_fargates_unless_named_otherwise() {
        let limits = prepare(&[ulimit("core", Some(0), Some(0))], &mut Vec::new()).unwrap();
        let own = get(libc::RLIMIT_NOFILE).unwrap().1;
        let open_files = Limit { resource: libc::RLIMIT_NOFILE, soft: own.min(OPEN_FILES), hard: own.min(OPEN_FILES) };
        assert_eq!(limits, [open_files, Limit { resource: libc::RLIMIT_CORE, soft: 0, hard: 0 }]);
        let limits = prepare(&[ulimit(NOFILE, Some(10), Some(20))], &mut Vec::new()).unwrap();
        assert_eq!(limits, [Limit { resource: libc::RLIMIT_NOFILE, soft: 10, hard: 20 }]);
    }

    #[test]
    fn what_the_host_forbids_is_cut_with_a_warning() {
        let mut warnings = Vec::new();
        // More open files than the kernel can have, whoever asks.
        let limits = prepare(&[ulimit(NOFILE, None, None)], &mut warnings).unwrap();
        let own = get(libc::RLIMIT_NOFILE).unwrap().1;
        assert_eq!(limits, [Limit { resource: libc::RLIMIT_NOFILE, soft: own, hard: own }]);
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn a_soft_limit_above_the_hard_one_is_cut() {
        let limits = prepare(&[ulimit(NOFILE, Some(30), Some(20))], &mut Vec::new()).unwrap();
        assert_eq!(limits, [Limit { resource: libc::RLIMIT_NOFILE, soft: 20, hard: 20 }]);
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        let error = prepare(&[ulimit("files", None, None)], &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "invalid ulimit type: files");
    }
}
