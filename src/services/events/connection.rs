//! Connections: how HTTP endpoints are asked. AWS keeps their secrets in Secrets Manager; here they are in the record, and
//! no response shows them.

use std::sync::Arc;

use api::events as api;
use base::Arn;
use serde_json::{Map, Value, json};
use state::events::{Authorization, Connection, Parameter};
use state::{Cx, Document};

use crate::{Error, Result, document, invalid, page, required};

/// How many connections an account has in a region at most, as in EventBridge.
const CONNECTIONS_MAX: usize = 3_000;

/// Makes a connection. It is authorized at once: a token is fetched when it is needed.
pub(crate) async fn create_connection(
    cx: &Cx,
    input: api::CreateConnectionRequest,
) -> Result<api::CreateConnectionResponse> {
    let name = required(input.name, "name")?;
    let parameters = json_of(&required(input.auth_parameters, "authParameters")?);
    let kind = required(input.authorization_type, "authorizationType")?.as_str().to_owned();
    let authorization = authorization(&kind, &parameters)?;
    if cx.state.events.connections.walk(cx.scope(), None).count() >= CONNECTIONS_MAX {
        return Err(Error::LimitExceeded("The requested resource exceeds the maximum number allowed.".to_owned()));
    }
    let (now, id) = (cx.now(), cx.ids.uuid());
    let connection = Connection {
        arn: Arn::new("events", cx.scope(), &format!("connection/{name}/{id}")),
        name: name.clone(),
        description: input.description,
        authorization: Some(authorization),
        authorization_type: kind,
        headers: invocation(&parameters, "HeaderParameters"),
        query: invocation(&parameters, "QueryStringParameters"),
        body: invocation(&parameters, "BodyParameters"),
        shown: shown(&parameters),
        secret_arn: Arn::new("secretsmanager", cx.scope(), &format!("secret:events!connection/{name}/{id}"))
            .to_string(),
        kms_key: input.kms_key_identifier,
        created_at: now,
        modified_at: now,
        authorized_at: Some(now),
    };
    let (connection, is_new) = cx.state.events.connections.get_or_insert_with(cx.scope(), &name, || connection);
    if !is_new {
        return Err(Error::ResourceAlreadyExists(format!("Connection {name} already exists.")));
    }
    Ok(api::CreateConnectionResponse {
        connection_arn: Some(connection.arn.to_string()),
        connection_state: Some(state_of(&connection)),
        creation_time: Some(connection.created_at.into()),
        last_modified_time: Some(connection.modified_at.into()),
    })
}

/// Changes what a request names of a connection.
pub(crate) async fn update_connection(
    cx: &Cx,
    input: api::UpdateConnectionRequest,
) -> Result<api::UpdateConnectionResponse> {
    let name = required(input.name, "name")?;
    let parameters = input.auth_parameters.map(|given| json_of(&given));
    let kind = input.authorization_type.map(|kind| kind.as_str().to_owned());
    let now = cx.now();
    let connection = change(cx, &name, |row| {
        let kind = kind.unwrap_or_else(|| row.authorization_type.clone());
        if let Some(parameters) = parameters {
            row.authorization = Some(authorization(&kind, &parameters)?);
            row.headers = invocation(&parameters, "HeaderParameters");
            row.query = invocation(&parameters, "QueryStringParameters");
            row.body = invocation(&parameters, "BodyParameters");
            row.shown = shown(&parameters);
            row.authorized_at = Some(now);
        } else if kind != row.authorization_type {
            return Err(invalid("Parameter AuthParameters is not valid. Reason: it does not fit AuthorizationType."));
        }
        row.authorization_type = kind;
        row.description = input.description.or_else(|| row.description.take());
        row.kms_key = input.kms_key_identifier.or_else(|| row.kms_key.take());
        row.modified_at = now;
        Ok(())
    })?;
    Ok(api::UpdateConnectionResponse {
        connection_arn: Some(connection.arn.to_string()),
        connection_state: Some(state_of(&connection)),
        creation_time: Some(connection.created_at.into()),
        last_modified_time: Some(connection.modified_at.into()),
        last_authorized_time: connection.authorized_at.map(Into::into),
    })
}

