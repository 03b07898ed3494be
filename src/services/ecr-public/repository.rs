//! Making, describing and deleting public repositories.

use api::ecr_public as api;
use base::{Arn, Page, PageToken, Scope};
use state::Cx;
use state::ecr::Repository;

use crate::{Error, Result, catalog, invalid, lookup, tag};

/// How many repositories a page has unless the request says.
const PAGE_SIZE: usize = 100;
const LISTING: &str = "DescribeRepositories";

/// Makes a repository.
pub(crate) async fn create_repository(
    cx: &Cx,
    input: api::CreateRepositoryRequest,
) -> Result<api::CreateRepositoryResponse> {
    let (scope, name) = lookup::named(cx, None, input.repository_name)?;
    let tags = tag::read(input.tags.unwrap_or_default());
    tag::check(&tags)?;
    let made = Repository {
        // Its region is no part of its name.
        arn: Arn::global("ecr-public", &scope, &format!("repository/{name}")),
        catalog: input.catalog_data.map(catalog::read),
        tags,
        ..Repository::new(&scope, &name, cx.now())
    };
    let (repository, is_new) = cx.state.ecr.public_repositories.get_or_insert_with(&scope, &name, || made);
    if !is_new {
        let account = scope.account;
        let message = format!("The repository with name '{name}' already exists in the registry with id '{account}'");
        return Err(Error::RepositoryAlreadyExists(message));
    }
    let catalog_data = Some(catalog::view(&repository).unwrap_or_default());
    Ok(api::CreateRepositoryResponse { repository: Some(view(&scope, &repository)), catalog_data })
}

/// Describes repositories, by name or page by page.
pub(crate) async fn describe_repositories(
    cx: &Cx,
    input: api::DescribeRepositoriesRequest,
) -> Result<api::DescribeRepositoriesResponse> {
    let scope = lookup::registry(cx, input.registry_id.as_deref())?;
    if let Some(names) = input.repository_names {
        let found = names.iter().map(|name| Ok(view(&scope, &*lookup::find(cx, &scope, name)?)));
        let repositories = Some(found.collect::<Result<Vec<_>>>()?);
        return Ok(api::DescribeRepositoriesResponse { repositories, next_token: None });
    }
    let after = input.next_token.map(|token| PageToken::decode(LISTING, &token)).transpose();
    // Text unverified.
    let after = after.map_err(|_| invalid("nextToken", "Invalid nextToken"))?;
    let size = input.max_results.and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE_SIZE);
    let rest = cx.state.ecr.public_repositories.walk(&scope, after);
    let page = Page::cut(LISTING, size.max(1), rest, |(name, _)| name.clone());
    let repositories = page.items.iter().map(|(_, repository)| view(&scope, repository)).collect();
    Ok(api::DescribeRepositoriesResponse { repositories: Some(repositories), next_token: page.next })
}

/// Deletes a repository. It never has images, so that it is never refused.
pub(crate) async fn delete_repository(
    cx: &Cx,
    input: api::DeleteRepositoryRequest,
) -> Result<api::DeleteRepositoryResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let repository = cx.state.ecr.public_repositories.remove(&scope, &name);
    let repository = repository.ok_or_else(|| lookup::not_found(&scope, &name))?;
    Ok(api::DeleteRepositoryResponse { repository: Some(view(&scope, &repository)) })
}

/// Returns the name of a registry that nobody gave one: AWS draws eight characters, here they follow from the account.
pub(crate) fn alias(scope: &Scope) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut number = scope.account.as_str().parse::<u64>().unwrap_or_default().wrapping_add(1_000_003);
    let letters = (0..7).map(|_| {
        let letter = ALPHABET[usize::try_from(number % 36).unwrap_or_default()];
        number /= 36;
        char::from(letter)
    });
    let letters = letters.collect::<Vec<_>>();
    std::iter::once('n').chain(letters).collect()
}

fn view(scope: &Scope, repository: &Repository) -> api::Repository {
    api::Repository {
        repository_arn: Some(repository.arn.to_string()),
        registry_id: Some(scope.account.to_string()),
        repository_name: Some(repository.name.clone()),
        repository_uri: Some(format!("public.ecr.aws/{}/{}", alias(scope), repository.name)),
        created_at: Some(repository.created_at.into()),
    }
}
