//! An event.

use base::{AccountId, Region, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Document, Record};

/// Over how many buses an event may come: rules that send events to each other's buses end there.
pub const HOPS_MAX: u8 = 5;

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// Where it comes from, such as `aws.ecs`.
    pub source: String,
    /// What it is, such as `ECS Task State Change`.
    pub detail_type: String,
    /// The account that it happened in.
    pub account: AccountId,
    /// When it happened.
    pub at: Timestamp,
    /// The region that it happened in.
    pub region: Region,
    /// What it is about.
    pub resources: Vec<String>,
    /// A JSON object.
    pub detail: Document,
    /// Over how many buses it came.
    pub hops: u8,
}

/// An event that is to be matched with the rules of a bus.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Posted {
    /// The bus.
    pub bus: String,
    /// The event.
    pub event: Event,
}

impl Record for Posted {}

impl Event {
    /// Writes the event as targets see it.
    pub fn text(&self) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        format!(
            "{{\"version\":\"0\",\"id\":{},\"detail-type\":{},\"source\":{},\"account\":\"{}\",\"time\":\"{}\",\
             \"region\":\"{}\",\"resources\":{},\"detail\":{}}}",
            quoted(&self.id),
            quoted(&self.detail_type),
            quoted(&self.source),
            self.account,
            self.at.iso_seconds(),
            self.region,
            json!(self.resources),
            self.detail.as_str(),
        )
    }

    /// Returns the event as patterns see it; null if its detail is no JSON, which whoever takes events in prevents.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_in_the_order_of_its_envelope() {
        let event = Event {
            id: "i".to_owned(),
            source: "my \"app\"".to_owned(),
            detail_type: "t".to_owned(),
            account: AccountId::DEFAULT,
            at: Timestamp::from_millis(1_767_225_600_999),
            region: Region::default(),
            resources: vec!["r".to_owned()],
            detail: Document::new("{\"b\":1,\"a\":2}"),
            hops: 0,
        };
        assert_eq!(
            event.text(),
            "{\"version\":\"0\",\"id\":\"i\",\"detail-type\":\"t\",\"source\":\"my \\\"app\\\"\",\
             \"account\":\"000000000000\",\"time\":\"2026-01-01T00:00:00Z\",\"region\":\"us-east-1\",\
             \"resources\":[\"r\"],\"detail\":{\"b\":1,\"a\":2}}"
        );
        assert_eq!(event.value()["detail"]["a"], 2);
    }
}
