//! The controller of AWS CodeDeploy: walks deployments of ECS services through their stages.
//!
//! It does to task sets what a client of ECS could do. Traffic is a percentage in the deployment's record.

mod plan;
mod reconciler;
mod replacement;

pub(crate) use reconciler::{DeploymentReconciler, wake_deployments_of, watch_deployments};

/// The reconciler of deployments.
pub(crate) const DEPLOYMENTS: &str = "codedeploy.deployments";
