//! Passwords for container tools.

use std::time::Duration;

use api::ecr as api;
use aws_smithy_types::base64;
use base::{EcrHost, EcrHostForm};
use state::Cx;
use state::ecr::{TokenClaims, USER};

use crate::{Result, lookup};

/// How long a password holds. AWS's, too.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// Gives the caller a password for the registries of an account, or of several.
pub(crate) async fn get_authorization_token(
    cx: &Cx,
    input: api::GetAuthorizationTokenRequest,
) -> Result<api::GetAuthorizationTokenResponse> {
    let scopes = match input.registry_ids {
        Some(ids) => ids.iter().map(|id| lookup::registry(cx, Some(id))).collect::<Result<Vec<_>>>()?,
        None => vec![cx.scope().clone()],
    };
    let expires_at = cx.now().plus(LIFETIME);
    let data = scopes.into_iter().map(|scope| {
        // A client that opens the address itself finds no TLS under a name of this machine, unless it was asked for.
        let host = EcrHost::for_client(&scope, cx.caller.host.as_deref());
        let scheme = if host.form == EcrHostForm::Aws { "https" } else { "http" };
        let endpoint = format!("{scheme}://{host}");
        let claims = TokenClaims { scope, principal: cx.principal().arn, is_public: false, expires_at };
        let password = cx.state.ecr.tokens.issue(&cx.ids, &claims);
        api::AuthorizationData {
            authorization_token: Some(base64::encode(format!("{USER}:{password}"))),
            expires_at: Some(expires_at.into()),
            proxy_endpoint: Some(endpoint),
        }
    });
    Ok(api::GetAuthorizationTokenResponse { authorization_data: Some(data.collect()) })
}
