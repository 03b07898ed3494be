//! Who may use a registry: whoever has a password that GetAuthorizationToken gave.

use base::{Scope, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::AUTHORIZATION;
use state::ecr::USER;

use crate::Cx;
use crate::error::Error;
use crate::route::Route;

/// The parameter of a layer's URL that stands for the header: who follows such a URL has no header to send.
const PASSWORD_PARAMETER: &str = "X-Amz-Security-Token";

impl Cx<'_> {
    /// Refuses those who are not logged in. A password holds for the registries of all accounts: what it may be used for
    /// there is the affair of policies, which are not enforced here.
    pub(crate) fn authenticate(&self, route: &Route) -> Result<(), Error> {
        let password = self.password(route).ok_or_else(Error::unauthorized)?;
        let tokens = &self.ecr().tokens;
        if tokens.verify(&password, self.now()).is_some_and(|claims| !claims.is_public) {
            return Ok(());
        }
        let held_once = tokens.verify(&password, Timestamp::from_millis(0)).is_some_and(|claims| !claims.is_public);
        Err(if held_once { Error::expired() } else { Error::unauthorized() })
    }

    /// Returns the registry that the password was given for: the one that is meant where the host names none, but is the
    /// address that the client reached Neargate by.
    pub(crate) fn scope_of_password(&self) -> Option<Scope> {
        let password = self.password_of_header().or_else(|| self.parameter(PASSWORD_PARAMETER))?;
        self.ecr().tokens.verify(&password, self.now()).map(|claims| claims.scope)
    }

    fn password(&self, route: &Route) -> Option<String> {
        if self.header(AUTHORIZATION).is_some() {
            return self.password_of_header();
        }
        let is_layer = matches!(route, Route::Blob { .. }) && self.head.method.is_safe();
        if is_layer { self.parameter(PASSWORD_PARAMETER) } else { None }
    }

    fn password_of_header(&self) -> Option<String> {
        let header = self.header(AUTHORIZATION)?;
        let (scheme, credentials) = header.split_once(' ')?;
        let decoded = || String::from_utf8(BASE64.decode(credentials.trim()).ok()?).ok();
        let of_user = |text: &str| text.split_once(':').filter(|(user, _)| *user == USER).map(|(_, it)| it.to_owned());
        if scheme.eq_ignore_ascii_case("basic") {
            return of_user(&decoded()?);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        // The token as it was given, or the password in it alone.
        Some(decoded().and_then(|text| of_user(&text)).unwrap_or_else(|| credentials.trim().to_owned()))
    }
}
