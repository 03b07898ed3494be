//! oci-client: an image pushed and pulled, parts of layers, mounts, tags by pages, referrers, an index, errors.
//!
//! `NEARGATE_REGISTRY` is a host and port, `NEARGATE_PASSWORD` the password of its user `AWS`, `NEARGATE_REPOSITORY` and
//! `NEARGATE_OTHER_REPOSITORY` two repositories; `test_oci_client.py` makes them and sets these.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use oci_client::client::{BlobResponse, ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{
    IMAGE_LAYER_MEDIA_TYPE, ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor,
    OciImageIndex, OciImageManifest,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};

const LAYER_BYTES: usize = 9_000_000;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} says what to test"))
}

fn auth() -> RegistryAuth {
    RegistryAuth::Basic("AWS".to_owned(), variable("NEARGATE_PASSWORD"))
}

fn client(is_monolithic: bool) -> Client {
    // It is asked for even where no TLS is spoken. Another test may have been faster.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::new(ClientConfig {
        protocol: ClientProtocol::Http,
        use_monolithic_push: is_monolithic,
        ..ClientConfig::default()
    })
}

fn reference(repository: &str, tag: &str) -> Reference {
    let (registry, repository) = (variable("NEARGATE_REGISTRY"), variable(repository));
    Reference::with_tag(registry, repository, tag.to_owned())
}

fn here(tag: &str) -> Reference {
    reference("NEARGATE_REPOSITORY", tag)
}

fn layer(seed: u8) -> ImageLayer {
    let bytes = (0..LAYER_BYTES).map(|n| (n % 251) as u8 ^ seed).collect::<Vec<_>>();
    ImageLayer::oci_v1(bytes, None)
}

/// Pushes an image of one layer and returns its digest.
async fn push(client: &Client, tag: &str, seed: u8) -> String {
    let config = Config::oci_v1(b"{\"architecture\":\"amd64\",\"os\":\"linux\"}".to_vec(), None);
    client.push(&here(tag), &[layer(seed)], config, &auth(), None).await.unwrap();
    client.fetch_manifest_digest(&here(tag), &auth()).await.unwrap()
}

