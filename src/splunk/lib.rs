//! Splunk's HTTP Event Collector, as Docker's driver of that name speaks to it: how lines become events, and how a batch of
//! them is sent. It must not know what a task or a container is.

mod collector;
mod event;

pub use collector::{Collector, CollectorError, Connection};
pub use event::{Format, Labels, event};
