use std::convert::Infallible;

use base::Timestamp;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(0);

fn bucket() -> Bucket {
    Bucket { owner: AccountId::DEFAULT, region: Region::default(), created_at: NOW }
}

fn any(_: Option<&Object>) -> Result<(), Infallible> {
    Ok(())
}

fn s3() -> S3 {
    let s3 = S3::new(None);
    s3.create_bucket("b", bucket()).unwrap();
    s3
}

fn files(folder: &std::path::Path) -> usize {
    let groups = std::fs::read_dir(folder.join("objects/blobs")).into_iter().flatten().flatten();
    groups.map(|group| std::fs::read_dir(group.path()).unwrap().count()).sum()
}

#[test]
fn what_is_written_is_read_again_and_a_replaced_file_goes() {
    let s3 = s3();
    s3.write("b", "k", "text/plain", b"one", NOW).unwrap();
    let first = s3.object("b", "k").unwrap();
    s3.write("b", "k", "text/plain", b"two", NOW).unwrap();
    assert_eq!(s3.read("b", "k", 3).unwrap(), b"two");
    s3.collect();
    assert!(!s3.blobs().path(&first.pieces[0].blob).unwrap().exists());
    s3.write("b", "empty", "text/plain", b"", NOW).unwrap();
    assert_eq!(s3.read("b", "empty", 0).unwrap(), b"");
    assert_eq!(s3.object("b", "empty").unwrap().etag, "d41d8cd98f00b204e9800998ecf8427e");
    assert!(matches!(s3.read("b", "k", 2), Err(ReadError::TooLarge { size: 3, .. })));
    assert!(matches!(s3.read("b", "none", 2), Err(ReadError::NoSuchKey)));
    assert!(matches!(s3.read("c", "k", 2), Err(ReadError::NoSuchBucket)));
    assert!(matches!(s3.write("c", "k", "", b"x", NOW), Err(WriteError::NoSuchBucket)));
}

#[test]
fn a_file_that_is_held_goes_after_that() {
    let s3 = s3();
    let told = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&told);
    s3.watch_discarded(move || _ = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let told = || told.load(std::sync::atomic::Ordering::Relaxed);
    s3.write("b", "k", "", b"one", NOW).unwrap();
    s3.write("b", "l", "", b"two", NOW).unwrap();
    let [held, other] = ["k", "l"].map(|key| s3.object("b", key).unwrap().pieces[0].clone());
    let path = |piece: &Piece| s3.blobs().path(&piece.blob).unwrap();
    let (first, second) = (s3.hold(std::slice::from_ref(&held)), s3.hold(std::slice::from_ref(&held)));
    for key in ["k", "l"] {
        s3.delete_object::<Infallible>("b", key, |_| Ok(())).unwrap();
    }
    assert_eq!(told(), 2);
    assert!(!s3.collect(), "nothing but whoever holds it is waited for");
    assert!(path(&held).exists() && !path(&other).exists());
    drop(first);
    s3.collect();
    assert!(path(&held).exists());
    drop(second);
    assert_eq!(told(), 4);
    s3.collect();
    assert!(!path(&held).exists());
}

#[test]
fn a_bucket_goes_only_when_it_is_empty() {
    let s3 = s3();
    assert_eq!(s3.create_bucket("b", bucket()).unwrap_err().owner, AccountId::DEFAULT);
    s3.write("b", "k", "", b"x", NOW).unwrap();
    assert_eq!(s3.delete_bucket("b"), Err(Refusal::NotEmpty));
    s3.delete_object::<Infallible>("b", "k", |_| Ok(())).unwrap();
    s3.delete_object::<Infallible>("b", "k", |_| Ok(())).unwrap();
    let name = ("b".to_owned(), "k".to_owned(), "1".to_owned());
    let upload = Upload {
        initiated_at: NOW,
        checksum_algorithm: None,
        is_checksum_composite: false,
        description: Description::default(),
    };
    s3.create_upload(&name, upload).unwrap();
    assert_eq!(s3.delete_bucket("b"), Ok(()));
    assert_eq!(s3.delete_bucket("b"), Err(Refusal::NoSuchBucket));
    assert!(s3.upload(&name).is_none());
}

#[test]
fn a_condition_that_does_not_hold_leaves_the_object_as_it_was() {
    let s3 = s3();
    s3.write("b", "k", "", b"x", NOW).unwrap();
    let mut other = Object::clone(&s3.object("b", "k").unwrap());
    other.etag = "other".to_owned();
    other.pieces.clear();
    assert_eq!(s3.put_object("b", "k", other.clone(), |_| Err("no")), Err(Refusal::Other("no")));
    assert_eq!(s3.delete_object("b", "k", |_| Err("no")), Err(Refusal::Other("no")));
    assert_eq!(s3.read("b", "k", 1).unwrap(), b"x");
    assert_eq!(s3.put_object("c", "k", other, any), Err(Refusal::NoSuchBucket));
}