/// Describes a connection, without its secrets.
pub(crate) async fn describe_connection(
    cx: &Cx,
    input: api::DescribeConnectionRequest,
) -> Result<api::DescribeConnectionResponse> {
    let connection = find(cx, &required(input.name, "name")?)?;
    Ok(api::DescribeConnectionResponse {
        connection_arn: Some(connection.arn.to_string()),
        name: Some(connection.name.clone()),
        description: connection.description.clone(),
        connection_state: Some(state_of(&connection)),
        authorization_type: Some(connection.authorization_type.as_str().into()),
        secret_arn: Some(connection.secret_arn.clone()),
        kms_key_identifier: connection.kms_key.clone(),
        auth_parameters: Some(document::read(&connection.shown)),
        creation_time: Some(connection.created_at.into()),
        last_modified_time: Some(connection.modified_at.into()),
        last_authorized_time: connection.authorized_at.map(Into::into),
        ..Default::default()
    })
}

/// Lists connections.
pub(crate) async fn list_connections(
    cx: &Cx,
    input: api::ListConnectionsRequest,
) -> Result<api::ListConnectionsResponse> {
    let prefix = input.name_prefix.unwrap_or_default();
    let rows = cx.state.events.connections.walk(cx.scope(), None).map(|(_, row)| row);
    let rows = rows.filter(|row| row.name.starts_with(&prefix));
    let rows = rows.filter(|row| input.connection_state.as_ref().is_none_or(|wanted| state_of(row) == *wanted));
    let page = page("ListConnections", (input.next_token, input.limit), rows, |row| row.name.clone())?;
    let view = |row: &Arc<Connection>| api::Connection {
        connection_arn: Some(row.arn.to_string()),
        name: Some(row.name.clone()),
        connection_state: Some(state_of(row)),
        state_reason: None,
        authorization_type: Some(row.authorization_type.as_str().into()),
        creation_time: Some(row.created_at.into()),
        last_modified_time: Some(row.modified_at.into()),
        last_authorized_time: row.authorized_at.map(Into::into),
    };
    Ok(api::ListConnectionsResponse { connections: Some(page.items.iter().map(view).collect()), next_token: page.next })
}

/// Takes a connection's authorization away: endpoints are not called through it any more.
pub(crate) async fn deauthorize_connection(
    cx: &Cx,
    input: api::DeauthorizeConnectionRequest,
) -> Result<api::DeauthorizeConnectionResponse> {
    let now = cx.now();
    let connection = change(cx, &required(input.name, "name")?, |row| {
        row.authorization = None;
        row.modified_at = now;
        Ok(())
    })?;
    Ok(api::DeauthorizeConnectionResponse {
        connection_arn: Some(connection.arn.to_string()),
        connection_state: Some(state_of(&connection)),
        creation_time: Some(connection.created_at.into()),
        last_modified_time: Some(connection.modified_at.into()),
        last_authorized_time: connection.authorized_at.map(Into::into),
    })
}

/// Deletes a connection.
pub(crate) async fn delete_connection(
    cx: &Cx,
    input: api::DeleteConnectionRequest,
) -> Result<api::DeleteConnectionResponse> {
    let name = required(input.name, "name")?;
    let removed = cx.state.events.connections.remove(cx.scope(), &name).ok_or_else(|| not_found(&name))?;
    Ok(api::DeleteConnectionResponse {
        connection_arn: Some(removed.arn.to_string()),
        connection_state: Some(api::ConnectionState::Deleting),
        creation_time: Some(removed.created_at.into()),
        last_modified_time: Some(removed.modified_at.into()),
        last_authorized_time: removed.authorized_at.map(Into::<_>::into),
    })
}

fn find(cx: &Cx, name: &str) -> Result<Arc<Connection>> {
    cx.state.events.connections.get(cx.scope(), &name.to_owned()).ok_or_else(|| not_found(name))
}

fn change(cx: &Cx, name: &str, change: impl FnOnce(&mut Connection) -> Result<()>) -> Result<Arc<Connection>> {
    let changed = cx.state.events.connections.try_update(cx.scope(), &name.to_owned(), change);
    changed.unwrap_or_else(|| Err(not_found(name)))
}

fn not_found(name: &str) -> Error {
    Error::ResourceNotFound(format!("Failed to describe the connection(s). Connection '{name}' does not exist."))
}

fn state_of(connection: &Connection) -> api::ConnectionState {
    match connection.authorization {
        Some(_) => api::ConnectionState::Authorized,
        None => api::ConnectionState::Deauthorized,
    }
}

