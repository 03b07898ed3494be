//! API destinations: HTTP endpoints as targets.

use std::sync::Arc;

use api::events as api;
use base::Arn;
use state::Cx;
use state::events::ApiDestination;

use crate::{Error, Result, invalid, page, required};

/// How many API destinations an account has in a region at most, as in EventBridge.
const API_DESTINATIONS_MAX: usize = 3_000;
/// How often an endpoint may be called in a second unless its destination says otherwise, as in EventBridge.
const RATE_DEFAULT_PER_S: i32 = 300;

/// Makes an API destination.
pub(crate) async fn create_api_destination(
    cx: &Cx,
    input: api::CreateApiDestinationRequest,
) -> Result<api::CreateApiDestinationResponse> {
    let name = required(input.name, "name")?;
    let connection = required(input.connection_arn, "connectionArn")?;
    check_connection(cx, &connection)?;
    let endpoint = required(input.invocation_endpoint, "invocationEndpoint")?;
    check_endpoint(&endpoint)?;
    if cx.state.events.api_destinations.walk(cx.scope(), None).count() >= API_DESTINATIONS_MAX {
        return Err(Error::LimitExceeded("The requested resource exceeds the maximum number allowed.".to_owned()));
    }
    let now = cx.now();
    let row = ApiDestination {
        arn: Arn::new("events", cx.scope(), &format!("api-destination/{name}/{}", cx.ids.uuid())),
        name: name.clone(),
        description: input.description,
        connection,
        endpoint,
        method: required(input.http_method, "httpMethod")?.as_str().to_owned(),
        rate_per_s: input.invocation_rate_limit_per_second.unwrap_or(RATE_DEFAULT_PER_S),
        created_at: now,
        modified_at: now,
    };
    let (row, is_new) = cx.state.events.api_destinations.get_or_insert_with(cx.scope(), &name, || row);
    if !is_new {
        return Err(Error::ResourceAlreadyExists(format!("An api-destination '{name}' already exists.")));
    }
    Ok(api::CreateApiDestinationResponse {
        api_destination_arn: Some(row.arn.to_string()),
        api_destination_state: Some(state_of(cx, &row)),
        creation_time: Some(row.created_at.into()),
        last_modified_time: Some(row.modified_at.into()),
    })
}

/// Changes what a request names of an API destination.
pub(crate) async fn update_api_destination(
    cx: &Cx,
    input: api::UpdateApiDestinationRequest,
) -> Result<api::UpdateApiDestinationResponse> {
    let name = required(input.name, "name")?;
    if let Some(connection) = &input.connection_arn {
        check_connection(cx, connection)?;
    }
    if let Some(endpoint) = &input.invocation_endpoint {
        check_endpoint(endpoint)?;
    }
    let now = cx.now();
    let row = cx.state.events.api_destinations.update(cx.scope(), &name, |row| {
        row.description = input.description.or_else(|| row.description.take());
        row.connection = input.connection_arn.unwrap_or_else(|| row.connection.clone());
        row.endpoint = input.invocation_endpoint.unwrap_or_else(|| row.endpoint.clone());
        row.method = input.http_method.map_or_else(|| row.method.clone(), |method| method.as_str().to_owned());
        row.rate_per_s = input.invocation_rate_limit_per_second.unwrap_or(row.rate_per_s);
        row.modified_at = now;
    });
    let row = row.ok_or_else(|| not_found(&name))?;
    Ok(api::UpdateApiDestinationResponse {
        api_destination_arn: Some(row.arn.to_string()),
        api_destination_state: Some(state_of(cx, &row)),
        creation_time: Some(row.created_at.into()),
        last_modified_time: Some(row.modified_at.into()),
    })
}

