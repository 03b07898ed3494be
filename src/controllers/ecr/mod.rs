//! The controllers of Amazon ECR.

mod lifecycle;
mod tidying;

pub(crate) use lifecycle::{LifecycleReconciler, watch_repositories};
pub(crate) use tidying::{TidyingReconciler, watch_for_tidying};
