//! The runtime of the Fargate node: makes cgroups and folders, spawns shims, supervises them, and finds them again after
//! the server has been restarted.
//!
//! It must not know what a task definition is, and must not link libcontainer: what makes a container is in the shim,
//! a process of its own.

mod adopt;
mod cgroup;
mod container;
mod error;
mod exec;
mod fargate;
mod fork_server;
mod forward;
mod hierarchy;
mod holder;
mod in_root;
mod output;
mod preparation;
mod program;
mod restart;
mod sandbox;
mod spawn;
mod stats;
mod storage;

pub use adopt::layers_in_use;
pub use fargate::{Config, FargateRuntime};
