#[path = "pull_through_tests.rs"]
mod pull_through;

use std::fmt::Write as _;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

use base::{AccountId, Arn, ManualClock, Region, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http_body_util::Full;
use state::ecr::{DOCKER_MANIFEST, Digest, OCI_INDEX, OCI_MANIFEST, Repository, TagMutability, TokenClaims};
use wire::{Content, Source};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const HOUR: Duration = Duration::from_secs(60 * 60);
const HOST_HERE: &str = "127.0.0.1:4566";

struct World {
    registry: Registry,
    clock: Arc<ManualClock>,
    password: String,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    headers: http::HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Returns status and code of an error.
    fn error(&self) -> (u16, String) {
        let body = serde_json::from_slice::<serde_json::Value>(&self.body).unwrap_or_default();
        (self.status, body["errors"][0]["code"].as_str().unwrap_or_default().to_owned())
    }

    fn list(&self, member: &str) -> Vec<String> {
        let body = serde_json::from_slice::<serde_json::Value>(&self.body).unwrap();
        body[member].as_array().unwrap().iter().map(|entry| entry.as_str().unwrap().to_owned()).collect()
    }
}

fn scope() -> Scope {
    Scope::new(AccountId::DEFAULT, Region::default())
}

impl World {
    /// Makes registries with the repositories `web` and `team/api`.
    fn new() -> Self {
        Self::of(State::in_memory())
    }

    fn of(state: Arc<State>) -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        for name in ["web", "team/api"] {
            state.ecr.create_repository(&scope(), Repository::new(&scope(), name, NOW)).unwrap();
        }
        let claims = TokenClaims {
            scope: scope(),
            principal: Arn::global("iam", &scope(), "root"),
            is_public: false,
            expires_at: NOW.plus(12 * HOUR),
        };
        let password = state.ecr.tokens.issue(&Ids::system(), &claims);
        let clocks: Arc<dyn Clock> = clock.clone();
        let registry = Registry::new(state, clocks, Ids::system(), scope());
        Self { registry, clock, password }
    }

    fn ecr(&self) -> &state::ecr::Ecr {
        &self.registry.state.ecr
    }

    fn authorization(&self) -> String {
        format!("Basic {}", BASE64.encode(format!("AWS:{}", self.password)))
    }

    async fn ask(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let authorization = self.authorization();
        let headers = [&[("authorization", authorization.as_str()), ("host", HOST_HERE)], headers].concat();
        self.ask_as(line, &headers, body).await
    }

    async fn ask_as(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        let response = self.registry.answer(request, Sender::User, Duration::from_secs(5)).await;
        let (mut head, body) = response.into_parts();
        let mut body = body.to_vec();
        if let Some(Content::Stretches(stretches)) = head.extensions.remove::<Content>() {
            for stretch in stretches {
                let mut bytes = vec![0; usize::try_from(stretch.length).unwrap()];
                match stretch.source {
                    Source::Open(file) => file.read_exact_at(&mut bytes, stretch.offset).unwrap(),
                    Source::Path { path, .. } => std::fs::File::open(path).unwrap().read_exact(&mut bytes).unwrap(),
                }
                body.extend(bytes);
            }
        }
        assert_eq!(head.headers["docker-distribution-api-version"], "registry/2.0");
        Reply { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// Asks without headers or body.
    async fn simple(&self, line: &str) -> Reply {
        self.ask(line, &[], b"").await
    }

    async fn push_layer(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let reply = self.ask(&format!("POST /v2/{name}/blobs/uploads/?digest={digest}"), &[], bytes).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        digest
    }

    async fn put(&self, reference: &str, manifest: &str) -> Reply {
        self.ask(&format!("PUT /v2/web/manifests/{reference}"), &[("content-type", OCI_MANIFEST)], manifest.as_bytes())
            .await
    }

    /// Pushes an image of one layer and returns its manifest.
    async fn push(&self, tag: &str) -> String {
        self.push_layer("web", b"{}").await;
        self.push_layer("web", tag.as_bytes()).await;
        let manifest = manifest(&[tag.as_bytes()], "");
        let reply = self.put(tag, &manifest).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        manifest
    }
}

fn manifest(layers: &[&[u8]], more: &str) -> String {
    let descriptor = |bytes: &[u8]| {
        format!(r#"{{"mediaType":"application/x","digest":"{}","size":{}}}"#, Digest::of(bytes), bytes.len())
    };
    let layers = layers.iter().map(|layer| descriptor(layer)).collect::<Vec<_>>().join(",");
    let config = descriptor(b"{}");
    format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config},"layers":[{layers}]{more}}}"#)
}