/// Returns parameters as JSON that can be looked into.
fn json_of(parameters: &dyn wire::Value) -> Value {
    let text = document::write::<String>(parameters);
    serde_json::from_str(&text).expect("what was written as JSON is JSON")
}

/// Reads how calls are authorized; the parameters must be of the kind that is asked for.
fn authorization(kind: &str, parameters: &Value) -> Result<Authorization> {
    let text = |pointer: &str| parameters.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let found = match kind {
        "BASIC" => text("/BasicAuthParameters/Username")
            .zip(text("/BasicAuthParameters/Password"))
            .map(|(user, password)| Authorization::Basic { user, password }),
        "API_KEY" => text("/ApiKeyAuthParameters/ApiKeyName")
            .zip(text("/ApiKeyAuthParameters/ApiKeyValue"))
            .map(|(name, value)| Authorization::ApiKey { name, value }),
        _ => oauth(parameters),
    };
    // Text unverified.
    found.ok_or_else(|| invalid("Parameter AuthParameters is not valid. Reason: it does not fit AuthorizationType."))
}

fn oauth(parameters: &Value) -> Option<Authorization> {
    let given = parameters.get("OAuthParameters")?;
    let text = |pointer: &str| given.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let list = |name: &str| pairs(given.pointer(&format!("/OAuthHttpParameters/{name}")));
    Some(Authorization::OAuth {
        client_id: text("/ClientParameters/ClientID")?,
        client_secret: text("/ClientParameters/ClientSecret")?,
        endpoint: text("/AuthorizationEndpoint")?,
        method: text("/HttpMethod")?,
        headers: list("HeaderParameters"),
        query: list("QueryStringParameters"),
        body: list("BodyParameters"),
    })
}

fn invocation(parameters: &Value, list: &str) -> Vec<Parameter> {
    pairs(parameters.pointer(&format!("/InvocationHttpParameters/{list}")))
}

fn pairs(list: Option<&Value>) -> Vec<Parameter> {
    let member = |item: &Value, name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let pair = |item: &Value| Parameter { key: member(item, "Key"), value: member(item, "Value") };
    list.and_then(Value::as_array).into_iter().flatten().map(pair).collect()
}

/// Leaves the secrets out: passwords, and the values of parameters that are said to be secret.
fn shown(parameters: &Value) -> Document {
    let mut shown = parameters.clone();
    for (pointer, secret) in [
        ("/BasicAuthParameters", "Password"),
        ("/ApiKeyAuthParameters", "ApiKeyValue"),
        ("/OAuthParameters/ClientParameters", "ClientSecret"),
    ] {
        if let Some(members) = shown.pointer_mut(pointer).and_then(Value::as_object_mut) {
            members.remove(secret);
        }
    }
    for pointer in ["/InvocationHttpParameters", "/OAuthParameters/OAuthHttpParameters"] {
        let lists = shown.pointer_mut(pointer).and_then(Value::as_object_mut);
        for list in lists.into_iter().flat_map(Map::values_mut) {
            for item in list.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                if item.get("IsValueSecret") == Some(&json!(true)) {
                    item.remove("Value");
                }
            }
        }
    }
    // Where it goes through a VPC is not read here.
    if let Some(members) = shown.as_object_mut() {
        members.remove("ConnectivityParameters");
    }
    Document::new(shown.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let parameters = json!({
            "BasicAuthParameters": { "Username": "u", "Password": "p" },
            "InvocationHttpParameters": { "HeaderParameters": [
                { "Key": "a", "Value": "seen" },
                { "Key": "b", "Value": "hidden", "IsValueSecret": true },
            ] },
        });
        let text = shown(&parameters);
        assert!(text.as_str().contains("seen") && !text.as_str().contains("hidden"), "{}", text.as_str());
        assert!(!text.as_str().contains("\"p\""));
    }

    #[test]
    fn the_parameters_must_fit_the_kind_of_authorization() {
        let basic = json!({ "BasicAuthParameters": { "Username": "u", "Password": "p" } });
        assert!(authorization("BASIC", &basic).is_ok());
        assert!(authorization("API_KEY", &basic).is_err());
        assert!(authorization("OAUTH_CLIENT_CREDENTIALS", &basic).is_err());
    }
}
