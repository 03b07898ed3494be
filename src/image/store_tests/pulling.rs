//! Pulls from registries, well-behaved and otherwise.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use base::ManualClock;
use node::{
    Image, ImageError, ImageSource, Images, NetworkFault, Platform, PullBehavior, PullRequest, PullStage,
    RegistryCredentials, RegistryFault,
};
use serde_json::json;

use super::LOADED_AT;
use crate::test_archives::{OciBuilder, TarBuilder, host_arch, platform, with};
use crate::test_registry::{Reply, TestRegistry};
use crate::{Asked, Blob, Digest, Document, ImageStore, Limits, Options, Origin, Reference, Registries};

/// A store that asks registries.
struct Puller {
    _folder: tempfile::TempDir,
    store: Arc<ImageStore>,
}

impl Puller {
    fn new() -> Self {
        Self::with_room(None)
    }

    fn with_room(layer_bytes_max: Option<u64>) -> Self {
        Self::with(layer_bytes_max, Limits::default(), |registries| registries)
    }

    fn with(layer_bytes_max: Option<u64>, limits: Limits, set: impl FnOnce(Registries) -> Registries) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(LOADED_AT));
        let registries = set(Registries::new(clock.clone(), Some(folder.path().join("config.json")), true));
        let registries: Arc<dyn Origin> = Arc::new(registries);
        let options = Options { limits, registries: Some(registries), layer_bytes_max, ..Options::default() };
        let in_use = Arc::new(|| Ok(HashSet::new()));
        let store = ImageStore::open(&folder.path().join("store"), clock, in_use, options).unwrap();
        Self { _folder: folder, store }
    }

    async fn pull(&self, name: &str) -> Result<Arc<Image>, ImageError> {
        self.store.pull(&PullRequest::new(name)).await
    }

    async fn pull_as(&self, name: &str, behavior: PullBehavior) -> Result<Arc<Image>, ImageError> {
        self.store.pull(&PullRequest { behavior, ..PullRequest::new(name) }).await
    }

    async fn references(&self) -> Vec<String> {
        self.store.list().await.unwrap().into_iter().map(|image| image.reference).collect()
    }
}

/// A layer of one file of `bytes` bytes that compression cannot make smaller.
fn layer(name: &str, bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ name.len() as u64;
    let content = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    });
    let content = content.take(bytes).collect::<Vec<_>>();
    TarBuilder::new().entry(tar::EntryType::Regular, name, "", 0o644, &content).finish()
}

/// Pushes an image of two layers, and returns its digest.
fn push(registry: &TestRegistry, tag: &str) -> String {
    let mut builder = OciBuilder::default();
    let top = builder.image(&[layer("a", 300_000), layer(&format!("b{tag}"), 1_000)], &host_arch());
    registry.push(tag, builder, &top)
}

fn fault(result: Result<Arc<Image>, ImageError>) -> (PullStage, u32, RegistryFault) {
    match result {
        Err(ImageError::Registry { stage, tries, fault, .. }) => (stage, tries, fault),
        other => panic!("expected a fault of the registry, found {other:?}"),
    }
}

#[tokio::test]
async fn an_image_is_fetched_once_and_then_only_its_tag_is_asked_for() {
    let (registry, puller) = (TestRegistry::new(), Puller::new());
    let digest = push(&registry, "1");
    let image = puller.pull(&registry.name("1")).await.unwrap();
    assert_eq!((image.digest.as_str(), image.layers.len()), (digest.as_str(), 2));
    assert_eq!(std::fs::read(image.layers[1].join("a")).unwrap().len(), 300_000);
    assert_eq!(registry.take_log().len(), 2 + 1 + 2, "tag, manifest, configuration, two layers");
    assert!(Arc::ptr_eq(&image, &puller.pull(&registry.name("1")).await.unwrap()));
    assert_eq!(registry.take_log(), ["HEAD /v2/app/manifests/1"]);
    let listed = puller.store.list().await.unwrap();
    assert_eq!((listed.len(), listed[0].source), (1, ImageSource::Pulled));
}

