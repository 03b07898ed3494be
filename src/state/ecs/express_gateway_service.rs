//! An Express service: a web application from one container, with everything around it made by ECS.

use std::time::Duration;

use base::{Arn, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Document, Record, Tag};

use super::ServiceKey;

/// How long a deleted Express service takes to drain.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// An Express service. Its name is that of a service: no other service of the cluster can have it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExpressGatewayService {
    /// Cluster and name.
    pub key: ServiceKey,
    /// Its ARN, that of a service.
    pub arn: Arn,
    /// The role that the load balancer and the scaling are made by.
    pub infrastructure_role_arn: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When its deletion was asked for.
    pub deleted_at: Option<Timestamp>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The ARN of the newest deployment.
    pub deployment_arn: Arn,
    /// The ARN of the newest revision.
    pub revision_arn: Arn,
    /// When that revision was made.
    pub revised_at: Timestamp,
    /// The host name of the application.
    pub endpoint: String,
    /// The newest revision's settings as a response shows them, without the fields above.
    pub configuration: Document,
}

/// Where an Express service is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpressGatewayServiceStatus {
    /// It is there.
    Active,
    /// It was deleted, and ends.
    Draining,
    /// It was deleted. It can still be described.
    Inactive,
}

impl ExpressGatewayService {
    /// Returns where it is at a time.
    pub fn status(&self, now: Timestamp) -> ExpressGatewayServiceStatus {
        match self.deleted_at {
            None => ExpressGatewayServiceStatus::Active,
            Some(at) if now < at.plus(DRAIN_TIME) => ExpressGatewayServiceStatus::Draining,
            Some(_) => ExpressGatewayServiceStatus::Inactive,
        }
    }
}

impl Record for ExpressGatewayService {}
