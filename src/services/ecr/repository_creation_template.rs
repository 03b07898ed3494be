//! Templates of the repositories that ECR makes itself: kept and shown.

use api::ecr as api;
use base::{Page, PageToken, Scope};
use state::Cx;
use state::ecr::{Encryption, RepositoryCreationTemplate};

use crate::repository::{encryption, tag_mutability, view_encryption, view_mutability};
use crate::{Error, Result, invalid_token, lifecycle_policy, page_size, policy, required, tag};

/// How many templates a page has unless the request says.
const PAGE_SIZE: usize = 100;
const LISTING: &str = "DescribeRepositoryCreationTemplates";

/// Makes a template.
pub(crate) async fn create_repository_creation_template(
    cx: &Cx,
    input: api::CreateRepositoryCreationTemplateRequest,
) -> Result<api::CreateRepositoryCreationTemplateResponse> {
    let prefix = required(input.prefix, "prefix")?;
    let tags = tags(input.resource_tags.unwrap_or_default())?;
    let policy = input.repository_policy.filter(|text| !text.is_empty());
    let lifecycle_policy = input.lifecycle_policy.filter(|text| !text.is_empty());
    check(policy.as_deref(), lifecycle_policy.as_deref())?;
    let template = RepositoryCreationTemplate {
        prefix: prefix.clone(),
        description: input.description,
        encryption: read_encryption(cx, input.encryption_configuration),
        tags,
        tag_mutability: tag_mutability(input.image_tag_mutability, input.image_tag_mutability_exclusion_filters)?,
        policy,
        lifecycle_policy,
        applied_for: applied_for(input.applied_for),
        role_arn: input.custom_role_arn.filter(|arn| !arn.is_empty()),
        created_at: cx.now(),
        updated_at: cx.now(),
    };
    let (template, is_new) = cx.state.ecr.creation_templates.get_or_insert_with(cx.scope(), &prefix, || template);
    if !is_new {
        // Text unverified.
        return Err(Error::TemplateAlreadyExists(format!(
            "A repository creation template with prefix '{prefix}' already exists in the registry with id '{}'",
            cx.scope().account
        )));
    }
    Ok(api::CreateRepositoryCreationTemplateResponse {
        registry_id: Some(cx.scope().account.to_string()),
        repository_creation_template: Some(view(&template)),
    })
}

/// Changes what a request has of a template; the rest stays.
pub(crate) async fn update_repository_creation_template(
    cx: &Cx,
    input: api::UpdateRepositoryCreationTemplateRequest,
) -> Result<api::UpdateRepositoryCreationTemplateResponse> {
    let prefix = required(input.prefix, "prefix")?;
    let tags = input.resource_tags.map(tags).transpose()?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    check(given(&input.repository_policy).as_deref(), given(&input.lifecycle_policy).as_deref())?;
    let mutability = match (input.image_tag_mutability, input.image_tag_mutability_exclusion_filters) {
        (None, None) => None,
        (wanted, filters) => Some(tag_mutability(wanted, filters)?),
    };
    let template = cx.state.ecr.creation_templates.update(cx.scope(), &prefix, |template| {
        if let Some(description) = input.description {
            template.description = Some(description);
        }
        if input.encryption_configuration.is_some() {
            template.encryption = read_encryption(cx, input.encryption_configuration);
        }
        if let Some(tags) = tags {
            template.tags = tags;
        }
        if let Some(mutability) = mutability {
            template.tag_mutability = mutability;
        }
        // An empty text takes away what was there.
        if input.repository_policy.is_some() {
            template.policy = given(&input.repository_policy);
        }
        if input.lifecycle_policy.is_some() {
            template.lifecycle_policy = given(&input.lifecycle_policy);
        }
        if input.applied_for.is_some() {
            template.applied_for = applied_for(input.applied_for);
        }
        if input.custom_role_arn.is_some() {
            template.role_arn = given(&input.custom_role_arn);
        }
        template.updated_at = cx.now();
    });
    let template = template.ok_or_else(|| not_found(cx.scope(), &prefix))?;
    Ok(api::UpdateRepositoryCreationTemplateResponse {
        registry_id: Some(cx.scope().account.to_string()),
        repository_creation_template: Some(view(&template)),
    })
}

