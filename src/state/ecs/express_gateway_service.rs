//! An Express service: a web application from one container, with everything around it made by ECS.

use base::{ServiceRevisionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Document, Record};

use super::ServiceKey;

/// What an Express service has besides its [`Service`](super::Service), whose key it shares. The service says whether it
/// is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExpressGatewayService {
    /// The service's cluster and name.
    pub key: ServiceKey,
    /// The role that the load balancer and the scaling are made by.
    pub infrastructure_role_arn: String,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The host name of the application.
    pub endpoint: String,
    /// Its revisions, the newest first; those whose tasks are gone fall away with the next one.
    pub revisions: Vec<ExpressGatewayRevision>,
}

/// The settings of an Express service at the time of a deployment. They never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpressGatewayRevision {
    /// The revision of the service.
    pub id: ServiceRevisionId,
    /// When it was made.
    pub created_at: Timestamp,
    /// The settings as a response shows them, without the fields above.
    pub configuration: Document,
}

impl Record for ExpressGatewayService {}
