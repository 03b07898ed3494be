//! Functions of Lambda, called where an operator has said that they are.

use std::time::Duration;

use node::HttpRequest;
use serde_json::Value;

/// How long what a function returns may be waited for: it has 15 minutes.
const ANSWER_WAIT_MAX: Duration = Duration::from_mins(15);
/// How long it may take until a call is taken that waits for nothing. Lambda takes it at once, but what stands in for it may
/// run the function first.
const TAKEN_WAIT_MAX: Duration = Duration::from_secs(30);

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
    fn a_payload_is_json() {
        for (text, expected) in [(r#"{"a":1}"#, r#"{"a":1}"#), ("\"x\"", "\"x\""), ("plain", "\"plain\""), ("", "\"\"")]
        {
            assert_eq!(String::from_utf8(payload(text)).unwrap(), expected);
        }
    }
}
