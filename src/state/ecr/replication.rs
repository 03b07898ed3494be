//! Replication: images that are pushed into one registry are put into others, of other regions or accounts. All of them are
//! here, and the bytes are there already, so it is done with the push.

use std::sync::Arc;

use base::{Scope, Timestamp};

use super::{Ecr, Files, Image, ImageTag, Layer, MadeFor};

impl Ecr {
    /// Puts an image that was pushed, and its tag, wherever the registry's rules say.
    pub(super) fn replicate(&self, files: &mut Files, scope: &Scope, image: &Image, tag: Option<&str>, now: Timestamp) {
        let settings = self.registry_settings(scope);
        let rules = settings.replication.iter().filter(|rule| rule.is_for(&image.repository));
        for (region, account) in rules.flat_map(|rule| &rule.destinations) {
            let there = Scope::new(*account, region.clone());
            if there != *scope {
                self.put_replica(files, (scope, &there), image, tag, now);
            }
        }
    }

    fn put_replica(
        &self,
        files: &mut Files,
        (here, there): (&Scope, &Scope),
        image: &Image,
        tag: Option<&str>,
        now: Timestamp,
    ) {
        let name = &image.repository;
        let make = || self.new_repository(there, name, MadeFor::Replication, now);
        let (repository, _) = self.repositories.get_or_insert_with(there, name, make);
        self.copy_image(files, (here, there), image, now);
        let Some(tag) = tag else { return };
        let key = (name.clone(), tag.to_owned());
        let is_on_another = self.tags.get(there, &key).is_some_and(|known| known.image != image.digest);
        // A tag that cannot be moved there stays where it is.
        if !(is_on_another && repository.tag_mutability.is_immutable(tag)) {
            self.tags.insert(there, &key, ImageTag { repository: name.clone(), image: image.digest, put_at: now });
        }
    }

    /// Copies the rows of an image, and of everything that it names. What is there already stays as it is.
    fn copy_image(&self, files: &mut Files, (here, there): (&Scope, &Scope), image: &Image, now: Timestamp) {
        let mut left = vec![Arc::new(image.clone())];
        while let Some(image) = left.pop() {
            if self.images.get(there, &(image.repository.clone(), image.digest)).is_some() {
                continue;
            }
            let children = image.children.iter().map(|child| (image.repository.clone(), child.digest));
            left.extend(children.filter_map(|child| self.images.get(here, &child)));
            self.copy_rows(files, (here, there), &image, now);
        }
    }

    /// Copies the rows of an image and of its layers.
    fn copy_rows(&self, files: &mut Files, (here, there): (&Scope, &Scope), image: &Image, now: Timestamp) {
        for layer in image.layers.iter().chain(&image.config) {
            let Some(found) = self.layer(here, &image.repository, &layer.digest) else { continue };
            if self.layer(there, &image.repository, &layer.digest).is_none() {
                let layer_there = Layer { size: found.size, wanted_at: now };
                self.insert_layer(files, there, &image.repository, &layer.digest, layer_there);
            }
        }
        self.name(files, &image.digest);
        let copy = Image { pushed_at: now, last_pulled_at: None, scanned_at: None, ..image.clone() };
        self.images.insert(there, &(image.repository.clone(), image.digest), copy);
    }
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};

    use super::super::{Digest, Push, Reference, RegistrySettings, ReplicationRule, Repository, UploadSender};
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn scope(region: &str) -> Scope {
        Scope::new(AccountId::DEFAULT, Region::parse(region).unwrap())
    }

    /// Puts a layer and an image of it into a repository.
    fn push(ecr: &Ecr, scope: &Scope, tag: &str) -> Arc<Image> {
        let ids = base::Ids::system();
        let bytes = b"layer".as_slice();
        let id = ecr.begin_upload(scope, "team/web", UploadSender::User, NOW, &ids).unwrap();
        let mut writing = ecr.resume_upload(scope, "team/web", &id, NOW).unwrap();
        writing.write(bytes).unwrap();
        let digest = Digest::of(bytes);
        ecr.complete_upload(writing, &digest, NOW).unwrap();
        let descriptor = format!(r#"{{"mediaType":"application/x","digest":"{digest}","size":{}}}"#, bytes.len());
        let manifest = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[]}}"#);
        let push = Push {
            repository: "team/web",
            tag: Some(tag),
            digest: None,
            media_type: None,
            manifest: manifest.as_bytes(),
        };
        ecr.put_image(scope, &push, NOW).unwrap().image
    }

    #[test]
    fn what_is_pushed_is_in_the_other_registry_with_its_layers_and_outlives_the_first() {
        let (ecr, here, there) = (Ecr::new(None), scope("us-east-1"), scope("eu-west-1"));
        let replicate = |settings: &mut RegistrySettings| {
            settings.replication = vec![ReplicationRule {
                destinations: vec![(there.region.clone(), there.account)],
                prefixes: vec!["team/".to_owned()],
            }];
        };
        ecr.change_registry_settings(&here, replicate);
        ecr.create_repository(&here, Repository::new(&here, "team/web", NOW)).unwrap();
        let image = push(&ecr, &here, "v1");
        let tagged = |tag: &str| ecr.image(&there, "team/web", &Reference::Tag(tag.to_owned())).map(|it| it.digest);
        assert_eq!(tagged("v1"), Some(image.digest));
        ecr.delete_repository(&here, "team/web", true).unwrap();
        assert!(ecr.open_layer(&there, "team/web", &Digest::of(b"layer")).unwrap().is_some());
        assert!(ecr.manifest(&image).is_ok(), "the file of the manifest is still named");
        assert!(ecr.delete_repository(&there, "team/web", false).is_err(), "there is an image in it");
    }

    #[test]
    fn an_index_is_replicated_with_everything_below_it_however_deep() {
        let (ecr, here, there) = (Ecr::new(None), scope("us-east-1"), scope("eu-west-1"));
        ecr.create_repository(&here, Repository::new(&here, "team/web", NOW)).unwrap();
        let mut top = push(&ecr, &here, "v1");
        // Deeper than anybody can push one.
        for n in 0..5_000_u32 {
            let child = super::super::Descriptor { media_type: String::new(), digest: top.digest, size: 1 };
            let digest = Digest::of(&n.to_be_bytes());
            let index = Image { digest, config: None, layers: Vec::new(), children: vec![child], ..(*top).clone() };
            top = ecr.images.insert(&here, &("team/web".to_owned(), digest), index);
        }
        ecr.copy_image(&mut ecr.change(), (&here, &there), &top, NOW);
        assert_eq!(ecr.images_of(&there, "team/web", None).count(), 5_001);
    }

    #[test]
    fn other_repositories_are_not_replicated() {
        let (ecr, here, there) = (Ecr::new(None), scope("us-east-1"), scope("eu-west-1"));
        let rule = ReplicationRule {
            destinations: vec![(there.region.clone(), there.account)],
            prefixes: vec!["other".to_owned()],
        };
        ecr.change_registry_settings(&here, |settings| settings.replication = vec![rule]);
        ecr.create_repository(&here, Repository::new(&here, "team/web", NOW)).unwrap();
        push(&ecr, &here, "v1");
        assert!(ecr.repository(&there, "team/web").is_none());
    }
}
