//! Daemons: one task on each managed instance of some capacity providers.
//!
//! Forms of ARNs and responses follow the examples of the API reference; every text here is unverified, for no error of
//! these operations has been seen. Their tasks need managed instances, of which there are none yet: all counts are 0,
//! and a deployment, with nothing to drain, goes by the clock.

mod create;
mod delete;
mod deployment;
mod describe;
mod list;
mod reference;
mod revision;
mod rollout;
mod task_definition;
mod update;

pub(crate) use create::create_daemon;
pub(crate) use delete::delete_daemon;
pub(crate) use deployment::{describe_daemon_deployments, list_daemon_deployments};
pub(crate) use describe::describe_daemon;
pub(crate) use list::{list_daemons, uses_provider};
pub(crate) use revision::describe_daemon_revisions;
pub(crate) use task_definition::{
    delete_daemon_task_definition, describe_daemon_task_definition, list_daemon_task_definitions,
    register_daemon_task_definition,
};
pub(crate) use update::update_daemon;
