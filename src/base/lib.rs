//! The words that every layer shares: accounts, regions, ARNs, time, identifiers, page tokens.
//!
//! No I/O, no async runtime, nothing about any one service. Only [`SystemClock`] reads the clock and only
//! [`SystemEntropy`] draws random numbers; everything else is handed a [`Clock`] and an [`Ids`].

mod arn;
mod clock;
mod ecr_host;
mod ids;
mod page;
mod scope;

pub use arn::Arn;
pub use clock::{Clock, ManualClock, Reached, SystemClock, Timestamp};
pub use ecr_host::{EcrHost, EcrHostForm};
pub use ids::{
    ContainerId, ContainerInstanceId, EniId, Entropy, Ids, SecurityGroupId, SequentialEntropy, ServiceDeploymentId,
    ServiceRevisionId, SubnetId, SystemEntropy, TaskId, VpcId,
};
pub use page::{Page, PageToken, PageTokenError};
pub use scope::{AccountId, Caller, Partition, Region, Scope};
