//! The controllers of CloudWatch Logs.

mod retention;

pub(crate) use retention::{RetentionReconciler, watch_log_groups};
