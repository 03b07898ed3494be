//! Functions that have a say in a deployment: what they are told, and what their answers mean. Pure.

use std::time::Duration;

use base::{Arn, Scope};
use node::{HttpAnswer, HttpError, HttpRequest};
use serde_json::{Map, Value, json};
use state::Document;
use state::ecs::{Hook, HookStage, HookTarget, ServiceDeployment, Shift, Traffic};

use crate::lambda::{self, Invocation, NotCalled};

/// How long it takes until a function is called again that says nothing of it: AWS's.
const CALL_BACK_DEFAULT: Duration = Duration::from_secs(30);
/// How much of an answer that is not understood is shown.
const SHOWN_CHARS_MAX: usize = 200;

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The function has nothing against it.
    Succeeded,
    /// It is against it, or says nothing that can be understood: what it did, in words.
    Failed(String),
    /// It wants to be called again.
    InProgress {
        /// In how long.
        after: Duration,
        /// What it is told then.
        details: Option<Document>,
    },
    /// It could not be called: why.
    NotCalled {
        /// In words.
        why: String,
        /// In how long it is tried again.
        after: Duration,
    },
}

/// Makes the call of a hook's function at `endpoint`; none if the hook calls none.
pub(super) fn request(
    endpoint: &str,
    scope: &Scope,
    row: &ServiceDeployment,
    shift: &Shift,
    hook: &Hook,
) -> Option<HttpRequest> {
    let HookTarget::Lambda { function, .. } = &hook.target else { return None };
    let said = event(scope, row, shift, hook).to_string().into_bytes();
    Some(lambda::request(endpoint, function, Invocation::Answer, said))
}

/// Writes the event that a function gets.
fn event(scope: &Scope, row: &ServiceDeployment, shift: &Shift, hook: &Hook) -> Value {
    let service = &row.key.service;
    let path = format!("{}/{}", service.cluster, service.name);
    let revision =
        |id: &base::ServiceRevisionId| Arn::new("ecs", scope, &format!("service-revision/{path}/{id}")).to_string();
    let weights = |traffic: Traffic| {
        let mut weights = Map::new();
        for id in std::iter::once(&row.target).chain(&shift.source) {
            weights.insert(revision(id), json!(shift.weight_of(traffic, id, &row.target).percent()));
        }
        Value::Object(weights)
    };
    let mut event = json!({
        "executionId": hook.id,
        "lifecycleStage": hook.stage.as_str(),
        "resourceArn": row.arn.to_string(),
        "executionDetails": {
            "serviceArn": Arn::new("ecs", scope, &format!("service/{path}")).to_string(),
            "targetServiceRevisionArn": revision(&row.target),
            "testTrafficWeights": weights(Traffic::Test),
            "productionTrafficWeights": weights(Traffic::Production),
        },
    });
    if let HookTarget::Lambda { details: Some(details), .. } = &hook.target
        && let Ok(details) = serde_json::from_str::<Value>(details.as_str())
    {
        event["hookDetails"] = details;
    }
    event
}

/// Says what an answer means.
pub(super) fn read(answer: Result<HttpAnswer, HttpError>) -> Answer {
    let answer = match lambda::called(answer) {
        Ok(answer) => answer,
        Err(NotCalled::Yet(why)) => return Answer::NotCalled { why, after: lambda::RETRY_AFTER },
        Err(NotCalled::Ever(why)) => return Answer::Failed(format!("could not be invoked: {why}")),
    };
    // Texts unverified but for "HookStatus must not be null".
    if let Some(error) = answer.header("x-amz-function-error") {
        return Answer::Failed(format!("returned the function error {}", shortened(error)));
    }
    let Ok(said) = serde_json::from_slice::<Value>(&answer.body) else {
        return Answer::Failed("returned invalid output: HookStatus must not be null".to_owned());
    };
    match said.get("hookStatus") {
        Some(Value::String(status)) if status == "SUCCEEDED" => Answer::Succeeded,
        Some(Value::String(status)) if status == "FAILED" => Answer::Failed("returned FAILED status".to_owned()),
        Some(Value::String(status)) if status == "IN_PROGRESS" => Answer::InProgress {
            after: said.get("callBackDelay").and_then(Value::as_u64).map_or(CALL_BACK_DEFAULT, Duration::from_secs),
            details: said
                .get("hookDetails")
                .filter(|details| !details.is_null())
                .map(|details| Document::new(details.to_string())),
        },
        Some(Value::String(status)) => {
            Answer::Failed(format!("returned invalid output: HookStatus {} is not known", shortened(status)))
        }
        _ => Answer::Failed("returned invalid output: HookStatus must not be null".to_owned()),
    }
}

