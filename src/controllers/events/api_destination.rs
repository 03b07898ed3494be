//! An API destination as a target: an HTTP endpoint, asked as its connection says.
//!
//! How often an endpoint may be called in a second is not heeded; a target is asked one event at a time.

use std::time::Duration;

use base::{Arn, Scope};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use node::{HttpAnswer, HttpRequest};
use serde_json::Value;
use state::events::{ApiDestination, Authorization, Connection, Delivery, HttpTarget, Parameter};

use super::delivery::Outcome;
use crate::World;

/// How long an endpoint may take to answer, as in EventBridge.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
/// The statuses after which EventBridge asks again, besides those from 500 on.
const TRANSIENT: [u16; 4] = [401, 407, 409, 429];

/// Asks the endpoint.
pub(super) async fn deliver(world: &World, scope: &Scope, arn: &Arn, delivery: &Delivery) -> Outcome {
    let events = &world.state.events;
    let name = arn.resource_of("api-destination").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let destination = events.api_destinations.get(scope, &name.to_owned()).filter(|row| row.arn == *arn);
    let Some(destination) = destination else {
        return Outcome::failed(format!("the API destination {name} does not exist"));
    };
    let mut connections = events.connections.walk(scope, None);
    let connection = connections.find(|(_, row)| row.arn.as_str() == destination.connection).map(|(_, row)| row);
    let Some(connection) = connection else { return Outcome::failed("its connection does not exist") };
    let authorization = match authorize(world, &connection).await {
        Ok(header) => header,
        Err(outcome) => return outcome,
    };
    let request = request(&destination, &connection, delivery.target.http.as_ref(), authorization, &delivery.payload);
    match world.node.http.send(request).await {
        Ok(answer) => outcome(&answer),
        Err(error) => Outcome::retry(error.to_string()),
    }
}

fn outcome(answer: &HttpAnswer) -> Outcome {
    let why = format!("the endpoint answers {}", answer.status);
    match answer.status {
        200..=299 => Outcome::Done,
        status if status >= 500 || TRANSIENT.contains(&status) => {
            let after = answer.header("retry-after").and_then(|seconds| seconds.trim().parse().ok());
            Outcome::Retry { why, after: after.map(Duration::from_secs) }
        }
        _ => Outcome::Failed { why },
    }
}

/// Returns the header that authorizes a call; for OAuth a token is fetched anew for each.
async fn authorize(world: &World, connection: &Connection) -> Result<(String, String), Outcome> {
    match &connection.authorization {
        None => Err(Outcome::failed("its connection is not authorized")),
        Some(Authorization::Basic { user, password }) => {
            Ok(("Authorization".to_owned(), format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))))
        }
        Some(Authorization::ApiKey { name, value }) => Ok((name.clone(), value.clone())),
        Some(Authorization::OAuth { client_id, client_secret, endpoint, method, headers, query, body }) => {
            let mut form =
                vec![("grant_type", "client_credentials"), ("client_id", client_id), ("client_secret", client_secret)];
            form.extend(body.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())));
            let form = form.iter().map(|(key, value)| format!("{}={}", escaped(key), escaped(value)));
            let mut given = vec![("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
            given.extend(headers.iter().map(|pair| (pair.key.clone(), pair.value.clone())));
            let request = HttpRequest {
                method: method.clone(),
                url: with_query(endpoint, query),
                headers: given,
                body: form.collect::<Vec<_>>().join("&").into_bytes(),
                wait_max: ANSWER_WAIT_MAX,
            };
            let answer = world.node.http.send(request).await.map_err(|error| Outcome::retry(error.to_string()))?;
            let token = serde_json::from_slice::<Value>(&answer.body).ok();
            let token = token.as_ref().and_then(|body| body.get("access_token")).and_then(Value::as_str);
            match token {
                Some(token) if answer.status < 300 => Ok(("Authorization".to_owned(), format!("Bearer {token}"))),
                _ => Err(Outcome::retry(format!("the authorization endpoint answers {}", answer.status))),
            }
        }
    }
}

