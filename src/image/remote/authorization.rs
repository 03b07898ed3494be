//! How this machine proves to a registry who asks.

use std::error::Error;
use std::ffi::OsStr;

use base::Timestamp;
use node::RegistryCredentials;
use node::RegistryFault;
use reqwest::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Response, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::docker_config::{Helper, Noted};
use super::login::Login;
use super::{
    AUTHORIZATIONS_MAX, Failed, Inner, Wanted, beginning, credential_helper, docker_config, fault, retry, shown,
};
use crate::origin::Asked;

/// How long a token lasts that does not say so, in seconds: the protocol's own default.
const TOKEN_SECONDS_DEFAULT: u64 = 60;
/// How long before its end a token is no longer used, in seconds.
const TOKEN_SECONDS_SPARE: u64 = 10;
/// What this program calls itself where tokens are given.
const CLIENT_ID: &str = "neargate";
const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// Whose authorization for what.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    registry: String,
    repository: String,
    user: Option<Login>,
}

/// What goes with a request.
#[derive(Clone)]
pub(super) enum Authorization {
    Basic(RegistryCredentials),
    Bearer { token: String, until: Timestamp },
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    expires_in: Option<u64>,
}

impl Inner {
    pub(super) async fn owner(&self, asked: &Asked) -> Owner {
        let registry = asked.reference.registry().to_owned();
        let user = match &asked.credentials {
            Some(user) => Some(Login::Password(user.clone())),
            None => asked.login.get(self.noted_login(&registry)).await,
        };
        Owner { registry, repository: asked.reference.repository().to_owned(), user }
    }

    /// Finds whom docker's file, or a program that it names, has for the registry.
    async fn noted_login(&self, registry: &str) -> Option<Login> {
        let (path, of) = (self.users.clone()?, registry.to_owned());
        let read = tokio::task::spawn_blocking(move || docker_config::read(&path, &of)).await;
        // Only a panic, which was told where it was, or the end of the runtime.
        let Noted { helper, login } = read.unwrap_or_default();
        let Some(Helper { program, server }) = helper else { return login };
        let _place = self.helpers.acquire().await.expect("it is never closed");
        match credential_helper::ask(OsStr::new(&program), &server).await {
            Ok(told) => told.or(login),
            Err(error) => {
                tracing::warn!(
                    program,
                    registry,
                    error = &error as &dyn Error,
                    "no user is known from the credential helper"
                );
                login
            }
        }
    }

    /// Returns what the registry was content with before, as long as it lasts.
    pub(super) fn authorization(&self, owner: &Owner) -> Option<Authorization> {
        let known = self.lock().get(owner).cloned();
        known.filter(|known| match known {
            Authorization::Basic(_) => true,
            Authorization::Bearer { until, .. } => *until > self.clock.now(),
        })
    }

    pub(super) fn forget(&self, owner: &Owner) {
        self.lock().remove(owner);
    }

    /// Gets what the registry says in `refusal` that it wants.
    pub(super) async fn authorize(
        &self,
        wanted: &Wanted<'_>,
        owner: &Owner,
        refusal: &Response,
    ) -> Result<Authorization, Failed> {
        let headers = refusal.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenges = headers.filter_map(|header| Challenge::parse(header.to_str().ok()?));
        // A registry that takes both is given a token, which is for this repository alone.
        let challenge = challenges.max_by_key(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        let authorization = match (challenge, &owner.user) {
            (Some(Challenge::Bearer { realm, service, scope }), user) => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", owner.repository));
                self.token(wanted, &realm, service.as_deref(), &scope, user.as_ref()).await?
            }
            (Some(Challenge::Basic), Some(Login::Password(user))) => Authorization::Basic(user.clone()),
            (Some(Challenge::Basic), Some(Login::IdentityToken(_)) | None) => {
                return Err(Failed::finally(RegistryFault::NoCredentials { registry: owner.registry.clone() }));
            }
            (None, _) => {
                let (registry, message) = (owner.registry.clone(), shown(refusal.status()));
                return Err(Failed::finally(RegistryFault::Denied { registry, message }));
            }
        };
        let mut all = self.lock();
        if all.len() >= AUTHORIZATIONS_MAX {
            all.clear();
        }
        all.insert(owner.clone(), authorization.clone());
        Ok(authorization)
    }

    pub(super) async fn token(
        &self,
        wanted: &Wanted<'_>,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        user: Option<&Login>,
    ) -> Result<Authorization, Failed> {
        let broken = |what: &str| Failed::finally(RegistryFault::Broken(format!("{realm}: {what}")));
        let mut url = Url::parse(realm).map_err(|_| broken("no URL"))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        if url.scheme() != "https" && !super::is_near(&host) {
            return Err(broken("a password goes over no connection without TLS"));
        }
        // Else anybody's registry could have this machine send requests to itself, this server's API among them.
        if super::leads_here(&host) && !super::is_near(wanted.asked.reference.registry()) {
            return Err(broken("a registry elsewhere has its tokens given on this machine"));
        }
        let client = if super::is_near(&host) { &self.near } else { &self.far };
        let pairs = service.map(|service| ("service", service)).into_iter().chain([("scope", scope)]);
        let (method, request) = match user {
            Some(Login::IdentityToken(token)) => {
                let grant = [("grant_type", "refresh_token"), ("client_id", CLIENT_ID), ("refresh_token", token)];
                let mut form = Url::parse("form:").expect("it is a URL");
                form.query_pairs_mut().extend_pairs(pairs.chain(grant));
                let form = form.query().unwrap_or_default().to_owned();
                ("Post", client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form))
            }
            Some(Login::Password(user)) => {
                url.query_pairs_mut().extend_pairs(pairs);
                ("Get", client.get(url).basic_auth(&user.username, Some(&user.password)))
            }
            None => {
                url.query_pairs_mut().extend_pairs(pairs);
                ("Get", client.get(url))
            }
        };
        let unreachable = |error: &reqwest::Error| {
            let why = fault::network_fault(error, &host);
            Failed::for_now(RegistryFault::Unreachable { method, url: realm.to_owned(), why })
        };
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        if !status.is_success() {
            let retry_after = retry::asked_for(response.headers());
            let message = fault::message(&beginning(response).await).unwrap_or_else(|| shown(status));
            let registry = wanted.asked.reference.registry().to_owned();
            let fault = match retry::is_transient(status.as_u16()) {
                true => RegistryFault::Status {
                    method,
                    url: realm.to_owned(),
                    status: shown(status),
                    message: Some(message),
                },
                false => RegistryFault::Denied { registry, message },
            };
            let is_transient = retry::is_transient(status.as_u16());
            return Err(Failed { fault, status: None, is_transient, retry_after });
        }
        let body = bounded(response).await.map_err(|error| unreachable(&error))?;
        let token = serde_json::from_slice::<Token>(&body).map_err(|_| broken("the answer is no token"))?;
        let seconds = token.expires_in.unwrap_or(TOKEN_SECONDS_DEFAULT).saturating_sub(TOKEN_SECONDS_SPARE);
        let until = self.clock.now().plus(std::time::Duration::from_secs(seconds));
        let token = if token.token.is_empty() { token.access_token } else { token.token };
        Ok(Authorization::Bearer { token, until })
    }
}

async fn bounded(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        body.extend_from_slice(&piece);
        if body.len() > TOKEN_BYTES_MAX {
            break;
        }
    }
    Ok(body)
}
