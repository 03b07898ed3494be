//! A function of Lambda as a target: called asynchronously, where an operator has said that functions are.

use base::Arn;
use node::{HttpAnswer, HttpError};
use state::events::Delivery;

use super::delivery::Outcome;
use crate::World;
use crate::lambda::{self, Invocation};

/// What is answered where asynchronous calls cannot be made at all: asking again does not help.
const NOT_IMPLEMENTED: u16 = 501;

/// Calls the function.
pub(super) async fn deliver(world: &World, arn: &Arn, delivery: &Delivery) -> Outcome {
    let Some(endpoint) = &world.settings.lambda_endpoint else {
        return Outcome::failed("functions are called where --lambda-endpoint says, and it says nothing");
    };
    let body = lambda::payload(&delivery.payload);
    let request = lambda::request(endpoint, arn.as_str(), Invocation::Event, body);
    outcome(world.node.http.send(request).await)
}

fn outcome(answer: Result<HttpAnswer, HttpError>) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error @ HttpError::Invalid { .. }) => return Outcome::failed(error.to_string()),
        Err(error @ HttpError::Unreachable { .. }) => return Outcome::retry(error.to_string()),
    };
    let why = format!("the function's endpoint answers {}", answer.status);
    match answer.status {
        200..=299 => Outcome::Done,
        NOT_IMPLEMENTED => Outcome::failed(why),
        429 | 500..=599 => Outcome::retry(why),
        _ => Outcome::failed(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whether_to_call_again() {
        let answer = |status| outcome(Ok(HttpAnswer { status, headers: Vec::new(), body: Vec::new() }));
        for status in [200, 202, 204] {
            assert_eq!(answer(status), Outcome::Done, "{status}");
        }
        for status in [400, 403, 404, 301, 501] {
            assert!(matches!(answer(status), Outcome::Failed { .. }), "{status}");
        }
        for status in [429, 500, 503] {
            assert!(matches!(answer(status), Outcome::Retry { after: None, .. }), "{status}");
        }
        let why = || "x".to_owned();
        assert!(matches!(outcome(Err(HttpError::Unreachable { why: why() })), Outcome::Retry { .. }));
        assert!(matches!(outcome(Err(HttpError::Invalid { why: why() })), Outcome::Failed { .. }));
    }
}
