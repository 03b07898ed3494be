//! Keeps sandboxes from the host: what comes from a VPC over the link to the host is an answer, or is lost.
//!
//! The link is there for the host to reach its tasks. Without this rule a task would reach, at the link's address, every
//! service of the host that listens on all of its addresses.

use std::io;

use crate::program;

/// What is left to the rule of a VPC's namespace; said twice it is the same as said once.
const SCRIPT: &str = "\
add table inet neargate
add chain inet neargate forward { type filter hook forward priority 0; policy accept; }
flush chain inet neargate forward
add rule inet neargate forward iifname \"vpc\" oifname \"host\" ct state != { established, related } drop
";

/// Sets the rule in the calling thread's namespace, a VPC's.
pub(crate) fn keep_from_host() -> io::Result<()> {
    let outcome = program::run("nft", &["-f", "-"], SCRIPT)?;
    if outcome.is_success { Ok(()) } else { Err(io::Error::other(outcome.output)) }
}
