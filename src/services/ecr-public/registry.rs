//! The one public registry of an account.

use api::ecr_public as api;
use base::Arn;
use state::Cx;

use crate::{Result, lookup, repository};

/// Describes the registries of the caller: there is one.
pub(crate) async fn describe_registries(
    cx: &Cx,
    _: api::DescribeRegistriesRequest,
) -> Result<api::DescribeRegistriesResponse> {
    let scope = lookup::registry(cx, None)?;
    let name = repository::alias(&scope);
    let registry = api::Registry {
        registry_id: Some(scope.account.to_string()),
        registry_arn: Some(Arn::global("ecr-public", &scope, &format!("registry/{}", scope.account)).to_string()),
        registry_uri: Some(format!("public.ecr.aws/{name}")),
        verified: Some(false),
        aliases: Some(vec![api::RegistryAlias {
            name: Some(name),
            status: Some(api::RegistryAliasStatus::Active),
            primary_registry_alias: Some(true),
            default_registry_alias: Some(true),
        }]),
    };
    Ok(api::DescribeRegistriesResponse { registries: Some(vec![registry]), next_token: None })
}

/// Shows the name that the registry bears.
pub(crate) async fn get_registry_catalog_data(
    cx: &Cx,
    _: api::GetRegistryCatalogDataRequest,
) -> Result<api::GetRegistryCatalogDataResponse> {
    let settings = cx.state.ecr.registry_settings(&lookup::registry(cx, None)?);
    let data = api::RegistryCatalogData { display_name: settings.public_name.clone() };
    Ok(api::GetRegistryCatalogDataResponse { registry_catalog_data: Some(data) })
}

/// Changes the name that the registry bears.
pub(crate) async fn put_registry_catalog_data(
    cx: &Cx,
    input: api::PutRegistryCatalogDataRequest,
) -> Result<api::PutRegistryCatalogDataResponse> {
    let scope = lookup::registry(cx, None)?;
    let name = input.display_name.filter(|name| !name.is_empty());
    let settings = cx.state.ecr.change_registry_settings(&scope, |settings| settings.public_name = name);
    let data = api::RegistryCatalogData { display_name: settings.public_name.clone() };
    Ok(api::PutRegistryCatalogDataResponse { registry_catalog_data: Some(data) })
}
