//! The traffic of services: who carries out that one revision has so much of it, and another one the rest.

use std::fmt;

use base::{Scope, ServiceRevisionId};
use state::ecs::{ServiceKey, Traffic, Weight};

/// What the traffic of a service is to be. To order the same twice is to order it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficOrder {
    /// The account and region of the service.
    pub scope: Scope,
    /// The service.
    pub service: ServiceKey,
    /// Which of its traffic.
    pub traffic: Traffic,
    /// Each revision's share; what is not named has none.
    pub shares: Vec<(ServiceRevisionId, Weight)>,
}

/// How far an order is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficProgress {
    /// Traffic is as ordered.
    Done,
    /// It is being carried out. The order is repeated until it is done.
    UnderWay,
}

/// Traffic could not be brought to what was ordered. The text goes into the reason that the service deployment shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TrafficError(pub String);

/// Carries out orders of traffic. It must answer at once: what takes longer is [`TrafficProgress::UnderWay`].
pub trait TrafficShift: Send + Sync + fmt::Debug {
    /// Brings the traffic of a service to what is ordered, or nearer to it.
    ///
    /// # Errors
    ///
    /// If that cannot be done now. It is tried again a few times.
    fn shift(&self, order: &TrafficOrder) -> Result<TrafficProgress, TrafficError>;
}

/// Traffic that nobody carries: the records alone say how much each revision has.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrafficOnRecord;

impl TrafficShift for TrafficOnRecord {
    fn shift(&self, _: &TrafficOrder) -> Result<TrafficProgress, TrafficError> {
        Ok(TrafficProgress::Done)
    }
}
