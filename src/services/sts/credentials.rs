//! Credentials in responses.

use api::sts as api;
use base::Timestamp;
use state::iam::Session;

/// Shows the credentials of a session. STS tells time in whole seconds.
pub(crate) fn view(session: &Session) -> api::Credentials {
    let expires_at_ms = session.expires_at.as_millis();
    let expiration = Timestamp::from_millis(expires_at_ms - expires_at_ms.rem_euclid(1000));
    api::Credentials {
        access_key_id: Some(session.access_key_id.clone()),
        secret_access_key: Some(session.secret_access_key.expose().to_owned()),
        session_token: Some(session.token.expose().to_owned()),
        expiration: Some(expiration.into()),
    }
}
