//! Making, describing and deleting repositories, and what holds for all images of one.

use std::collections::BTreeSet;

use api::ecr as api;
use base::{Arn, EcrHost, Page, PageToken, Scope};
use state::Cx;
use state::ecr::{DeleteRepositoryError, Encryption, Repository, TagMutability};

use crate::{Error, Result, invalid, keep, lookup, off_thread, page_size, required, tag};

/// How many repositories a page has unless the request says.
const PAGE_SIZE: usize = 100;
const LISTING: &str = "DescribeRepositories";
/// How many wildcards an exclusion has at most. AWS's limit.
const WILDCARDS_MAX: usize = 2;

/// Makes a repository.
pub(crate) async fn create_repository(
    cx: &Cx,
    input: api::CreateRepositoryRequest,
) -> Result<api::CreateRepositoryResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let tags = tag::read(input.tags.unwrap_or_default());
    tag::check(&tags)?;
    let made = Repository {
        tag_mutability: tag_mutability(input.image_tag_mutability, input.image_tag_mutability_exclusion_filters)?,
        scans_on_push: input.image_scanning_configuration.and_then(|it| it.scan_on_push).unwrap_or(false),
        encryption: input
            .encryption_configuration
            .map_or_else(Encryption::default, |it| encryption(&scope, it.encryption_type, it.kms_key)),
        tags,
        ..Repository::new(&scope, &name, cx.now())
    };
    let shown = view(cx, &scope, &made);
    cx.state.ecr.create_repository(&scope, made).map_err(|_| {
        let account = scope.account;
        let message = format!("The repository with name '{name}' already exists in the registry with id '{account}'");
        Error::RepositoryAlreadyExists(message)
    })?;
    Ok(api::CreateRepositoryResponse { repository: Some(shown) })
}

/// Describes repositories, by name or page by page.
pub(crate) async fn describe_repositories(
    cx: &Cx,
    input: api::DescribeRepositoriesRequest,
) -> Result<api::DescribeRepositoriesResponse> {
    let scope = lookup::registry(cx, input.registry_id.as_deref())?;
    if let Some(names) = input.repository_names {
        let mut repositories = Vec::with_capacity(names.len());
        for name in names.iter().collect::<BTreeSet<_>>() {
            repositories.push(view(cx, &scope, &*lookup::find(cx, &scope, name)?));
        }
        return Ok(api::DescribeRepositoriesResponse { repositories: Some(repositories), next_token: None });
    }
    let after = input.next_token.map(|token| PageToken::decode(LISTING, &token)).transpose();
    let after = after.map_err(|_| crate::invalid_token())?;
    let rest = cx.state.ecr.repositories.walk(&scope, after);
    let page = Page::cut(LISTING, page_size(input.max_results, PAGE_SIZE), rest, |(name, _)| name.clone());
    let repositories = page.items.iter().map(|(_, repository)| view(cx, &scope, repository)).collect();
    Ok(api::DescribeRepositoriesResponse { repositories: Some(repositories), next_token: page.next })
}

/// Deletes a repository; one with images only if it is asked for.
pub(crate) async fn delete_repository(
    cx: &Cx,
    input: api::DeleteRepositoryRequest,
) -> Result<api::DeleteRepositoryResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let (of, named, is_forced) = (scope.clone(), name.clone(), input.force.unwrap_or(false));
    let deleted = off_thread(cx, move |state| state.ecr.delete_repository(&of, &named, is_forced)).await?;
    let repository = deleted.map_err(|refusal| match refusal {
        DeleteRepositoryError::NotFound => lookup::not_found(&scope, &name),
        DeleteRepositoryError::NotEmpty => Error::RepositoryNotEmpty(format!(
            "The repository with name '{name}' in registry with id '{}' cannot be deleted because it still contains images",
            scope.account
        )),
    })?;
    keep(cx).await?;
    // AWS shows no more of it than this.
    let shown = view(cx, &scope, &repository);
    let repository = api::Repository {
        repository_arn: shown.repository_arn,
        registry_id: shown.registry_id,
        repository_name: shown.repository_name,
        repository_uri: shown.repository_uri,
        created_at: shown.created_at,
        image_tag_mutability: shown.image_tag_mutability,
        ..api::Repository::default()
    };
    Ok(api::DeleteRepositoryResponse { repository: Some(repository) })
}

/// Says whether tags of a repository can be moved.
pub(crate) async fn put_image_tag_mutability(
    cx: &Cx,
    input: api::PutImageTagMutabilityRequest,
) -> Result<api::PutImageTagMutabilityResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let wanted = tag_mutability(input.image_tag_mutability, input.image_tag_mutability_exclusion_filters)?;
    let repository = lookup::change(cx, &scope, &name, |repository| {
        repository.tag_mutability = wanted;
        Ok(())
    })?;
    let (image_tag_mutability, image_tag_mutability_exclusion_filters) = view_mutability(&repository.tag_mutability);
    Ok(api::PutImageTagMutabilityResponse {
        registry_id: Some(scope.account.to_string()),
        repository_name: Some(name),
        image_tag_mutability: Some(image_tag_mutability),
        image_tag_mutability_exclusion_filters,
    })
}

