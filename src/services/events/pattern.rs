//! TestEventPattern.

use api::events as api;
use serde_json::Value;
use state::Cx;
use state::events::Pattern;

use crate::{Error, Result, invalid, required};

/// The members that an event must have.
const REQUIRED: [&str; 7] = ["id", "account", "source", "time", "region", "resources", "detail-type"];

/// Says whether an event matches a pattern.
pub(crate) async fn test_event_pattern(
    _cx: &Cx,
    input: api::TestEventPatternRequest,
) -> Result<api::TestEventPatternResponse> {
    let pattern = parse(&required(input.event_pattern, "eventPattern")?)?;
    let event: Value = serde_json::from_str(&required(input.event, "event")?)
        .map_err(|_| invalid("Parameter Event is not valid. Reason: Event is not valid JSON."))?;
    if let Some(missing) = REQUIRED.iter().find(|name| event.get(**name).is_none()) {
        // Text unverified.
        return Err(invalid(format!("Parameter Event is not valid. Reason: '{missing}' is required.")));
    }
    Ok(api::TestEventPatternResponse { result: Some(pattern.matches(&event)) })
}

/// Reads a pattern.
pub(crate) fn parse(text: &str) -> Result<Pattern> {
    Pattern::parse(text).map_err(|error| Error::InvalidEventPattern(error.to_string()))
}
