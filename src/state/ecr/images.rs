//! What is done with images: they are put, found, listed and removed.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Bound;
use std::sync::Arc;

use base::{Scope, Timestamp};

use super::image::{label_of_image, label_of_named, label_of_subject};
use super::manifest::{ManifestError, read_manifest};
use super::{Digest, Ecr, Files, Image, ImageTag, Reference, Repository, blobs};

/// How many tags an image may have; AWS's limit.
const TAGS_PER_IMAGE_MAX: usize = 1_000;
/// How many indexes there may be below an index, one in another: what pulls look into. AWS's own limit is not known.
const NESTING_MAX: u32 = 3;
/// How many bytes a manifest may have; AWS's limit.
pub(super) const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An image that is put.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// The repository.
    pub repository: &'a str,
    /// The tag that it gets.
    pub tag: Option<&'a str>,
    /// The digest that its sender says it has.
    pub digest: Option<Digest>,
    /// The type that its sender says it is of.
    pub media_type: Option<&'a str>,
    /// Its manifest.
    pub manifest: &'a [u8],
}

/// An image that has been put.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The image.
    pub image: Arc<Image>,
    /// What is new.
    pub change: Change,
}

/// What putting an image changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The image was not there.
    NewImage,
    /// The image was there, and has a tag that it had not.
    NewTag,
    /// The image and the tag, if one was asked for, were there. The ECR API calls this `ImageAlreadyExists`.
    Nothing,
}

/// Why an image is not put.
#[derive(Debug, thiserror::Error)]
pub enum PutImageError {
    /// The repository is not there.
    #[error("the repository does not exist")]
    RepositoryNotFound,
    /// The manifest is too large.
    #[error("a manifest may have {} bytes", MANIFEST_BYTES_MAX)]
    TooLarge,
    /// The manifest is none.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest has another digest than its sender says.
    #[error("the manifest has the digest {calculated}")]
    DigestMismatch {
        /// The digest it has.
        calculated: Digest,
    },
    /// Layers that it names are not in the repository.
    #[error("layers are missing: {0:?}")]
    LayersNotFound(Vec<Digest>),
    /// Manifests that it names are not in the repository.
    #[error("manifests are missing: {0:?}")]
    ImagesNotFound(Vec<Digest>),
    /// The tag is on another image, where it stays.
    #[error("the tag {0} is immutable")]
    TagImmutable(String),
    /// The image has as many tags as it may have.
    #[error("an image may have {0} tags")]
    TooManyTags(usize),
    /// The file of the manifest cannot be written.
    #[error("cannot keep the manifest")]
    Io(#[from] io::Error),
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The image, even if only a tag of it went.
    pub digest: Digest,
    /// The tags that went.
    pub tags: Vec<String>,
    /// Whether the image went.
    pub is_image_gone: bool,
}

/// Why an image is not removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteImageError {
    /// The repository is not there.
    #[error("the repository does not exist")]
    RepositoryNotFound,
    /// The image is not there.
    #[error("the image does not exist")]
    NotFound,
    /// Indexes name it, which must go first.
    #[error("the image is in {0:?}")]
    ReferencedBy(Vec<Digest>),
}

impl Ecr {
    /// How many bytes a manifest may have; AWS's limit.
    pub const MANIFEST_BYTES_MAX: usize = MANIFEST_BYTES_MAX;

    /// Puts an image in, and a tag on it. Blocks on the disk.
    pub fn put_image(&self, scope: &Scope, push: &Push<'_>, now: Timestamp) -> Result<Pushed, PutImageError> {
        self.put(scope, push, false, now)
    }

    /// Puts an image in that is cached from another registry: what an index names may come later. Blocks on the disk.
    pub fn put_cached_image(&self, scope: &Scope, push: &Push<'_>, now: Timestamp) -> Result<Pushed, PutImageError> {
        self.put(scope, push, true, now)
    }

