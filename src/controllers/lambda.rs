//! How functions of Lambda are called: at an endpoint that the user names, by Lambda's own Invoke.

use std::time::Duration;

use node::{HttpAnswer, HttpError, HttpRequest};
use serde_json::Value;

/// How long it takes until a function is called again that could not be called.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(30);
/// How often in a row a function is called that cannot be called. (AWS's number is unverified.)
pub(crate) const TRIES_MAX: u32 = 3;
/// How long a call may take: a function of Lambda has 15 minutes.
const CALL_WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// Whether the function's answer is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// It is.
    RequestResponse,
    /// That it will be called is enough.
    Event,
}

/// Why there is no answer of the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotCalled {
    /// It may be there later.
    Yet(String),
    /// It cannot be called so.
    Ever(String),
}

/// Makes the call of a function at `endpoint`.
pub(crate) fn request(endpoint: &str, function: &str, invocation: Invocation, event: &Value) -> HttpRequest {
    let url = format!("{}/2015-03-31/functions/{}/invocations", endpoint.trim_end_matches('/'), escaped(function));
    let invocation = match invocation {
        Invocation::RequestResponse => "RequestResponse",
        Invocation::Event => "Event",
    };
    HttpRequest {
        method: "POST".to_owned(),
        url,
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("x-amz-invocation-type".to_owned(), invocation.to_owned()),
        ],
        body: event.to_string().into_bytes(),
        wait_max: CALL_WAIT_MAX,
    }
}

/// Says whether a function was called.
pub(crate) fn called(answer: Result<HttpAnswer, HttpError>) -> Result<HttpAnswer, NotCalled> {
    match answer {
        Ok(answer) => match answer.status {
            200..=299 => Ok(answer),
            429 | 500..=599 => Err(NotCalled::Yet(format!("the answer is HTTP {}", answer.status))),
            status => Err(NotCalled::Ever(format!("the answer is HTTP {status}"))),
        },
        Err(error @ HttpError::Invalid { .. }) => Err(NotCalled::Ever(error.to_string())),
        Err(error @ HttpError::Unreachable { .. }) => Err(NotCalled::Yet(error.to_string())),
    }
}

/// Writes a function's name or ARN as part of a path.
fn escaped(function: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'$');
    function
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_a_part_of_the_path() {
        assert_eq!(
            escaped("arn:aws:lambda:us-east-1:1:function:f"),
            "arn%3Aaws%3Alambda%3Aus-east-1%3A1%3Afunction%3Af"
        );
        assert_eq!(escaped("my-function_1"), "my-function_1");
    }
}
