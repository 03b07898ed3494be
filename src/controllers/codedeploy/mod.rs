//! The controller of AWS CodeDeploy: walks deployments of ECS services through their stages.
//!
//! It does to task sets what a client of ECS could do. Traffic goes over by the same interface as in ECS's own shifts.

mod hook;
mod plan;
mod reason;
mod reconciler;
mod replacement;

pub(crate) use reconciler::{DeploymentReconciler, wake_deployments, watch_deployments};

/// The reconciler of deployments.
pub(crate) const DEPLOYMENTS: &str = "codedeploy.deployments";
