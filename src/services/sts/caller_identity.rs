//! Who asks.

use api::sts as api;
use state::Cx;

use crate::Result;

/// Names the caller: a session of a role, a user, or for credentials of elsewhere the root user of the account.
pub(crate) async fn get_caller_identity(
    cx: &Cx,
    _input: api::GetCallerIdentityRequest,
) -> Result<api::GetCallerIdentityResponse> {
    let principal = cx.principal();
    Ok(api::GetCallerIdentityResponse {
        user_id: Some(principal.user_id),
        account: Some(cx.scope().account.to_string()),
        arn: Some(principal.arn.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;

    use super::*;
    use crate::testing::{Bed, answer};

    #[test]
    fn the_caller_is_the_root_user_of_its_account() {
        let identity = Bed::at("eu-west-1").answer(|cx| get_caller_identity(cx, Default::default())).unwrap();
        assert_eq!(identity.account.as_deref(), Some("123456789012"));
        assert_eq!(identity.user_id.as_deref(), Some("123456789012"));
        assert_eq!(identity.arn.as_deref(), Some("arn:aws:iam::123456789012:root"));
    }

    #[test]
    fn the_region_decides_the_partition() {
        for (region, partition) in [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")] {
            let identity = Bed::at(region).answer(|cx| get_caller_identity(cx, Default::default())).unwrap();
            assert_eq!(identity.arn.unwrap(), format!("arn:{partition}:iam::123456789012:root"));
        }
    }

    #[test]
    fn the_answer_is_in_the_query_protocol() {
        let routed = wire::Routed {
            service: wire::service_named("sts").unwrap(),
            protocol: wire::Protocol::Query,
            operation: "GetCallerIdentity".to_owned(),
        };
        let request = Request::new(Bytes::from_static(b"Action=GetCallerIdentity&Version=2011-06-15"));
        let response = answer(wire::handle(&[&crate::SERVICE], &routed, &request, &Bed::new().cx, "id-1"));
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        let result = "<GetCallerIdentityResult><UserId>123456789012</UserId><Account>123456789012</Account>\
                      <Arn>arn:aws:iam::123456789012:root</Arn></GetCallerIdentityResult>";
        assert!(body.contains(result), "{body}");
        assert!(body.contains("<RequestId>id-1</RequestId>"), "{body}");
    }
}
