//! Revisions: where the AppSpecs of an application are.

use std::sync::Arc;

use api::codedeploy as api;
use base::Page;
use state::Cx;
use state::codedeploy::{AppSpec, DeploymentStatus, Revision, RevisionKey, RevisionObject};

use crate::{
    Error, PAGE_SIZE, Result, application, check_batch, check_description, document, given, not_here, page_after,
};

const LISTING: &str = "ListApplicationRevisions";

/// What a revision says: one of the two.
pub(crate) struct Source {
    /// The AppSpec itself.
    pub(crate) spec: Option<AppSpec>,
    /// Where it is.
    pub(crate) object: Option<RevisionObject>,
}

/// Makes a revision known to its application. One that is known gets its description.
pub(crate) async fn register_application_revision(cx: &Cx, input: api::RegisterApplicationRevisionInput) -> Result<()> {
    let application = application::find(cx, input.application_name)?;
    check_description(input.description.as_deref())?;
    let location = required(input.revision)?;
    let source = read(&location)?;
    let key = key(&application.name, &location);
    let revisions = &cx.state.codedeploy.revisions;
    revisions.get_or_insert_with(cx.scope(), &key, || new_revision(cx, &location, source.object));
    revisions.update(cx.scope(), &key, |revision| revision.description = input.description);
    Ok(())
}

/// Shows a revision.
pub(crate) async fn get_application_revision(
    cx: &Cx,
    input: api::GetApplicationRevisionInput,
) -> Result<api::GetApplicationRevisionOutput> {
    let application = application::find(cx, input.application_name)?;
    let location = required(input.revision)?;
    // Text unverified.
    let missing = || Error::RevisionDoesNotExist(format!("No revision found for application: {}", application.name));
    let revision = find(cx, &application.name, &location)?.ok_or_else(missing)?;
    Ok(api::GetApplicationRevisionOutput {
        application_name: Some(application.name.clone()),
        revision: Some(document::read(&revision.location)),
        revision_info: Some(view(cx, &application.name, &revision)),
    })
}

/// Shows revisions; of those that are not known, only the location.
pub(crate) async fn batch_get_application_revisions(
    cx: &Cx,
    input: api::BatchGetApplicationRevisionsInput,
) -> Result<api::BatchGetApplicationRevisionsOutput> {
    let application = application::find(cx, input.application_name)?;
    let locations = input.revisions.unwrap_or_default();
    check_batch(&locations)?;
    let mut infos = Vec::new();
    for location in locations {
        let found = find(cx, &application.name, &location)?;
        infos.push(api::RevisionInfo {
            revision_location: Some(location),
            generic_revision_info: found.map(|revision| view(cx, &application.name, &revision)),
        });
    }
    Ok(api::BatchGetApplicationRevisionsOutput {
        application_name: Some(application.name.clone()),
        error_message: None,
        revisions: Some(infos),
    })
}

/// Lists the revisions of an application.
pub(crate) async fn list_application_revisions(
    cx: &Cx,
    input: api::ListApplicationRevisionsInput,
) -> Result<api::ListApplicationRevisionsOutput> {
    let application = application::find(cx, input.application_name.clone())?;
    let listed = Listed::read(&input)?;
    let targets = targets(cx, &application.name);
    let known = cx.state.codedeploy.revisions_of(cx.scope(), &application.name);
    let mut found = known.filter(|(_, revision)| listed.has(revision, &targets)).collect::<Vec<_>>();
    found.sort_by_key(|(_, revision)| listed.rank(revision));
    if listed.is_descending {
        found.reverse();
    }
    let after = page_after(LISTING, input.next_token)?;
    let from =
        after.map_or(0, |after| found.iter().position(|(key, _)| key.digest == after).map_or(0, |place| place + 1));
    let page = Page::cut(LISTING, PAGE_SIZE, found.drain(from..), |(key, _)| key.digest.clone());
    let locations = page.items.iter().map(|(_, revision)| document::read(&revision.location)).collect();
    Ok(api::ListApplicationRevisionsOutput { revisions: Some(locations), next_token: page.next })
}

