//! Every kind of archive, and what is wrong with wrong ones.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;

use node::{ImageConfig, ImageError, Images, PullRequest};
use serde_json::json;

use super::{Fixture, LOADED_AT, why};
use crate::digest::Digest;
use crate::test_archives::{
    OciBuilder, TarBuilder, docker_files, gzip, host_arch, named, platform, tar_of, with, write_folder, zstd,
};
use crate::{ImageStore, Limits, Options};

fn two_layers() -> [Vec<u8>; 2] {
    [TarBuilder::new().file("a", "lower").finish(), TarBuilder::new().file("a", "upper").finish()]
}

fn image_config() -> ImageConfig {
    ImageConfig {
        entrypoint: vec!["/entry".to_owned()],
        cmd: vec!["a".to_owned(), "b".to_owned()],
        env: vec!["A=1".to_owned()],
        working_dir: "/w".to_owned(),
        user: "1:2".to_owned(),
        stop_signal: Some("SIGINT".to_owned()),
    }
}

#[tokio::test]
async fn a_docker_archive_loads_under_all_its_tags_whole_or_compressed() {
    let archive = tar_of(&docker_files(&["httpd:2.4", "localhost:5000/x:1"], &two_layers()));
    let mut digests = Vec::new();
    for content in [archive.clone(), gzip(&archive), zstd(&archive)] {
        let fixture = Fixture::new();
        let loaded = fixture.load(&content, None).await.unwrap();
        assert_eq!(fixture.references().await, ["docker.io/library/httpd:2.4", "localhost:5000/x:1"]);
        assert_eq!(loaded, fixture.store.list().await.unwrap());
        assert_eq!((loaded[0].size_bytes, loaded[0].loaded_at), (10, LOADED_AT));
        let image = fixture.pull("docker.io/httpd:2.4").await;
        assert_eq!(image.config, image_config());
        let contents = image.layers.iter().map(|layer| fs::read_to_string(layer.join("a")).unwrap());
        assert_eq!(contents.collect::<Vec<_>>(), ["upper", "lower"]);
        digests.push(image.digest.clone());
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "the manifest that is made is always the same");
}

#[tokio::test]
async fn a_docker_archive_may_hold_several_images_and_links_between_members() {
    let [lower, upper] = two_layers();
    let mut files = docker_files(&["one"], std::slice::from_ref(&lower));
    let mut more = docker_files(&["two"], &[lower, upper]);
    let manifests = [files.pop().unwrap().1, more.pop().unwrap().1];
    let both = manifests.iter().flat_map(|m| serde_json::from_slice::<Vec<serde_json::Value>>(m).unwrap());
    let manifest = serde_json::Value::from(both.collect::<Vec<_>>()).to_string();
    let mut tar = TarBuilder::new();
    // The layer that both have is a link, as docker of old wrote it.
    tar = tar.entry(tar::EntryType::Regular, "shared/layer.tar", "", 0o644, &files.pop().unwrap().1);
    more.retain(|(name, _)| name != "0/layer.tar");
    tar = tar.symlink("0/layer.tar", "../shared/layer.tar");
    for (name, content) in files.iter().chain(&more) {
        tar = tar.entry(tar::EntryType::Regular, name, "", 0o644, content);
    }
    let archive = tar.file("manifest.json", &manifest).finish();
    let fixture = Fixture::new();
    fixture.load(&archive, None).await.unwrap();
    assert_eq!(fixture.references().await, ["docker.io/library/one:latest", "docker.io/library/two:latest"]);
    assert_eq!(fixture.pull("one").await.layers[0], fixture.pull("two").await.layers[1], "one layer, unpacked once");
    assert_eq!(fixture.counts(), (4, 2, 0));
    let message = why(fixture.load(&archive, Some("three")).await);
    assert_eq!(message, "a name was given for one image, but there are 2");
}