/// Words why a deployment goes back because of a function. (Seen for FAILED; the rest of the others is unverified.)
pub(super) fn failed(stage: HookStage, function: &str, what: &str) -> String {
    format!(
        "Service deployment rolled back because {} lifecycle hook(s) failed. Lifecycle hook target {function} {what}.",
        stage.as_str()
    )
}

/// Words why a deployment goes back because nobody has said anything in time. (unverified)
pub(super) fn timed_out(hook: &Hook) -> String {
    let stage = hook.stage.as_str();
    match &hook.target {
        HookTarget::Pause => format!(
            "Service deployment rolled back because {stage} lifecycle hook(s) failed. PAUSE lifecycle hook timed out."
        ),
        HookTarget::Lambda { function, .. } => failed(hook.stage, function, "timed out"),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<HttpAnswer, HttpError> {
        Ok(HttpAnswer { status, headers: Vec::new(), body: body.as_bytes().to_vec() })
    }

    #[test]
    fn an_answer_means_what_its_hook_status_says() {
        let failed = |what: &str| Answer::Failed(what.to_owned());
        let null = || failed("returned invalid output: HookStatus must not be null");
        let again = |after_s, details: Option<&str>| Answer::InProgress {
            after: Duration::from_secs(after_s),
            details: details.map(Document::new),
        };
        let not_called = |why: &str| Answer::NotCalled { why: why.to_owned(), after: Duration::from_secs(30) };
        let rows = [
            (answer(200, r#"{"hookStatus":"SUCCEEDED"}"#), Answer::Succeeded),
            (answer(202, r#"{"hookStatus":"SUCCEEDED","x":1}"#), Answer::Succeeded),
            (answer(200, r#"{"hookStatus":"FAILED"}"#), failed("returned FAILED status")),
            (answer(200, r#"{"hookStatus":"IN_PROGRESS"}"#), again(30, None)),
            (answer(200, r#"{"hookStatus":"IN_PROGRESS","callBackDelay":5}"#), again(5, None)),
            (answer(200, r#"{"hookStatus":"IN_PROGRESS","callBackDelay":-5}"#), again(30, None)),
            (answer(200, r#"{"hookStatus":"IN_PROGRESS","hookDetails":{"n":1}}"#), again(30, Some(r#"{"n":1}"#))),
            (answer(200, r#"{"hookStatus":"IN_PROGRESS","hookDetails":null}"#), again(30, None)),
            (answer(200, r#"{"hookStatus":"DONE"}"#), failed("returned invalid output: HookStatus DONE is not known")),
            (answer(200, r#"{"hookStatus":null}"#), null()),
            (answer(200, "null"), null()),
            (answer(200, ""), null()),
            (answer(200, "<html>"), null()),
            (answer(404, "{}"), failed("could not be invoked: the answer is HTTP 404")),
            (answer(301, "{}"), failed("could not be invoked: the answer is HTTP 301")),
            (answer(429, "{}"), not_called("the answer is HTTP 429")),
            (answer(503, "{}"), not_called("the answer is HTTP 503")),
            (Err(HttpError::Unreachable { why: "refused".to_owned() }), not_called("no answer: refused")),
            (
                Err(HttpError::Invalid { why: "no host".to_owned() }),
                failed("could not be invoked: cannot ask so: no host"),
            ),
        ];
        for (said, expected) in rows {
            assert_eq!(read(said.clone()), expected, "{said:?}");
        }
    }

    #[test]
    fn a_function_that_fails_itself_is_against_it() {
        let headers = vec![("x-amz-function-error".to_owned(), "Unhandled".to_owned())];
        let said = HttpAnswer { status: 200, headers, body: br#"{"hookStatus":"SUCCEEDED"}"#.to_vec() };
        assert_eq!(read(Ok(said)), Answer::Failed("returned the function error Unhandled".to_owned()));
    }
}