#[tokio::test]
async fn a_tag_that_moves_is_followed_and_layers_that_are_here_are_not_fetched_again() {
    let (registry, puller) = (TestRegistry::new(), Puller::new());
    push(&registry, "1");
    let old = puller.pull(&registry.name("1")).await.unwrap();
    let mut builder = OciBuilder::default();
    let top = builder.image(&[layer("a", 300_000), layer("new", 10)], &host_arch());
    registry.push("1", builder, &top);
    registry.take_log();
    let new = puller.pull(&registry.name("1")).await.unwrap();
    assert_ne!(new.digest, old.digest);
    assert_eq!(new.layers[1], old.layers[1]);
    let blobs = registry.take_log().iter().filter(|line| line.contains("/blobs/")).count();
    assert_eq!(blobs, 2, "the configuration and the one new layer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pulls_of_one_image_at_once_fetch_everything_once() {
    let (registry, puller) = (TestRegistry::new(), Puller::new());
    push(&registry, "1");
    let name = registry.name("1");
    let pulls = (0..20).map(|_| puller.pull(&name));
    let images = futures_util::future::join_all(pulls).await;
    assert!(images.iter().all(Result::is_ok));
    let mut log = registry.take_log();
    let all = log.len();
    log.sort();
    log.dedup();
    assert_eq!((log.len(), all), (5, 5), "{log:?}");
}

#[tokio::test]
async fn a_layer_goes_on_where_its_connection_broke() {
    let broken = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&broken);
    let content = Arc::new(Mutex::new(Vec::<u8>::new()));
    let whole = Arc::clone(&content);
    let registry = TestRegistry::with(move |asked, _| {
        let whole = whole.lock().unwrap();
        let digest = Digest::of(&whole).to_string();
        if !asked.path.ends_with(&digest) || seen.swap(true, Ordering::Relaxed) {
            return None;
        }
        Some(Reply { status: 200, body: whole.clone(), breaks_at: Some(200_000), ..Reply::default() })
    });
    let mut builder = OciBuilder::default();
    let tar = layer("a", 300_000);
    *content.lock().unwrap() = crate::test_archives::gzip(&tar);
    let top = builder.image(&[tar], &host_arch());
    registry.push("1", builder, &top);
    let puller = Puller::new();
    let image = puller.pull(&registry.name("1")).await.unwrap();
    assert_eq!(std::fs::read(image.layers[0].join("a")).unwrap().len(), 300_000);
    assert!(broken.load(Ordering::Relaxed));
    let log = registry.take_log();
    assert_eq!(log.iter().filter(|line| line.contains("/blobs/")).count(), 3, "{log:?}");
}