/// Says whether images are scanned when they are pushed.
pub(crate) async fn put_image_scanning_configuration(
    cx: &Cx,
    input: api::PutImageScanningConfigurationRequest,
) -> Result<api::PutImageScanningConfigurationResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let wanted = required(input.image_scanning_configuration, "imageScanningConfiguration")?;
    let scans_on_push = wanted.scan_on_push.unwrap_or(false);
    lookup::change(cx, &scope, &name, |repository| {
        repository.scans_on_push = scans_on_push;
        Ok(())
    })?;
    Ok(api::PutImageScanningConfigurationResponse {
        registry_id: Some(scope.account.to_string()),
        repository_name: Some(name),
        image_scanning_configuration: Some(api::ImageScanningConfiguration { scan_on_push: Some(scans_on_push) }),
    })
}

/// Reads whether tags can be moved. (Texts unverified.)
pub(crate) fn tag_mutability(
    wanted: Option<api::ImageTagMutability>,
    filters: Option<Vec<api::ImageTagMutabilityExclusionFilter>>,
) -> Result<TagMutability> {
    use api::ImageTagMutability as Wanted;
    let exclusions = filters.unwrap_or_default().into_iter().filter_map(|filter| filter.filter).collect::<Vec<_>>();
    let parameter = "imageTagMutabilityExclusionFilters";
    if exclusions.iter().any(|filter| filter.matches('*').count() > WILDCARDS_MAX) {
        return Err(invalid(parameter, &format!("a filter must not have more than {WILDCARDS_MAX} wildcards")));
    }
    let (is_immutable, takes_exclusions) = match wanted.unwrap_or(Wanted::Mutable) {
        Wanted::Mutable | Wanted::Other(_) => (false, false),
        Wanted::Immutable => (true, false),
        Wanted::MutableWithExclusion => (false, true),
        Wanted::ImmutableWithExclusion => (true, true),
    };
    match (takes_exclusions, exclusions.is_empty()) {
        (true, true) => Err(invalid(parameter, "must not be empty when the image tag mutability has exclusions")),
        (false, false) => Err(invalid(parameter, "must be empty when the image tag mutability has no exclusions")),
        (true, false) | (false, true) => Ok(TagMutability { is_immutable, exclusions }),
    }
}

/// Shows whether tags can be moved.
pub(crate) fn view_mutability(
    mutability: &TagMutability,
) -> (api::ImageTagMutability, Option<Vec<api::ImageTagMutabilityExclusionFilter>>) {
    use api::ImageTagMutability as Shown;
    let has_exclusions = !mutability.exclusions.is_empty();
    let shown = match (mutability.is_immutable, has_exclusions) {
        (false, false) => Shown::Mutable,
        (true, false) => Shown::Immutable,
        (false, true) => Shown::MutableWithExclusion,
        (true, true) => Shown::ImmutableWithExclusion,
    };
    let filter = |filter: &String| api::ImageTagMutabilityExclusionFilter {
        filter_type: Some(api::ImageTagMutabilityExclusionFilterType::Wildcard),
        filter: Some(filter.clone()),
    };
    (shown, has_exclusions.then(|| mutability.exclusions.iter().map(filter).collect()))
}

/// Reads how images are encrypted. Where no key is named it is the account's own for ECR.
pub(crate) fn encryption(scope: &Scope, kind: Option<api::EncryptionType>, key: Option<String>) -> Encryption {
    let is_dual_layer = match kind {
        Some(api::EncryptionType::Kms) => false,
        Some(api::EncryptionType::KmsDsse) => true,
        Some(api::EncryptionType::Aes256 | api::EncryptionType::Other(_)) | None => return Encryption::Aes256,
    };
    let key = key.filter(|key| !key.is_empty());
    let key = key.unwrap_or_else(|| Arn::new("kms", scope, "alias/aws/ecr").to_string());
    Encryption::Kms { key: Some(key), is_dual_layer }
}

/// Shows how images are encrypted: the kind, and the key.
pub(crate) fn view_encryption(encryption: &Encryption) -> (api::EncryptionType, Option<String>) {
    match encryption {
        Encryption::Aes256 => (api::EncryptionType::Aes256, None),
        Encryption::Kms { key, is_dual_layer: false } => (api::EncryptionType::Kms, key.clone()),
        Encryption::Kms { key, is_dual_layer: true } => (api::EncryptionType::KmsDsse, key.clone()),
    }
}

fn view(cx: &Cx, scope: &Scope, repository: &Repository) -> api::Repository {
    let (mutability, filters) = view_mutability(&repository.tag_mutability);
    let (encryption_type, kms_key) = view_encryption(&repository.encryption);
    let host = EcrHost::for_client(scope, cx.caller.host.as_deref());
    api::Repository {
        repository_arn: Some(repository.arn.to_string()),
        registry_id: Some(scope.account.to_string()),
        repository_name: Some(repository.name.clone()),
        repository_uri: Some(format!("{host}/{}", repository.name)),
        created_at: Some(repository.created_at.into()),
        image_tag_mutability: Some(mutability),
        image_tag_mutability_exclusion_filters: filters,
        image_scanning_configuration: Some(api::ImageScanningConfiguration {
            scan_on_push: Some(repository.scans_on_push),
        }),
        encryption_configuration: Some(api::EncryptionConfiguration {
            encryption_type: Some(encryption_type),
            kms_key,
        }),
    }
}
