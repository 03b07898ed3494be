//! What stays, what goes, and what is done once.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use node::{ImageError, Images, PullRequest};

use super::{Fixture, why};
use crate::catalogue::Source;
use crate::test_archives::{TarBuilder, docker_files, tar_of};
use crate::{ImageStore, Limits, Options, Reference};

fn layer(text: &str) -> Vec<u8> {
    TarBuilder::new().file("file", text).finish()
}

fn archive(name: &str, layers: &[&str]) -> Vec<u8> {
    tar_of(&docker_files(&[name], &layers.iter().map(|text| layer(text)).collect::<Vec<_>>()))
}

#[tokio::test]
async fn images_are_there_again_after_a_restart() {
    let fixture = Fixture::new();
    fixture.load(&archive("a", &["1", "2"]), None).await.unwrap();
    fixture.load(&archive("b", &["1"]), None).await.unwrap();
    let (list, image) = (fixture.store.list().await.unwrap(), fixture.pull("a").await);
    let fixture = fixture.reopen();
    assert_eq!(fixture.store.list().await.unwrap(), list);
    assert_eq!(fixture.pull("a").await, image);
    assert_eq!(fixture.counts(), (4, 2, 0));
}

#[tokio::test]
async fn what_a_killed_server_left_half_done_is_removed() {
    let fixture = Fixture::new();
    fixture.load(&archive("a", &["1"]), None).await.unwrap();
    let dir = fixture.dir();
    let stray = dir.join("layers").join("f".repeat(64));
    fs::create_dir(&stray).unwrap();
    fs::write(stray.join("file"), "never committed").unwrap();
    fs::create_dir_all(dir.join("staging/7/deep")).unwrap();
    fs::write(dir.join("staging/8"), "half a blob").unwrap();
    fs::write(dir.join("blobs/sha256").join("e".repeat(64)), "never committed").unwrap();
    let fixture = fixture.reopen();
    assert_eq!(fixture.counts(), (2, 1, 0));
    assert_eq!(fixture.references().await, ["docker.io/library/a:latest"]);
}

#[tokio::test]
async fn a_damaged_image_is_dropped_at_the_next_start_and_can_be_loaded_again() {
    for damage in ["blob", "blob missing", "layer missing"] {
        let fixture = Fixture::new();
        fixture.load(&archive("a", &["1"]), None).await.unwrap();
        fixture.load(&archive("b", &["2"]), None).await.unwrap();
        let image = fixture.pull("a").await;
        let blob = fixture.dir().join("blobs/sha256").join(&image.digest["sha256:".len()..]);
        match damage {
            "blob" => fs::write(blob, "{}").unwrap(),
            "blob missing" => fs::remove_file(blob).unwrap(),
            _ => fs::remove_dir_all(&image.layers[0]).unwrap(),
        }
        let fixture = fixture.reopen();
        assert_eq!(fixture.references().await, ["docker.io/library/b:latest"], "{damage}");
        assert_eq!(fixture.counts(), (2, 1, 0), "{damage}");
        fixture.load(&archive("a", &["1"]), None).await.unwrap();
        assert_eq!(fixture.pull("a").await, image, "{damage}");
    }
}

#[test]
fn an_index_that_cannot_be_understood_throws_nothing_away() {
    for content in ["{", r#"{"version":2,"references":{},"layers":{}}"#] {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("layers/x")).unwrap();
        fs::write(folder.path().join("index.json"), content).unwrap();
        let opened = ImageStore::open(
            folder.path(),
            Arc::new(base::SystemClock),
            Arc::new(|| Ok(HashSet::new())),
            Options::default(),
        );
        assert!(matches!(opened, Err(ImageError::Io { action: "understand", .. })), "{content}");
        assert!(folder.path().join("layers/x").exists());
    }
}

#[tokio::test]
async fn removing_a_reference_removes_what_no_other_needs() {
    let fixture = Fixture::new();
    fixture.load(&archive("a", &["1", "2"]), None).await.unwrap();
    fixture.load(&archive("a:alias", &["1", "2"]), None).await.unwrap();
    fixture.load(&archive("b", &["1"]), None).await.unwrap();
    assert_eq!(fixture.counts(), (4, 2, 0));
    fixture.store.remove("a").await.unwrap();
    assert_eq!(fixture.counts(), (4, 2, 0), "its alias still means the image");
    fixture.store.remove("docker.io/library/a:alias").await.unwrap();
    assert_eq!(fixture.counts(), (2, 1, 0));
    assert_eq!(fixture.references().await, ["docker.io/library/b:latest"]);
    let gone = fixture.store.remove("a").await;
    assert!(matches!(gone, Err(ImageError::NotFound { reference }) if reference == "docker.io/library/a:latest"));
    let gone = fixture.store.pull(&PullRequest::new("a:alias")).await;
    assert!(matches!(gone, Err(ImageError::NotFound { reference }) if reference == "docker.io/library/a:alias"));
}

#[tokio::test]
async fn a_tag_that_moves_leaves_nothing_of_the_old_image() {
    let fixture = Fixture::new();
    fixture.load(&archive("a", &["1"]), None).await.unwrap();
    let old = fixture.pull("a").await.digest.clone();
    fixture.load(&archive("a", &["2"]), None).await.unwrap();
    assert_eq!(fixture.counts(), (2, 1, 0));
    assert!(fixture.store.pull(&PullRequest::new(format!("a@{old}"))).await.is_err());
}

