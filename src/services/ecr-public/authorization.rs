//! The password for container tools.

use std::time::Duration;

use api::ecr_public as api;
use aws_smithy_types::base64;
use state::Cx;
use state::ecr::{TokenClaims, USER};

use crate::Result;

/// How long a password holds. AWS's, too.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// Gives the caller a password for public registries.
pub(crate) async fn get_authorization_token(
    cx: &Cx,
    _: api::GetAuthorizationTokenRequest,
) -> Result<api::GetAuthorizationTokenResponse> {
    let expires_at = cx.now().plus(LIFETIME);
    let (scope, principal) = (cx.scope().clone(), cx.principal().arn);
    let claims = TokenClaims { scope, principal, is_public: true, expires_at };
    let password = cx.state.ecr.tokens.issue(&cx.ids, &claims);
    let data = api::AuthorizationData {
        authorization_token: Some(base64::encode(format!("{USER}:{password}"))),
        expires_at: Some(expires_at.into()),
    };
    Ok(api::GetAuthorizationTokenResponse { authorization_data: Some(data) })
}
