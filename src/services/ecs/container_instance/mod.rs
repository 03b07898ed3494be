//! Container instances: machines with an agent, registered in a cluster.

mod agent_update;
mod deregister;
mod describe;
mod list;
mod reference;
mod register;
mod resources;
mod update_state;
mod view;

pub(crate) use agent_update::update_container_agent;
pub(crate) use deregister::{deregister_container_instance, settle};
pub(crate) use describe::describe_container_instances;
pub(crate) use list::list_container_instances;
pub(crate) use reference::{arn_of, find, parse as parse_reference};
pub(crate) use register::register_container_instance;
pub(crate) use update_state::update_container_instances_state;
