//! Caches of another registry, which these tests play.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::sync::Mutex;

use async_trait::async_trait;
use state::ecr::{Descriptor, Encryption, PullThroughCacheRule, Reference, RepositoryCreationTemplate};
use state::secretsmanager::{CURRENT, Secret, Value, Version};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The other registry: what it has, and what it was asked for.
#[derive(Default)]
struct Elsewhere {
    manifests: Mutex<HashMap<String, String>>,
    layers: Mutex<HashMap<Digest, Vec<u8>>>,
    asked: Mutex<Vec<String>>,
    user: Mutex<Option<UpstreamUser>>,
    is_down: Mutex<bool>,
}

impl Elsewhere {
    /// Puts an image of one layer in, and returns its manifest.
    fn push(&self, repository: &str, tag: &str, layer: &str) -> String {
        let text = manifest(&[layer.as_bytes()], "");
        self.put(repository, tag, &text);
        let mut layers = self.layers.lock().unwrap();
        layers.insert(Digest::of(b"{}"), b"{}".to_vec());
        layers.insert(digest_of(layer), layer.as_bytes().to_vec());
        text
    }

    fn put(&self, repository: &str, tag: &str, text: &str) {
        let mut manifests = self.manifests.lock().unwrap();
        manifests.insert(format!("{repository}:{tag}"), text.to_owned());
        manifests.insert(format!("{repository}@{}", digest_of(text)), text.to_owned());
    }

    fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn find(&self, what: &str, of: &Upstream, reference: &Reference) -> Result<String, UpstreamError> {
        let name = match reference {
            Reference::Tag(tag) => format!("{}:{tag}", of.repository),
            Reference::Digest(digest) => format!("{}@{digest}", of.repository),
        };
        self.asked.lock().unwrap().push(format!("{what} {}/{name}", of.registry));
        (*self.user.lock().unwrap()).clone_from(&of.user);
        if *self.is_down.lock().unwrap() {
            return Err(UpstreamError::Failed("nobody answers".to_owned()));
        }
        self.manifests.lock().unwrap().get(&name).cloned().ok_or(UpstreamError::NotFound)
    }
}

#[async_trait]
impl Upstreams for Elsewhere {
    async fn resolve(&self, of: &Upstream, tag: &str) -> Result<Option<Digest>, UpstreamError> {
        let found = self.find("resolve", of, &Reference::Tag(tag.to_owned()))?;
        Ok(Some(digest_of(&found)))
    }

    async fn manifest(&self, of: &Upstream, reference: &Reference) -> Result<Vec<u8>, UpstreamError> {
        Ok(self.find("manifest", of, reference)?.into_bytes())
    }

    async fn layer(&self, _: &Upstream, layer: &Descriptor) -> Result<Box<dyn Read + Send>, UpstreamError> {
        self.asked.lock().unwrap().push("layer".to_owned());
        let found = self.layers.lock().unwrap().get(&layer.digest).cloned();
        found.map(|bytes| Box::new(Cursor::new(bytes)) as _).ok_or(UpstreamError::NotFound)
    }
}

