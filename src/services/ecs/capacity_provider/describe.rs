//! DescribeCapacityProviders.

use api::ecs as api;
use base::{Arn, Page};
use state::Cx;
use state::ecs::{CapacityProviderName, CapacityProviderStatus};

use super::{BuiltIn, Found, find, parse_reference, view};
use crate::{Result, cluster, invalid, page};

/// How many providers one call may name.
const DESCRIBE_MAX: usize = 100;
const PAGE: page::Size = page::Size { default: 10, max: 10 };
const LISTING: &str = "DescribeCapacityProviders";

/// Describes capacity providers by name or ARN; without any, all that are there, Fargate's first. Those of one cluster if
/// it names one.
pub(crate) async fn describe_capacity_providers(
    cx: &Cx,
    input: api::DescribeCapacityProvidersRequest,
) -> Result<api::DescribeCapacityProvidersResponse> {
    let request = page::request_of(PAGE, LISTING, input.max_results, input.next_token.as_deref())?;
    let shows_tags = input.include.unwrap_or_default().contains(&api::CapacityProviderField::Tags);
    let wanted = input.capacity_providers.unwrap_or_default();
    if wanted.len() > DESCRIBE_MAX {
        // Text unverified.
        return Err(invalid(format!("Capacity providers cannot have more than {DESCRIBE_MAX} elements.")));
    }
    let cluster = input.cluster.map(|cluster| cluster::find(cx, Some(&cluster))).transpose()?;
    let of_cluster = cluster.map(|cluster| cluster.capacity_providers.clone());
    let page = match (wanted.is_empty(), of_cluster) {
        (true, None) => Page::cut(LISTING, request.size, all(cx, request.after.as_deref())?, Entry::key),
        (true, Some(names)) => named(cx, names, None, &request)?,
        (false, of_cluster) => named(cx, wanted, of_cluster.as_deref(), &request)?,
    };
    let (mut providers, mut failures) = (Vec::new(), Vec::new());
    for entry in page.items {
        match entry {
            Entry::Found(found) => providers.push(view::found(cx, &found, shows_tags)),
            Entry::Missing(reference) => failures.push(missing(cx, &reference)),
        }
    }
    Ok(api::DescribeCapacityProvidersResponse {
        capacity_providers: Some(providers),
        failures: Some(failures),
        next_token: page.next,
    })
}

/// One line of the answer.
enum Entry {
    Found(Found),
    Missing(String),
}

impl Entry {
    fn key(&self) -> String {
        match self {
            Self::Found(Found::BuiltIn(built_in)) => built_in.name().to_owned(),
            Self::Found(Found::Made(made)) => made.name.to_string(),
            Self::Missing(reference) => reference.clone(),
        }
    }
}

/// Walks what is there, from after `after` on.
fn all<'a>(cx: &'a Cx, after: Option<&str>) -> Result<impl Iterator<Item = Entry> + 'a> {
    let seen = after.map_or(0, |after| {
        let seen = BuiltIn::ALL.iter().position(|built_in| built_in.name() == after);
        seen.map_or(BuiltIn::ALL.len(), |index| index + 1)
    });
    let after = after.filter(|_| seen == BuiltIn::ALL.len() && !is_built_in(after));
    let after = after.map(|after| CapacityProviderName::parse(after).ok_or_else(|| invalid("Invalid token.")));
    let made = cx.state.ecs.capacity_providers.walk(cx.scope(), after.transpose()?).map(|(_, made)| made);
    let there = made.filter(|made| made.status == CapacityProviderStatus::Active);
    let built_in = BuiltIn::ALL.into_iter().skip(seen).map(Found::BuiltIn);
    Ok(built_in.chain(there.map(Found::Made)).map(Entry::Found))
}

fn is_built_in(name: Option<&str>) -> bool {
    BuiltIn::ALL.iter().any(|built_in| Some(built_in.name()) == name)
}

/// Looks the named ones up, in the order of the request; one that is not the cluster's is missing.
fn named(
    cx: &Cx,
    references: Vec<String>,
    of_cluster: Option<&[String]>,
    request: &page::Request,
) -> Result<Page<Entry>> {
    // The token names a provider that was answered; it is looked for among the names of this request.
    let mut entries = Vec::new();
    for reference in references {
        let name = parse_reference(cx, &reference)?;
        let name = name.filter(|name| of_cluster.is_none_or(|all| all.contains(name)));
        entries.push(match name.and_then(|name| find(cx, &name)) {
            Some(found) => Entry::Found(found),
            None => Entry::Missing(reference),
        });
    }
    let start = match &request.after {
        None => 0,
        Some(after) => {
            let seen = entries.iter().position(|entry| entry.key() == *after);
            seen.ok_or_else(|| invalid("Invalid token."))? + 1
        }
    };
    Ok(Page::cut(LISTING, request.size, entries.into_iter().skip(start), Entry::key))
}

/// The failure of a provider that does not exist. It bears the full ARN even where a name was given.
fn missing(cx: &Cx, reference: &str) -> api::Failure {
    let arn = match Arn::parse(reference) {
        Some(arn) => arn,
        None => Arn::new("ecs", cx.scope(), &format!("capacity-provider/{reference}")),
    };
    api::Failure { arn: Some(arn.to_string()), reason: Some("MISSING".to_owned()), detail: None }
}
