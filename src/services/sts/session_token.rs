//! Sessions of users and of the root.

use std::time::Duration;

use api::sts as api;
use state::Cx;

use crate::{Result, credentials, denied};

/// How long a session lasts unless the request says: 12 hours. AWS gives its root users one hour at most; here everyone
/// is the root who does not say otherwise, and is treated as a user.
const DURATION_S: u32 = 43_200;

/// Gives temporary credentials of the caller.
pub(crate) async fn get_session_token(
    cx: &Cx,
    input: api::GetSessionTokenRequest,
) -> Result<api::GetSessionTokenResponse> {
    let principal = cx.principal();
    let key = cx.caller.access_key_id.as_deref().unwrap_or_default();
    if cx.state.iam.session(key, cx.now()).is_some() {
        return Err(denied("Cannot call GetSessionToken with session credentials"));
    }
    let duration_s = input.duration_seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(DURATION_S);
    let lifetime = Duration::from_secs(u64::from(duration_s));
    let session = cx.state.iam.issue_session(cx.scope().account, principal, lifetime, cx.now(), &cx.ids);
    Ok(api::GetSessionTokenResponse { credentials: Some(credentials::view(&session)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bed, fails};

    #[test]
    fn a_session_acts_as_whoever_asked_for_it_and_gives_no_other() {
        let mut bed = Bed::new();
        let given = bed.answer(|cx| get_session_token(cx, Default::default())).unwrap();
        bed.cx.caller.access_key_id = given.credentials.unwrap().access_key_id;
        assert_eq!(bed.cx.principal().arn.as_str(), "arn:aws:iam::123456789012:root");
        let message = "Cannot call GetSessionToken with session credentials";
        fails(bed.answer(|cx| get_session_token(cx, Default::default())), "AccessDenied", 403, message);
    }
}