/// Describes an API destination.
pub(crate) async fn describe_api_destination(
    cx: &Cx,
    input: api::DescribeApiDestinationRequest,
) -> Result<api::DescribeApiDestinationResponse> {
    let name = required(input.name, "name")?;
    let row = cx.state.events.api_destinations.get(cx.scope(), &name).ok_or_else(|| not_found(&name))?;
    Ok(api::DescribeApiDestinationResponse {
        api_destination_arn: Some(row.arn.to_string()),
        name: Some(row.name.clone()),
        description: row.description.clone(),
        api_destination_state: Some(state_of(cx, &row)),
        connection_arn: Some(row.connection.clone()),
        invocation_endpoint: Some(row.endpoint.clone()),
        http_method: Some(row.method.as_str().into()),
        invocation_rate_limit_per_second: Some(row.rate_per_s),
        creation_time: Some(row.created_at.into()),
        last_modified_time: Some(row.modified_at.into()),
    })
}

/// Lists API destinations.
pub(crate) async fn list_api_destinations(
    cx: &Cx,
    input: api::ListApiDestinationsRequest,
) -> Result<api::ListApiDestinationsResponse> {
    let prefix = input.name_prefix.unwrap_or_default();
    let rows = cx.state.events.api_destinations.walk(cx.scope(), None).map(|(_, row)| row);
    let rows = rows.filter(|row| row.name.starts_with(&prefix));
    let rows = rows.filter(|row| input.connection_arn.as_ref().is_none_or(|wanted| row.connection == *wanted));
    let page = page("ListApiDestinations", (input.next_token, input.limit), rows, |row| row.name.clone())?;
    let view = |row: &Arc<ApiDestination>| api::ApiDestination {
        api_destination_arn: Some(row.arn.to_string()),
        name: Some(row.name.clone()),
        api_destination_state: Some(state_of(cx, row)),
        connection_arn: Some(row.connection.clone()),
        invocation_endpoint: Some(row.endpoint.clone()),
        http_method: Some(row.method.as_str().into()),
        invocation_rate_limit_per_second: Some(row.rate_per_s),
        creation_time: Some(row.created_at.into()),
        last_modified_time: Some(row.modified_at.into()),
    };
    Ok(api::ListApiDestinationsResponse {
        api_destinations: Some(page.items.iter().map(view).collect()),
        next_token: page.next,
    })
}

/// Deletes an API destination.
pub(crate) async fn delete_api_destination(
    cx: &Cx,
    input: api::DeleteApiDestinationRequest,
) -> Result<api::DeleteApiDestinationResponse> {
    let name = required(input.name, "name")?;
    cx.state.events.api_destinations.remove(cx.scope(), &name).ok_or_else(|| not_found(&name))?;
    Ok(api::DeleteApiDestinationResponse::default())
}

/// An endpoint is called as long as its connection is authorized.
fn state_of(cx: &Cx, row: &ApiDestination) -> api::ApiDestinationState {
    let mut connections = cx.state.events.connections.walk(cx.scope(), None);
    let connection = connections.find(|(_, connection)| connection.arn.as_str() == row.connection);
    match connection {
        Some((_, connection)) if connection.authorization.is_some() => api::ApiDestinationState::Active,
        _ => api::ApiDestinationState::Inactive,
    }
}

fn check_connection(cx: &Cx, arn: &str) -> Result<()> {
    let mut connections = cx.state.events.connections.walk(cx.scope(), None);
    if connections.any(|(_, connection)| connection.arn.as_str() == arn) {
        return Ok(());
    }
    let name = arn.split('/').nth(1).unwrap_or(arn);
    Err(Error::ResourceNotFound(format!("Connection '{name}' does not exist.")))
}

/// AWS takes addresses that begin with `https://` only; here also `http://`, for what listens on this machine.
fn check_endpoint(endpoint: &str) -> Result<()> {
    if ["https://", "http://"].iter().any(|scheme| endpoint.starts_with(scheme)) {
        return Ok(());
    }
    // Text unverified.
    Err(invalid("Parameter InvocationEndpoint is not valid. Reason: The endpoint must begin with https://."))
}

fn not_found(name: &str) -> Error {
    Error::ResourceNotFound(format!(
        "Failed to describe the api-destination(s). An api-destination '{name}' does not exist."
    ))
}
