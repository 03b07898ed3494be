//! Caches of other registries: what a rule of a pull-through cache is for is fetched when it is first asked for, and kept
//! as an image of this registry.
//!
//! An index is kept with what of it was asked for: each image below it is fetched when somebody wants it. (ECR fetches all
//! of them, which on one machine would be disk and time for other machines' images.)

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use base::{Arn, Clock, Ids, Scope, Timestamp};
use serde::Deserialize;
use state::State;
use state::ecr::{Descriptor, Digest, Ecr, MadeFor, PullThroughCacheRule, Push, Reference, UploadSender};
use state::secretsmanager::Value;
use tokio::sync::Semaphore;

/// How long a tag is taken for what it was, before the other registry is asked again. As in ECR.
const FRESH_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How many images are fetched at once.
const FETCHES_MAX: usize = 4;
/// The tags of which it is remembered when they were asked for.
const LOOKS_MAX: usize = 4096;
/// The largest layer; AWS's limit.
const LAYER_BYTES_MAX: u64 = 52_000 * 1024 * 1024;
const COPY_BYTES: usize = 256 * 1024;
/// What stands for no prefix in a rule.
const ROOT: &str = "ROOT";

/// A repository of another registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The registry's host name.
    pub registry: String,
    /// The repository there.
    pub repository: String,
    /// Who asks, if the rule says so.
    pub user: Option<UpstreamUser>,
}

/// A user of another registry.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamUser {
    /// The user.
    pub name: String,
    /// The user's password or token.
    pub password: String,
}

impl fmt::Debug for UpstreamUser {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamUser").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why another registry does not give what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// It has no such image.
    #[error("the other registry has no such image")]
    NotFound,
    /// It cannot be asked, or does not answer as it should.
    #[error("{0}")]
    Failed(String),
}

/// The other registries, as far as this machine reaches them.
#[async_trait]
pub trait Upstreams: Send + Sync {
    /// Finds the digest that a tag stands for. None if it can only be told with the manifest.
    async fn resolve(&self, of: &Upstream, tag: &str) -> Result<Option<Digest>, UpstreamError>;

    /// Fetches a manifest.
    async fn manifest(&self, of: &Upstream, reference: &Reference) -> Result<Vec<u8>, UpstreamError>;

    /// Opens a layer, or a configuration. It is read where blocking is allowed.
    async fn layer(&self, of: &Upstream, layer: &Descriptor) -> Result<Box<dyn Read + Send>, UpstreamError>;
}

/// Why an image that a rule is for is not here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NotCached {
    why: String,
}

impl NotCached {
    fn because(what: &str, error: impl fmt::Display) -> Self {
        Self { why: format!("{what}: {error}") }
    }
}

/// What is fetched, and for whom.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Wanted {
    scope: Scope,
    repository: String,
    reference: Reference,
}

/// The caches of all registries.
pub struct PullThrough {
    state: Arc<State>,
    clock: Arc<dyn Clock>,
    ids: Ids,
    upstreams: Arc<dyn Upstreams>,
    places: Semaphore,
    /// What is being fetched: of several who want the same, one fetches.
    running: Mutex<HashMap<Wanted, Weak<tokio::sync::Mutex<()>>>>,
    /// When the other registries were last asked for tags that are here.
    looked_at: Mutex<HashMap<Wanted, Timestamp>>,
}

impl fmt::Debug for PullThrough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullThrough").finish_non_exhaustive()
    }
}

impl PullThrough {
    /// Makes the caches of a state's registries.
    pub fn new(state: Arc<State>, clock: Arc<dyn Clock>, ids: Ids, upstreams: Arc<dyn Upstreams>) -> Arc<Self> {
        let places = Semaphore::new(FETCHES_MAX);
        let (running, looked_at) = (Mutex::default(), Mutex::default());
        Arc::new(Self { state, clock, ids, upstreams, places, running, looked_at })
    }

