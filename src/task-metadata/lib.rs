//! What a task finds at 169.254.170.2: its metadata (versions 2, 3 and 4), its credentials, and the APIs of ECS's agent.
//!
//! A request is told by where it comes from: the VPC and the address of the interface are the task's, and a path that
//! names a container of another task leads nowhere. It reads records and asks the node; what it changes goes through
//! ECS's API, with the credentials of the task's role. It knows requests and responses, and no connections.

mod container;
mod credentials;
mod echoed;
mod endpoint;
mod fault;
mod fault_request;
mod find;
mod go_json;
mod path;
mod protection;
mod rate;
mod reply;
mod samples;
mod stats;
mod task;

pub use endpoint::{Api, ClockQuality, Parts, TaskMetadata};
pub use find::Peer;