/// Returns the location that a request must have.
pub(crate) fn required(revision: Option<api::RevisionLocation>) -> Result<api::RevisionLocation> {
    // Seen: aws-cli#4256.
    revision.ok_or_else(|| Error::RevisionRequired("RevisionLocation must be specified".to_owned()))
}

/// Reads what a revision says, or where that is to be read.
pub(crate) fn read(location: &api::RevisionLocation) -> Result<Source> {
    let text = match &location.revision_type {
        Some(api::RevisionLocationType::AppSpecContent) => {
            location.app_spec_content.as_ref().and_then(|content| content.content.clone())
        }
        Some(api::RevisionLocationType::String) => location.string.as_ref().and_then(|raw| raw.content.clone()),
        Some(api::RevisionLocationType::S3) => {
            return Ok(Source { spec: None, object: Some(object(location.s3_location.as_ref())?) });
        }
        Some(api::RevisionLocationType::GitHub) => return Err(not_here("revisions on GitHub")),
        Some(api::RevisionLocationType::Other(_)) | None => None,
    };
    // Text unverified.
    let none = || Error::InvalidRevision("The revision has no content of its revision type.".to_owned());
    let spec = AppSpec::parse(&text.ok_or_else(none)?).map_err(|why| {
        // AWS's form, seen for Lambda's AppSpecs; what follows the colon is ours.
        Error::InvalidRevision(format!("The AppSpec file is not valid: {why}"))
    })?;
    Ok(Source { spec: Some(spec), object: None })
}

/// Reads the location of an object that is an AppSpec.
fn object(location: Option<&api::S3Location>) -> Result<RevisionObject> {
    let invalid = |message: &str| Error::InvalidRevision(message.to_owned());
    // Texts unverified, but for the last.
    let location = location.ok_or_else(|| invalid("S3Location must be specified"))?;
    let bucket = given(location.bucket.clone()).ok_or_else(|| invalid("Bucket must be specified"))?;
    let key = given(location.key.clone()).ok_or_else(|| invalid("Key must be specified"))?;
    // Seen in small letters: aws-cli#6267.
    let bundle = location.bundle_type.as_deref().unwrap_or_default();
    if !bundle.eq_ignore_ascii_case("YAML") && !bundle.eq_ignore_ascii_case("JSON") {
        // Seen: aws-codedeploy-plugin#89.
        return Err(invalid("BundleType must be either YAML or JSON"));
    }
    let etag = given(location.e_tag.clone()).map(|etag| etag.trim_matches('"').to_owned());
    Ok(RevisionObject { bucket, key, version: given(location.version.clone()), etag })
}

/// Notes that a revision is deployed; one that nobody has registered is known from then on.
pub(crate) fn note_use(cx: &Cx, application: &str, location: &api::RevisionLocation, object: Option<&RevisionObject>) {
    let key = key(application, location);
    let revisions = &cx.state.codedeploy.revisions;
    revisions.get_or_insert_with(cx.scope(), &key, || new_revision(cx, location, object.cloned()));
    let now = cx.now();
    revisions.update(cx.scope(), &key, |revision| {
        revision.first_used_at.get_or_insert(now);
        revision.last_used_at = Some(now);
    });
}

fn new_revision(cx: &Cx, location: &api::RevisionLocation, object: Option<RevisionObject>) -> Revision {
    Revision {
        location: document::write(location),
        object,
        description: None,
        registered_at: cx.now(),
        first_used_at: None,
        last_used_at: None,
    }
}

fn key(application: &str, location: &api::RevisionLocation) -> RevisionKey {
    RevisionKey::new(application, &document::write(location))
}

/// Finds a revision by its location. An object may be named without its version and ETag: then the newest one is meant.
fn find(cx: &Cx, application: &str, location: &api::RevisionLocation) -> Result<Option<Arc<Revision>>> {
    let deploy = &cx.state.codedeploy;
    let Some(wanted) = read(location)?.object else {
        return Ok(deploy.revisions.get(cx.scope(), &key(application, location)));
    };
    let agrees = |wanted: &Option<String>, known: &Option<String>| wanted.is_none() || wanted == known;
    let is_meant = |known: &RevisionObject| {
        (&known.bucket, &known.key) == (&wanted.bucket, &wanted.key)
            && agrees(&wanted.version, &known.version)
            && agrees(&wanted.etag, &known.etag)
    };
    let known = deploy.revisions_of(cx.scope(), application).map(|(_, revision)| revision);
    Ok(known.filter(|revision| revision.object.as_ref().is_some_and(is_meant)).max_by_key(|known| known.registered_at))
}