    /// Sees to it that an image is here, and as it is in the other registry, if a rule is for it. An image that is here
    /// serves where the other registry cannot be asked.
    ///
    /// # Errors
    ///
    /// A rule is for the image, it is not here, and it cannot be had. That the other registry has none is no error.
    pub async fn refresh(
        self: &Arc<Self>,
        scope: &Scope,
        repository: &str,
        reference: &Reference,
    ) -> Result<(), NotCached> {
        let (repository, reference) = (repository.to_owned(), reference.clone());
        let wanted = Wanted { scope: scope.clone(), repository, reference };
        if !self.is_due(&wanted) {
            return Ok(());
        }
        let Some(rule) = self.rule_for(scope, &wanted.repository) else { return Ok(()) };
        let (this, of) = (Arc::clone(self), wanted.clone());
        // It goes on if whoever asked goes away: they will ask again.
        let fetched = tokio::spawn(async move { this.fetch_alone(&of, &rule).await }).await;
        let fetched = fetched.unwrap_or_else(|error| Err(NotCached::because("fetching panicked", error)));
        match fetched {
            Err(error) if self.is_here(&wanted) => {
                tracing::warn!(repository = wanted.repository, %error, "the image that is cached serves");
                Ok(())
            }
            fetched => fetched,
        }
    }

    fn is_here(&self, wanted: &Wanted) -> bool {
        self.state.ecr.image(&wanted.scope, &wanted.repository, &wanted.reference).is_some()
    }

    fn is_due(&self, wanted: &Wanted) -> bool {
        if !self.is_here(wanted) {
            return true;
        }
        match wanted.reference {
            Reference::Digest(_) => false,
            Reference::Tag(_) => {
                let looked_at = lock(&self.looked_at).get(wanted).copied();
                looked_at.is_none_or(|at| at.plus(FRESH_FOR) <= self.clock.now())
            }
        }
    }

    /// Finds the rule with the longest prefix of a repository's name, and what it makes of the name.
    fn rule_for(&self, scope: &Scope, name: &str) -> Option<(Arc<PullThroughCacheRule>, String)> {
        let rules = self.state.ecr.pull_through_cache_rules.walk(scope, None).map(|(_, rule)| rule);
        let fitting = rules.filter_map(|rule| Some((upstream_repository(&rule, name)?, rule)));
        let longest = |(_, rule): &(String, Arc<PullThroughCacheRule>)| match rule.prefix.as_str() {
            ROOT => 0,
            prefix => prefix.len(),
        };
        fitting.max_by_key(longest).map(|(repository, rule)| (rule, repository))
    }

    async fn fetch_alone(&self, wanted: &Wanted, rule: &(Arc<PullThroughCacheRule>, String)) -> Result<(), NotCached> {
        let turn = self.turn(wanted);
        let _alone = turn.lock().await;
        if !self.is_due(wanted) {
            return Ok(());
        }
        let _place = self.places.acquire().await.expect("it is never closed");
        let (rule, repository) = rule;
        let upstream = Upstream {
            registry: rule.upstream_url.clone(),
            repository: repository.clone(),
            user: self.user(&wanted.scope, rule)?,
        };
        self.fetch(wanted, &upstream).await
    }

    fn turn(&self, wanted: &Wanted) -> Arc<tokio::sync::Mutex<()>> {
        let mut running = lock(&self.running);
        if let Some(turn) = running.get(wanted).and_then(Weak::upgrade) {
            return turn;
        }
        running.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        running.insert(wanted.clone(), Arc::downgrade(&turn));
        turn
    }

