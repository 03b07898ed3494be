//! The network of the Fargate node: VPCs, ENIs, the way in from the host.
//!
//! A VPC is a network namespace with a bridge in it; an ENI is a veth pair from that bridge into the sandbox's own
//! namespace. The kernel holds the whole state: names and aliases of what is made say whose it is, so that a new server
//! process finds everything of an earlier one, and there is no separate recovery path.
//!
//! It must not know of tasks' containers, of AWS's API or of the state's records. All work is done on short-lived
//! threads: a thread that has entered a namespace never serves anything else afterwards.

mod announcement;
mod bridge;
pub mod dns;
mod eni;
mod failure;
mod fargate;
mod fault;
mod guard;
mod host;
mod interface;
mod message;
pub mod namespace;
mod netlink;
mod program;
pub mod sockets;
mod vpc;

pub use fargate::{Config, FargateNetwork};