fn rule(prefix: &str) -> PullThroughCacheRule {
    PullThroughCacheRule {
        prefix: prefix.to_owned(),
        upstream_url: "quay.io".to_owned(),
        upstream: "quay".to_owned(),
        upstream_prefix: None,
        credential_arn: None,
        role_arn: None,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn template(prefix: &str, applied_for: &str) -> RepositoryCreationTemplate {
    RepositoryCreationTemplate {
        prefix: prefix.to_owned(),
        description: None,
        encryption: Encryption::default(),
        tags: Vec::new(),
        tag_mutability: TagMutability::default(),
        policy: Some("of the template".to_owned()),
        lifecycle_policy: None,
        applied_for: vec![applied_for.to_owned()],
        role_arn: None,
        created_at: NOW,
        updated_at: NOW,
    }
}

/// Makes registries with a rule for `quay/`.
fn world() -> (World, Arc<Elsewhere>) {
    let (world, elsewhere) = (World::new(), Arc::new(Elsewhere::default()));
    let (state, clock) = (Arc::clone(&world.registry.state), Arc::clone(&world.registry.clock));
    let caches = PullThrough::new(state, clock, Ids::system(), Arc::clone(&elsewhere) as _);
    world.registry.use_caches(caches);
    world.ecr().pull_through_cache_rules.insert(&scope(), &"quay".to_owned(), rule("quay"));
    (world, elsewhere)
}

const PULL: &str = "GET /v2/quay/team/app/manifests/v1";

#[tokio::test]
async fn an_image_of_another_registry_is_fetched_once_and_then_served_from_here() {
    let (world, elsewhere) = world();
    world.ecr().creation_templates.insert(&scope(), &"quay".to_owned(), template("quay", "PULL_THROUGH_CACHE"));
    let text = elsewhere.push("team/app", "v1", "layer");
    let reply = world.simple(PULL).await;
    assert_eq!((reply.status, reply.text()), (200, text.as_str()));
    assert_eq!(elsewhere.take_asked(), ["manifest quay.io/team/app:v1", "layer", "layer"]);
    let repository = world.ecr().repository(&scope(), "quay/team/app").unwrap();
    assert_eq!(repository.policy.as_deref(), Some("of the template"));
    assert_eq!(world.simple(PULL).await.text(), text);
    let blob = format!("GET /v2/quay/team/app/blobs/{}", digest_of("layer"));
    assert_eq!(world.simple(&blob).await.text(), "layer");
    assert_eq!(elsewhere.take_asked().len(), 0);
}

#[tokio::test]
async fn a_tag_that_moves_elsewhere_is_followed_after_a_day_and_the_image_serves_when_nobody_answers() {
    let (world, elsewhere) = world();
    let old = elsewhere.push("team/app", "v1", "old");
    world.simple(PULL).await;
    let new = elsewhere.push("team/app", "v1", "new");
    world.clock.advance(DAY - HOUR);
    assert_eq!(world.simple(PULL).await.status, 403, "the password does not hold as long");
    let pull = || async {
        let claims = TokenClaims {
            scope: scope(),
            principal: Arn::global("iam", &scope(), "root"),
            is_public: false,
            expires_at: world.clock.now().plus(HOUR),
        };
        let password = world.ecr().tokens.issue(&Ids::system(), &claims);
        let authorization = format!("Bearer {password}");
        world.ask_as(PULL, &[("authorization", &authorization), ("host", HOST_HERE)], b"").await.text().to_owned()
    };
    assert_eq!(pull().await, old);
    world.clock.advance(HOUR);
    *elsewhere.is_down.lock().unwrap() = true;
    assert_eq!(pull().await, old);
    *elsewhere.is_down.lock().unwrap() = false;
    elsewhere.take_asked();
    assert_eq!(pull().await, new);
    assert_eq!(elsewhere.take_asked()[..2], ["resolve quay.io/team/app:v1", "manifest quay.io/team/app:v1"]);
    assert_eq!(pull().await, new);
    assert_eq!(elsewhere.take_asked().len(), 0);
}

#[tokio::test]
async fn what_cannot_be_had_makes_no_repository() {
    let (world, elsewhere) = world();
    assert_eq!(world.simple(PULL).await.error(), refused(404, "NAME_UNKNOWN"), "there is none elsewhere");
    *elsewhere.is_down.lock().unwrap() = true;
    let reply = world.simple(PULL).await;
    assert_eq!(reply.error(), refused(502, "UNKNOWN"));
    assert!(reply.text().contains("team/app of quay.io cannot be had: nobody answers"), "{}", reply.text());
    elsewhere.take_asked();
    assert_eq!(world.simple("GET /v2/other/app/manifests/v1").await.error(), refused(404, "NAME_UNKNOWN"));
    assert_eq!(elsewhere.take_asked().len(), 0, "no rule is for it");
    assert!(world.ecr().repository(&scope(), "quay/team/app").is_none());
}

#[tokio::test]
async fn what_was_pushed_here_stays_when_there_is_none_elsewhere() {
    let (world, elsewhere) = world();
    world.ecr().pull_through_cache_rules.insert(&scope(), &"ROOT".to_owned(), rule("ROOT"));
    let text = world.push("v1").await;
    for asked in [vec!["resolve quay.io/web:v1"], vec![]] {
        assert_eq!(world.simple("GET /v2/web/manifests/v1").await.text(), text);
        assert_eq!(elsewhere.take_asked(), asked);
    }
}

#[tokio::test]
async fn of_an_index_only_what_is_asked_for_is_fetched() {
    let (world, elsewhere) = world();
    let child = elsewhere.push("team/app", "amd64", "layer");
    let other = digest_of("not there");
    let children = [digest_of(&child), other]
        .map(|digest| format!(r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{digest}","size":1}}"#));
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{}]}}"#, children.join(","));
    elsewhere.put("team/app", "v1", &index);
    assert_eq!(world.simple(PULL).await.text(), index);
    assert_eq!(elsewhere.take_asked(), ["manifest quay.io/team/app:v1"]);
    let of = |digest| format!("GET /v2/quay/team/app/manifests/{digest}");
    assert_eq!(world.simple(&of(digest_of(&child))).await.text(), child);
    assert_eq!(world.simple(&of(other)).await.error(), refused(404, "MANIFEST_UNKNOWN"));
}

#[tokio::test]
async fn wrong_bytes_are_not_kept() {
    let (world, elsewhere) = world();
    elsewhere.push("team/app", "v1", "layer");
    for (wrong, what) in [("lager", "the digest"), ("layers", "more bytes"), ("lay", "the digest")] {
        elsewhere.layers.lock().unwrap().insert(digest_of("layer"), wrong.as_bytes().to_vec());
        let reply = world.simple(PULL).await;
        assert_eq!(reply.error(), refused(502, "UNKNOWN"));
        assert!(reply.text().contains(what), "{wrong}: {}", reply.text());
    }
    assert!(world.ecr().layer(&scope(), "quay/team/app", &digest_of("layer")).is_none());
}

#[tokio::test]
async fn the_secret_of_a_rule_says_who_asks() {
    let (world, elsewhere) = world();
    elsewhere.push("team/app", "v1", "layer");
    let name = "ecr-pullthroughcache/quay".to_owned();
    let secret = |text: &str| {
        let mut secret = Secret {
            name: name.clone(),
            arn: Secret::arn_of(&scope(), &name, "AbCd12"),
            description: None,
            kms_key_id: None,
            kind: None,
            versions: Vec::new(),
            tags: Vec::new(),
            policy: None,
            created_at: NOW,
            changed_at: NOW,
            accessed_on: None,
            deleted_at: None,
        };
        let value = Arc::new(Value::Text(state::iam::Secret::new(text.to_owned())));
        let stages = vec![CURRENT.to_owned()];
        secret.add_version(Version { id: "v".to_owned(), value, stages, created_at: NOW, accessed_on: None });
        secret
    };
    let wrong = secret(r#"{"user":"u"}"#);
    let rule = PullThroughCacheRule { credential_arn: Some(wrong.arn.to_string()), ..rule("quay") };
    world.ecr().pull_through_cache_rules.insert(&scope(), &"quay".to_owned(), rule);
    world.registry.state.secretsmanager.secrets.insert(&scope(), &name, wrong);
    assert!(world.simple(PULL).await.text().contains("has no user and no access token"));
    let right = secret(r#"{"username":"u","accessToken":"t"}"#);
    world.registry.state.secretsmanager.secrets.insert(&scope(), &name, right);
    assert_eq!(world.simple(PULL).await.status, 200);
    let expected = UpstreamUser { name: "u".to_owned(), password: "t".to_owned() };
    assert_eq!(*elsewhere.user.lock().unwrap(), Some(expected));
}

#[tokio::test]
async fn several_who_want_the_same_image_have_it_fetched_once() {
    let (world, elsewhere) = world();
    elsewhere.push("team/app", "v1", "layer");
    let replies = tokio::join!(world.simple(PULL), world.simple(PULL), world.simple(PULL));
    assert_eq!([replies.0.status, replies.1.status, replies.2.status], [200; 3]);
    assert_eq!(elsewhere.take_asked().len(), 3);
}

#[tokio::test]
async fn a_push_makes_the_repository_that_a_template_is_for() {
    let world = World::new();
    world.ecr().creation_templates.insert(&scope(), &"prod".to_owned(), template("prod", "CREATE_ON_PUSH"));
    assert_eq!(world.simple("POST /v2/prod/web/blobs/uploads/").await.status, 202);
    assert!(world.ecr().repository(&scope(), "prod/web").is_some());
    assert_eq!(world.simple("POST /v2/test/web/blobs/uploads/").await.error(), refused(404, "NAME_UNKNOWN"));
}
