//! Which repositories are scanned: kept and shown.

use api::ecr as api;
use state::Cx;
use state::ecr::{ScanningConfiguration, ScanningRule};

use crate::{Error, Result, required};

/// Says which repositories are scanned.
pub(crate) async fn put_registry_scanning_configuration(
    cx: &Cx,
    input: api::PutRegistryScanningConfigurationRequest,
) -> Result<api::PutRegistryScanningConfigurationResponse> {
    let is_enhanced = input.scan_type == Some(api::ScanType::Enhanced);
    let mut rules = Vec::new();
    for rule in input.rules.unwrap_or_default() {
        let frequency = required(rule.scan_frequency, "scanFrequency")?;
        if frequency == api::ScanFrequency::ContinuousScan && !is_enhanced {
            let message = "The scan frequency CONTINUOUS_SCAN is only supported with the scan type ENHANCED";
            return Err(refused(message));
        }
        if rules.iter().any(|known: &ScanningRule| known.frequency == frequency.as_str()) {
            return Err(refused("Each scan frequency can be given in one rule only"));
        }
        let filters = required(rule.repository_filters, "repositoryFilters")?;
        let wildcards = filters.into_iter().filter_map(|filter| filter.filter).collect();
        rules.push(ScanningRule { frequency: frequency.as_str().to_owned(), wildcards });
    }
    let wanted = ScanningConfiguration { is_enhanced, rules };
    let settings = cx.state.ecr.change_registry_settings(cx.scope(), |settings| settings.scanning = wanted);
    let shown = view(&settings.scanning);
    Ok(api::PutRegistryScanningConfigurationResponse { registry_scanning_configuration: Some(shown) })
}

/// Shows which repositories are scanned.
pub(crate) async fn get_registry_scanning_configuration(
    cx: &Cx,
    _: api::GetRegistryScanningConfigurationRequest,
) -> Result<api::GetRegistryScanningConfigurationResponse> {
    let settings = cx.state.ecr.registry_settings(cx.scope());
    Ok(api::GetRegistryScanningConfigurationResponse {
        registry_id: Some(cx.scope().account.to_string()),
        scanning_configuration: Some(view(&settings.scanning)),
    })
}

/// Tells of repositories how often they are scanned.
pub(crate) async fn batch_get_repository_scanning_configuration(
    cx: &Cx,
    input: api::BatchGetRepositoryScanningConfigurationRequest,
) -> Result<api::BatchGetRepositoryScanningConfigurationResponse> {
    let settings = cx.state.ecr.registry_settings(cx.scope());
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in required(input.repository_names, "repositoryNames")? {
        let Some(repository) = cx.state.ecr.repository(cx.scope(), &name) else {
            failures.push(api::RepositoryScanningConfigurationFailure {
                repository_name: Some(name),
                failure_code: Some(api::ScanningConfigurationFailureCode::RepositoryNotFound),
                // Text unverified.
                failure_reason: Some("Repository not found".to_owned()),
            });
            continue;
        };
        let rule = settings.scanning.rule_for(&name);
        let (frequency, wildcards) = match &rule {
            Some((frequency, wildcards)) => (*frequency, wildcards.as_slice()),
            None if repository.scans_on_push => ("SCAN_ON_PUSH", &[][..]),
            None => ("MANUAL", &[][..]),
        };
        found.push(api::RepositoryScanningConfiguration {
            repository_arn: Some(repository.arn.to_string()),
            repository_name: Some(name),
            scan_on_push: Some(frequency != "MANUAL"),
            scan_frequency: Some(api::ScanFrequency::from(frequency)),
            applied_scan_filters: Some(wildcards.iter().map(|text| filter(text)).collect()),
        });
    }
    Ok(api::BatchGetRepositoryScanningConfigurationResponse {
        scanning_configurations: Some(found),
        failures: Some(failures),
    })
}

fn view(configuration: &ScanningConfiguration) -> api::RegistryScanningConfiguration {
    let rule = |rule: &ScanningRule| api::RegistryScanningRule {
        scan_frequency: Some(api::ScanFrequency::from(rule.frequency.as_str())),
        repository_filters: Some(rule.wildcards.iter().map(|text| filter(text)).collect()),
    };
    api::RegistryScanningConfiguration {
        scan_type: Some(if configuration.is_enhanced { api::ScanType::Enhanced } else { api::ScanType::Basic }),
        rules: Some(configuration.rules.iter().map(rule).collect()),
    }
}

fn filter(text: &str) -> api::ScanningRepositoryFilter {
    api::ScanningRepositoryFilter {
        filter: Some(text.to_owned()),
        filter_type: Some(api::ScanningRepositoryFilterType::Wildcard),
    }
}

/// Makes the error of rules that do not fit together. (Texts unverified.)
fn refused(message: &str) -> Error {
    Error::Validation(message.to_owned())
}