#[tokio::test]
async fn an_oci_layout_loads_from_archive_and_folder_and_keeps_its_digest() {
    let mut oci = OciBuilder::default();
    let manifest = oci.image(&two_layers(), &host_arch());
    let files = oci.top(with(manifest.clone(), named("public.ecr.aws/docker/library/httpd:2.4"))).finish();
    let fixture = Fixture::new();
    let folder = fixture.folder.path().join("layout");
    write_folder(&folder, &files);
    let from_folder = fixture.store.load(&folder, None).await.unwrap();
    let from_tar = fixture.load(&gzip(&tar_of(&files)), None).await.unwrap();
    assert_eq!(from_folder, from_tar);
    assert_eq!(from_tar[0].digest, manifest["digest"]);
    let image = fixture.pull("public.ecr.aws/docker/library/httpd:2.4").await;
    assert_eq!(image.config, image_config());
    assert_eq!(fs::read_to_string(image.layers[0].join("a")).unwrap(), "upper");
    assert!(
        fixture.store.pull(&PullRequest::new("httpd:2.4")).await.is_err(),
        "another registry's name is another image"
    );
}

#[tokio::test]
async fn a_nested_index_gives_the_image_of_this_machine_and_answers_to_its_own_digest() {
    let layers = two_layers();
    let mut oci = OciBuilder::default();
    let other = with(oci.image(&layers[..1], "s390x"), platform("s390x"));
    let ours = with(oci.image(&layers, &host_arch()), platform(&host_arch()));
    let note = with(
        oci.image(&layers[1..], "unknown"),
        json!({"platform": {"architecture": "unknown", "os": "unknown"},
               "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}),
    );
    let index = oci.index(&[other, ours.clone(), note]);
    let files = oci.top(with(index.clone(), named("team/app:1"))).finish();
    let fixture = Fixture::new();
    fixture.load(&tar_of(&files), None).await.unwrap();
    for digest in [&ours["digest"], &index["digest"]] {
        let digest = digest.as_str().unwrap();
        for name in ["team/app", "docker.io/team/app:1"] {
            assert_eq!(fixture.pull(&format!("{name}@{digest}")).await.digest, ours["digest"]);
        }
        let wrong_tag = format!("team/app:2@{digest}");
        assert!(matches!(fixture.store.pull(&PullRequest::new(&wrong_tag)).await, Err(ImageError::NotFound { .. })));
    }
}

#[tokio::test]
async fn an_image_for_another_machine_is_refused() {
    let layers = two_layers();
    let mut direct = OciBuilder::default();
    let manifest = direct.image(&layers, "s390x");
    let mut nested = OciBuilder::default();
    let inner = with(nested.image(&layers, "s390x"), platform("s390x"));
    let index = nested.index(&[inner]);
    for files in [direct.top(with(manifest, named("a:1"))).finish(), nested.top(with(index, named("a:1"))).finish()] {
        let fixture = Fixture::new();
        let result = fixture.load(&tar_of(&files), None).await;
        assert!(matches!(&result, Err(ImageError::NoPlatform { reference, .. }) if reference == "a:1"), "{result:?}");
        assert_eq!(fixture.counts(), (0, 0, 0));
    }
}

#[tokio::test]
async fn a_root_file_system_loads_from_tar_and_folder_as_one_layer() {
    let fixture = Fixture::new();
    let tar = TarBuilder::new().folder("./").folder("./bin").file("./bin/sh", "#!").finish();
    let mut digests = Vec::new();
    for content in [tar.clone(), gzip(&tar), zstd(&tar)] {
        digests.push(fixture.load(&content, Some("base:1")).await.unwrap()[0].digest.clone());
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
    let image = fixture.pull("base:1").await;
    assert_eq!(image.config.cmd, ["/bin/sh"]);
    assert!(image.config.env[0].starts_with("PATH="));
    assert_eq!(fs::read_to_string(image.layers[0].join("bin/sh")).unwrap(), "#!");

    let folder = fixture.folder.path().join("rootfs");
    write_folder(&folder, &[("bin/sh".to_owned(), b"#!".to_vec())]);
    fixture.store.load(&folder, Some("base:2")).await.unwrap();
    let image = fixture.pull("base:2").await;
    assert_eq!(fs::read_to_string(image.layers[0].join("bin/sh")).unwrap(), "#!");
    assert_eq!(
        why(fixture.store.load(&folder, None).await),
        "it does not say what the image is called, and no name was given"
    );
}

#[tokio::test]
async fn a_bare_tag_in_an_oci_layout_is_no_name() {
    let mut oci = OciBuilder::default();
    let manifest = oci.image(&two_layers(), &host_arch());
    let archive = tar_of(&oci.top(with(manifest, named("latest"))).finish());
    let fixture = Fixture::new();
    assert!(why(fixture.load(&archive, None).await).contains("no name was given"));
    assert_eq!(fixture.counts(), (0, 0, 0), "nothing is kept of what was refused");
    fixture.load(&archive, Some("app")).await.unwrap();
}

#[tokio::test]
async fn a_name_with_a_digest_must_be_that_digest() {
    let fixture = Fixture::new();
    let tar = TarBuilder::new().file("a", "").finish();
    let digest = fixture.load(&tar, Some("app")).await.unwrap()[0].digest.clone();
    fixture.load(&tar, Some(&format!("other@{digest}"))).await.unwrap();
    assert_eq!(fixture.pull(&format!("other@{digest}")).await.digest, digest);
    let wrong = format!("other@{}", Digest::of(b"other"));
    assert!(why(fixture.load(&tar, Some(&wrong)).await).contains("but its digest is"));
}

#[tokio::test]
async fn what_is_wrong_with_an_archive_is_said_and_nothing_of_it_kept() {
    let good = docker_files(&["app"], &two_layers());
    let changed = |name: &str, content: &[u8]| {
        let mut files = good.clone();
        let file = files.iter_mut().find(|(known, _)| known.contains(name)).unwrap();
        file.1 = content.to_vec();
        tar_of(&files)
    };
    let without = |name: &str| tar_of(&good.iter().filter(|(known, _)| known != name).cloned().collect::<Vec<_>>());
    let mut oci = OciBuilder::default();
    let manifest = oci.image(&two_layers(), &host_arch());
    let oci = oci.top(with(manifest.clone(), named("app:1"))).finish();
    let oci_with = |at: usize, content: Vec<u8>| {
        let mut files = oci.clone();
        files[at].1 = content;
        tar_of(&files)
    };
    let other_layer = TarBuilder::new().file("b", "").finish();
    let zipped = gzip(&TarBuilder::new().file("a", &"text".repeat(10_000)).finish());
    let plain = TarBuilder::new().file("a", &"text".repeat(10_000)).finish();
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "the file holds nothing"),
        ("zeros", vec![0; 1024], "the file holds nothing"),
        ("text", b"not an archive".repeat(100), "it is no tar"),
        ("short text", b"no".to_vec(), "it is no tar"),
        ("truncated gzip", zipped[..zipped.len() / 2].to_vec(), "the file"),
        ("truncated tar", plain[..plain.len() / 2].to_vec(), "tar"),
        ("truncated zstd", zstd(&plain)[..20].to_vec(), "the file"),
        ("layer with other content", changed("1/layer.tar", &other_layer), "layer 2 of 2: its content has digest"),
        ("layer that is no tar", changed("1/layer.tar", &[1; 2000]), "layer 2 of 2: the tar"),
        ("layer missing", without("0/layer.tar"), "`0/layer.tar` is missing"),
        ("config with other content", changed(".json", b"{}"), "does not have the digest it is named by"),
        ("config missing", without(&good[0].0), "is missing"),
        ("blob with other bytes", oci_with(1, gzip(&other_layer)), "layer 1 of 2: "),
        ("blob with more bytes", oci_with(1, [oci[1].1.clone(), gzip(b"")].concat()), "layer 1 of 2: it has"),
        ("config blob wrong", oci_with(0, vec![b' '; oci[0].1.len()]), "does not have the digest it is named by"),
        ("config blob short", oci_with(0, Vec::new()), "has 0 bytes instead of"),
        ("index broken", oci_with(oci.len() - 1, b"{".to_vec()), "`index.json`: EOF"),
        ("index empty", oci_with(oci.len() - 1, br#"{"schemaVersion":2,"manifests":[]}"#.to_vec()), "names no image"),
    ];
    for (case, archive, expected) in rows {
        let fixture = Fixture::new();
        let message = why(fixture.load(&archive, Some("app")).await);
        assert!(message.contains(expected), "{case}: {message}");
        assert_eq!(fixture.counts(), (0, 0, 0), "{case}");
    }
}

#[tokio::test]
async fn a_wrong_blob_is_seen_even_where_its_layer_is_known() {
    let layers = two_layers();
    let mut oci = OciBuilder::default();
    let manifest = oci.image(&layers, &host_arch());
    let mut files = oci.top(with(manifest, named("app:1"))).finish();
    let fixture = Fixture::new();
    fixture.load(&tar_of(&files), None).await.unwrap();
    files[1].1 = gzip(b"other");
    assert!(why(fixture.load(&tar_of(&files), None).await).starts_with("layer 1 of 2: it has"));
    assert_eq!(fixture.counts(), (2, 2, 0), "what was there before stays");
}

#[tokio::test]
async fn a_member_that_leads_outside_is_refused() {
    let manifest = json!([{"Config": "../../etc/passwd", "RepoTags": ["a"], "Layers": []}]).to_string();
    let fixture = Fixture::new();
    let message = why(fixture.load(&TarBuilder::new().file("manifest.json", &manifest).finish(), None).await);
    assert!(message.contains("leads outside of the archive"), "{message}");
    let folder = fixture.folder.path().join("docker");
    write_folder(&folder, &[("manifest.json".to_owned(), manifest.into_bytes())]);
    assert!(why(fixture.store.load(&folder, None).await).contains("is missing"), "beneath the folder there is none");
}

#[tokio::test]
async fn what_is_no_reference_or_no_file_is_said_so() {
    let fixture = Fixture::new();
    let tar = TarBuilder::new().file("a", "").finish();
    assert!(matches!(fixture.load(&tar, Some("A")).await, Err(ImageError::InvalidReference { .. })));
    assert!(matches!(fixture.store.pull(&PullRequest::new("a b")).await, Err(ImageError::InvalidReference { .. })));
    assert!(matches!(fixture.store.remove("").await, Err(ImageError::InvalidReference { .. })));
    let missing = fixture.folder.path().join("missing");
    assert!(matches!(fixture.store.load(&missing, Some("a")).await, Err(ImageError::Io { action: "open", .. })));
    let device = std::path::Path::new("/dev/null");
    assert!(why(fixture.store.load(device, Some("a")).await).contains("neither a file nor a folder"));
}

#[tokio::test]
async fn every_bound_holds() {
    let small = Limits { document_bytes_max: 64, ..Limits::default() };
    let few = Limits { image_layers_max: 1, ..Limits::default() };
    let none = Limits { images_max: 0, ..Limits::default() };
    let short = Limits { blob_bytes_max: 100, ..Limits::default() };
    let docker = tar_of(&docker_files(&["app"], &two_layers()));
    let mut oci = OciBuilder::default();
    let manifest = oci.image(&two_layers(), &host_arch());
    let oci = tar_of(&oci.top(with(manifest, named("app:1"))).finish());
    for (limits, archive, expected) in [
        (small, &oci, "longer than 64 bytes"),
        (few, &docker, "more than 1 layers"),
        (none.clone(), &docker, "more than 0 images"),
        (none, &oci, "more than 0 images"),
        (short, &docker, "more than the 100 bytes"),
    ] {
        let message = why(Fixture::with(limits).load(archive, None).await);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn two_stores_cannot_have_one_folder() {
    let fixture = Fixture::new();
    let clock = Arc::new(base::SystemClock);
    let opened = ImageStore::open(&fixture.dir(), clock, Arc::new(|| Ok(HashSet::new())), Options::default());
    assert!(matches!(opened, Err(ImageError::Io { action: "lock", .. })));
}
