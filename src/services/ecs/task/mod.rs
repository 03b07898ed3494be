//! Tasks: started, described, listed, stopped.

mod capacity;
mod describe;
mod list;
mod network;
mod overrides;
mod reference;
mod run;
mod stop;
mod view;

pub(crate) use describe::describe_tasks;
pub(crate) use list::list_tasks;
pub(crate) use run::run_task;
pub(crate) use stop::stop_task;
