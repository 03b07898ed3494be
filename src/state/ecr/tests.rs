use std::path::Path;
use std::time::Duration;

use base::{AccountId, Ids, Region};

use super::*;
use crate::State;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn scope() -> Scope {
    Scope::new(AccountId::DEFAULT, Region::default())
}

/// Makes a state in memory with the repositories `web` and `api`.
fn state() -> Arc<State> {
    let state = State::in_memory();
    for name in ["web", "api"] {
        state.ecr.create_repository(&scope(), Repository::new(&scope(), name, NOW)).unwrap();
    }
    state
}

fn upload(ecr: &Ecr, repository: &str, bytes: &[u8]) -> Digest {
    let id = ecr.begin_upload(&scope(), repository, UploadSender::User, NOW, &Ids::system()).unwrap();
    let mut writing = ecr.resume_upload(&scope(), repository, &id, NOW).unwrap();
    writing.write(bytes).unwrap();
    let digest = Digest::of(bytes);
    ecr.complete_upload(writing, &digest, NOW).unwrap();
    digest
}

fn manifest(config: &[u8], layers: &[&[u8]], more: &str) -> String {
    let descriptor = |bytes: &[u8]| {
        format!(r#"{{"mediaType":"application/x","digest":"{}","size":{}}}"#, Digest::of(bytes), bytes.len())
    };
    let layers = layers.iter().map(|layer| descriptor(layer)).collect::<Vec<_>>().join(",");
    let config = descriptor(config);
    format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config},"layers":[{layers}]{more}}}"#)
}

fn index(children: &[Digest]) -> String {
    let child = |digest| format!(r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{digest}","size":1}}"#);
    let children = children.iter().map(child).collect::<Vec<_>>().join(",");
    format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{children}]}}"#)
}

fn put(ecr: &Ecr, tag: Option<&str>, manifest: &str) -> Result<Pushed, PutImageError> {
    let push = Push { repository: "web", tag, digest: None, media_type: None, manifest: manifest.as_bytes() };
    ecr.put_image(&scope(), &push, NOW)
}

/// Puts an image of one layer in.
fn image(ecr: &Ecr, tag: &str) -> Digest {
    upload(ecr, "web", b"{}");
    upload(ecr, "web", tag.as_bytes());
    put(ecr, Some(tag), &manifest(b"{}", &[tag.as_bytes()], "")).unwrap().image.digest
}

fn by_tag(tag: &str) -> Reference {
    Reference::Tag(tag.to_owned())
}

fn files(folder: &Path) -> usize {
    let count = |path: std::path::PathBuf| match std::fs::read_dir(path) {
        Ok(entries) => entries.count(),
        Err(_) => 0,
    };
    let groups = std::fs::read_dir(folder.join("blobs")).into_iter().flatten();
    groups.map(|group| count(group.unwrap().path())).sum::<usize>() + count(folder.join("incoming"))
}

#[test]
fn an_image_is_there_once_its_layers_are() {
    let state = state();
    let ecr = &state.ecr;
    let text = manifest(b"{}", &[b"layer"], "");
    let Err(PutImageError::LayersNotFound(missing)) = put(ecr, Some("v1"), &text) else { panic!("it is put") };
    assert_eq!(missing, [Digest::of(b"layer"), Digest::of(b"{}")]);
    upload(ecr, "web", b"{}");
    upload(ecr, "web", b"layer");
    let pushed = put(ecr, Some("v1"), &text).unwrap();
    assert_eq!((pushed.change, pushed.image.size_bytes), (Change::NewImage, 7));
    assert_eq!(put(ecr, Some("v1"), &text).unwrap().change, Change::Nothing);
    assert_eq!(put(ecr, None, &text).unwrap().change, Change::Nothing);
    assert_eq!(put(ecr, Some("v2"), &text).unwrap().change, Change::NewTag);
    let found = ecr.image(&scope(), "web", &by_tag("v2")).unwrap();
    assert_eq!(ecr.manifest(&found).unwrap(), text.as_bytes());
    assert_eq!(ecr.tags_of_image(&scope(), "web", &found.digest), ["v1", "v2"]);
    assert!(ecr.image(&scope(), "api", &by_tag("v1")).is_none());
}