/// Tells which code the registry answered with. The client reads codes only where it looks for one.
fn code(error: &OciDistributionError) -> String {
    match error {
        OciDistributionError::RegistryError { envelope, .. } => format!("{:?}", envelope.errors[0].code),
        OciDistributionError::ServerError { message, .. } => {
            let code = message.split_once("\"code\":\"").and_then(|(_, rest)| rest.split_once('"'));
            code.unwrap_or_else(|| panic!("{message}")).0.to_owned()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_pushed_by_parts_or_at_once_is_pulled_the_same() {
    for (is_monolithic, tag, seed) in [(false, "parts", 1), (true, "once", 2)] {
        let client = client(is_monolithic);
        let digest = push(&client, tag, seed).await;
        let pulled = client.pull(&here(tag), &auth(), vec![IMAGE_LAYER_MEDIA_TYPE]).await.unwrap();
        assert_eq!(pulled.digest.as_deref(), Some(digest.as_str()));
        assert!(pulled.layers[0].data == layer(seed).data, "{tag}");
    }
}

#[tokio::test]
async fn a_layer_of_unknown_digest_is_streamed_in_and_parts_of_it_out() {
    let client = client(false);
    client.auth(&here("any"), &auth(), RegistryOperation::Push).await.unwrap();
    let pieces = (0..40_u8).map(|n| Ok(vec![n; 200_000].into()));
    let pushed = client.push_blob_stream_chunked(&here("any"), stream::iter(pieces)).await.unwrap();
    assert_eq!(pushed.size, 8_000_000);
    assert!(client.blob_exists(&here("any"), &pushed.blob_digest).await.unwrap());
    let digest = pushed.blob_digest.as_str();
    let part = client.pull_blob_stream_partial(&here("any"), digest, 199_999, Some(2)).await.unwrap();
    let BlobResponse::Partial(mut part) = part else { panic!("all of it is sent") };
    let mut bytes = Vec::new();
    while let Some(piece) = part.next().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    assert_eq!(bytes, [0, 1]);
    let other = reference("NEARGATE_OTHER_REPOSITORY", "any");
    assert!(!client.blob_exists(&other, digest).await.unwrap());
    client.mount_blob(&other, &here("any"), digest).await.unwrap();
    assert!(client.blob_exists(&other, digest).await.unwrap());
}

#[tokio::test]
async fn tags_are_listed_by_pages_and_what_is_about_an_image_by_its_kind() {
    let client = client(true);
    let digest = push(&client, "listed-1", 3).await;
    push(&client, "listed-2", 3).await;
    let page = client.list_tags(&here("any"), &auth(), Some(1), Some("listed-0")).await.unwrap();
    assert_eq!(page.tags, ["listed-1"]);
    let page = client.list_tags(&here("any"), &auth(), Some(1), Some("listed-1")).await.unwrap();
    assert_eq!(page.tags, ["listed-2"]);

    let (image, of_image) = client.pull_image_manifest(&here("listed-1"), &auth()).await.unwrap();
    assert_eq!(of_image, digest);
    let size = client.pull_manifest_raw(&here("listed-1"), &auth(), &[OCI_IMAGE_MEDIA_TYPE]).await.unwrap().0.len();
    let subject = OciDescriptor {
        media_type: OCI_IMAGE_MEDIA_TYPE.to_owned(),
        digest: digest.clone(),
        size: size as i64,
        ..OciDescriptor::default()
    };
    let about = OciImageManifest {
        subject: Some(subject),
        artifact_type: Some("example/sbom".to_owned()),
        annotations: Some(BTreeMap::from([("of".to_owned(), "listed-1".to_owned())])),
        ..image
    };
    let config = Config::oci_v1(b"{\"architecture\":\"amd64\",\"os\":\"linux\"}".to_vec(), None);
    client.push(&here("sbom"), &[layer(3)], config, &auth(), Some(about)).await.unwrap();
    let by_digest = here("listed-1").clone_with_digest(digest);
    let found = client.pull_referrers(&by_digest, Some("example/sbom")).await.unwrap();
    assert_eq!(found.manifests.len(), 1);
    assert_eq!(found.manifests[0].annotations.as_ref().unwrap()["of"], "listed-1");
    assert!(client.pull_referrers(&by_digest, Some("example/other")).await.unwrap().manifests.is_empty());
}

#[tokio::test]
async fn an_index_names_images_that_are_there() {
    let client = client(true);
    let digest = push(&client, "child", 4).await;
    let index = |digest: &str| OciImageIndex {
        schema_version: 2,
        media_type: Some(OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned()),
        manifests: vec![ImageIndexEntry {
            media_type: OCI_IMAGE_MEDIA_TYPE.to_owned(),
            digest: digest.to_owned(),
            size: 1,
            platform: None,
            artifact_type: None,
            annotations: None,
        }],
        artifact_type: None,
        annotations: None,
    };
    client.push_manifest_list(&here("index"), &auth(), index(&digest)).await.unwrap();
    let missing = format!("sha256:{}", "0".repeat(64));
    let refused = client.push_manifest_list(&here("broken"), &auth(), index(&missing)).await.unwrap_err();
    assert_eq!(code(&refused), "MANIFEST_BLOB_UNKNOWN");
}

#[tokio::test]
async fn errors_have_the_codes_of_the_specification() {
    let client = client(true);
    let none = client.pull_image_manifest(&here("none"), &auth()).await.unwrap_err();
    assert_eq!(code(&none), "ManifestUnknown");
    let nowhere = Reference::with_tag(variable("NEARGATE_REGISTRY"), "no/where".to_owned(), "v1".to_owned());
    let unknown = client.list_tags(&nowhere, &auth(), None, None).await.unwrap_err();
    assert_eq!(code(&unknown), "NameUnknown");
    let stranger = RegistryAuth::Basic("AWS".to_owned(), "wrong".to_owned());
    let refused = self::client(true).pull_image_manifest(&here("none"), &stranger).await;
    assert!(matches!(refused, Err(OciDistributionError::UnauthorizedError { .. })), "{refused:?}");
}
