//! Tags of applications and deployment groups.

use api::codedeploy as api;
use base::Arn;
use state::codedeploy::DeploymentGroupKey;
use state::{Cx, Tag};

use crate::{Error, Result, given};

/// How many tags a resource has at most. (Documented.)
const TAGS_MAX: usize = 50;

/// What has tags.
enum Resource {
    Application(String),
    Group(DeploymentGroupKey),
}

/// Adds tags; those with known keys replace what was there.
pub(crate) async fn tag_resource(cx: &Cx, input: api::TagResourceInput) -> Result<api::TagResourceOutput> {
    let resource = find(cx, input.resource_arn)?;
    let tags = read(input.tags)?;
    change(cx, &resource, |known| {
        Tag::put_all(tags, known);
        check(known)
    })?;
    Ok(api::TagResourceOutput::default())
}

/// Takes tags off. Keys that are not there are no error.
pub(crate) async fn untag_resource(cx: &Cx, input: api::UntagResourceInput) -> Result<api::UntagResourceOutput> {
    let resource = find(cx, input.resource_arn)?;
    let keys = input.tag_keys.unwrap_or_default();
    change(cx, &resource, |known| {
        known.retain(|tag| !keys.contains(&tag.key));
        Ok(())
    })?;
    Ok(api::UntagResourceOutput::default())
}

/// Lists tags.
pub(crate) async fn list_tags_for_resource(
    cx: &Cx,
    input: api::ListTagsForResourceInput,
) -> Result<api::ListTagsForResourceOutput> {
    let deploy = &cx.state.codedeploy;
    let tags = match find(cx, input.resource_arn)? {
        Resource::Application(name) => deploy.applications.get(cx.scope(), &name).map(|found| found.tags.clone()),
        Resource::Group(key) => deploy.groups.get(cx.scope(), &key).map(|found| found.tags.clone()),
    };
    let view = |tag: Tag| api::Tag { key: Some(tag.key), value: Some(tag.value) };
    let tags = tags.unwrap_or_default().into_iter().map(view).collect();
    Ok(api::ListTagsForResourceOutput { tags: Some(tags), next_token: None })
}

/// Reads the tags of a request.
pub(crate) fn read(tags: Option<Vec<api::Tag>>) -> Result<Vec<Tag>> {
    let read = |tag: api::Tag| Tag { key: tag.key.unwrap_or_default(), value: tag.value.unwrap_or_default() };
    let tags = tags.unwrap_or_default().into_iter().map(read).collect::<Vec<_>>();
    check(&tags)?;
    Ok(tags)
}

fn check(tags: &[Tag]) -> Result<()> {
    // Text unverified.
    if tags.len() > TAGS_MAX {
        return Err(Error::InvalidTagsToAdd(format!("A resource can have at most {TAGS_MAX} tags.")));
    }
    Ok(())
}

fn change(cx: &Cx, resource: &Resource, change: impl FnOnce(&mut Vec<Tag>) -> Result<()>) -> Result<()> {
    let deploy = &cx.state.codedeploy;
    let changed = match resource {
        Resource::Application(name) => {
            deploy.applications.try_update(cx.scope(), name, |row| change(&mut row.tags)).map(|row| row.map(drop))
        }
        Resource::Group(key) => {
            deploy.groups.try_update(cx.scope(), key, |row| change(&mut row.tags)).map(|row| row.map(drop))
        }
    };
    changed.unwrap_or(Ok(()))
}

/// Finds the resource of an ARN: `application:<name>` or `deploymentgroup:<application>/<name>`.
fn find(cx: &Cx, arn: Option<String>) -> Result<Resource> {
    // Texts unverified.
    let arn = given(arn).ok_or_else(|| Error::ResourceArnRequired("The resource ARN is required.".to_owned()))?;
    let invalid = || Error::InvalidArn(format!("The ARN {arn} is invalid."));
    let resource = arn.splitn(6, ':').nth(5).filter(|_| Arn::parse(&arn).is_some()).ok_or_else(invalid)?;
    let deploy = &cx.state.codedeploy;
    match resource.split_once(':') {
        Some(("application", name)) => {
            let found = deploy.applications.get(cx.scope(), &name.to_owned());
            let missing = || Error::ApplicationDoesNotExist(format!("No application found for name: {name}"));
            found.map(|found| Resource::Application(found.name.clone())).ok_or_else(missing)
        }
        Some(("deploymentgroup", path)) => {
            let (application, name) = path.split_once('/').ok_or_else(invalid)?;
            let key = DeploymentGroupKey { application: application.to_owned(), name: name.to_owned() };
            let missing = || Error::DeploymentGroupDoesNotExist(format!("No Deployment Group found for name: {name}"));
            deploy.groups.get(cx.scope(), &key).map(|found| Resource::Group(found.key.clone())).ok_or_else(missing)
        }
        _ => Err(Error::ArnNotSupported(format!("The ARN {arn} is of a resource without tags."))),
    }
}