/// Returns the groups of an application with what was last deployed to them.
fn targets(cx: &Cx, application: &str) -> Vec<(String, state::Document)> {
    let deploy = &cx.state.codedeploy;
    let mut targets = Vec::new();
    for group in deploy.groups_of(cx.scope(), application) {
        let deployments = deploy.deployments_of(cx.scope(), &group.key);
        let last = deployments
            .iter()
            .find(|known| known.observed.status == DeploymentStatus::Succeeded && known.rolls_back.is_none());
        targets.extend(last.and_then(|last| last.revision.clone()).map(|revision| (group.key.name.clone(), revision)));
    }
    targets
}

fn view(cx: &Cx, application: &str, revision: &Revision) -> api::GenericRevisionInfo {
    let targets = targets(cx, application);
    let groups = targets.into_iter().filter(|(_, deployed)| *deployed == revision.location).map(|(group, _)| group);
    api::GenericRevisionInfo {
        description: revision.description.clone(),
        deployment_groups: Some(groups.collect()),
        first_used_time: revision.first_used_at.map(Into::into),
        last_used_time: revision.last_used_at.map(Into::into),
        register_time: Some(revision.registered_at.into()),
    }
}

/// What a listing is to have, and in which order.
struct Listed {
    sorted_by: Option<api::ApplicationRevisionSortBy>,
    is_descending: bool,
    bucket: Option<String>,
    key_prefix: Option<String>,
    /// Whether it is to be deployed; none if either will do.
    is_deployed: Option<bool>,
}

impl Listed {
    // Texts unverified.
    fn read(input: &api::ListApplicationRevisionsInput) -> Result<Self> {
        if matches!(input.sort_by, Some(api::ApplicationRevisionSortBy::Other(_))) {
            return Err(Error::InvalidSortBy("The column to sort by is invalid.".to_owned()));
        }
        let is_descending = match &input.sort_order {
            Some(api::SortOrder::Descending) => true,
            Some(api::SortOrder::Ascending) | None => false,
            Some(api::SortOrder::Other(_)) => {
                return Err(Error::InvalidSortOrder("The sort order is invalid.".to_owned()));
            }
        };
        let is_deployed = match &input.deployed {
            Some(api::ListStateFilterAction::Include) => Some(true),
            Some(api::ListStateFilterAction::Exclude) => Some(false),
            Some(api::ListStateFilterAction::Ignore) | None => None,
            Some(api::ListStateFilterAction::Other(_)) => {
                return Err(Error::InvalidDeployedStateFilter("The deployed state filter is invalid.".to_owned()));
            }
        };
        let (bucket, key_prefix) = (given(input.s3_bucket.clone()), given(input.s3_key_prefix.clone()));
        if bucket.is_none() && key_prefix.is_some() {
            return Err(Error::BucketNameFilterRequired("A bucket name is required with a key prefix.".to_owned()));
        }
        Ok(Self { sorted_by: input.sort_by.clone(), is_descending, bucket, key_prefix, is_deployed })
    }

    fn has(&self, revision: &Revision, targets: &[(String, state::Document)]) -> bool {
        let object = revision.object.as_ref();
        let is_target = || targets.iter().any(|(_, deployed)| *deployed == revision.location);
        self.bucket.as_ref().is_none_or(|bucket| object.is_some_and(|object| object.bucket == *bucket))
            && self.key_prefix.as_ref().is_none_or(|prefix| object.is_some_and(|object| object.key.starts_with(prefix)))
            && self.is_deployed.is_none_or(|wanted| wanted == is_target())
    }

    /// Returns the place of a revision in the order, the earliest first.
    fn rank(&self, revision: &Revision) -> Option<base::Timestamp> {
        match self.sorted_by {
            Some(api::ApplicationRevisionSortBy::FirstUsedTime) => revision.first_used_at,
            Some(api::ApplicationRevisionSortBy::LastUsedTime) => revision.last_used_at,
            _ => Some(revision.registered_at),
        }
    }
}