fn digest_of(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn only_those_who_are_logged_in_are_answered() {
    let world = World::new();
    let basic = |text: &str| format!("Basic {}", BASE64.encode(text));
    let password = world.password.clone();
    let whole = BASE64.encode(format!("AWS:{password}"));
    for (authorization, status) in [
        (None, 401),
        (Some(world.authorization()), 200),
        (Some(format!("bearer {password}")), 200),
        (Some(format!("Bearer {whole}")), 200),
        (Some(basic(&format!("aws:{password}"))), 401),
        (Some(basic(&password)), 401),
        (Some(basic("AWS:wrong")), 401),
        (Some("Basic ?".to_owned()), 401),
        (Some("Digest x".to_owned()), 401),
        (Some("Basic".to_owned()), 401),
    ] {
        let mut headers = vec![("host", "000000000000.dkr.ecr.us-east-1.localhost:4566")];
        headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
        let reply = world.ask_as("GET /v2/", &headers, b"").await;
        assert_eq!(reply.status, status, "{authorization:?}");
        if status == 401 {
            assert_eq!(
                reply.header("www-authenticate"),
                "Basic realm=\"https://000000000000.dkr.ecr.us-east-1.localhost:4566/\",service=\"ecr.amazonaws.com\""
            );
            assert_eq!(reply.error(), refused(401, "UNAUTHORIZED"));
        }
    }
    world.clock.advance(12 * HOUR);
    let reply = world.simple("GET /v2/").await;
    assert_eq!(reply.error(), refused(403, "DENIED"));
    assert!(reply.text().contains("Your authorization token has expired"));
}

#[tokio::test]
async fn a_layer_may_be_fetched_by_a_url_that_has_the_password() {
    let world = World::new();
    let digest = world.push_layer("web", b"layer").await;
    let path = format!("/v2/web/blobs/{digest}?X-Amz-Security-Token={}", world.password.replace('+', "%2B"));
    let reply = world.ask_as(&format!("GET {path}"), &[("host", HOST_HERE)], b"").await;
    assert_eq!((reply.status, reply.text()), (200, "layer"));
    let reply = world.ask_as(&format!("DELETE {path}"), &[("host", HOST_HERE)], b"").await;
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn the_password_says_which_registry_it_is_for_where_the_host_does_not() {
    let world = World::new();
    let there = Scope::new(AccountId::parse("210987654321").unwrap(), Region::parse("eu-west-1").unwrap());
    let (state, ids) = (&world.registry.state, Ids::system());
    state.ecr.create_repository(&there, Repository::new(&there, "web", NOW)).unwrap();
    let id = state.ecr.begin_upload(&there, "web", UploadSender::User, NOW, &ids).unwrap();
    let mut writing = state.ecr.resume_upload(&there, "web", &id, NOW).unwrap();
    writing.write(b"there").unwrap();
    let digest = Digest::of(b"there");
    state.ecr.complete_upload(writing, &digest, NOW).unwrap();
    let principal = Arn::global("iam", &there, "root");
    let claims = TokenClaims { scope: there, principal, is_public: false, expires_at: NOW.plus(HOUR) };
    for (password, host, expected) in [
        (state.ecr.tokens.issue(&ids, &claims), HOST_HERE, 200),
        (world.password.clone(), HOST_HERE, 404),
        (state.ecr.tokens.issue(&ids, &claims), "000000000000.dkr.ecr.us-east-1.localhost", 404),
    ] {
        let basic = format!("Basic {}", BASE64.encode(format!("AWS:{password}")));
        let password = password.replace('+', "%2B");
        let line = format!("GET /v2/web/blobs/{digest}");
        let by_url = world.ask_as(&format!("{line}?X-Amz-Security-Token={password}"), &[("host", host)], b"").await;
        let by_header = world.ask_as(&line, &[("host", host), ("authorization", &basic)], b"").await;
        assert_eq!((by_url.status, by_header.status), (expected, expected), "{host}");
    }
}

/// Requests whose answers depend on nothing that came before, but for the image `v1` in `web`.
#[tokio::test]
async fn requests_that_cannot_be_answered_are_refused_with_the_codes_of_the_specification() {
    let world = World::new();
    world.push("v1").await;
    let none = digest_of("none");
    for (line, status, code) in [
        ("GET /v2/none/tags/list".to_owned(), 404, "NAME_UNKNOWN"),
        ("GET /v2/none/manifests/v1".to_owned(), 404, "NAME_UNKNOWN"),
        ("PUT /v2/none/manifests/v1".to_owned(), 404, "NAME_UNKNOWN"),
        ("POST /v2/none/blobs/uploads/".to_owned(), 404, "NAME_UNKNOWN"),
        (format!("HEAD /v2/none/blobs/{none}"), 404, ""),
        ("GET /v2/WEB/tags/list".to_owned(), 400, "NAME_INVALID"),
        ("GET /v2/tags/list".to_owned(), 400, "NAME_INVALID"),
        ("GET /v2/web/manifests/none".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("GET /v2/web/manifests/-".to_owned(), 404, "MANIFEST_UNKNOWN"),
        (format!("GET /v2/web/manifests/{none}"), 404, "MANIFEST_UNKNOWN"),
        (format!("DELETE /v2/web/manifests/{none}"), 404, "MANIFEST_UNKNOWN"),
        (format!("GET /v2/web/blobs/{none}"), 404, "BLOB_UNKNOWN"),
        (format!("DELETE /v2/web/blobs/{none}"), 404, "BLOB_UNKNOWN"),
        ("GET /v2/web/blobs/sha256:12".to_owned(), 400, "DIGEST_INVALID"),
        ("GET /v2/web/referrers/v1".to_owned(), 400, "DIGEST_INVALID"),
        ("GET /v2/web/blobs/uploads/none".to_owned(), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PATCH /v2/web/blobs/uploads/none".to_owned(), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT /v2/web/blobs/uploads/none".to_owned(), 400, "DIGEST_INVALID"),
        (format!("PUT /v2/web/blobs/uploads/none?digest={none}"), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("DELETE /v2/web/blobs/uploads/none".to_owned(), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("POST /v2/web/blobs/uploads/?digest=sha512:ab".to_owned(), 400, "DIGEST_INVALID"),
        (format!("DELETE /v2/web/blobs/{}", digest_of("v1")), 405, "UNSUPPORTED"),
        ("GET /v2/web/tags/list?n=x".to_owned(), 400, "PAGINATION_NUMBER_INVALID"),
        ("POST /v2/web/tags/list".to_owned(), 405, "UNSUPPORTED"),
        ("PATCH /v2/web/manifests/v1".to_owned(), 405, "UNSUPPORTED"),
        ("GET /v2/web/blobs/uploads/".to_owned(), 405, "UNSUPPORTED"),
        ("GET /v2/web".to_owned(), 404, "UNSUPPORTED"),
        ("PUT /v2/web/manifests/sha256:12".to_owned(), 400, "DIGEST_INVALID"),
        ("PUT /v2/web/manifests/-".to_owned(), 400, "MANIFEST_INVALID"),
        ("PUT /v2/web/manifests/v1".to_owned(), 400, "MANIFEST_INVALID"),
    ] {
        assert_eq!(world.simple(&line).await.error(), refused(status, code), "{line}");
    }
    let reply = world.simple("GET /v2/none/tags/list").await;
    assert!(
        reply.text().contains("The repository with name 'none' does not exist in the registry with id '000000000000'")
    );
}

#[tokio::test]
async fn a_registry_is_that_of_the_account_and_region_in_the_requests_host() {
    let world = World::new();
    let elsewhere = Scope::new(AccountId::parse("123456789012").unwrap(), Region::parse("eu-west-1").unwrap());
    world.ecr().create_repository(&elsewhere, Repository::new(&elsewhere, "there", NOW)).unwrap();
    let authorization = world.authorization();
    for (host, expected) in [
        ("127.0.0.1:4566", "team/api web"),
        ("000000000000.dkr.ecr.us-east-1.localhost:4566", "team/api web"),
        ("123456789012.dkr.ecr.eu-west-1.localhost:4566", "there"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "there"),
        ("123456789012.dkr.ecr.eu-west-2.amazonaws.com", ""),
    ] {
        let headers = [("host", host), ("authorization", authorization.as_str())];
        let reply = world.ask_as("GET /v2/_catalog", &headers, b"").await;
        assert_eq!(reply.list("repositories").join(" "), expected, "{host}");
    }
}

#[tokio::test]
async fn a_layer_comes_in_at_once_or_by_parts_in_their_order() {
    let world = World::new();
    let begun = world.simple("POST /v2/web/blobs/uploads/").await;
    assert_eq!((begun.status, begun.header("range")), (202, "0-0"));
    let upload = begun.header("location").to_owned();
    assert_eq!(upload, format!("/v2/web/blobs/uploads/{}", begun.header("docker-upload-uuid")));
    let patch = |range: &'static str, body: &'static [u8]| {
        let (world, line) = (&world, format!("PATCH {upload}"));
        async move { world.ask(&line, &[("content-range", range), ("content-length", &body.len().to_string())], body).await }
    };
    assert_eq!(patch("4-7", b"four").await.error(), refused(416, "BLOB_UPLOAD_INVALID"));
    let writing = world.ecr().resume_upload(&scope(), "web", begun.header("docker-upload-uuid"), NOW).unwrap();
    let busy = patch("0-3", b"zero").await;
    assert_eq!((busy.error(), busy.header("retry-after")), (refused(429, "TOOMANYREQUESTS"), "1"));
    drop(writing);
    let reply = patch("0-3", b"zero").await;
    assert_eq!((reply.status, reply.header("range"), reply.header("location")), (202, "0-3", upload.as_str()));
    let again = patch("0-3", b"zero").await;
    assert_eq!((again.status, again.header("range")), (416, "0-3"));
    assert_eq!(patch("8-11", b"late").await.status, 416);
    assert_eq!(patch("4-9", b"four").await.error(), refused(400, "SIZE_INVALID"));
    assert_eq!(patch("x", b"four").await.error(), refused(400, "BLOB_UPLOAD_INVALID"));
    // Without a length, that there is too much or too little is known at the end; then nothing of it stays.
    for range in ["4-9", "4-5"] {
        let reply = world.ask(&format!("PATCH {upload}"), &[("content-range", range)], b"four").await;
        assert_eq!(reply.error(), refused(400, "SIZE_INVALID"), "{range}");
        let status = world.simple(&format!("GET {upload}")).await;
        assert_eq!((status.status, status.header("range")), (204, "0-3"), "{range}");
    }
    let long = vec![0; 1_000_000];
    for range in ["4-999999", "4-1200000"] {
        let reply = world.ask(&format!("PATCH {upload}"), &[("content-range", range)], &long).await;
        assert_eq!(reply.error(), refused(400, "SIZE_INVALID"), "{range}");
        assert_eq!(world.simple(&format!("GET {upload}")).await.header("range"), "0-3", "{range}");
    }
    let reply = world.ask(&format!("PATCH {upload}"), &[], b"four").await;
    assert_eq!((reply.status, reply.header("range")), (202, "0-7"));
    let digest = digest_of("zerofourlast");
    let line = format!("PUT {upload}?digest={digest}");
    let reply = world.ask(&line, &[("content-range", "8-11")], b"last").await;
    assert_eq!((reply.status, reply.header("docker-content-digest")), (201, digest.to_string().as_str()));
    assert_eq!(world.simple(reply.header("location").replace("/v2", "GET /v2").as_str()).await.text(), "zerofourlast");
    assert_eq!(world.simple(&format!("GET {upload}")).await.error(), refused(404, "BLOB_UPLOAD_UNKNOWN"));
}

#[tokio::test]
async fn a_layer_of_the_wrong_digest_is_refused_and_its_upload_gone() {
    let world = World::new();
    let wrong = digest_of("wrong");
    let reply = world.ask(&format!("POST /v2/web/blobs/uploads/?digest={wrong}"), &[], b"right").await;
    assert_eq!(reply.error(), refused(400, "DIGEST_INVALID"));
    let upload = world.simple("POST /v2/web/blobs/uploads/").await.header("location").to_owned();
    let reply = world.ask(&format!("PUT {upload}?digest={wrong}"), &[], b"right").await;
    assert_eq!(reply.error(), refused(400, "DIGEST_INVALID"));
    assert_eq!(world.simple(&format!("GET {upload}")).await.status, 404);
    for digest in [wrong, digest_of("right")] {
        assert_eq!(world.simple(&format!("HEAD /v2/web/blobs/{digest}")).await.status, 404);
    }
    let upload = world.simple("POST /v2/web/blobs/uploads/").await.header("location").to_owned();
    assert_eq!(world.simple(&format!("DELETE {upload}")).await.status, 204);
    assert_eq!(world.simple(&format!("DELETE {upload}")).await.status, 404);
}

#[tokio::test]
async fn an_upload_that_is_left_goes_after_a_day() {
    let world = World::new();
    let upload = world.simple("POST /v2/web/blobs/uploads/").await.header("location").to_owned();
    world.clock.advance(11 * HOUR);
    assert_eq!(world.ask(&format!("PATCH {upload}"), &[], b"more").await.status, 202);
    world.ecr().expire(NOW.plus(34 * HOUR));
    assert_eq!(world.simple(&format!("GET {upload}")).await.status, 204);
    world.ecr().expire(NOW.plus(35 * HOUR));
    assert_eq!(world.simple(&format!("GET {upload}")).await.status, 404);
}

#[tokio::test]
async fn a_layer_is_mounted_from_another_repository_or_else_uploaded() {
    let world = World::new();
    let digest = world.push_layer("web", b"layer").await;
    let head = format!("HEAD /v2/team/api/blobs/{digest}");
    assert_eq!(world.simple(&head).await.status, 404);
    let none = world.simple(&format!("POST /v2/team/api/blobs/uploads/?mount={digest}&from=none")).await;
    assert_eq!(none.status, 202);
    assert!(none.header("location").starts_with("/v2/team/api/blobs/uploads/"));
    let mounted = world.simple(&format!("POST /v2/team/api/blobs/uploads/?mount={digest}&from=web")).await;
    assert_eq!(mounted.status, 201);
    assert_eq!(mounted.header("location"), format!("/v2/team/api/blobs/{digest}"));
    assert_eq!(world.simple(&head).await.status, 200);
    assert_eq!(world.simple(&format!("DELETE /v2/web/blobs/{digest}")).await.status, 202);
    assert_eq!(world.simple(&head.replace("HEAD", "GET")).await.text(), "layer");
    let anywhere = world.simple(&format!("POST /v2/web/blobs/uploads/?mount={digest}")).await;
    assert_eq!(anywhere.status, 201);
}

#[tokio::test]
async fn parts_of_a_layer_are_sent_by_their_range() {
    let world = World::new();
    let digest = world.push_layer("web", b"0123456789").await;
    let line = format!("GET /v2/web/blobs/{digest}");
    for (range, status, content_range, body) in [
        ("bytes=2-4", 206, "bytes 2-4/10", "234"),
        ("bytes=8-", 206, "bytes 8-9/10", "89"),
        ("bytes=-1", 206, "bytes 9-9/10", "9"),
        ("bytes=0-1,3-4", 200, "", "0123456789"),
    ] {
        let reply = world.ask(&line, &[("range", range)], b"").await;
        assert_eq!((reply.status, reply.header("content-range"), reply.text()), (status, content_range, body));
        assert_eq!(reply.header("content-length"), body.len().to_string());
    }
    let beyond = world.ask(&line, &[("range", "bytes=10-")], b"").await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */10"));
    let head = world.simple(&line.replace("GET", "HEAD")).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "10", 0));
    assert_eq!(head.header("docker-content-digest"), digest.to_string());
}

#[tokio::test]
async fn an_image_is_found_by_its_tag_and_its_digest() {
    let world = World::new();
    let manifest = world.push("v1").await;
    let digest = digest_of(&manifest).to_string();
    for reference in ["v1", &digest] {
        for method in ["HEAD", "GET"] {
            let reply = world.simple(&format!("{method} /v2/web/manifests/{reference}")).await;
            assert_eq!((reply.status, reply.header("content-type")), (200, OCI_MANIFEST));
            assert_eq!(reply.header("docker-content-digest"), digest);
            assert_eq!(reply.header("content-length"), manifest.len().to_string());
            assert_eq!(reply.text(), if method == "GET" { manifest.as_str() } else { "" });
        }
    }
    let known = [("if-none-match", reply_etag(&digest))];
    let known = known.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>();
    assert_eq!(world.ask("GET /v2/web/manifests/v1", &known, b"").await.status, 304);
}

fn reply_etag(digest: &str) -> String {
    format!("\"{digest}\"")
}

#[tokio::test]
async fn an_image_is_sent_only_to_those_who_take_its_kind_of_manifest() {
    let world = World::new();
    world.push("v1").await;
    for (accept, status) in [
        ("*/*", 200),
        ("application/json", 200),
        (OCI_MANIFEST, 200),
        ("application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json;q=0.5", 200),
        ("application/vnd.docker.distribution.manifest.v2+json, */*;q=0.1", 200),
        (OCI_INDEX, 404),
        (DOCKER_MANIFEST, 404),
    ] {
        let reply = world.ask("GET /v2/web/manifests/v1", &[("accept", accept)], b"").await;
        assert_eq!(reply.status, status, "{accept}");
    }
}

#[tokio::test]
async fn an_image_is_put_once_everything_it_names_is_there() {
    let world = World::new();
    let text = manifest(&[b"layer"], "");
    let missing = world.put("v1", &text).await;
    assert_eq!(missing.error(), refused(400, "MANIFEST_BLOB_UNKNOWN"));
    assert!(missing.text().contains(&digest_of("layer").to_string()));
    world.push_layer("web", b"{}").await;
    world.push_layer("web", b"layer").await;
    let other = format!("{}", digest_of("other"));
    assert_eq!(world.put(&other, &text).await.error(), refused(400, "DIGEST_INVALID"));
    let digest = digest_of(&text).to_string();
    let put = world.put(&digest, &text).await;
    assert_eq!((put.status, put.header("docker-content-digest")), (201, digest.as_str()));
    assert_eq!(put.header("location"), format!("/v2/web/manifests/{digest}"));
    assert!(world.simple("GET /v2/web/tags/list").await.list("tags").is_empty());
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{digest}","size":1}}]}}"#
    );
    let put = world.ask("PUT /v2/web/manifests/all", &[("content-type", OCI_INDEX)], index.as_bytes()).await;
    assert_eq!(put.status, 201);
    let held = world.simple(&format!("DELETE /v2/web/manifests/{digest}")).await;
    assert_eq!(held.error(), refused(403, "DENIED"));
    let missing = index.replace(&digest, &other);
    let put = world.ask("PUT /v2/web/manifests/all", &[("content-type", OCI_INDEX)], missing.as_bytes()).await;
    assert_eq!(put.error(), refused(400, "MANIFEST_BLOB_UNKNOWN"));
    let docker = [("content-type", DOCKER_MANIFEST)];
    let put = world.ask("PUT /v2/web/manifests/v1", &docker, text.as_bytes()).await;
    assert_eq!(put.error(), refused(400, "MANIFEST_INVALID"));
    let large = " ".repeat(state::ecr::Ecr::MANIFEST_BYTES_MAX + 1);
    assert_eq!(world.put("v1", &large).await.error(), refused(413, "SIZE_INVALID"));
}

#[tokio::test]
async fn an_immutable_tag_stays() {
    let world = World::new();
    let (first, second) = (world.push("first").await, world.push("second").await);
    let immutable = TagMutability { is_immutable: true, exclusions: Vec::new() };
    let change = |repository: &mut Repository| repository.tag_mutability = immutable;
    world.ecr().repositories.update(&scope(), &"web".to_owned(), change);
    let reply = world.put("first", &second).await;
    assert_eq!(reply.error(), refused(400, "TAG_INVALID"));
    let words = "The image tag 'first' already exists in the 'web' repository and cannot be overwritten because the tag \
                 is immutable.";
    assert!(reply.text().contains(words), "{}", reply.text());
    assert_eq!(world.put("first", &first).await.status, 201, "the same again is no change");
}

#[tokio::test]
async fn a_tag_goes_and_with_the_last_one_its_image() {
    let world = World::new();
    let manifest = world.push("v1").await;
    world.put("v2", &manifest).await;
    let by_digest = format!("GET /v2/web/manifests/{}", digest_of(&manifest));
    assert_eq!(world.simple("DELETE /v2/web/manifests/v1").await.status, 202);
    assert_eq!(world.simple("GET /v2/web/manifests/v1").await.status, 404);
    assert_eq!(world.simple(&by_digest).await.status, 200);
    assert_eq!(world.simple("DELETE /v2/web/manifests/v2").await.status, 202);
    assert_eq!(world.simple(&by_digest).await.status, 404);
}

#[tokio::test]
async fn what_is_removed_stays_so_when_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::of(State::open(&folder.path().join("state.redb")).unwrap());
    let state = &world.registry.state;
    world.push("v1").await;
    let layer = world.push_layer("web", b"of no image").await;
    let begun = world.simple("POST /v2/web/blobs/uploads/").await;
    let (upload, layer) = (begun.header("location"), format!("/v2/web/blobs/{layer}"));
    for path in ["/v2/web/manifests/v1", &layer, upload] {
        let gone = world.simple(&format!("DELETE {path}")).await;
        assert!([202, 204].contains(&gone.status), "{path}: {gone:?}");
        assert!(state.is_kept(state.moment()), "{path}");
    }
}

#[tokio::test]
async fn what_is_about_an_image_is_listed_by_its_kind() {
    let world = World::new();
    let subject = digest_of(&world.push("v1").await);
    let about = |kind: &str| {
        let more = format!(
            r#","artifactType":"{kind}","annotations":{{"of":"{kind}"}},"subject":{{"mediaType":"x","digest":"{subject}","size":1}}"#
        );
        manifest(&[], &more)
    };
    for kind in ["a/signature", "a/sbom", "a/x+json"] {
        let text = about(kind);
        let put = world.put(&digest_of(&text).to_string(), &text).await;
        assert_eq!((put.status, put.header("oci-subject")), (201, subject.to_string().as_str()));
    }
    let all = world.simple(&format!("GET /v2/web/referrers/{subject}")).await;
    assert_eq!((all.header("content-type"), all.header("oci-filters-applied")), (OCI_INDEX, ""));
    assert_eq!(all.text().matches("\"digest\"").count(), 3);
    for escaped in ["a/x+json", "a%2Fx%2Bjson"] {
        let of_kind = world.simple(&format!("GET /v2/web/referrers/{subject}?artifactType={escaped}")).await;
        assert_eq!(of_kind.text().matches("\"digest\"").count(), 1, "{escaped}");
    }
    let some = world.simple(&format!("GET /v2/web/referrers/{subject}?artifactType=a%2Fsbom")).await;
    assert_eq!(some.header("oci-filters-applied"), "artifactType");
    let text = about("a/sbom");
    let entry = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":{},"artifactType":"a/sbom","annotations":{{"of":"a/sbom"}}}}]}}"#,
        digest_of(&text),
        text.len()
    );
    assert_eq!(some.text(), entry);
    let none = world.simple(&format!("GET /v2/web/referrers/{}", digest_of("none"))).await;
    assert_eq!((none.status, none.text().contains("\"manifests\":[]")), (200, true));
    let first = world.simple(&format!("GET /v2/web/referrers/{subject}?n=2")).await;
    let next = first.header("link").trim_start_matches('<').split('>').next().unwrap_or_default().to_owned();
    let second = world.simple(&format!("GET {next}")).await;
    assert_ne!(first.text(), second.text());
    assert_eq!(second.header("link"), "");
}

