//! Where images are copied to, and whether they have been.
//!
//! The rules are kept here; the copies are made with each push, in the state.

use api::ecr as api;
use base::{AccountId, Region};
use state::Cx;
use state::ecr::{Reference, ReplicationRule};

use crate::{Error, Result, image_id, invalid, lookup, required};

/// How many destinations the rules have together. AWS's limit.
const DESTINATIONS_MAX: usize = 25;

/// Says where images are copied to.
pub(crate) async fn put_replication_configuration(
    cx: &Cx,
    input: api::PutReplicationConfigurationRequest,
) -> Result<api::PutReplicationConfigurationResponse> {
    let configuration = required(input.replication_configuration, "replicationConfiguration")?;
    let rules = required(configuration.rules, "replicationConfiguration.rules")?;
    let rules = rules.into_iter().map(|rule| read(cx, rule)).collect::<Result<Vec<_>>>()?;
    if rules.iter().map(|rule| rule.destinations.len()).sum::<usize>() > DESTINATIONS_MAX {
        let message = format!("The number of unique destinations must not exceed {DESTINATIONS_MAX}");
        return Err(Error::Validation(message));
    }
    let settings = cx.state.ecr.change_registry_settings(cx.scope(), |settings| settings.replication = rules);
    Ok(api::PutReplicationConfigurationResponse { replication_configuration: Some(view(&settings.replication)) })
}

/// Tells of each registry that an image is to be copied to whether it is there.
pub(crate) async fn describe_image_replication_status(
    cx: &Cx,
    input: api::DescribeImageReplicationStatusRequest,
) -> Result<api::DescribeImageReplicationStatusResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    lookup::find(cx, &scope, &name)?;
    let wanted = required(input.image_id, "imageId")?;
    let image = image_id::find(cx, &scope, &name, &wanted)?;
    let settings = cx.state.ecr.registry_settings(&scope);
    let mut statuses = Vec::new();
    for (region, account) in
        settings.replication.iter().filter(|rule| rule.is_for(&name)).flat_map(|it| &it.destinations)
    {
        let there = base::Scope::new(*account, region.clone());
        let is_there = cx.state.ecr.image(&there, &name, &Reference::Digest(image.digest)).is_some();
        statuses.push(api::ImageReplicationStatus {
            region: Some(region.to_string()),
            registry_id: Some(account.to_string()),
            status: Some(if is_there { api::ReplicationStatus::Complete } else { api::ReplicationStatus::InProgress }),
            failure_code: None,
        });
    }
    let image_id = Some(api::ImageIdentifier { image_digest: Some(image.digest.to_string()), ..wanted });
    Ok(api::DescribeImageReplicationStatusResponse {
        repository_name: Some(name),
        image_id,
        replication_statuses: Some(statuses),
    })
}

/// Shows where images are copied to.
pub(crate) fn view(rules: &[ReplicationRule]) -> api::ReplicationConfiguration {
    let filter = |prefix: &String| api::RepositoryFilter {
        filter: Some(prefix.clone()),
        filter_type: Some(api::RepositoryFilterType::PrefixMatch),
    };
    let destination = |(region, account): &(Region, AccountId)| api::ReplicationDestination {
        region: Some(region.to_string()),
        registry_id: Some(account.to_string()),
    };
    let view = |rule: &ReplicationRule| api::ReplicationRule {
        destinations: Some(rule.destinations.iter().map(destination).collect()),
        repository_filters: (!rule.prefixes.is_empty()).then(|| rule.prefixes.iter().map(filter).collect()),
    };
    api::ReplicationConfiguration { rules: Some(rules.iter().map(view).collect()) }
}

/// Reads a rule. (Texts unverified.)
fn read(cx: &Cx, rule: api::ReplicationRule) -> Result<ReplicationRule> {
    let mut destinations = Vec::new();
    for destination in required(rule.destinations, "destinations")? {
        let region = required(destination.region, "region")?;
        let region = Region::parse(&region).ok_or_else(|| invalid("region", "must be the name of a region"))?;
        let account = required(destination.registry_id, "registryId")?;
        let account = AccountId::parse(&account).ok_or_else(|| invalid("registryId", "must be an account"))?;
        if (&region, account) == (&cx.scope().region, cx.scope().account) {
            let message = "The destination of a replication must differ from the source registry";
            return Err(Error::Validation(message.to_owned()));
        }
        destinations.push((region, account));
    }
    let prefixes = rule.repository_filters.unwrap_or_default().into_iter().filter_map(|filter| filter.filter);
    Ok(ReplicationRule { destinations, prefixes: prefixes.collect() })
}