    /// Reads the secret that a rule logs in with.
    fn user(&self, scope: &Scope, rule: &PullThroughCacheRule) -> Result<Option<UpstreamUser>, NotCached> {
        /// What AWS wants such a secret to be.
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Login {
            username: String,
            access_token: String,
        }
        let Some(arn) = &rule.credential_arn else { return Ok(None) };
        let unusable = || NotCached { why: format!("the secret {arn} has no user and no access token") };
        let named = Arn::parse(arn).and_then(|arn| Some(Scope::new(arn.account()?, arn.region()?)));
        let secrets = &self.state.secretsmanager;
        let secret = secrets.find(&named.unwrap_or_else(|| scope.clone()), arn, self.clock.now());
        let secret = secret.filter(|secret| !secret.is_deleted()).ok_or_else(unusable)?;
        let version = secret.select(None, None).map_err(|_| unusable())?;
        let Value::Text(text) = &*version.value else { return Err(unusable()) };
        let login = serde_json::from_str::<Login>(text.expose()).map_err(|_| unusable())?;
        Ok(Some(UpstreamUser { name: login.username, password: login.access_token }))
    }

    async fn fetch(&self, wanted: &Wanted, upstream: &Upstream) -> Result<(), NotCached> {
        let failed = |error: UpstreamError| {
            NotCached::because(&format!("{} of {} cannot be had", upstream.repository, upstream.registry), error)
        };
        if let Reference::Tag(tag) = &wanted.reference
            && let Some(known) = self.state.ecr.image(&wanted.scope, &wanted.repository, &wanted.reference)
        {
            let is_same = match self.upstreams.resolve(upstream, tag).await {
                Ok(found) => found == Some(known.digest),
                // It was pushed here, or is gone there: it stays.
                Err(UpstreamError::NotFound) => true,
                Err(error) => return Err(failed(error)),
            };
            if is_same {
                self.note_look(wanted);
                return Ok(());
            }
        }
        let manifest = match self.upstreams.manifest(upstream, &wanted.reference).await {
            Ok(manifest) => manifest,
            Err(UpstreamError::NotFound) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let now = self.clock.now();
        let image = state::ecr::read_manifest(&wanted.repository, &manifest, None, now);
        let image = image.map_err(|error| NotCached::because("its manifest cannot be kept", error))?;
        if matches!(wanted.reference, Reference::Digest(digest) if digest != image.digest) {
            return Err(NotCached { why: format!("another manifest came, with the digest {}", image.digest) });
        }
        tracing::info!(repository = wanted.repository, registry = upstream.registry, digest = %image.digest, "caching");
        let ecr = &self.state.ecr;
        ecr.repository_made_for(&wanted.scope, &wanted.repository, MadeFor::PullThroughCache, now);
        for layer in image.needed_layers() {
            if ecr.want_layer(&wanted.scope, &wanted.repository, &layer.digest, self.clock.now()).is_none() {
                let reader = self.upstreams.layer(upstream, layer).await.map_err(failed)?;
                self.keep_layer(wanted, layer.clone(), reader).await?;
            }
        }
        self.keep_image(wanted, manifest).await?;
        self.note_look(wanted);
        Ok(())
    }

    async fn keep_layer(
        &self,
        wanted: &Wanted,
        layer: Descriptor,
        reader: Box<dyn Read + Send>,
    ) -> Result<(), NotCached> {
        let (state, ids, now, of) = (Arc::clone(&self.state), self.ids.clone(), self.clock.now(), wanted.clone());
        off_thread(move || copy_layer(&state.ecr, &of, &layer, reader, now, &ids)).await
    }

    async fn keep_image(&self, wanted: &Wanted, manifest: Vec<u8>) -> Result<(), NotCached> {
        let (state, now, of) = (Arc::clone(&self.state), self.clock.now(), wanted.clone());
        off_thread(move || {
            let (tag, digest) = match &of.reference {
                Reference::Tag(tag) => (Some(tag.as_str()), None),
                Reference::Digest(digest) => (None, Some(*digest)),
            };
            let push = Push { repository: &of.repository, tag, digest, media_type: None, manifest: &manifest };
            let put = state.ecr.put_cached_image(&of.scope, &push, now);
            put.map_err(|error| NotCached::because("it cannot be kept", with_causes(&error)))?;
            state.flush().map_err(|error| NotCached::because("it would not survive the server", error))
        })
        .await
    }

    fn note_look(&self, wanted: &Wanted) {
        let mut looked_at = lock(&self.looked_at);
        if looked_at.len() >= LOOKS_MAX {
            looked_at.clear();
        }
        looked_at.insert(wanted.clone(), self.clock.now());
    }
}

/// Says what a repository is called in the other registry, if the rule is for it.
fn upstream_repository(rule: &PullThroughCacheRule, name: &str) -> Option<String> {
    let rest = match rule.prefix.as_str() {
        ROOT => name,
        prefix => name.strip_prefix(prefix)?.strip_prefix('/')?,
    };
    Some(match rule.upstream_prefix.as_deref() {
        None | Some(ROOT) => rest.to_owned(),
        Some(prefix) => format!("{prefix}/{rest}"),
    })
}

/// Copies a layer; blocks.
fn copy_layer(
    ecr: &Ecr,
    wanted: &Wanted,
    layer: &Descriptor,
    mut reader: Box<dyn Read + Send>,
    now: Timestamp,
    ids: &Ids,
) -> Result<(), NotCached> {
    if layer.size > LAYER_BYTES_MAX {
        return Err(NotCached { why: format!("a layer has more than {LAYER_BYTES_MAX} bytes") });
    }
    let failed = |error: &dyn Error| NotCached::because(&format!("the layer {}", layer.digest), with_causes(error));
    let too_long = || NotCached { why: format!("the layer {}: more bytes came than it has", layer.digest) };
    let (scope, repository) = (&wanted.scope, wanted.repository.as_str());
    let id = ecr.begin_upload(scope, repository, UploadSender::Cache, now, ids).map_err(|error| failed(&error))?;
    let copied = (|| {
        let mut writing = ecr.resume_upload(scope, repository, &id, now).map_err(|error| failed(&error))?;
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(&error)),
            };
            if writing.length() + count as u64 > layer.size {
                return Err(too_long());
            }
            writing.write(&buffer[..count]).map_err(|error| failed(&error))?;
        }
        ecr.complete_upload(writing, &layer.digest, now).map_err(|error| failed(&error))
    })();
    if copied.is_err() {
        ecr.cancel_upload(scope, repository, &id);
    }
    copied.map(drop)
}

