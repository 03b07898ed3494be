//! Who asks.

use api::sts as api;
use base::Arn;
use state::Cx;

/// Names the caller: here everyone is the root user of the account that the access key names.
pub(crate) async fn get_caller_identity(
    cx: &Cx,
    _input: api::GetCallerIdentityRequest,
) -> Result<api::GetCallerIdentityResponse, api::Error> {
    let account = cx.scope().account.to_string();
    // The root user's id is that of its account.
    Ok(api::GetCallerIdentityResponse {
        user_id: Some(account.clone()),
        arn: Some(Arn::global("iam", cx.scope(), "root").to_string()),
        account: Some(account),
    })
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use base::{AccountId, Caller, Ids, ManualClock, Region, Scope, SequentialEntropy, Timestamp};
    use bytes::Bytes;
    use http::Request;

    use super::*;

    fn cx(account: &str, region: &str) -> Cx {
        Cx {
            state: state::State::in_memory(),
            clock: Arc::new(ManualClock::new(Timestamp::from_millis(0))),
            ids: Ids::new(Arc::new(SequentialEntropy::default())),
            caller: Caller {
                scope: Scope::new(AccountId::parse(account).unwrap(), Region::parse(region).unwrap()),
                access_key_id: None,
                request_id: "id-1".to_owned(),
            },
        }
    }

    fn answer<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("a handler waits for nothing"),
        }
    }

    #[test]
    fn the_caller_is_the_root_user_of_its_account() {
        let identity = answer(get_caller_identity(&cx("123456789012", "eu-west-1"), Default::default())).unwrap();
        assert_eq!(identity.account.as_deref(), Some("123456789012"));
        assert_eq!(identity.user_id.as_deref(), Some("123456789012"));
        assert_eq!(identity.arn.as_deref(), Some("arn:aws:iam::123456789012:root"));
    }

    #[test]
    fn the_region_decides_the_partition() {
        for (region, partition) in [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")] {
            let identity = answer(get_caller_identity(&cx("000000000000", region), Default::default())).unwrap();
            assert_eq!(identity.arn.unwrap(), format!("arn:{partition}:iam::000000000000:root"));
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
        let cx = cx("123456789012", "us-east-1");
        let response = answer(wire::handle(&[&crate::SERVICE], &routed, &request, &cx, "id-1"));
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        let result = "<GetCallerIdentityResult><UserId>123456789012</UserId><Account>123456789012</Account>\
                      <Arn>arn:aws:iam::123456789012:root</Arn></GetCallerIdentityResult>";
        assert!(body.contains(result), "{body}");
        assert!(body.contains("<RequestId>id-1</RequestId>"), "{body}");
    }
}