#[tokio::test]
async fn layers_stay_while_somebody_holds_the_image() {
    let fixture = Fixture::new();
    fixture.load(&archive("a", &["1"]), None).await.unwrap();
    fixture.load(&archive("b", &["2"]), None).await.unwrap();
    let held = fixture.pull("a").await;
    fixture.store.remove("a").await.unwrap();
    assert!(fixture.store.pull(&PullRequest::new("a")).await.is_err());
    assert_eq!(fs::read_to_string(held.layers[0].join("file")).unwrap(), "1");
    fixture.load(&archive("a", &["1"]), None).await.unwrap();
    assert!(Arc::ptr_eq(&held, &fixture.pull("a").await), "loaded again it is the same image");
    fixture.store.remove("a").await.unwrap();
    drop(held);
    fixture.store.remove("b").await.unwrap();
    assert_eq!(fixture.counts(), (0, 0, 0), "the next removal takes it along");
}

#[tokio::test]
async fn layers_stay_while_a_container_of_an_earlier_server_uses_them() {
    let fixture = Fixture::new();
    fixture.load(&archive("a", &["1", "2"]), None).await.unwrap();
    let used = fixture.pull("a").await.layers[0].clone();
    fixture.in_use.lock().unwrap().insert(used.clone());
    let fixture = fixture.reopen();
    fixture.store.remove("a").await.unwrap();
    assert_eq!((fixture.counts(), used.exists()), ((0, 1, 0), true), "removed, but for the layer in use");
    let fixture = fixture.reopen();
    assert_eq!((fixture.counts(), used.exists()), ((0, 1, 0), true), "another start leaves it as well");
    let inode = fs::metadata(&used).unwrap().ino();
    fixture.load(&archive("a", &["1", "2"]), None).await.unwrap();
    assert_eq!(fixture.counts(), (2, 2, 0));
    assert!(fixture.pull("a").await.layers.contains(&used));
    assert_eq!(fs::metadata(&used).unwrap().ino(), inode, "loaded again, the folder is the one in use");
    fixture.store.remove("a").await.unwrap();
    fixture.load(&archive("b", &["3"]), None).await.unwrap();
    fixture.in_use.lock().unwrap().clear();
    fixture.store.remove("b").await.unwrap();
    assert_eq!(fixture.counts(), (0, 0, 0), "the next removal takes it along");
}

#[tokio::test]
async fn nothing_is_removed_while_it_cannot_be_told_what_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("layers").join("f".repeat(64))).unwrap();
    let unknown = Arc::new(|| Err(std::io::Error::other("no idea")));
    let opened = ImageStore::open(folder.path(), Arc::new(base::SystemClock), unknown, Options::default());
    assert!(matches!(opened, Err(ImageError::Io { action: "find the containers that use", .. })));
    assert!(folder.path().join("layers").join("f".repeat(64)).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn loading_the_same_at_once_does_the_work_once() {
    let fixture = Fixture::new();
    let path = fixture.write(&archive("a", &["1", "2", "3"]));
    let loads = (0..8).map(|n| {
        let (store, path) = (Arc::clone(&fixture.store), path.clone());
        tokio::spawn(async move { store.load(&path, Some(&format!("a:{n}"))).await })
    });
    for load in loads.collect::<Vec<_>>() {
        load.await.unwrap().unwrap();
    }
    assert_eq!(fixture.references().await.len(), 8);
    assert_eq!(fixture.counts(), (2, 3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn loading_and_removing_at_once_never_shows_an_image_without_its_layers() {
    let fixture = Fixture::new();
    let path = fixture.write(&archive("a", &["1", "2"]));
    let tasks = (0..4).map(|n| {
        let (store, path) = (Arc::clone(&fixture.store), path.clone());
        tokio::spawn(async move {
            let name = format!("a:{n}");
            for _ in 0..20 {
                store.load(&path, Some(&name)).await.unwrap();
                let image = store.pull(&PullRequest::new(&name)).await.unwrap();
                store.remove(&name).await.unwrap();
                assert!(image.layers.iter().all(|layer| layer.join("file").exists()));
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    fixture.load(&archive("b", &["3"]), None).await.unwrap();
    assert_eq!(fixture.counts(), (2, 1, 0));
}

#[tokio::test]
async fn a_failed_load_leaves_the_next_one_free_to_succeed() {
    let fixture = Fixture::with(Limits { layer_entries_max: 1, ..Limits::default() });
    let two = TarBuilder::new().file("a", "").file("b", "").finish();
    assert!(why(fixture.load(&tar_of(&docker_files(&["a"], &[two])), None).await).contains("more than 1 entries"));
    fixture.load(&archive("a", &["1"]), None).await.unwrap();
    assert_eq!(fixture.counts(), (2, 1, 0));
}

#[tokio::test]
async fn what_was_published_is_held_whatever_is_removed_before_it_is_used() {
    let fixture = Fixture::new();
    let archive = fixture.write(&TarBuilder::new().file("a", "b").finish());
    let name = Some(Reference::parse("app").unwrap());
    let image = fixture.store.inner.load(&archive, name, Source::Pulled).unwrap().only();
    let pruned = fixture.store.prune(true).await.unwrap();
    assert_eq!(pruned.references, Vec::<String>::new(), "somebody holds it");
    fixture.store.remove("app").await.unwrap();
    assert_eq!(fs::read_to_string(image.layers[0].join("a")).unwrap(), "b");
    drop(image);
    fixture.store.prune(true).await.unwrap();
    assert_eq!(fixture.counts(), (0, 0, 0));
}
