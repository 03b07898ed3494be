//! The controllers of Amazon ECR.

mod lifecycle;

pub(crate) use lifecycle::{LifecycleReconciler, watch_repositories};