#[tokio::test]
async fn other_content_than_was_asked_for_is_fetched_again_and_never_kept() {
    let registry = TestRegistry::with(|asked, before| {
        let is_first = asked.path.contains("/blobs/") && before == 0;
        is_first.then(|| Reply { status: 200, body: vec![7; 1_000], ..Reply::default() })
    });
    let puller = Puller::new();
    push(&registry, "1");
    puller.pull(&registry.name("1")).await.unwrap();

    let registry = TestRegistry::with(|asked, before| {
        let is_manifest = asked.method == "GET" && asked.path.contains("/manifests/") && before < 9;
        is_manifest.then(|| Reply { status: 200, body: b"{}".to_vec(), ..Reply::default() })
    });
    let digest = push(&registry, "1");
    let (stage, tries, fault) = fault(puller.pull(&format!("{}/app@{digest}", registry.address)).await);
    assert_eq!((stage, tries), (PullStage::Manifest, 3));
    assert!(matches!(fault, RegistryFault::WrongContent { wanted, .. } if wanted == digest));
    assert_eq!(puller.references().await.len(), 1);
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_as_often_as_fargate_asks() {
    let registry = TestRegistry::with(|_, before| {
        (before == 0).then(|| Reply { status: 429, ..Reply::default() }.header("retry-after", "0"))
    });
    push(&registry, "1");
    Puller::new().pull(&registry.name("1")).await.unwrap();

    let busy = |asked: &crate::test_registry::Asked, _| {
        let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow"}]}"#.to_vec();
        (asked.method == "GET").then(|| Reply { status: 429, body, ..Reply::default() })
    };
    let registry = TestRegistry::with(busy);
    push(&registry, "1");
    let (stage, tries, fault) = fault(Puller::new().pull(&registry.name("1")).await);
    assert_eq!((stage, tries), (PullStage::Manifest, 5));
    let RegistryFault::Status { status, message, .. } = fault else { panic!("{fault:?}") };
    assert_eq!((status.as_str(), message.as_deref()), ("429 Too Many Requests", Some("toomanyrequests: slow")));
}

#[tokio::test]
async fn what_is_not_there_is_not_asked_for_again() {
    let (registry, puller) = (TestRegistry::new(), Puller::new());
    let missing = puller.pull(&registry.name("nope")).await;
    assert!(matches!(missing, Err(ImageError::NotFound { .. })), "{missing:?}");
    assert_eq!(registry.take_log(), ["HEAD /v2/app/manifests/nope"]);
}

#[tokio::test]
async fn a_redirect_to_another_host_takes_no_password_along() {
    let elsewhere = Arc::new(TestRegistry::with(|asked, _| {
        asked.headers.contains_key("authorization").then(|| Reply { status: 400, ..Reply::default() })
    }));
    push(&elsewhere, "1");
    let target = elsewhere.address.clone();
    let registry = TestRegistry::with(move |asked, _| {
        if !asked.headers.contains_key("authorization") {
            return Some(Reply { status: 401, ..Reply::default() }.header("www-authenticate", "Basic realm=\"x\""));
        }
        let location = format!("http://{target}{}", asked.path);
        asked.path.contains("/blobs/").then(|| Reply { status: 307, ..Reply::default() }.header("location", location))
    });
    push(&registry, "1");
    let user = RegistryCredentials { username: "u".to_owned(), password: "p".to_owned() };
    let request = PullRequest { credentials: Some(user), ..PullRequest::new(registry.name("1")) };
    Puller::new().store.pull(&request).await.unwrap();
    assert_eq!(elsewhere.take_log().len(), 3);
}

#[tokio::test]
async fn a_token_is_fetched_once_for_all_requests() {
    let realm = Arc::new(TestRegistry::with(|asked, _| {
        let is_known = asked.headers.get("authorization").is_some_and(|value| value == "Basic dTpw");
        let body = br#"{"token":"t1"}"#.to_vec();
        Some(if is_known { Reply { status: 200, body, ..Reply::default() } } else { Reply::status(401).unwrap() })
    }));
    let target = realm.address.clone();
    let registry = TestRegistry::with(move |asked, _| {
        let is_known = asked.headers.get("authorization").is_some_and(|value| value == "Bearer t1");
        let challenge = format!("Bearer realm=\"http://{target}/token\",service=\"s\",scope=\"repository:app:pull\"");
        (!is_known).then(|| Reply { status: 401, ..Reply::default() }.header("www-authenticate", challenge))
    });
    push(&registry, "1");
    let puller = Puller::new();
    let user = |password: &str| RegistryCredentials { username: "u".to_owned(), password: password.to_owned() };
    let request =
        |password: &str| PullRequest { credentials: Some(user(password)), ..PullRequest::new(registry.name("1")) };
    puller.store.pull(&request("p")).await.unwrap();
    assert_eq!(realm.take_log(), ["GET /token?service=s&scope=repository%3Aapp%3Apull"]);
    let (stage, tries, fault) = fault(puller.store.pull(&request("wrong")).await);
    assert!(matches!(fault, RegistryFault::Denied { .. }), "what is here is not given to who has no access: {fault:?}");
    assert_eq!((stage, tries), (PullStage::Resolve, 1));
}

#[tokio::test]
async fn users_come_from_dockers_file_and_without_one_there_is_no_access() {
    let registry = TestRegistry::with(|asked, _| {
        let is_known = asked.headers.get("authorization").is_some_and(|value| value == "Basic dTpw");
        (!is_known).then(|| Reply { status: 401, ..Reply::default() }.header("www-authenticate", "Basic"))
    });
    push(&registry, "1");
    let puller = Puller::new();
    let (_, _, fault) = fault(puller.pull(&registry.name("1")).await);
    assert!(matches!(fault, RegistryFault::NoCredentials { .. }), "{fault:?}");
    let users = json!({"auths": {&registry.address: {"auth": "dTpw"}}});
    std::fs::write(puller._folder.path().join("config.json"), users.to_string()).unwrap();
    puller.pull(&registry.name("1")).await.unwrap();
}

#[tokio::test]
async fn a_registry_that_drips_is_given_up_like_one_that_is_silent() {
    let layer_digest = Arc::new(Mutex::new(String::new()));
    let (dripping, content) = (Arc::clone(&layer_digest), vec![0; 300_000]);
    let registry = TestRegistry::with(move |asked, _| {
        let drips = Some(Duration::from_millis(2));
        let is_layer = asked.path.contains("/blobs/") && !asked.path.ends_with(&*dripping.lock().unwrap());
        is_layer.then(|| Reply { status: 200, body: content.clone(), drips, ..Reply::default() })
    });
    let mut builder = OciBuilder::default();
    let top = builder.image(&[layer("a", 300_000)], &host_arch());
    let (_, manifest) = builder.files.last().unwrap();
    let manifest = serde_json::from_slice::<serde_json::Value>(manifest).unwrap();
    // All but the configuration.
    *layer_digest.lock().unwrap() = manifest["config"]["digest"].as_str().unwrap().to_owned();
    registry.push("1", builder, &top);
    let puller = Puller::with(None, Limits::default(), |all| all.with_floor(10_000, Duration::from_millis(50)));
    let (stage, tries, fault) = fault(puller.pull(&registry.name("1")).await);
    assert!(matches!(fault, RegistryFault::Unreachable { why: NetworkFault::Slow, .. }), "{fault:?}");
    assert_eq!((stage, tries), (PullStage::Layer, 5));
    assert!(puller.references().await.is_empty());
}

#[tokio::test]
async fn nothing_is_pulled_onto_a_disk_without_room() {
    let registry = TestRegistry::new();
    push(&registry, "1");
    let puller = Puller::with(None, Limits { free_bytes_min: u64::MAX, ..Limits::default() }, |all| all);
    let failed = puller.pull(&registry.name("1")).await;
    let is_full = |error: &ImageError| match error {
        ImageError::Io { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
        _ => false,
    };
    assert!(failed.as_ref().is_err_and(is_full), "{failed:?}");
    assert!(!registry.take_log().iter().any(|line| line.contains("/blobs/")));
}

#[tokio::test]
async fn an_identity_token_of_dockers_file_buys_tokens() {
    let grant =
        "service=s&scope=repository%3Aapp%3Apull&grant_type=refresh_token&client_id=neargate&refresh_token=r%2B1";
    let realm = Arc::new(TestRegistry::with(move |asked, _| {
        let is_known = asked.method == "POST" && asked.body == grant.as_bytes();
        let body = br#"{"access_token":"t1"}"#.to_vec();
        Some(if is_known { Reply { status: 200, body, ..Reply::default() } } else { Reply::status(401).unwrap() })
    }));
    let target = realm.address.clone();
    let registry = TestRegistry::with(move |asked, _| {
        let is_known = asked.headers.get("authorization").is_some_and(|value| value == "Bearer t1");
        let challenge = format!("Bearer realm=\"http://{target}/token\",service=\"s\",scope=\"repository:app:pull\"");
        (!is_known).then(|| Reply { status: 401, ..Reply::default() }.header("www-authenticate", challenge))
    });
    push(&registry, "1");
    let puller = Puller::new();
    let users = json!({"auths": {&registry.address: {"auth": "", "identitytoken": "r+1"}}});
    std::fs::write(puller._folder.path().join("config.json"), users.to_string()).unwrap();
    puller.pull(&registry.name("1")).await.unwrap();
    assert_eq!(realm.take_log(), ["POST /token"]);
}

#[tokio::test]
async fn the_platform_is_chosen_from_the_index_and_images_of_both_stay() {
    let (registry, puller) = (TestRegistry::new(), Puller::new());
    let mut builder = OciBuilder::default();
    let amd64 = with(builder.image(&[layer("amd64", 10)], "amd64"), platform("amd64"));
    let arm64 = with(builder.image(&[layer("arm64", 10)], "arm64"), platform("arm64"));
    let top = builder.index(&[amd64.clone(), arm64.clone()]);
    let index = registry.push("both", builder, &top);
    let pull = |platform| PullRequest { platform, ..PullRequest::new(registry.name("both")) };
    for (platform, wanted) in [(Platform::LinuxAmd64, &amd64), (Platform::LinuxArm64, &arm64)] {
        assert_eq!(puller.store.pull(&pull(platform)).await.unwrap().digest, wanted["digest"]);
    }
    registry.take_log();
    for platform in [Platform::LinuxAmd64, Platform::LinuxArm64] {
        puller.store.pull(&pull(platform)).await.unwrap();
    }
    assert_eq!(registry.take_log(), ["HEAD /v2/app/manifests/both"; 2]);
    let detail = puller.store.inspect(&registry.name("both")).await.unwrap();
    assert_eq!(detail.index_digest, Some(index));

    let mut builder = OciBuilder::default();
    let only = with(builder.image(&[layer("x", 10)], "s390x"), platform("s390x"));
    let top = builder.index(std::slice::from_ref(&only));
    registry.push("index", builder, &top);
    let mut builder = OciBuilder::default();
    let single = builder.image(&[layer("x", 10)], "s390x");
    registry.push("single", builder, &single);
    for tag in ["index", "single"] {
        let result = puller.pull(&registry.name(tag)).await;
        assert!(matches!(result, Err(ImageError::NoPlatform { .. })), "{tag}: {result:?}");
    }
}

#[tokio::test]
async fn what_is_here_serves_as_the_behavior_says() {
    let is_down = Arc::new(AtomicBool::new(false));
    let down = Arc::clone(&is_down);
    let registry = TestRegistry::with(move |_, _| down.load(Ordering::Relaxed).then(|| Reply::status(503).unwrap()));
    push(&registry, "1");
    let puller = Puller::new();
    let name = registry.name("1");
    let image = puller.pull(&name).await.unwrap();
    is_down.store(true, Ordering::Relaxed);
    registry.take_log();
    for behavior in [PullBehavior::PreferCached, PullBehavior::Once] {
        assert!(Arc::ptr_eq(&image, &puller.pull_as(&name, behavior).await.unwrap()));
        assert_eq!(registry.take_log(), Vec::<String>::new());
    }
    assert!(Arc::ptr_eq(&image, &puller.pull_as(&name, PullBehavior::Default).await.unwrap()));
    assert_eq!(registry.take_log().len(), 5);
    let (stage, tries, fault) = fault(puller.pull_as(&name, PullBehavior::Always).await);
    assert_eq!((stage, tries), (PullStage::Resolve, 5));
    assert!(matches!(fault, RegistryFault::Status { .. }));
}

#[tokio::test]
async fn what_was_loaded_is_asked_for_nowhere() {
    let (registry, puller) = (TestRegistry::new(), Puller::new());
    let path = puller._folder.path().join("root.tar");
    std::fs::write(&path, layer("a", 10)).unwrap();
    puller.store.load(&path, Some(&registry.name("1"))).await.unwrap();
    puller.pull(&registry.name("1")).await.unwrap();
    assert_eq!(registry.take_log(), Vec::<String>::new());
    let always = puller.pull_as(&registry.name("1"), PullBehavior::Always).await;
    assert!(matches!(always, Err(ImageError::NotFound { .. })));
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_told_with_its_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (stage, tries, fault) = fault(Puller::new().pull(&format!("{address}/app:1")).await);
    assert_eq!((stage, tries), (PullStage::Resolve, 5));
    let RegistryFault::Unreachable { method, url, why } = fault else { panic!("{fault:?}") };
    assert_eq!((method, url), ("Head", format!("http://{address}/v2/app/manifests/1")));
    assert_eq!(why, NetworkFault::Refused(address));
}

#[tokio::test]
async fn a_pull_that_nobody_waits_for_ends_and_leaves_nothing() {
    let (reached, hung) = (Arc::new(tokio::sync::Notify::new()), Arc::new(AtomicBool::new(true)));
    let (tell, hangs) = (Arc::clone(&reached), Arc::clone(&hung));
    let registry = TestRegistry::with(move |asked, _| {
        if asked.path.contains("/blobs/") {
            tell.notify_one();
            while hangs.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
        }
        None
    });
    push(&registry, "1");
    let puller = Puller::new();
    let name = registry.name("1");
    {
        let mut pull = std::pin::pin!(puller.pull(&name));
        tokio::select! {
            _ = &mut pull => panic!("it hangs"),
            () = reached.notified() => {}
        }
    }
    hung.store(false, Ordering::Relaxed);
    assert_eq!(puller.references().await, Vec::<String>::new());
    puller.pull(&name).await.unwrap();
}

/// An origin whose layers come when the test lets them, whoever still waits.
struct Stuck {
    manifest: Vec<u8>,
    config: Vec<u8>,
    reached: Arc<tokio::sync::Notify>,
    release: Arc<Mutex<mpsc::Receiver<()>>>,
}

struct StuckReader {
    reached: Arc<tokio::sync::Notify>,
    release: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl std::io::Read for StuckReader {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.reached.notify_one();
        // It comes to an end when the sender is dropped.
        _ = self.release.lock().unwrap().recv();
        Ok(0)
    }
}

#[async_trait::async_trait]
impl Origin for Stuck {
    fn serves(&self, reference: &Reference) -> bool {
        reference.registry() == "own.example"
    }

    async fn resolve(&self, _: &Asked) -> Result<Option<Digest>, ImageError> {
        Ok(None)
    }

    async fn manifest(&self, _: &Asked, _: Option<Digest>) -> Result<Document, ImageError> {
        Ok(Document { content: self.manifest.clone() })
    }

    async fn blob(&self, _: &Asked, _: Blob, stage: PullStage) -> Result<Box<dyn std::io::Read + Send>, ImageError> {
        match stage {
            PullStage::Config => Ok(Box::new(std::io::Cursor::new(self.config.clone()))),
            _ => Ok(Box::new(StuckReader { reached: Arc::clone(&self.reached), release: Arc::clone(&self.release) })),
        }
    }
}

#[tokio::test]
async fn a_place_is_free_when_the_thread_is_and_own_pulls_take_none_of_the_others() {
    let (registry, puller) = (TestRegistry::new(), Puller::new());
    let mut builder = OciBuilder::default();
    let top = builder.image(&[layer("a", 10)], &host_arch());
    let file = |digest: &serde_json::Value| {
        let name = format!("blobs/sha256/{}", digest.as_str().unwrap().trim_start_matches("sha256:"));
        builder.files.iter().find(|(known, _)| *known == name).unwrap().1.clone()
    };
    let manifest = file(&top["digest"]);
    let config = file(&serde_json::from_slice::<serde_json::Value>(&manifest).unwrap()["config"]["digest"]);
    let (held, release) = mpsc::channel();
    let (reached, release) = (Arc::new(tokio::sync::Notify::new()), Arc::new(Mutex::new(release)));
    let stuck = Stuck { manifest, config, reached: Arc::clone(&reached), release };
    puller.store.use_registry(Arc::new(stuck));
    let inner = &puller.store.inner;
    let near = inner.near_pulls.available_permits();
    {
        let mut pull = std::pin::pin!(puller.pull("own.example/app:1"));
        tokio::select! {
            _ = &mut pull => panic!("it is stuck"),
            () = reached.notified() => {}
        }
    }
    assert_eq!((inner.near_pulls.available_permits(), inner.far_pulls.available_permits()), (near - 1, near));
    // The pull's task is told meanwhile.
    push(&registry, "1");
    puller.pull(&registry.name("1")).await.unwrap();
    assert_eq!(inner.near_pulls.available_permits(), near - 1);
    drop(held);
    let all = inner.near_pulls.acquire_many(near.try_into().unwrap());
    drop(tokio::time::timeout(Duration::from_secs(10), all).await.unwrap());
}

#[tokio::test]
async fn pulled_images_go_when_there_is_no_room_and_loaded_ones_stay() {
    let (registry, puller) = (TestRegistry::new(), Puller::with_room(Some(700_000)));
    let path = puller._folder.path().join("root.tar");
    std::fs::write(&path, layer("loaded", 300_000)).unwrap();
    puller.store.load(&path, Some("loaded")).await.unwrap();
    for tag in ["one", "second"] {
        let mut builder = OciBuilder::default();
        let top = builder.image(&[layer(tag, 300_000)], &host_arch());
        registry.push(tag, builder, &top);
        puller.pull(&registry.name(tag)).await.unwrap();
    }
    assert_eq!(puller.references().await, [registry.name("second"), "docker.io/library/loaded:latest".to_owned()]);
    let held = puller.pull(&registry.name("second")).await.unwrap();
    assert_eq!(puller.store.prune(false).await.unwrap().references, Vec::<String>::new(), "somebody holds it");
    drop(held);
    let pruned = puller.store.prune(false).await.unwrap();
    assert_eq!((pruned.references, pruned.freed_bytes), (vec![registry.name("second")], 300_000));
    let pruned = puller.store.prune(true).await.unwrap();
    assert_eq!(pruned.references, ["docker.io/library/loaded:latest"]);
}

#[tokio::test]
async fn progress_ends_with_all_that_was_to_be_fetched() {
    let (registry, puller) = (TestRegistry::new(), Puller::new());
    push(&registry, "1");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let progress: node::ProgressSink = Arc::new(move |progress| sink.lock().unwrap().push(*progress));
    let request = PullRequest { progress: Some(progress), ..PullRequest::new(registry.name("1")) };
    puller.store.pull(&request).await.unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.iter().all(|progress| progress.layers_done <= 2 && progress.bytes_done <= progress.bytes));
}
