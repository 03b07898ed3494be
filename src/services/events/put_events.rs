//! PutEvents.

use api::events as api;
use serde_json::Value;
use state::events::{DEFAULT_BUS, Event};
use state::{Cx, Document};

use crate::{Result, bus, invalid, required};

/// How many bytes the entries of a request have together at most, as in EventBridge.
const ENTRIES_BYTES_MAX: usize = 262_144;
/// What the time of an entry counts, in bytes.
const TIME_BYTES: usize = 14;

/// Puts events on buses. Each entry is answered on its own. One for a bus that is not there is taken and dropped
/// (unverified).
pub(crate) async fn put_events(cx: &Cx, input: api::PutEventsRequest) -> Result<api::PutEventsResponse> {
    let entries = required(input.entries, "entries")?;
    if entries.iter().map(bytes).sum::<usize>() > ENTRIES_BYTES_MAX {
        return Err(invalid("Total size of the entries in the request is over the limit."));
    }
    let results = entries.into_iter().map(|entry| match put(cx, entry) {
        Ok(id) => api::PutEventsResultEntry { event_id: Some(id), ..Default::default() },
        Err((code, message)) => api::PutEventsResultEntry {
            error_code: Some(code.to_owned()),
            error_message: Some(message),
            ..Default::default()
        },
    });
    let results = results.collect::<Vec<_>>();
    let failed = results.iter().filter(|result| result.error_code.is_some()).count();
    Ok(api::PutEventsResponse { failed_entry_count: i32::try_from(failed).ok(), entries: Some(results) })
}

fn put(cx: &Cx, entry: api::PutEventsRequestEntry) -> std::result::Result<String, (&'static str, String)> {
    let missing = |name: &str| {
        ("InvalidArgument", format!("Parameter {name} is not valid. Reason: {name} is a required argument."))
    };
    let given = |value: Option<String>, name: &str| value.filter(|text| !text.is_empty()).ok_or_else(|| missing(name));
    let source = given(entry.source, "Source")?;
    let detail_type = given(entry.detail_type, "DetailType")?;
    let detail = given(entry.detail, "Detail")?;
    if !serde_json::from_str::<Value>(&detail).is_ok_and(|detail| detail.is_object()) {
        return Err(("MalformedDetail", "Detail is malformed.".to_owned()));
    }
    if source.starts_with("aws.") {
        return Err(("NotAuthorizedForSourceException", "Not authorized for the source.".to_owned()));
    }
    let bus = bus::name_of(entry.event_bus_name.unwrap_or_else(|| DEFAULT_BUS.to_owned()));
    let event = Event {
        id: cx.ids.uuid(),
        source,
        detail_type,
        account: cx.scope().account,
        at: entry.time.and_then(|at| at.to_millis().ok()).map_or_else(|| cx.now(), base::Timestamp::from_millis),
        region: cx.scope().region.clone(),
        resources: entry.resources.unwrap_or_default(),
        detail: Document::new(detail),
        hops: 0,
    };
    let id = event.id.clone();
    if cx.state.events.bus(cx.scope(), &bus).is_some() && !cx.state.events.post(cx.scope(), &bus, event) {
        return Err(("ThrottlingException", "Rate exceeded".to_owned()));
    }
    Ok(id)
}

fn bytes(entry: &api::PutEventsRequestEntry) -> usize {
    let texts = [&entry.source, &entry.detail_type, &entry.detail];
    let resources = entry.resources.iter().flatten().map(String::len).sum::<usize>();
    let time = if entry.time.is_some() { TIME_BYTES } else { 0 };
    texts.into_iter().flatten().map(String::len).sum::<usize>() + resources + time
}
