//! What public repositories tell about themselves.

use api::ecr_public as api;
use state::Cx;
use state::ecr::{CatalogData, Repository};

use crate::{Error, Result, lookup, required};

/// Changes what a repository tells about itself. What a request leaves out is gone afterwards.
pub(crate) async fn put_repository_catalog_data(
    cx: &Cx,
    input: api::PutRepositoryCatalogDataRequest,
) -> Result<api::PutRepositoryCatalogDataResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let data = read(required(input.catalog_data, "catalogData")?);
    let repository = lookup::change(cx, &scope, &name, |repository| {
        repository.catalog = Some(data);
        Ok(())
    })?;
    Ok(api::PutRepositoryCatalogDataResponse { catalog_data: view(&repository) })
}

/// Shows what a repository tells about itself.
pub(crate) async fn get_repository_catalog_data(
    cx: &Cx,
    input: api::GetRepositoryCatalogDataRequest,
) -> Result<api::GetRepositoryCatalogDataResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let repository = lookup::find(cx, &scope, &name)?;
    let data = view(&repository).ok_or_else(|| {
        // Text unverified.
        Error::RepositoryCatalogDataNotFound(format!(
            "Repository catalog data does not exist for the repository with name '{name}' in the registry with id '{}'",
            scope.account
        ))
    })?;
    Ok(api::GetRepositoryCatalogDataResponse { catalog_data: Some(data) })
}

/// Reads what a repository is to tell about itself. A logo is not kept.
pub(crate) fn read(input: api::RepositoryCatalogDataInput) -> CatalogData {
    CatalogData {
        description: input.description,
        architectures: input.architectures.unwrap_or_default(),
        operating_systems: input.operating_systems.unwrap_or_default(),
        logo_url: None,
        about_text: input.about_text,
        usage_text: input.usage_text,
    }
}

/// Shows what a repository tells about itself, if it does.
pub(crate) fn view(repository: &Repository) -> Option<api::RepositoryCatalogData> {
    let data = repository.catalog.as_ref()?;
    Some(api::RepositoryCatalogData {
        description: data.description.clone(),
        architectures: Some(data.architectures.clone()),
        operating_systems: Some(data.operating_systems.clone()),
        logo_url: data.logo_url.clone(),
        about_text: data.about_text.clone(),
        usage_text: data.usage_text.clone(),
        marketplace_certified: None,
    })
}