#[test]
fn a_completed_upload_has_the_files_of_its_parts_and_others_go() {
    let s3 = s3();
    let name = ("b".to_owned(), "k".to_owned(), "1".to_owned());
    let upload = Upload {
        initiated_at: NOW,
        checksum_algorithm: None,
        is_checksum_composite: false,
        description: Description::default(),
    };
    s3.create_upload(&name, upload).unwrap();
    for (number, text) in [(1, "a"), (2, "b"), (2, "c"), (3, "d")] {
        s3.write("b", "scratch", "", text.as_bytes(), NOW).unwrap();
        let object = s3.object("b", "scratch").unwrap();
        let blob = s3.blobs().copy(&object.pieces[0].blob).unwrap();
        let part = Part {
            etag: text.to_owned(),
            size: 1,
            last_modified: NOW,
            pieces: vec![Piece { blob, offset: 0, length: 1 }],
            checksum: None,
        };
        s3.put_part(&name, number, part).unwrap();
    }
    let join = |_: &Upload, parts: &[(u32, Arc<Part>)], _: Option<&Object>| {
        let pieces = parts.iter().filter(|(number, _)| *number != 3).flat_map(|(_, part)| part.pieces.clone());
        let mut object = Object::clone(&s3.object("b", "scratch").unwrap());
        (object.pieces, object.size) = (pieces.collect(), 2);
        Ok::<_, Infallible>(object)
    };
    let unused = s3.parts_of("1", 2).next().unwrap().1.pieces[0].blob.clone();
    s3.complete_upload(&name, join).unwrap();
    s3.collect();
    assert_eq!(s3.read("b", "k", 9).unwrap(), b"ac");
    assert!(!s3.blobs().path(&unused).unwrap().exists());
    assert_eq!(s3.abort_upload(&name), Err(Refusal::NotFound));
}

fn list(s3: &S3, prefix: &str, delimiter: &str, after: &str, entries_max: usize) -> String {
    let listing = s3.list(ListingRequest { bucket: "b", prefix, delimiter, after, entries_max });
    let names = listing.entries.iter().map(Entry::name).collect::<Vec<_>>().join(" ");
    if listing.is_truncated { names + " …" } else { names }
}

#[test]
fn keys_are_listed_like_paths() {
    let s3 = s3();
    s3.create_bucket("a", bucket()).unwrap();
    s3.create_bucket("c", bucket()).unwrap();
    for key in ["a/1", "a/2", "a/b/3", "b", "c/", "c/4", "d"] {
        s3.write("b", key, "", b"", NOW).unwrap();
        s3.write("c", key, "", b"", NOW).unwrap();
    }
    assert_eq!(list(&s3, "", "", "", 9), "a/1 a/2 a/b/3 b c/ c/4 d");
    assert_eq!(list(&s3, "", "/", "", 9), "a/ b c/ d");
    assert_eq!(list(&s3, "a/", "/", "", 9), "a/1 a/2 a/b/");
    assert_eq!(list(&s3, "c/", "/", "", 9), "c/ c/4");
    assert_eq!(list(&s3, "x", "/", "", 9), "");
    assert_eq!(list(&s3, "", "/", "", 2), "a/ b …");
    assert_eq!(list(&s3, "", "/", "a/", 9), "b c/ d");
    assert_eq!(list(&s3, "", "/", "a/1", 9), "a/ b c/ d", "a key is no entry of its own here, and sorts behind a/");
    assert_eq!(list(&s3, "", "", "b", 1), "c/ …");
    assert_eq!(list(&s3, "a/", "", "0", 9), "a/1 a/2 a/b/3");
    assert_eq!(list(&s3, "", "", "", 0), "");
}

#[test]
fn a_state_that_is_opened_again_has_its_objects_and_no_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let state = crate::State::open(&path).unwrap();
    state.s3.create_bucket("b", bucket()).unwrap();
    state.s3.write("b", "k", "text/plain", b"kept", NOW).unwrap();
    let (lost, _) = state.s3.blobs().create().unwrap();
    state.s3.blobs().keep(&lost).unwrap();
    assert_eq!(files(folder.path()), 2);
    state.flush().unwrap();
    drop(state);
    let state = crate::State::open(&path).unwrap();
    assert_eq!(state.s3.read("b", "k", 9).unwrap(), b"kept");
    assert_eq!(files(folder.path()), 1);
    state.clear();
    state.flush().unwrap();
    state.s3.collect();
    assert_eq!(files(folder.path()), 0);
}
