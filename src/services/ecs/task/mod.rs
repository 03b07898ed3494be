//! Tasks: started, described, listed, stopped.

mod capacity;
mod describe;
mod list;
mod network;
mod order;
mod overrides;
mod placement;
mod protection;
mod reference;
mod run;
mod start;
mod stop;
mod view;

pub(crate) use describe::describe_tasks;
pub(crate) use list::list_tasks;
pub(crate) use network::parse as network;
pub(crate) use placement::{bad_expression, expression_of_distinct_instance};
pub(crate) use protection::{get_task_protection, update_task_protection};
pub(crate) use reference::parse as parse_reference;
pub(crate) use run::{platform_version, run_task};
pub(crate) use start::start_task;
pub(crate) use stop::stop_task;
