//! Sessions of roles.

use std::time::Duration;

use api::sts as api;
use base::Arn;
use state::Cx;
use state::iam::RoleSession;

use crate::{Error, Result, credentials, denied, invalid};

/// How long a session lasts unless the request says.
const DURATION_S: u32 = 3600;
/// How long a session at most lasts that another role's session asked for.
const CHAINED_DURATION_S_MAX: u32 = 3600;
/// How long session policies may be together, in characters; AWS packs them into as many bytes.
const POLICY_LENGTH_MAX: usize = 2048;

/// Gives credentials of a role. The role must exist, in whatever account; its trust policy is not asked.
pub(crate) async fn assume_role(cx: &Cx, input: api::AssumeRoleRequest) -> Result<api::AssumeRoleResponse> {
    let (text, name) = (input.role_arn.unwrap_or_default(), input.role_session_name.unwrap_or_default());
    let role = Arn::parse(&text).filter(|arn| arn.service() == "iam" && arn.account().is_some());
    let role = role.filter(|arn| arn.resource_of("role").is_some());
    let role = role.ok_or_else(|| invalid(format!("{text} is invalid")))?;
    let packed_policy_size = packed(input.policy.as_deref())?;
    let duration_s = input.duration_seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(DURATION_S);
    let caller = cx.principal().arn;
    let record = cx.state.iam.role_of(&role).ok_or_else(|| {
        denied(format!("User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role}"))
    })?;
    if duration_s > record.max_session_duration_s {
        return Err(invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role."));
    }
    if caller.resource_of("assumed-role").is_some() && duration_s > CHAINED_DURATION_S_MAX {
        return Err(invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        ));
    }
    let lifetime = Duration::from_secs(u64::from(duration_s));
    let ask = RoleSession { role, session_name: name, lifetime };
    let session =
        cx.state.iam.issue_role_session(ask, cx.now(), &cx.ids).ok_or_else(|| invalid(format!("{text} is invalid")))?;
    Ok(api::AssumeRoleResponse {
        credentials: Some(credentials::view(&session)),
        assumed_role_user: Some(api::AssumedRoleUser {
            assumed_role_id: Some(session.principal.user_id.clone()),
            arn: Some(session.principal.arn.to_string()),
        }),
        packed_policy_size,
        source_identity: input.source_identity,
    })
}

/// Says how full a session policy makes the room for it, in percent. Nothing else is done with it.
fn packed(policy: Option<&str>) -> Result<Option<i32>> {
    let Some(policy) = policy else { return Ok(None) };
    if !policy.trim_start().starts_with('{') || !policy.trim_end().ends_with('}') {
        return Err(Error::MalformedPolicyDocument("This policy contains invalid Json".to_owned()));
    }
    let percent = (policy.len() * 100).div_ceil(POLICY_LENGTH_MAX);
    if percent > 100 {
        // Text unverified.
        let message = format!("Packed policy consumes {percent}% of allotted space, please use smaller policy.");
        return Err(Error::PackedPolicyTooLarge(message));
    }
    Ok(i32::try_from(percent).ok())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{Bed, fails};

    const ROLE: &str = "arn:aws:iam::123456789012:role/team/web";

    fn ask(duration_s: Option<i32>) -> api::AssumeRoleRequest {
        api::AssumeRoleRequest {
            role_arn: Some(ROLE.to_owned()),
            role_session_name: Some("one".to_owned()),
            duration_seconds: duration_s,
            ..Default::default()
        }
    }

    #[test]
    fn a_role_that_does_not_exist_may_not_be_assumed() {
        let bed = Bed::new();
        let message = format!(
            "User: arn:aws:iam::123456789012:root is not authorized to perform: sts:AssumeRole on resource: {ROLE}"
        );
        fails(bed.answer(|cx| assume_role(cx, ask(None))), "AccessDenied", 403, &message);
    }

    #[test]
    fn a_session_is_known_again_until_it_ends() {
        let mut bed = Bed::new();
        bed.make_role(ROLE, 7200);
        let given = bed.answer(|cx| assume_role(cx, ask(Some(7200)))).unwrap();
        let user = given.assumed_role_user.unwrap();
        assert_eq!(user.arn.as_deref(), Some("arn:aws:sts::123456789012:assumed-role/web/one"));
        assert_eq!(user.assumed_role_id.as_deref(), Some("AROAWEB:one"));
        let keys = given.credentials.unwrap();
        bed.cx.caller.access_key_id = keys.access_key_id;
        assert_eq!(bed.cx.principal().arn.as_str(), user.arn.unwrap());
        let key = bed.cx.caller.access_key_id.clone().unwrap();
        assert!(bed.cx.state.iam.session(&key, bed.cx.now()).is_some());
        bed.clock.advance(Duration::from_secs(7200));
        assert!(bed.cx.state.iam.session(&key, bed.cx.now()).is_none());
    }

    #[test]
    fn a_session_lasts_as_long_as_the_role_allows_and_an_hour_in_a_chain() {
        let mut bed = Bed::new();
        bed.make_role(ROLE, 7200);
        let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        fails(bed.answer(|cx| assume_role(cx, ask(Some(7201)))), "ValidationError", 400, message);
        let first = bed.answer(|cx| assume_role(cx, ask(None))).unwrap();
        bed.cx.caller.access_key_id = first.credentials.unwrap().access_key_id;
        let message =
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.";
        fails(bed.answer(|cx| assume_role(cx, ask(Some(3601)))), "ValidationError", 400, message);
        assert!(bed.answer(|cx| assume_role(cx, ask(Some(3600)))).is_ok());
    }

    #[test]
    fn what_is_no_role_is_invalid() {
        for arn in
            ["arn:aws:iam::123456789012:user/web", "arn:aws:s3:::role/web-and-so-on", "web-and-nothing-around-it"]
        {
            let input = api::AssumeRoleRequest { role_arn: Some(arn.to_owned()), ..ask(None) };
            let message = format!("{arn} is invalid");
            fails(Bed::new().answer(|cx| assume_role(cx, input)), "ValidationError", 400, &message);
        }
    }

    #[test]
    fn a_session_policy_is_weighed_and_otherwise_left_alone() {
        let bed = Bed::new();
        bed.make_role(ROLE, 3600);
        let with = |policy: String| api::AssumeRoleRequest { policy: Some(policy), ..ask(None) };
        let given = bed.answer(|cx| assume_role(cx, with("{}".to_owned()))).unwrap();
        assert_eq!(given.packed_policy_size, Some(1));
        let large = format!("{{{}}}", " ".repeat(2047));
        let refused = bed.answer(|cx| assume_role(cx, with(large))).unwrap_err();
        assert_eq!(wire::ApiError::from(refused).code(), "PackedPolicyTooLarge");
        let refused = bed.answer(|cx| assume_role(cx, with("x".to_owned()))).unwrap_err();
        assert_eq!(wire::ApiError::from(refused).code(), "MalformedPolicyDocument");
    }
}