    fn put(&self, scope: &Scope, push: &Push<'_>, is_partial: bool, now: Timestamp) -> Result<Pushed, PutImageError> {
        let Push { repository: name, tag, digest, media_type, manifest } = *push;
        self.repository(scope, name).ok_or(PutImageError::RepositoryNotFound)?;
        if manifest.len() > MANIFEST_BYTES_MAX {
            return Err(PutImageError::TooLarge);
        }
        // The digest first: a manifest that was changed on its way may be none any more.
        let calculated = Digest::of(manifest);
        if digest.is_some_and(|digest| digest != calculated) {
            return Err(PutImageError::DigestMismatch { calculated });
        }
        let image = read_manifest(name, manifest, media_type, now)?;
        let received = self.blobs.write(manifest)?;
        let put = self.put_received(scope, image, tag, is_partial, now, &received);
        // It is where it belongs, or not needed.
        blobs::remove(&received);
        put
    }

    fn put_received(
        &self,
        scope: &Scope,
        mut image: Image,
        tag: Option<&str>,
        is_partial: bool,
        now: Timestamp,
        received: &std::path::Path,
    ) -> Result<Pushed, PutImageError> {
        let mut files = self.change();
        let _together = self.journal.as_ref().map(|journal| journal.hold());
        let name = image.repository.clone();
        let repository = self.repository(scope, &name).ok_or(PutImageError::RepositoryNotFound)?;
        let tag_key = tag.map(|tag| (name.clone(), tag.to_owned()));
        let tagged = tag_key.as_ref().and_then(|key| self.tags.get(scope, key));
        if let (Some(tag), Some(tagged)) = (tag, &tagged)
            && tagged.image != image.digest
            && repository.tag_mutability.is_immutable(tag)
        {
            return Err(PutImageError::TagImmutable(tag.to_owned()));
        }
        let is_tag_new = tag.is_some() && tagged.is_none_or(|tagged| tagged.image != image.digest);
        let found = self.images.get(scope, &(name.clone(), image.digest));
        let change = match (&found, is_tag_new) {
            (None, _) => Change::NewImage,
            (Some(_), true) => Change::NewTag,
            (Some(_), false) => Change::Nothing,
        };
        if is_tag_new && self.tags_of_image(scope, &name, &image.digest).len() >= TAGS_PER_IMAGE_MAX {
            return Err(PutImageError::TooManyTags(TAGS_PER_IMAGE_MAX));
        }
        let image = match found {
            Some(found) => found,
            None => {
                self.complete(scope, &mut image, is_partial)?;
                image.scanned_at = self.is_scanned_on_push(scope, &repository, &image).then_some(now);
                let digest = image.digest;
                self.blobs.keep(received, &digest)?;
                self.name(&mut files, &digest);
                self.images.insert(scope, &(name.clone(), digest), image)
            }
        };
        if let (Some(key), true) = (&tag_key, is_tag_new) {
            let tag = ImageTag { repository: name, image: image.digest, put_at: now };
            self.tags.insert(scope, key, tag);
        }
        if change != Change::Nothing {
            self.replicate(&mut files, scope, &image, tag, now);
        }
        Ok(Pushed { image, change })
    }

    /// Tells whether the repository, or a rule of its registry, wants an image scanned when it is pushed.
    fn is_scanned_on_push(&self, scope: &Scope, repository: &Repository, image: &Image) -> bool {
        let by_rule = || {
            let settings = self.registry_settings(scope);
            settings.scanning.rule_for(&repository.name).is_some_and(|(frequency, _)| frequency != "MANUAL")
        };
        !image.is_index() && (repository.scans_on_push || by_rule())
    }

    /// Checks that everything is there that an image names, and sums an index up. Of a partial one, images may be missing.
    fn complete(&self, scope: &Scope, image: &mut Image, is_partial: bool) -> Result<(), PutImageError> {
        let name = &image.repository;
        let is_missing = |digest: &Digest| self.layers.get(scope, &(name.clone(), *digest)).is_none();
        let mut missing = image.needed_layers().map(|layer| layer.digest).filter(is_missing).collect::<Vec<_>>();
        missing.dedup();
        if !missing.is_empty() {
            return Err(PutImageError::LayersNotFound(missing));
        }
        let children =
            image.children.iter().map(|child| (child.digest, self.images.get(scope, &(name.clone(), child.digest))));
        let children = children.collect::<Vec<_>>();
        let missing =
            children.iter().filter(|(_, child)| child.is_none()).map(|(digest, _)| *digest).collect::<Vec<_>>();
        if !missing.is_empty() && !is_partial {
            return Err(PutImageError::ImagesNotFound(missing));
        }
        let children = || children.iter().filter_map(|(_, child)| child.as_ref());
        let size = children().map(|child| child.size_bytes).max();
        image.size_bytes = image.size_bytes.max(size.unwrap_or_default());
        let below = children().filter(|child| child.is_index()).map(|child| child.nesting + 1).max();
        image.nesting = below.unwrap_or_default();
        if image.nesting > NESTING_MAX {
            return Err(ManifestError::TooDeep(NESTING_MAX).into());
        }
        Ok(())
    }

