//! The resource policy of a bus. It is kept and shown; nobody is kept out by it.

use api::events as api;
use serde_json::{Value, json};
use state::events::Bus;
use state::{Cx, Document};

use crate::{Error, Result, bus, invalid, required};

/// How many bytes a policy may have, as in EventBridge.
const POLICY_BYTES_MAX: usize = 10_240;

/// Puts a statement, or a whole policy.
pub(crate) async fn put_permission(cx: &Cx, input: api::PutPermissionRequest) -> Result<()> {
    let bus = bus::find(cx, input.event_bus_name.as_deref())?;
    let statements = match input.policy {
        Some(policy) => parse(&policy)?,
        None => {
            let id = required(input.statement_id, "statementId")?;
            let principal = match required(input.principal, "principal")? {
                any if any == "*" => json!("*"),
                account => {
                    json!({ "AWS": format!("arn:{}:iam::{account}:root", cx.scope().region.partition().as_str()) })
                }
            };
            let mut statement = json!({
                "Sid": id,
                "Effect": "Allow",
                "Principal": principal,
                "Action": required(input.action, "action")?,
                "Resource": bus.arn.as_str(),
            });
            if let Some(condition) = input.condition {
                let kind = condition.r#type.unwrap_or_default();
                let key = condition.key.unwrap_or_default();
                statement["Condition"] = json!({ kind: { key: condition.value.unwrap_or_default() } });
            }
            let mut all = bus.policy.clone();
            all.retain(|(known, _)| *known != id);
            all.push((id, Document::new(statement.to_string())));
            all
        }
    };
    bus::change(cx, &bus.name, |bus| {
        bus.policy = statements;
        if view(bus).is_some_and(|policy| policy.len() > POLICY_BYTES_MAX) {
            return Err(Error::PolicyLengthExceeded("The policy is too long.".to_owned()));
        }
        Ok(())
    })?;
    Ok(())
}

/// Takes a statement away, or all.
pub(crate) async fn remove_permission(cx: &Cx, input: api::RemovePermissionRequest) -> Result<()> {
    let bus = bus::find(cx, input.event_bus_name.as_deref())?;
    if bus.policy.is_empty() {
        return Err(Error::ResourceNotFound("EventBus does not have a policy.".to_owned()));
    }
    if input.remove_all_permissions == Some(true) {
        return bus::change(cx, &bus.name, |bus| {
            bus.policy.clear();
            Ok(())
        })
        .map(drop);
    }
    let id = required(input.statement_id, "statementId")?;
    bus::change(cx, &bus.name, |bus| {
        let before = bus.policy.len();
        bus.policy.retain(|(known, _)| *known != id);
        if bus.policy.len() == before {
            return Err(Error::ResourceNotFound("Statement with the provided id does not exist.".to_owned()));
        }
        Ok(())
    })?;
    Ok(())
}

/// Shapes the policy for a response; none if there is no statement.
pub(crate) fn view(bus: &Bus) -> Option<String> {
    if bus.policy.is_empty() {
        return None;
    }
    let statements = bus.policy.iter().map(|(_, statement)| statement.as_str()).collect::<Vec<_>>().join(",");
    Some(format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{statements}]}}"))
}

fn parse(policy: &str) -> Result<Vec<(String, Document)>> {
    let malformed = || invalid("Parameter Policy is not valid. Reason: Policy is malformed.");
    let policy: Value = serde_json::from_str(policy).map_err(|_| malformed())?;
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.clone(),
        Some(statement @ Value::Object(_)) => vec![statement.clone()],
        _ => return Err(malformed()),
    };
    let named = statements.into_iter().enumerate().map(|(place, statement)| {
        let id = statement.get("Sid").and_then(Value::as_str).map_or_else(|| place.to_string(), str::to_owned);
        (id, Document::new(statement.to_string()))
    });
    Ok(named.collect())
}