/// Describes templates, by prefix or page by page.
pub(crate) async fn describe_repository_creation_templates(
    cx: &Cx,
    input: api::DescribeRepositoryCreationTemplatesRequest,
) -> Result<api::DescribeRepositoryCreationTemplatesResponse> {
    let templates = &cx.state.ecr.creation_templates;
    let registry_id = Some(cx.scope().account.to_string());
    if let Some(prefixes) = input.prefixes.filter(|prefixes| !prefixes.is_empty()) {
        // One that is not there is left out: there is no error for it.
        let found = prefixes.iter().filter_map(|prefix| templates.get(cx.scope(), prefix));
        let found = found.map(|template| view(&template)).collect();
        return Ok(api::DescribeRepositoryCreationTemplatesResponse {
            registry_id,
            repository_creation_templates: Some(found),
            next_token: None,
        });
    }
    let after = input.next_token.map(|token| PageToken::decode(LISTING, &token)).transpose();
    let rest = templates.walk(cx.scope(), after.map_err(|_| invalid_token())?);
    let page = Page::cut(LISTING, page_size(input.max_results, PAGE_SIZE), rest, |(prefix, _)| prefix.clone());
    Ok(api::DescribeRepositoryCreationTemplatesResponse {
        registry_id,
        repository_creation_templates: Some(page.items.iter().map(|(_, template)| view(template)).collect()),
        next_token: page.next,
    })
}

/// Deletes a template. The repositories stay.
pub(crate) async fn delete_repository_creation_template(
    cx: &Cx,
    input: api::DeleteRepositoryCreationTemplateRequest,
) -> Result<api::DeleteRepositoryCreationTemplateResponse> {
    let prefix = required(input.prefix, "prefix")?;
    let template = cx.state.ecr.creation_templates.remove(cx.scope(), &prefix);
    let template = template.ok_or_else(|| not_found(cx.scope(), &prefix))?;
    Ok(api::DeleteRepositoryCreationTemplateResponse {
        registry_id: Some(cx.scope().account.to_string()),
        repository_creation_template: Some(view(&template)),
    })
}

/// Reads tags, whose errors are of another kind here than for repositories.
fn tags(tags: Vec<api::Tag>) -> Result<Vec<state::Tag>> {
    let tags = tag::read(tags);
    match tag::check(&tags) {
        Ok(()) => Ok(tags),
        Err(Error::TooManyTags(message) | Error::InvalidTagParameter(message)) => Err(Error::InvalidParameter(message)),
        Err(other) => Err(other),
    }
}

fn check(policy: Option<&str>, lifecycle_policy: Option<&str>) -> Result<()> {
    policy.map_or(Ok(()), policy::check_repository_policy)?;
    lifecycle_policy.map_or(Ok(()), |text| lifecycle_policy::parse(text).map(|_| ()))
}

fn read_encryption(cx: &Cx, given: Option<api::EncryptionConfigurationForRepositoryCreationTemplate>) -> Encryption {
    given.map_or_else(Encryption::default, |it| match encryption(cx.scope(), it.encryption_type, it.kms_key.clone()) {
        Encryption::Aes256 => Encryption::Aes256,
        // Which key is the account's own is decided when a repository is made.
        Encryption::Kms { is_dual_layer, .. } => {
            Encryption::Kms { key: it.kms_key.filter(|key| !key.is_empty()), is_dual_layer }
        }
    })
}

fn applied_for(given: Option<Vec<api::RCTAppliedFor>>) -> Vec<String> {
    given.unwrap_or_default().iter().map(|reason| reason.as_str().to_owned()).collect()
}

fn view(template: &RepositoryCreationTemplate) -> api::RepositoryCreationTemplate {
    let (encryption_type, kms_key) = view_encryption(&template.encryption);
    let (mutability, filters) = view_mutability(&template.tag_mutability);
    let encryption =
        api::EncryptionConfigurationForRepositoryCreationTemplate { encryption_type: Some(encryption_type), kms_key };
    api::RepositoryCreationTemplate {
        prefix: Some(template.prefix.clone()),
        description: template.description.clone(),
        encryption_configuration: Some(encryption),
        resource_tags: Some(tag::view(&template.tags)),
        image_tag_mutability: Some(mutability),
        image_tag_mutability_exclusion_filters: filters,
        repository_policy: template.policy.clone(),
        lifecycle_policy: template.lifecycle_policy.clone(),
        applied_for: Some(template.applied_for.iter().map(|text| api::RCTAppliedFor::from(text.as_str())).collect()),
        custom_role_arn: template.role_arn.clone(),
        created_at: Some(template.created_at.into()),
        updated_at: Some(template.updated_at.into()),
    }
}

/// Words a template that is not there. (Text unverified.)
fn not_found(scope: &Scope, prefix: &str) -> Error {
    Error::TemplateNotFound(format!(
        "The repository creation template with prefix '{prefix}' does not exist in the registry with id '{}'",
        scope.account
    ))
}
