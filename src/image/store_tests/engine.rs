//! Images of a container engine, played by a server on a Unix socket.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base::ManualClock;
use node::{ImageError, ImageSource, Images, PullRequest};

use super::LOADED_AT;
use crate::test_archives::{TarBuilder, docker_files, tar_of};
use crate::{Digest, Engine, ImageStore, Options};

/// Answers for the image `app`, and for `cut`, which breaks off, and notes what was asked.
fn serve(socket: &Path, archive: Vec<u8>, id: String) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(socket).unwrap();
    let log = Arc::<Mutex<Vec<String>>>::default();
    let noted = Arc::clone(&log);
    // It ends with the test's process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            while reader.read_line(&mut String::new()).unwrap() > 2 {}
            let path = line.split(' ').nth(1).unwrap().to_owned();
            // The second ends before its time.
            let (status, body, missing) = match path.strip_prefix("/images/docker.io/library/").unwrap_or_default() {
                "app:latest/json" | "cut:latest/json" => (200, format!(r#"{{"Id":"{id}"}}"#).into_bytes(), 0),
                "app:latest/get" => (200, archive.clone(), 0),
                "cut:latest/get" => (200, archive.clone(), 1),
                _ => (404, b"{}".to_vec(), 0),
            };
            noted.lock().unwrap().push(path);
            let length = body.len() + missing;
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).unwrap();
        }
    });
    log
}

fn store(folder: &Path) -> Arc<ImageStore> {
    let options = Options { engine: Some(Engine::at(&folder.join("socket"))), ..Options::default() };
    let clock = Arc::new(ManualClock::new(LOADED_AT));
    ImageStore::open(&folder.join("store"), clock, Arc::new(|| Ok(HashSet::new())), options).unwrap()
}

#[tokio::test]
async fn what_an_engine_has_is_taken_from_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let files = docker_files(&["other:1"], &[TarBuilder::new().file("a", "b").finish()]);
    let config = Digest::of(&files[0].1).to_string();
    let log = serve(&folder.path().join("socket"), tar_of(&files), config);
    let store = store(folder.path());
    let image = store.pull(&PullRequest::new("app")).await.unwrap();
    assert_eq!(std::fs::read_to_string(image.layers[0].join("a")).unwrap(), "b");
    assert!(Arc::ptr_eq(&image, &store.pull(&PullRequest::new("app")).await.unwrap()));
    let asked = ["json", "get", "json"].map(|what| format!("/images/docker.io/library/app:latest/{what}"));
    assert_eq!(*log.lock().unwrap(), asked);
    let listed = store.list().await.unwrap();
    assert_eq!((listed.len(), listed[0].source), (1, ImageSource::Engine));
    assert!(matches!(store.pull(&PullRequest::new("nope")).await, Err(ImageError::NotFound { .. })));
}

#[tokio::test]
async fn what_an_engine_does_not_send_whole_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let files = docker_files(&["cut:latest"], &[TarBuilder::new().file("a", "b").finish()]);
    serve(&folder.path().join("socket"), tar_of(&files), Digest::of(&files[0].1).to_string());
    let store = store(folder.path());
    let cut = store.pull(&PullRequest::new("cut")).await;
    assert!(matches!(cut, Err(ImageError::Registry { .. })), "{cut:?}");
    assert!(store.list().await.unwrap().is_empty());
    assert_eq!(std::fs::read_dir(folder.path().join("store/staging")).unwrap().count(), 0);
    assert!(store.pull(&PullRequest::new("app")).await.is_ok());
}

#[tokio::test]
async fn without_an_engine_nothing_is_found_there() {
    let folder = tempfile::tempdir().unwrap();
    let missing = store(folder.path()).pull(&PullRequest::new("app")).await;
    assert!(matches!(missing, Err(ImageError::NotFound { .. })), "{missing:?}");
}
