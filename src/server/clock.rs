//! What `/_neargate/clock` answers: how late it is, and letting time pass on a manual clock.

use std::collections::BTreeMap;
use std::time::Duration;

use base::Timestamp;
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::manual_time::TimeError;
use crate::{Emulator, admin};

/// The largest body.
const BODY_BYTES_MAX: usize = 4 * 1024;
/// How much time may pass at once: a year.
const PASS_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// What is said to whoever wants more.
const TOO_FAR: &str = "no more than a year may pass at once";
/// What a body may be, for whoever sent something else.
const USAGE: &str = r#"send {"seconds": 1800}, {"duration": "1h30m"} or {"to": "2026-01-01T12:00:00Z"}"#;

/// How far time is to pass.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wanted {
    By(Duration),
    Until(Timestamp),
}

/// Says how late it is, and who waits.
pub(crate) fn show(emulator: &Emulator) -> Value {
    let now = emulator.now();
    let statuses = emulator.controllers().driver().statuses();
    let waiting = statuses.iter().filter(|status| status.waiting > 0);
    json!({
        "clock": if emulator.manual_time().is_some() { "manual" } else { "system" },
        "now": now.to_rfc3339(),
        "next": emulator.manual_time().and_then(|time| time.next()).map(Timestamp::to_rfc3339),
        "waiting": waiting.map(|status| (status.reconciler, status.waiting)).collect::<BTreeMap<_, _>>(),
    })
}

/// Answers a request to let time pass.
pub(crate) async fn advance(emulator: &Emulator, body: Incoming, pause_max: Duration) -> (StatusCode, Value) {
    let refused = |status: StatusCode, message: String| (status, json!({ "message": message }));
    let body = match admin::receive(body, BODY_BYTES_MAX, pause_max).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let wanted = match read(&body) {
        Ok(wanted) => wanted,
        Err(why) => return refused(StatusCode::BAD_REQUEST, format!("{why}; {USAGE}")),
    };
    let Some(time) = emulator.manual_time() else {
        let message =
            "the clock is the machine's; start the server with: neargate serve --node simulated --clock manual";
        return refused(StatusCode::CONFLICT, message.to_owned());
    };
    let passed = match wanted {
        Wanted::Until(to) if to.since(time.now()) > PASS_MAX => {
            return refused(StatusCode::BAD_REQUEST, format!("{TOO_FAR}; {USAGE}"));
        }
        Wanted::By(by) => time.pass(by, emulator.controllers()).await,
        Wanted::Until(to) => time.pass_until(to, emulator.controllers()).await,
    };
    match passed {
        Ok(()) => (StatusCode::OK, show(emulator)),
        Err(error) => {
            let status = match error {
                TimeError::Past { .. } => StatusCode::BAD_REQUEST,
                TimeError::Restless { .. } | TimeError::Late { .. } => StatusCode::GATEWAY_TIMEOUT,
                TimeError::Unkept { .. } => StatusCode::INSUFFICIENT_STORAGE,
            };
            refused(status, error.to_string())
        }
    }
}

/// Reads how far time is to pass.
fn read(body: &[u8]) -> Result<Wanted, String> {
    let body = serde_json::from_slice::<Value>(body).map_err(|error| format!("the body is no JSON: {error}"))?;
    let Value::Object(members) = body else { return Err("the body is no JSON object".to_owned()) };
    let mut members = members.into_iter();
    let (Some((name, value)), None) = (members.next(), members.next()) else {
        return Err("the body has not one member".to_owned());
    };
    let by = match (name.as_str(), &value) {
        ("seconds", Value::Number(seconds)) => {
            let by = seconds.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            by.ok_or("`seconds` is below zero or too large")?
        }
        ("duration", Value::String(text)) => {
            duration(text).ok_or_else(|| format!("`{text}` is no duration such as 90s, 30m, 1h30m or 2d"))?
        }
        ("to", Value::String(text)) => {
            let to = Timestamp::from_rfc3339(text);
            return to.map(Wanted::Until).ok_or_else(|| format!("`{text}` is no date and time with an offset"));
        }
        ("seconds", _) => return Err("`seconds` is no number".to_owned()),
        ("duration" | "to", _) => return Err(format!("`{name}` is no text")),
        _ => return Err(format!("there is no member `{name}`")),
    };
    if by > PASS_MAX { Err(TOO_FAR.to_owned()) } else { Ok(Wanted::By(by)) }
}

/// Reads a duration: whole numbers with units, the larger before the smaller in any sensible script.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum_ms = 0_u64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_lowercase()).len();
        let (unit, after) = after.split_at(letters);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        sum_ms = sum_ms.checked_add(number.parse::<u64>().ok()?.checked_mul(unit_ms)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(sum_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_how_far_and_anything_else_is_refused() {
        let by = |seconds| Ok(Wanted::By(Duration::from_secs(seconds)));
        for (body, expected) in [
            (r#"{"seconds":1800}"#, by(1_800)),
            (r#"{"seconds":0}"#, by(0)),
            (r#"{"duration":"30m"}"#, by(1_800)),
            (r#"{"duration":"1d1h1m1s"}"#, by(90_061)),
            (r#"{"seconds":0.25}"#, Ok(Wanted::By(Duration::from_millis(250)))),
            (r#"{"duration":"250ms"}"#, Ok(Wanted::By(Duration::from_millis(250)))),
            (r#"{"to":"1970-01-01T00:00:01Z"}"#, Ok(Wanted::Until(Timestamp::from_millis(1_000)))),
            ("{}", Err("the body has not one member")),
            (r#"{"seconds":1,"to":"x"}"#, Err("the body has not one member")),
            (r#"{"minutes":1}"#, Err("there is no member `minutes`")),
            (r#"{"seconds":"1"}"#, Err("`seconds` is no number")),
            (r#"{"seconds":-1}"#, Err("`seconds` is below zero or too large")),
            (r#"{"seconds":1e300}"#, Err("`seconds` is below zero or too large")),
            (r#"{"seconds":31622401}"#, Err("no more than a year may pass at once")),
            (r#"{"duration":5}"#, Err("`duration` is no text")),
            (r#"{"duration":""}"#, Err("`` is no duration such as 90s, 30m, 1h30m or 2d")),
            (r#"{"duration":"30"}"#, Err("`30` is no duration such as 90s, 30m, 1h30m or 2d")),
            (r#"{"duration":"m"}"#, Err("`m` is no duration such as 90s, 30m, 1h30m or 2d")),
            (r#"{"to":"noon"}"#, Err("`noon` is no date and time with an offset")),
            ("[]", Err("the body is no JSON object")),
        ] {
            assert_eq!(read(body.as_bytes()), expected.map_err(ToOwned::to_owned), "{body}");
        }
        assert!(read(b"").unwrap_err().starts_with("the body is no JSON: "));
    }
}
