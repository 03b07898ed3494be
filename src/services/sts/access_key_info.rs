//! Whose account an access key is of.

use api::sts as api;
use state::Cx;
use state::iam::account_in;

use crate::{Result, invalid};

/// Names the account of an access key, which stands in the key itself; whether the key works does not matter.
pub(crate) async fn get_access_key_info(
    _cx: &Cx,
    input: api::GetAccessKeyInfoRequest,
) -> Result<api::GetAccessKeyInfoResponse> {
    let account = account_in(&input.access_key_id.unwrap_or_default());
    // Text unverified.
    let account = account.ok_or_else(|| invalid("The specified value for AccessKeyId is invalid."))?;
    Ok(api::GetAccessKeyInfoResponse { account: Some(account.to_string()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bed, fails};

    #[test]
    fn a_key_names_its_account() {
        let ask = |key: &str| api::GetAccessKeyInfoRequest { access_key_id: Some(key.to_owned()) };
        let bed = Bed::new();
        let info = bed.answer(|cx| get_access_key_info(cx, ask("ASIAQNZGKIQY56JQ7WML"))).unwrap();
        assert_eq!(info.account.as_deref(), Some("029608264753"));
        let refused = bed.answer(|cx| get_access_key_info(cx, ask("AKIA000000000000")));
        fails(refused, "ValidationError", 400, "The specified value for AccessKeyId is invalid.");
    }
}