#[test]
fn a_manifest_that_is_not_what_its_sender_says_is_refused() {
    let state = state();
    let ecr = &state.ecr;
    let text = manifest(b"{}", &[], "");
    let put = |digest, media_type, manifest: &str| {
        let push = Push { repository: "web", tag: None, digest, media_type, manifest: manifest.as_bytes() };
        ecr.put_image(&scope(), &push, NOW).unwrap_err()
    };
    let other = Some(Digest::of(b""));
    assert!(
        matches!(put(other, None, &text), PutImageError::DigestMismatch { calculated } if calculated == Digest::of(text.as_bytes()))
    );
    let malformed = |error| matches!(error, PutImageError::Manifest(ManifestError::Malformed(_)));
    assert!(malformed(put(None, None, "x")));
    assert!(malformed(put(None, Some(OCI_MANIFEST), r#"{"schemaVersion":2,"layers":[]}"#)));
    assert!(malformed(put(None, None, &text.replace("sha256:", "sha512:"))));
    let Err(PutImageError::Manifest(error)) = Err::<(), _>(put(None, Some(DOCKER_MANIFEST), &text)) else { panic!() };
    assert!(matches!(error, ManifestError::OtherType { .. }), "{error}");
    for text in [r#"{"schemaVersion":1}"#, r#"{"schemaVersion":2,"mediaType":"text/plain"}"#] {
        assert!(matches!(put(None, None, text), PutImageError::Manifest(ManifestError::Unsupported(_))), "{text}");
    }
    assert!(matches!(put(None, None, &" ".repeat(Ecr::MANIFEST_BYTES_MAX + 1)), PutImageError::TooLarge));
}

#[test]
fn a_tag_moves_unless_it_is_immutable() {
    let state = state();
    let ecr = &state.ecr;
    let (first, second) = (image(ecr, "first"), image(ecr, "second"));
    let text = manifest(b"{}", &[b"second"], "");
    put(ecr, Some("first"), &text).unwrap();
    assert!(ecr.tags_of_image(&scope(), "web", &first).is_empty());
    assert_eq!(ecr.tags_of_image(&scope(), "web", &second), ["first", "second"]);
    let mutability = TagMutability { is_immutable: true, exclusions: vec!["dev-*".to_owned()] };
    ecr.repositories.update(&scope(), &"web".to_owned(), |repository| repository.tag_mutability = mutability);
    let first = manifest(b"{}", &[b"first"], "");
    assert!(matches!(put(ecr, Some("second"), &first), Err(PutImageError::TagImmutable(_))));
    assert_eq!(put(ecr, Some("second"), &text).unwrap().change, Change::Nothing);
    put(ecr, Some("dev-1"), &text).unwrap();
    assert_eq!(put(ecr, Some("dev-1"), &first).unwrap().change, Change::NewTag);
}

#[test]
fn an_index_holds_its_images_and_is_as_large_as_the_largest() {
    let state = state();
    let ecr = &state.ecr;
    let children = [image(ecr, "one"), image(ecr, "three")];
    let missing = Digest::of(b"missing");
    let refused = put(ecr, Some("all"), &index(&[children[0], missing]));
    assert!(matches!(refused, Err(PutImageError::ImagesNotFound(digests)) if digests == [missing]));
    let pushed = put(ecr, Some("all"), &index(&children)).unwrap();
    assert_eq!((pushed.image.is_index(), pushed.image.size_bytes), (true, 7));
    let delete = |reference: &Reference| ecr.delete_image(&scope(), "web", reference, NOW);
    let held = DeleteImageError::ReferencedBy(vec![pushed.image.digest]);
    assert_eq!(delete(&Reference::Digest(children[0])), Err(held));
    // Its last tag goes, and it stays.
    assert!(!delete(&by_tag("one")).unwrap().is_image_gone);
    assert!(ecr.image(&scope(), "web", &Reference::Digest(children[0])).is_some());
    assert!(delete(&by_tag("all")).unwrap().is_image_gone);
    assert!(delete(&Reference::Digest(children[0])).unwrap().is_image_gone);
}

#[test]
fn indexes_are_in_one_another_only_so_deep() {
    let state = state();
    let ecr = &state.ecr;
    let mut below = image(ecr, "leaf");
    for nesting in 0..4 {
        let pushed = put(ecr, None, &index(&[below])).unwrap();
        assert_eq!(pushed.image.nesting, nesting);
        below = pushed.image.digest;
    }
    let refused = put(ecr, None, &index(&[below]));
    assert!(matches!(refused, Err(PutImageError::Manifest(ManifestError::TooDeep(3)))), "{refused:?}");
}

#[test]
fn with_the_last_tag_its_image_goes_and_with_the_image_all_its_tags() {
    let state = state();
    let ecr = &state.ecr;
    let digest = image(ecr, "a");
    let text = manifest(b"{}", &[b"a"], "");
    for tag in ["b", "c"] {
        put(ecr, Some(tag), &text).unwrap();
    }
    let delete = |reference: &Reference| ecr.delete_image(&scope(), "web", reference, NOW).unwrap();
    let gone = |tags: &[&str], is_image_gone| {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Deleted { digest, tags, is_image_gone }
    };
    assert_eq!(delete(&by_tag("a")), gone(&["a"], false));
    assert_eq!(delete(&Reference::Digest(digest)), gone(&["b", "c"], true));
    assert_eq!(ecr.delete_image(&scope(), "web", &by_tag("b"), NOW), Err(DeleteImageError::NotFound));
    assert_eq!(ecr.delete_image(&scope(), "none", &by_tag("b"), NOW), Err(DeleteImageError::RepositoryNotFound));
    put(ecr, Some("d"), &text).unwrap();
    assert_eq!(delete(&by_tag("d")), gone(&["d"], true));
}

#[test]
fn what_is_about_an_image_is_found_by_it_and_by_its_kind() {
    let state = state();
    let ecr = &state.ecr;
    let subject = image(ecr, "signed");
    let about = |kind: &str| {
        let more = format!(r#","artifactType":"{kind}","subject":{{"mediaType":"x","digest":"{subject}","size":1}}"#);
        put(ecr, None, &manifest(b"{}", &[], &more)).unwrap().image.digest
    };
    let (mut all, sbom) = (vec![about("signature"), about("sbom")], about("sbom"));
    all.sort_unstable();
    let found = |kind| ecr.referrers(&scope(), "web", &subject, kind).map(|image| image.digest).collect::<Vec<_>>();
    assert_eq!(found(None), all);
    assert_eq!(found(Some("sbom")), [sbom]);
    ecr.delete_image(&scope(), "web", &Reference::Digest(sbom), NOW).unwrap();
    assert!(found(Some("sbom")).is_empty());
}

#[test]
fn an_upload_is_a_layer_once_its_digest_is_right() {
    let state = state();
    let ecr = &state.ecr;
    let resume = |id: &str| ecr.resume_upload(&scope(), "web", id, NOW);
    let id = ecr.begin_upload(&scope(), "web", UploadSender::User, NOW, &Ids::system()).unwrap();
    let mut writing = resume(&id).unwrap();
    writing.write(b"one").unwrap();
    assert!(matches!(resume(&id), Err(ResumeError::Busy)));
    drop(writing);
    assert_eq!(ecr.upload_length(&scope(), "web", &id).unwrap(), Some(3));
    let mut writing = resume(&id).unwrap();
    writing.write(b"two").unwrap();
    let wrong = Digest::of(b"other");
    let refused = ecr.complete_upload(writing, &wrong, NOW);
    assert!(
        matches!(refused, Err(CompleteError::DigestMismatch { calculated }) if calculated == Digest::of(b"onetwo"))
    );
    assert!(ecr.layer(&scope(), "web", &wrong).is_none());
    let completed = ecr.complete_upload(resume(&id).unwrap(), &Digest::of(b"onetwo"), NOW).unwrap();
    assert_eq!((completed.layer.size, completed.is_new), (6, true));
    assert!(matches!(resume(&id), Err(ResumeError::NotFound)));
    assert_eq!(ecr.upload_length(&scope(), "web", &id).unwrap(), None);
    let id = ecr.begin_upload(&scope(), "web", UploadSender::User, NOW, &Ids::system()).unwrap();
    let writing = resume(&id).unwrap();
    assert!(ecr.cancel_upload(&scope(), "web", &id) && !ecr.cancel_upload(&scope(), "web", &id));
    assert!(matches!(ecr.complete_upload(writing, &Digest::of(b""), NOW), Err(CompleteError::NotFound)));
    assert!(matches!(
        ecr.begin_upload(&scope(), "x", UploadSender::User, NOW, &Ids::system()),
        Err(BeginError::RepositoryNotFound)
    ));
}

#[test]
fn a_layer_is_of_one_repository_until_it_is_mounted_into_another() {
    let state = state();
    let ecr = &state.ecr;
    let digest = upload(ecr, "web", b"layer");
    assert!(ecr.layer(&scope(), "api", &digest).is_none());
    let mount = |from, into| ecr.mount_layer(&scope(), from, into, &digest, NOW).map(|layer| layer.size);
    assert_eq!(mount(Some("web"), "none"), Err(MountError::RepositoryNotFound));
    assert_eq!(mount(Some("none"), "api"), Err(MountError::NotFound));
    assert_eq!(mount(Some("web"), "api"), Ok(5));
    ecr.delete_layer(&scope(), "web", &digest).unwrap();
    assert_eq!(ecr.delete_layer(&scope(), "web", &digest), Err(DeleteLayerError::NotFound));
    assert!(ecr.open_layer(&scope(), "api", &digest).unwrap().is_some(), "its file is still named");
    assert_eq!(mount(None, "web"), Ok(5));
}

#[test]
fn layers_go_when_no_image_names_them_and_nobody_pushes() {
    let state = state();
    let ecr = &state.ecr;
    image(ecr, "a");
    let layer = |text: &str, at| ecr.want_layer(&scope(), "web", &Digest::of(text.as_bytes()), at).is_some();
    assert_eq!(ecr.delete_layer(&scope(), "web", &Digest::of(b"a")), Err(DeleteLayerError::InUse));
    upload(ecr, "web", b"left");
    ecr.expire(NOW.plus(DAY));
    assert!(!layer("left", NOW) && layer("a", NOW) && layer("{}", NOW.plus(DAY)));
    // `{}` may be part of what somebody is pushing.
    ecr.delete_image(&scope(), "web", &by_tag("a"), NOW.plus(DAY)).unwrap();
    assert!(!layer("a", NOW) && layer("{}", NOW));
}

#[test]
fn what_is_about_an_image_goes_with_it_and_is_bound_as_long_as_it_is_there() {
    let state = state();
    let ecr = &state.ecr;
    let subject = image(ecr, "signed");
    let about = |subject: Digest, tag| {
        let more = format!(r#","artifactType":"a/b","subject":{{"mediaType":"x","digest":"{subject}","size":1}}"#);
        put(ecr, tag, &manifest(b"{}", &[], &more)).unwrap().image.digest
    };
    let signature = about(subject, Some("sig"));
    let of_signature = about(signature, None);
    let early = about(Digest::of(b"yet to come"), None);
    let bound = || {
        let candidates = ecr.lifecycle_candidates(&scope(), "web").into_iter().filter(|candidate| candidate.is_bound);
        candidates.map(|candidate| candidate.digest).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(bound(), [signature, of_signature].map(|digest| digest.to_string()).into());
    let all = [Reference::Digest(subject), Reference::Digest(of_signature), by_tag("none")];
    let outcomes = ecr.delete_images(&scope(), "web", &all, NOW);
    let gone = |outcome: &Result<Deleted, _>| outcome.as_ref().map(|deleted| deleted.digest).ok();
    assert_eq!(outcomes.iter().map(gone).collect::<Vec<_>>(), [Some(subject), Some(of_signature), None]);
    let left = ecr.images_of(&scope(), "web", None).map(|image| image.digest).collect::<Vec<_>>();
    assert_eq!(left, [early]);
    assert_eq!(ecr.tags_of(&scope(), "web", None).count(), 0);
}

#[test]
fn uploads_that_are_left_go() {
    let state = state();
    let ecr = &state.ecr;
    let id = ecr.begin_upload(&scope(), "web", UploadSender::User, NOW, &Ids::system()).unwrap();
    let half = Duration::from_secs(12 * 60 * 60);
    drop(ecr.resume_upload(&scope(), "web", &id, NOW.plus(half)).unwrap());
    ecr.expire(NOW.plus(DAY));
    assert_eq!(ecr.upload_length(&scope(), "web", &id).unwrap(), Some(0));
    ecr.expire(NOW.plus(DAY + half));
    assert_eq!(ecr.upload_length(&scope(), "web", &id).unwrap(), None);
}

#[test]
fn the_uploads_of_one_kind_of_sender_do_not_use_up_those_of_others() {
    let state = state();
    let begin = |sender| state.ecr.begin_upload(&scope(), "web", sender, NOW, &Ids::system());
    // Rows alone: that many files are not needed for this.
    for n in 0..2_047 {
        let upload = Upload { sender: UploadSender::Task, begun_at: NOW, touched_at: NOW };
        state.ecr.uploads.insert(&scope(), &(format!("web{}", n % 10), n.to_string()), upload);
    }
    begin(UploadSender::Task).unwrap();
    assert!(matches!(begin(UploadSender::Task), Err(BeginError::TooMany)));
    for sender in [UploadSender::User, UploadSender::Api] {
        begin(sender).unwrap();
    }
}

#[test]
fn the_uploads_to_one_repository_do_not_use_up_those_to_others() {
    let state = state();
    let other = Repository::new(&scope(), "other", NOW);
    state.ecr.create_repository(&scope(), other).unwrap();
    let begin = |repository| state.ecr.begin_upload(&scope(), repository, UploadSender::User, NOW, &Ids::system());
    for _ in 0..256 {
        begin("web").unwrap();
    }
    assert!(matches!(begin("web"), Err(BeginError::TooManyToRepository)));
    begin("other").unwrap();
}

#[test]
fn nothing_is_taken_in_where_the_disk_has_too_little_left() {
    let state = state();
    let ecr = &state.ecr;
    let id = ecr.begin_upload(&scope(), "web", UploadSender::User, NOW, &Ids::system()).unwrap();
    let mut writing = ecr.resume_upload(&scope(), "web", &id, NOW).unwrap();
    ecr.require_free(u64::MAX);
    let piece = vec![0; 1024 * 1024];
    let written = (0..32).map_while(|_| writing.write(&piece).ok()).count();
    assert!(written < 17, "{written} MiB were taken");
    let length = writing.length();
    drop(writing);
    let is_full = |error: &std::io::Error| error.kind() == std::io::ErrorKind::StorageFull;
    let begun = ecr.begin_upload(&scope(), "web", UploadSender::User, NOW, &Ids::system());
    assert!(matches!(begun, Err(BeginError::Io(error)) if is_full(&error)));
    let resumed = ecr.resume_upload(&scope(), "web", &id, NOW);
    assert!(matches!(resumed, Err(ResumeError::Io(error)) if is_full(&error)));
    ecr.require_free(0);
    assert_eq!(ecr.resume_upload(&scope(), "web", &id, NOW).unwrap().length(), length, "what came stays");
}

#[test]
fn a_repository_with_images_goes_by_force_alone_and_everything_with_it() {
    let state = state();
    let ecr = &state.ecr;
    image(ecr, "a");
    let digest = image(ecr, "b");
    assert_eq!(ecr.delete_repository(&scope(), "web", false), Err(DeleteRepositoryError::NotEmpty));
    ecr.delete_repository(&scope(), "web", true).unwrap();
    assert_eq!(ecr.delete_repository(&scope(), "web", true), Err(DeleteRepositoryError::NotFound));
    ecr.create_repository(&scope(), Repository::new(&scope(), "web", NOW)).unwrap();
    assert!(ecr.image(&scope(), "web", &Reference::Digest(digest)).is_none());
    assert_eq!(ecr.tags_of(&scope(), "web", None).count() + ecr.layers_of(&scope(), "web").count(), 0);
}

#[test]
fn everything_committed_is_there_after_a_restart_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let (digest, id) = {
        let state = State::open(&path).unwrap();
        state.ecr.create_repository(&scope(), Repository::new(&scope(), "web", NOW)).unwrap();
        let digest = image(&state.ecr, "a");
        let id = state.ecr.begin_upload(&scope(), "web", UploadSender::User, NOW, &Ids::system()).unwrap();
        state.ecr.resume_upload(&scope(), "web", &id, NOW).unwrap().write(b"half").unwrap();
        state.flush().unwrap();
        (digest, id)
    };
    let files_of_ecr = folder.path().join("ecr");
    assert_eq!(files(&files_of_ecr), 4, "a manifest, two layers, an upload");
    let stray = files_of_ecr.join("blobs/ab").join(Digest::of(b"stray").hex());
    std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
    std::fs::write(&stray, "stray").unwrap();
    std::fs::write(files_of_ecr.join("incoming/stray"), "stray").unwrap();
    {
        let state = State::open(&path).unwrap();
        assert_eq!(files(&files_of_ecr), 4);
        let found = state.ecr.image(&scope(), "web", &by_tag("a")).unwrap();
        assert_eq!(found.digest, digest);
        assert_eq!(Digest::of(&state.ecr.manifest(&found).unwrap()), digest);
        let mut writing = state.ecr.resume_upload(&scope(), "web", &id, NOW).unwrap();
        writing.write(b" done").unwrap();
        state.ecr.complete_upload(writing, &Digest::of(b"half done"), NOW).unwrap();
        state.flush().unwrap();
    }
    // A file that is not whole is not served, nor is the image whose manifest it is.
    std::fs::write(files_of_ecr.join("blobs").join(&digest.hex()[..2]).join(digest.hex()), "torn").unwrap();
    let state = State::open(&path).unwrap();
    assert!(state.ecr.image(&scope(), "web", &by_tag("a")).is_none());
    assert_eq!(state.ecr.layers_of(&scope(), "web").count(), 3);
    assert_eq!(state.ecr.tags_of(&scope(), "web", None).count(), 0);
    state.clear();
    state.flush().unwrap();
    state.ecr.expire(NOW);
    assert_eq!(files(&files_of_ecr), 0);
}

#[test]
fn without_another_push_files_go_when_their_rows_have_and_uploads_when_they_were_left() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(&folder.path().join("state.redb")).unwrap();
    let (ecr, files_of_ecr) = (&state.ecr, folder.path().join("ecr"));
    let told = Arc::new(std::sync::atomic::AtomicBool::default());
    let teller = Arc::clone(&told);
    ecr.watch_for_tidying(move || teller.store(true, std::sync::atomic::Ordering::Relaxed));
    let was_told = || told.swap(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(ecr.tidy_up(NOW), None);
    ecr.create_repository(&scope(), Repository::new(&scope(), "web", NOW)).unwrap();
    let hour = Duration::from_secs(60 * 60);
    image(ecr, "a");
    assert!(was_told());
    assert_eq!(ecr.tidy_up(NOW), Some(NOW.plus(hour)));
    let id = ecr.begin_upload(&scope(), "web", UploadSender::User, NOW, &Ids::system()).unwrap();
    assert!(was_told());
    assert!(ecr.tidy_up(NOW.plus(DAY)).is_some());
    assert_eq!(ecr.upload_length(&scope(), "web", &id).unwrap(), None);
    ecr.delete_repository(&scope(), "web", true).unwrap();
    assert!(was_told());
    state.flush().unwrap();
    assert_eq!(ecr.tidy_up(NOW.plus(DAY)), None);
    assert_eq!(files(&files_of_ecr), 0);
}

#[test]
fn what_is_no_file_of_the_store_does_not_keep_it_from_being_looked_through() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    drop(State::open(&path).unwrap());
    let blobs = folder.path().join("ecr/blobs");
    std::fs::create_dir_all(blobs.join("ab/folder")).unwrap();
    std::fs::write(blobs.join("stray"), "stray").unwrap();
    drop(State::open(&path).unwrap());
    assert!(!blobs.join("stray").exists());
    // A store that cannot be looked through is not opened: it would not be known which files are named.
    std::fs::remove_dir_all(&blobs).unwrap();
    std::fs::write(&blobs, "no folder").unwrap();
    assert!(matches!(State::open(&path), Err(JournalError::Files { .. })));
}

#[test]
fn many_tags_are_walked_in_their_order_from_any_on() {
    let state = state();
    let ecr = &state.ecr;
    image(ecr, "x");
    let text = manifest(b"{}", &[b"x"], "");
    for n in (0..300).rev() {
        put(ecr, Some(&format!("v{n:03}")), &text).unwrap();
    }
    let page = ecr.tags_of(&scope(), "web", Some("v123")).take(2).map(|(tag, _)| tag).collect::<Vec<_>>();
    assert_eq!(page, ["v124", "v125"]);
    assert_eq!(ecr.tags_of(&scope(), "web", None).count(), 301);
}
