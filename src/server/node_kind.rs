//! Which node runs the tasks.

use std::fmt;

use clap::ValueEnum;

/// Which node runs the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NodeKind {
    /// Real containers on this machine; needs root.
    Fargate,
    /// No containers: tasks follow the script in their NEARGATE_SIMULATE variable.
    Simulated,
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fargate => "fargate",
            Self::Simulated => "simulated",
        })
    }
}
