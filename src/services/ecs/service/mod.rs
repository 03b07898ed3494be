//! Services: made, changed, described, listed, deleted.
//!
//! A change of what its tasks are makes a revision and a deployment of it; the service controller carries it out.

mod capacity;
mod create;
mod delete;
mod deploy;
mod describe;
mod list;
mod load_balancer;
mod placement;
mod reference;
mod rollout;
mod service_connect;
mod statistics;
mod update;
mod view;
pub(crate) mod volume;
mod workload;

pub(crate) use capacity::{launch_type, strategy};
pub(crate) use create::{check_client_token, create_service};
pub(crate) use delete::delete_service;
pub(crate) use describe::describe_services;
pub(crate) use list::{list_services, list_services_by_namespace, wanted_launch_type};
pub(crate) use reference::{find, find_active, not_found};
pub(crate) use statistics::{Statistics, statistics};
pub(crate) use update::update_service;
pub(crate) use view::{
    Counts, counts, load_balancers, network_configuration, platform_family, resolved_platform_version, revision_arn,
    service_registries,
};
pub(crate) use workload::{Parts, Purpose, parse as parse_workload};