/// Tells an error with what caused it: that a disk is full is at the end.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn off_thread(work: impl FnOnce() -> Result<(), NotCached> + Send + 'static) -> Result<(), NotCached> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(NotCached::because("keeping it panicked", error)))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_says_what_a_repository_is_called_elsewhere() {
        let rows = [
            ("hub", None, "hub/library/nginx", Some("library/nginx")),
            ("hub", Some("ROOT"), "hub/library/nginx", Some("library/nginx")),
            ("hub", Some("library"), "hub/nginx", Some("library/nginx")),
            ("hub", None, "hubble/nginx", None),
            ("hub", None, "hub", None),
            ("ROOT", None, "library/nginx", Some("library/nginx")),
            ("team/hub", None, "team/hub/a/b", Some("a/b")),
        ];
        for (prefix, upstream_prefix, name, expected) in rows {
            let rule = PullThroughCacheRule {
                prefix: prefix.to_owned(),
                upstream_url: "quay.io".to_owned(),
                upstream: "quay".to_owned(),
                upstream_prefix: upstream_prefix.map(str::to_owned),
                credential_arn: None,
                role_arn: None,
                created_at: Timestamp::from_millis(0),
                updated_at: Timestamp::from_millis(0),
            };
            assert_eq!(upstream_repository(&rule, name).as_deref(), expected, "{prefix} {upstream_prefix:?} {name}");
        }
    }

    #[test]
    fn no_log_shows_a_password() {
        let user = UpstreamUser { name: "u".to_owned(), password: "secret".to_owned() };
        assert!(!format!("{user:?}").contains("secret"));
    }
}
