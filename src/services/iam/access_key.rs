//! Access keys of users. The gateway knows them again: their requests are their user's.

use api::iam as api;
use state::Cx;
use state::iam::AccessKey;

use crate::entity::{date, quota_exceeded, validation_error};
use crate::page::Paging;
use crate::user::{find, name_of_caller};
use crate::{Error, Result};

/// How many access keys a user has at most: AWS's quota.
const ACCESS_KEYS_MAX: usize = 2;

/// Makes an access key of a user. Its secret is shown this once.
pub(crate) async fn create_access_key(
    cx: &Cx,
    input: api::CreateAccessKeyRequest,
) -> Result<api::CreateAccessKeyResponse> {
    let name = user_name(cx, input.user_name)?;
    let key = cx.state.iam.exclusively(|| {
        let user = find(cx, &name)?;
        if cx.state.iam.access_keys_of(cx.scope(), &name).count() >= ACCESS_KEYS_MAX {
            return Err(quota_exceeded("AccessKeysPerUser", ACCESS_KEYS_MAX));
        }
        Ok(cx.state.iam.make_access_key(cx.scope(), &user, cx.now(), &cx.ids))
    })?;
    let access_key = api::AccessKey {
        user_name: Some(key.user.clone()),
        access_key_id: Some(key.id.clone()),
        status: Some(api::StatusType::Active),
        secret_access_key: Some(key.secret.expose().to_owned()),
        create_date: Some(date(key.created_at)),
    };
    Ok(api::CreateAccessKeyResponse { access_key: Some(access_key) })
}

/// Lists the access keys of a user.
pub(crate) async fn list_access_keys(
    cx: &Cx,
    input: api::ListAccessKeysRequest,
) -> Result<api::ListAccessKeysResponse> {
    let name = user_name(cx, input.user_name)?;
    find(cx, &name)?;
    let keys = cx.state.iam.access_keys_of(cx.scope(), &name).map(|key| view(&key)).collect();
    let page = Paging { marker: input.marker, max_items: input.max_items }.cut_list("ListAccessKeys", keys)?;
    Ok(api::ListAccessKeysResponse {
        access_key_metadata: Some(page.items),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

/// Deletes an access key: from now on it is as any that was not made here.
pub(crate) async fn delete_access_key(cx: &Cx, input: api::DeleteAccessKeyRequest) -> Result<()> {
    let (name, id) = (user_name(cx, input.user_name)?, input.access_key_id.unwrap_or_default());
    find(cx, &name)?;
    if !cx.state.iam.remove_access_key(cx.scope(), &name, &id) {
        return Err(Error::NoSuchEntity(format!("The Access Key with id {id} cannot be found.")));
    }
    Ok(())
}

fn user_name(cx: &Cx, name: Option<String>) -> Result<String> {
    let name = name.or_else(|| name_of_caller(cx));
    name.ok_or_else(|| validation_error("Must specify userName when calling with non-User credentials"))
}

fn view(key: &AccessKey) -> api::AccessKeyMetadata {
    api::AccessKeyMetadata {
        user_name: Some(key.user.clone()),
        access_key_id: Some(key.id.clone()),
        status: Some(api::StatusType::Active),
        create_date: Some(date(key.created_at)),
    }
}
