//! Express services: a web application from one container.
//!
//! An Express service is a task definition and a service on Fargate that ECS writes itself: its tasks run like those of
//! any service. Load balancer, certificate and scaling are not made yet. Where ECS's wording or a default is known, the
//! place says from where; everything else is unverified.

mod configuration;
mod create;
mod delete;
mod describe;
mod reference;
mod update;
mod view;

pub(crate) use create::create_express_gateway_service;
pub(crate) use delete::delete_express_gateway_service;
pub(crate) use describe::describe_express_gateway_service;
pub(crate) use update::update_express_gateway_service;