#[tokio::test]
async fn ten_thousand_tags_are_listed_by_pages() {
    let world = World::new();
    world.push_layer("web", b"{}").await;
    for image in 0..10 {
        let text = manifest(&[], &format!(r#","annotations":{{"n":"{image}"}}"#));
        for n in 0..1_000 {
            let push = state::ecr::Push {
                repository: "web",
                tag: Some(&format!("v{:05}", n * 10 + image)),
                digest: None,
                media_type: None,
                manifest: text.as_bytes(),
            };
            world.ecr().put_image(&scope(), &push, NOW).unwrap();
        }
    }
    let over = manifest(&[], r#","annotations":{"n":"0"}"#);
    assert_eq!(world.put("one-more", &over).await.error(), refused(400, "DENIED"));
    let expected = (0..10_000).map(|n| format!("v{n:05}")).collect::<Vec<_>>();
    for (query, pages) in [("?n=999", 11), ("", 10), ("?n=5000", 10)] {
        let (mut line, mut listed, mut count) = (format!("GET /v2/web/tags/list{query}"), Vec::new(), 0);
        loop {
            let reply = world.simple(&line).await;
            listed.extend(reply.list("tags"));
            count += 1;
            let link = reply.header("link");
            if link.is_empty() {
                break;
            }
            let path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
            line.clear();
            write!(line, "GET {path}").unwrap();
        }
        assert!(listed == expected, "{query}");
        assert_eq!(count, pages, "{query}");
    }
    let from = world.simple("GET /v2/web/tags/list?n=2&last=v09997").await;
    assert_eq!((from.list("tags"), from.header("link")), (vec!["v09998".to_owned(), "v09999".to_owned()], ""));
    assert!(world.simple("GET /v2/web/tags/list?n=0").await.list("tags").is_empty());
}

#[tokio::test]
async fn repositories_are_listed_by_pages() {
    let world = World::new();
    let first = world.simple("GET /v2/_catalog?n=1").await;
    assert_eq!(first.list("repositories"), ["team/api"]);
    assert_eq!(first.header("link"), "</v2/_catalog?n=1&last=team%2Fapi>; rel=\"next\"");
    let second = world.simple("GET /v2/_catalog?n=1&last=team%2Fapi").await;
    assert_eq!((second.list("repositories"), second.header("link")), (vec!["web".to_owned()], ""));
}

#[tokio::test]
async fn pulling_an_image_is_noted_and_asking_for_it_is_not() {
    let world = World::new();
    world.push("v1").await;
    let pulled = || {
        let image = world.ecr().image(&scope(), "web", &state::ecr::Reference::Tag("v1".to_owned()));
        image.unwrap().last_pulled_at
    };
    world.simple("HEAD /v2/web/manifests/v1").await;
    assert_eq!(pulled(), None);
    world.simple("GET /v2/web/manifests/v1").await;
    assert_eq!(pulled(), Some(NOW));
}

#[tokio::test]
async fn what_is_signed_is_for_another_service() {
    let head = |line: &str, authorization: &str| {
        let request = Request::builder().uri(line).header("authorization", authorization);
        request.body(()).unwrap().into_parts().0
    };
    assert!(Registry::is_for(&head("/v2", "")) && Registry::is_for(&head("/v2/web/tags/list", "Basic x")));
    assert!(!Registry::is_for(&head("/v2x/", "")) && !Registry::is_for(&head("/", "")));
    let signed =
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/apigateway/aws4_request, SignedHeaders=host, Signature=ab";
    assert!(!Registry::is_for(&head("/v2/apis", signed)));
    // An object that anybody may read.
    assert!(!Registry::is_for(&head("http://site.s3.localhost:4566/v2/app.js", "")));
}

#[tokio::test]
async fn a_push_onto_a_full_disk_is_refused_in_words() {
    let world = World::new();
    let begun = world.simple("POST /v2/web/blobs/uploads/").await;
    world.ecr().require_free(u64::MAX);
    let upload = begun.header("location");
    for line in
        ["POST /v2/web/blobs/uploads/".to_owned(), format!("PATCH {upload}"), "PUT /v2/web/manifests/v1".to_owned()]
    {
        let reply = world.ask(&line, &[], manifest(&[], "").as_bytes()).await;
        assert_eq!(reply.error(), refused(507, "DENIED"), "{line}");
        assert!(reply.text().contains("No space is left"), "{line}: {}", reply.text());
    }
}

#[tokio::test]
async fn as_many_bodies_as_there_are_places_are_received_at_once() {
    let world = World::new();
    let places = world.registry.places.0.try_acquire_many(u32::try_from(BODIES_MAX).unwrap()).unwrap();
    let reply = world.simple("POST /v2/web/blobs/uploads/").await;
    assert_eq!((reply.error(), reply.header("retry-after")), (refused(429, "TOOMANYREQUESTS"), "1"));
    assert_eq!(world.simple("GET /v2/web/tags/list").await.status, 200);
    let request = Request::post("/v2/web/blobs/uploads/").header("authorization", world.authorization());
    let request = request.body(Full::new(Bytes::new())).unwrap();
    let reply = world.registry.answer(request, Sender::Task, Duration::from_secs(5)).await;
    assert_eq!(reply.status(), 202, "tasks have places of their own");
    drop(places);
    assert_eq!(world.simple("POST /v2/web/blobs/uploads/").await.status, 202);
}
