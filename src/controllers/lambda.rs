//! Functions of Lambda, called where an operator has said that they are.

use std::time::Duration;

use node::{HttpAnswer, HttpError, HttpRequest};
use serde_json::Value;

/// How long it takes until a function is called again that could not be called.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(30);
/// How often in a row a function is called that cannot be called. (AWS's number is unverified.)
pub(crate) const TRIES_MAX: u32 = 3;
/// How long what a function returns may be waited for: it has 15 minutes.
pub(crate) const ANSWER_WAIT_MAX: Duration = Duration::from_mins(15);
/// How long it may take until a call is taken that waits for nothing. Lambda takes it at once, but what stands in for it may
/// run the function first.
const TAKEN_WAIT_MAX: Duration = Duration::from_secs(30);

/// What is answered where calls of this kind cannot be made at all.
const NOT_IMPLEMENTED: u16 = 501;

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// What the function returns.
    Answer,
    /// Lambda's word that it will be run.
    Event,
}

impl Invocation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "RequestResponse",
            Self::Event => "Event",
        }
    }

    fn wait_max(self) -> Duration {
        match self {
            Self::Answer => ANSWER_WAIT_MAX,
            Self::Event => TAKEN_WAIT_MAX,
        }
    }
}

/// Why there is no answer of the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotCalled {
    /// It may be there later.
    Yet(String),
    /// It cannot be called so.
    Ever(String),
}

/// Makes the call of a function, by name or ARN, at `endpoint`.
pub(crate) fn request(endpoint: &str, function: &str, invocation: Invocation, body: Vec<u8>) -> HttpRequest {
    HttpRequest {
        method: "POST".to_owned(),
        url: format!("{}/2015-03-31/functions/{}/invocations", endpoint.trim_end_matches('/'), escaped(function)),
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("x-amz-invocation-type".to_owned(), invocation.as_str().to_owned()),
        ],
        body,
        wait_max: invocation.wait_max(),
    }
}

/// Makes a payload what Lambda takes: text that is no JSON is a string of it.
pub(crate) fn payload(text: &str) -> Vec<u8> {
    match serde_json::from_str::<Value>(text) {
        Ok(_) => text.as_bytes().to_vec(),
        Err(_) => Value::from(text).to_string().into_bytes(),
    }
}

/// Says whether a function was called.
pub(crate) fn called(answer: Result<HttpAnswer, HttpError>) -> Result<HttpAnswer, NotCalled> {
    match answer {
        Ok(answer) => match answer.status {
            200..=299 => Ok(answer),
            NOT_IMPLEMENTED => Err(NotCalled::Ever(format!("the answer is HTTP {NOT_IMPLEMENTED}"))),
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
        let request = request("http://l:1/", "f", Invocation::Event, Vec::new());
        assert_eq!(request.url, "http://l:1/2015-03-31/functions/f/invocations");
        assert!(request.headers.contains(&("x-amz-invocation-type".to_owned(), "Event".to_owned())));
    }

    #[test]
    fn an_answer_says_whether_to_call_again() {
        let answer = |status| called(Ok(HttpAnswer { status, headers: Vec::new(), body: Vec::new() }));
        for status in [200, 202, 204] {
            assert!(answer(status).is_ok(), "{status}");
        }
        for status in [400, 403, 404, 301, 501] {
            assert!(matches!(answer(status), Err(NotCalled::Ever(_))), "{status}");
        }
        for status in [429, 500, 503] {
            assert!(matches!(answer(status), Err(NotCalled::Yet(_))), "{status}");
        }
        let why = || "x".to_owned();
        assert!(matches!(called(Err(HttpError::Unreachable { why: why() })), Err(NotCalled::Yet(_))));
        assert!(matches!(called(Err(HttpError::Invalid { why: why() })), Err(NotCalled::Ever(_))));
    }

    #[test]
    fn a_payload_is_json() {
        for (text, expected) in [(r#"{"a":1}"#, r#"{"a":1}"#), ("\"x\"", "\"x\""), ("plain", "\"plain\""), ("", "\"\"")]
        {
            assert_eq!(String::from_utf8(payload(text)).unwrap(), expected);
        }
    }
}