    /// Returns an image.
    pub fn image(&self, scope: &Scope, repository: &str, reference: &Reference) -> Option<Arc<Image>> {
        let digest = match reference {
            Reference::Digest(digest) => *digest,
            Reference::Tag(tag) => self.tags.get(scope, &(repository.to_owned(), tag.clone()))?.image,
        };
        self.images.get(scope, &(repository.to_owned(), digest))
    }

    /// Reads the manifest of an image. Blocks on the disk.
    pub fn manifest(&self, image: &Image) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(image.manifest_size).unwrap_or_default());
        File::open(self.blobs.path(&image.digest)?)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Walks the images of a repository in the order of their digests, from the one after `after` on.
    pub fn images_of(
        &self,
        scope: &Scope,
        repository: &str,
        after: Option<Digest>,
    ) -> impl Iterator<Item = Arc<Image>> + use<'_> {
        let repository = repository.to_owned();
        let start = match after {
            Some(after) => Bound::Excluded((repository.clone(), after)),
            None => Bound::Included((repository.clone(), Digest::LEAST)),
        };
        let walk = self.images.walk_between(scope, None, (start, Bound::Unbounded));
        walk.take_while(move |((of, _), _)| *of == repository).map(|(_, image)| image)
    }

    /// Walks the tags of a repository in their order, with the images that they are on, from the one after `after` on.
    pub fn tags_of(
        &self,
        scope: &Scope,
        repository: &str,
        after: Option<&str>,
    ) -> impl Iterator<Item = (String, Digest)> + use<'_> {
        let repository = repository.to_owned();
        let start = match after {
            Some(after) => Bound::Excluded((repository.clone(), after.to_owned())),
            None => Bound::Included((repository.clone(), String::new())),
        };
        let walk = self.tags.walk_between(scope, None, (start, Bound::Unbounded));
        let walk = walk.take_while(move |((of, _), _)| *of == repository);
        walk.map(|((_, name), tag)| (name, tag.image))
    }

    /// Returns the tags of an image, in their order.
    pub fn tags_of_image(&self, scope: &Scope, repository: &str, image: &Digest) -> Vec<String> {
        let label = label_of_image(repository, image);
        let walk = self.tags.walk_between(scope, Some(label), (Bound::Unbounded, Bound::Unbounded));
        walk.filter(|(_, tag)| tag.image == *image).map(|((_, name), _)| name).collect()
    }

    /// Walks what is about an image, in the order of digests: signatures and other artifacts, of one kind or of all.
    pub fn referrers<'a>(
        &'a self,
        scope: &Scope,
        repository: &str,
        subject: &Digest,
        kind: Option<&'a str>,
    ) -> impl Iterator<Item = Arc<Image>> + use<'a> {
        let label = label_of_subject(repository, subject);
        let walk = self.images.walk_between(scope, Some(label), (Bound::Unbounded, Bound::Unbounded));
        walk.map(|(_, image)| image).filter(move |image| kind.is_none_or(|kind| image.kind() == Some(kind)))
    }

    /// Returns the indexes that name an image.
    pub fn indexes_of(&self, scope: &Scope, repository: &str, image: &Digest) -> Vec<Digest> {
        let label = label_of_named(repository, image);
        let walk = self.images.walk_between(scope, Some(label), (Bound::Unbounded, Bound::Unbounded));
        let is_child = |index: &Arc<Image>| index.children.iter().any(|child| child.digest == *image);
        walk.map(|(_, index)| index).filter(is_child).map(|index| index.digest).collect()
    }

    /// Changes what is observed of an image, such as its scan; not what its manifest says.
    pub fn update_image(
        &self,
        scope: &Scope,
        repository: &str,
        digest: &Digest,
        change: impl FnOnce(&mut Image),
    ) -> Option<Arc<Image>> {
        self.images.update(scope, &(repository.to_owned(), *digest), change)
    }

    /// Notes that an image was pulled.
    pub fn note_pull(&self, scope: &Scope, repository: &str, digest: &Digest, now: Timestamp) {
        self.update_image(scope, repository, digest, |image| image.last_pulled_at = Some(now));
    }

    /// Removes an image, as [`Ecr::delete_images`] removes several.
    pub fn delete_image(
        &self,
        scope: &Scope,
        repository: &str,
        reference: &Reference,
        now: Timestamp,
    ) -> Result<Deleted, DeleteImageError> {
        let outcomes = self.delete_images(scope, repository, std::slice::from_ref(reference), now);
        outcomes.into_iter().next().expect("each reference has an outcome")
    }

    /// Removes each image with all its tags, or a tag, and with its last one the image. Layers that no other image of the
    /// repository names go too, and so does what is about an image that went: signatures and other artifacts. (ECR takes
    /// up to 24 hours for these.)
    pub fn delete_images(
        &self,
        scope: &Scope,
        repository: &str,
        references: &[Reference],
        now: Timestamp,
    ) -> Vec<Result<Deleted, DeleteImageError>> {
        let mut files = self.change();
        let _together = self.journal.as_ref().map(|journal| journal.hold());
        let delete = |reference| self.delete_one(&mut files, scope, repository, reference, now);
        let outcomes = references.iter().map(delete).collect::<Vec<_>>();
        let gone = outcomes.iter().flatten().filter(|deleted| deleted.is_image_gone);
        // Afterwards: what is about an image may be among the references.
        let mut subjects = gone.map(|deleted| deleted.digest).collect::<Vec<_>>();
        while let Some(subject) = subjects.pop() {
            for referrer in self.referrers(scope, repository, &subject, None).collect::<Vec<_>>() {
                if !self.indexes_of(scope, repository, &referrer.digest).is_empty() {
                    continue;
                }
                for tag in self.tags_of_image(scope, repository, &referrer.digest) {
                    self.tags.remove(scope, &(repository.to_owned(), tag));
                }
                self.remove_image(&mut files, scope, &referrer, now);
                subjects.push(referrer.digest);
            }
        }
        outcomes
    }

    fn delete_one(
        &self,
        files: &mut Files,
        scope: &Scope,
        repository: &str,
        reference: &Reference,
        now: Timestamp,
    ) -> Result<Deleted, DeleteImageError> {
        self.repository(scope, repository).ok_or(DeleteImageError::RepositoryNotFound)?;
        let image = self.image(scope, repository, reference).ok_or(DeleteImageError::NotFound)?;
        let all = self.tags_of_image(scope, repository, &image.digest);
        let indexes = self.indexes_of(scope, repository, &image.digest);
        let (tags, is_image_gone) = match reference {
            Reference::Digest(_) if !indexes.is_empty() => return Err(DeleteImageError::ReferencedBy(indexes)),
            Reference::Digest(_) => (all, true),
            // An image of an index stays without a tag.
            Reference::Tag(tag) => (vec![tag.clone()], all.len() == 1 && indexes.is_empty()),
        };
        for tag in &tags {
            self.tags.remove(scope, &(repository.to_owned(), tag.clone()));
        }
        if is_image_gone {
            self.remove_image(files, scope, &image, now);
        }
        Ok(Deleted { digest: image.digest, tags, is_image_gone })
    }

    fn remove_image(&self, files: &mut Files, scope: &Scope, image: &Image, now: Timestamp) {
        self.images.remove(scope, &(image.repository.clone(), image.digest));
        self.unname(files, &image.digest);
        for layer in image.layers.iter().chain(&image.config) {
            self.drop_layer_unless_wanted(files, scope, &image.repository, &layer.digest, now);
        }
    }
}
