//! Event buses.

use api::events as api;
use state::Cx;
use state::events::{Bus, DEFAULT_BUS};

use crate::{Error, Result, document, invalid, page, permission, required, tags};

/// How many buses an account has in a region at most, as in EventBridge.
const BUSES_MAX: usize = 100;

/// Makes a bus. Buses of partners are not there to be made.
pub(crate) async fn create_event_bus(
    cx: &Cx,
    input: api::CreateEventBusRequest,
) -> Result<api::CreateEventBusResponse> {
    let name = required(input.name, "name")?;
    if let Some(source) = input.event_source_name {
        return Err(Error::ResourceNotFound(format!("Event source {source} does not exist.")));
    }
    if name == DEFAULT_BUS || cx.state.events.buses.get(cx.scope(), &name).is_some() {
        return Err(Error::ResourceAlreadyExists(format!("Event bus {name} already exists.")));
    }
    if name.contains('/') {
        return Err(invalid("Event bus name must not contain '/'."));
    }
    if cx.state.events.buses.walk(cx.scope(), None).count() >= BUSES_MAX {
        return Err(Error::LimitExceeded("The requested resource exceeds the maximum number allowed.".to_owned()));
    }
    let now = cx.now();
    let bus = Bus {
        description: input.description,
        kms_key: input.kms_key_identifier,
        dead_letter: input.dead_letter_config.map(|given| document::write(&given)),
        log_config: input.log_config.map(|given| document::write(&given)),
        tags: tags::parse(input.tags)?,
        created_at: Some(now),
        modified_at: Some(now),
        ..Bus::new(cx.scope(), &name)
    };
    let (bus, is_new) = cx.state.events.buses.get_or_insert_with(cx.scope(), &name, || bus);
    if !is_new {
        return Err(Error::ResourceAlreadyExists(format!("Event bus {name} already exists.")));
    }
    Ok(api::CreateEventBusResponse {
        event_bus_arn: Some(bus.arn.to_string()),
        description: bus.description.clone(),
        kms_key_identifier: bus.kms_key.clone(),
        dead_letter_config: bus.dead_letter.as_ref().map(document::read),
        log_config: bus.log_config.as_ref().map(document::read),
    })
}

/// Describes a bus.
pub(crate) async fn describe_event_bus(
    cx: &Cx,
    input: api::DescribeEventBusRequest,
) -> Result<api::DescribeEventBusResponse> {
    let bus = find(cx, input.name.as_deref())?;
    Ok(api::DescribeEventBusResponse {
        name: Some(bus.name.clone()),
        arn: Some(bus.arn.to_string()),
        description: bus.description.clone(),
        kms_key_identifier: bus.kms_key.clone(),
        dead_letter_config: bus.dead_letter.as_ref().map(document::read),
        policy: permission::view(&bus),
        log_config: bus.log_config.as_ref().map(document::read),
        creation_time: bus.created_at.map(Into::into),
        last_modified_time: bus.modified_at.map(Into::into),
    })
}

/// Lists buses, the default one among them.
pub(crate) async fn list_event_buses(
    cx: &Cx,
    input: api::ListEventBusesRequest,
) -> Result<api::ListEventBusesResponse> {
    let mut buses = cx.state.events.buses.walk(cx.scope(), None).map(|(_, bus)| bus).collect::<Vec<_>>();
    if buses.iter().all(|bus| bus.name != DEFAULT_BUS) {
        buses.extend(cx.state.events.bus(cx.scope(), DEFAULT_BUS));
    }
    buses.sort_by(|a, b| a.name.cmp(&b.name));
    let prefix = input.name_prefix.unwrap_or_default();
    buses.retain(|bus| bus.name.starts_with(&prefix));
    let page = page("ListEventBuses", (input.next_token, input.limit), buses, |bus| bus.name.clone())?;
    let view = |bus: &std::sync::Arc<Bus>| api::EventBus {
        name: Some(bus.name.clone()),
        arn: Some(bus.arn.to_string()),
        description: bus.description.clone(),
        policy: permission::view(bus),
        creation_time: bus.created_at.map(Into::into),
        last_modified_time: bus.modified_at.map(Into::into),
    };
    Ok(api::ListEventBusesResponse { event_buses: Some(page.items.iter().map(view).collect()), next_token: page.next })
}

/// Changes what a request names of a bus.
pub(crate) async fn update_event_bus(
    cx: &Cx,
    input: api::UpdateEventBusRequest,
) -> Result<api::UpdateEventBusResponse> {
    let name = find(cx, input.name.as_deref())?.name.clone();
    let bus = change(cx, &name, |bus| {
        bus.description = input.description.or_else(|| bus.description.take());
        bus.kms_key = input.kms_key_identifier.or_else(|| bus.kms_key.take());
        if let Some(given) = input.dead_letter_config {
            bus.dead_letter = Some(document::write(&given));
        }
        if let Some(given) = input.log_config {
            bus.log_config = Some(document::write(&given));
        }
        Ok(())
    })?;
    Ok(api::UpdateEventBusResponse {
        arn: Some(bus.arn.to_string()),
        name: Some(bus.name.clone()),
        kms_key_identifier: bus.kms_key.clone(),
        description: bus.description.clone(),
        dead_letter_config: bus.dead_letter.as_ref().map(document::read),
        log_config: bus.log_config.as_ref().map(document::read),
    })
}

/// Deletes a bus. One that is not there is deleted already.
pub(crate) async fn delete_event_bus(cx: &Cx, input: api::DeleteEventBusRequest) -> Result<()> {
    let name = name_of(required(input.name, "name")?);
    if name == DEFAULT_BUS {
        return Err(invalid("Cannot delete event bus default."));
    }
    let mut rules = cx.state.events.rules.table.walk(cx.scope(), None);
    if rules.any(|(key, _)| key.bus == name) {
        // Text unverified.
        return Err(invalid(format!("Event bus {name} can't be deleted since it has rules.")));
    }
    cx.state.events.buses.remove(cx.scope(), &name);
    Ok(())
}

/// Changes a bus. What is changed of the default one makes it a row of its own.
pub(crate) fn change(cx: &Cx, name: &str, change: impl FnOnce(&mut Bus) -> Result<()>) -> Result<std::sync::Arc<Bus>> {
    let (name, now) = (name.to_owned(), cx.now());
    if name == DEFAULT_BUS {
        cx.state.events.buses.get_or_insert_with(cx.scope(), &name, || Bus::default_of(cx.scope()));
    }
    let changed = cx.state.events.buses.try_update(cx.scope(), &name, |bus| {
        bus.modified_at = Some(now);
        change(bus)
    });
    changed.unwrap_or_else(|| Err(not_found(&name)))
}

/// Finds a bus by its name or ARN; none is the default one.
pub(crate) fn find(cx: &Cx, named: Option<&str>) -> Result<std::sync::Arc<Bus>> {
    let name = name_of(named.unwrap_or(DEFAULT_BUS).to_owned());
    cx.state.events.bus(cx.scope(), &name).ok_or_else(|| not_found(&name))
}

/// Returns the name in an ARN, or what is a name already.
pub(crate) fn name_of(named: String) -> String {
    match named.starts_with("arn:").then(|| named.split_once(":event-bus/")).flatten() {
        Some((_, name)) => name.to_owned(),
        None => named,
    }
}

fn not_found(name: &str) -> Error {
    Error::ResourceNotFound(format!("Event bus {name} does not exist."))
}
