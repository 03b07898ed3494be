//! Task sets: parts of services that somebody else than ECS deploys.

mod create;
mod delete;
mod describe;
mod reference;
mod update;
mod view;

pub(crate) use create::{create_task_set, make_first};
pub(crate) use delete::delete_task_set;
pub(crate) use describe::describe_task_sets;
pub(crate) use update::{update_service_primary_task_set, update_task_set};
pub(crate) use view::view;