fn request(
    destination: &ApiDestination,
    connection: &Connection,
    given: Option<&HttpTarget>,
    authorization: (String, String),
    payload: &str,
) -> HttpRequest {
    let HttpTarget { path_values, headers, query } = given.cloned().unwrap_or_default();
    let mut url = destination.endpoint.clone();
    for value in &path_values {
        url = url.replacen('*', &escaped(value), 1);
    }
    // What the connection says wins over what the target says.
    let mut all = vec![("Content-Type".to_owned(), "application/json; charset=utf-8".to_owned())];
    let mut set = |key: &str, value: &str| {
        all.retain(|(known, _)| !known.eq_ignore_ascii_case(key));
        all.push((key.to_owned(), value.to_owned()));
    };
    headers.iter().chain(&connection.headers).for_each(|pair| set(&pair.key, &pair.value));
    set(&authorization.0, &authorization.1);
    let query = query.iter().chain(&connection.query).cloned().collect::<Vec<_>>();
    HttpRequest {
        method: destination.method.clone(),
        url: with_query(&url, &query),
        headers: all,
        body: body(&connection.body, payload).into_bytes(),
        wait_max: ANSWER_WAIT_MAX,
    }
}

/// Joins the members that a connection adds to a body, if that is a JSON object.
fn body(added: &[Parameter], payload: &str) -> String {
    match serde_json::from_str(payload) {
        Ok(Value::Object(mut members)) if !added.is_empty() => {
            for pair in added {
                members.insert(pair.key.clone(), Value::from(pair.value.as_str()));
            }
            Value::Object(members).to_string()
        }
        _ => payload.to_owned(),
    }
}

fn with_query(url: &str, query: &[Parameter]) -> String {
    let mut url = url.to_owned();
    for pair in query {
        let separator = if url.contains('?') { '&' } else { '?' };
        url.push_str(&format!("{separator}{}={}", escaped(&pair.key), escaped(&pair.value)));
    }
    url
}

/// Escapes what an address may not hold.
fn escaped(text: &str) -> String {
    let each = text.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region, Timestamp};
    use state::Document;

    use super::*;

    fn pair(key: &str, value: &str) -> Parameter {
        Parameter { key: key.to_owned(), value: value.to_owned() }
    }

    fn arn(resource: &str) -> Arn {
        Arn::new("events", &Scope::new(AccountId::DEFAULT, Region::default()), resource)
    }

    #[test]
    fn a_request_bears_what_target_and_connection_say() {
        let at = Timestamp::from_millis(0);
        let destination = ApiDestination {
            name: "d".to_owned(),
            arn: arn("api-destination/d/1"),
            description: None,
            connection: String::new(),
            endpoint: "http://localhost:1/a/*/b/*".to_owned(),
            method: "PUT".to_owned(),
            rate_per_s: 1,
            created_at: at,
            modified_at: at,
        };
        let connection = Connection {
            name: "c".to_owned(),
            arn: arn("connection/c/1"),
            description: None,
            authorization: None,
            authorization_type: "BASIC".to_owned(),
            headers: vec![pair("x-a", "connection")],
            query: vec![pair("q", "a b")],
            body: vec![pair("added", "v")],
            shown: Document::new("{}"),
            secret_arn: String::new(),
            kms_key: None,
            created_at: at,
            modified_at: at,
            authorized_at: None,
        };
        let target = HttpTarget {
            path_values: vec!["x/y".to_owned(), "z".to_owned()],
            headers: vec![pair("X-A", "target"), pair("x-b", "target")],
            query: vec![pair("first", "1")],
        };
        let authorization = ("Authorization".to_owned(), "Basic x".to_owned());
        let request = request(&destination, &connection, Some(&target), authorization, "{\"a\":1}");
        assert_eq!(request.url, "http://localhost:1/a/x%2Fy/b/z?first=1&q=a%20b");
        assert_eq!(request.method, "PUT");
        let header =
            |name: &str| request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!((header("x-a"), header("x-b")), (Some("connection"), Some("target")));
        assert_eq!(header("Authorization"), Some("Basic x"));
        assert_eq!(String::from_utf8(request.body).unwrap(), "{\"a\":1,\"added\":\"v\"}");
    }

    #[test]
    fn an_answer_says_whether_to_ask_again() {
        let answer = |status, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            outcome(&HttpAnswer { status, headers, body: Vec::new() })
        };
        assert_eq!(answer(204, &[]), Outcome::Done);
        for status in [400, 403, 404, 301] {
            assert!(matches!(answer(status, &[]), Outcome::Failed { .. }), "{status}");
        }
        for status in [401, 407, 409, 429, 500, 503] {
            assert!(matches!(answer(status, &[]), Outcome::Retry { after: None, .. }), "{status}");
        }
        let told = answer(429, &[("retry-after", "7")]);
        assert!(matches!(told, Outcome::Retry { after: Some(after), .. } if after == Duration::from_secs(7)));
    }
}
