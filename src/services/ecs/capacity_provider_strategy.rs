//! Capacity provider strategies: of a cluster by default, of a task, of a service.

use api::ecs as api;
use state::Cx;

use crate::capacity_provider::{self, Kind};
use crate::{Error, Result, invalid};

/// How many providers a strategy may name.
const ITEMS_MAX: usize = 20;

/// Checks a strategy for a cluster that has `providers`, and gives each item the weight and base that a response shows.
pub(crate) fn complete(
    cx: &Cx,
    providers: &[String],
    strategy: Vec<api::CapacityProviderStrategyItem>,
) -> Result<Vec<api::CapacityProviderStrategyItem>> {
    if strategy.len() > ITEMS_MAX {
        // The rule is CreateService's documentation; text unverified.
        return Err(invalid(format!(
            "A capacity provider strategy can contain a maximum of {ITEMS_MAX} capacity providers."
        )));
    }
    let names = || strategy.iter().map(|item| item.capacity_provider.as_deref().unwrap_or_default());
    // PF.
    if names().any(|name| !providers.iter().any(|provider| provider == name)) {
        return Err(invalid(
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated with \
             the cluster. Associate the capacity provider with the cluster or specify a valid capacity provider and \
             try again.",
        ));
    }
    let kinds = names().filter_map(|name| capacity_provider::find(cx, name)).map(|found| found.kind());
    let kinds = kinds.collect::<Vec<_>>();
    if kinds.contains(&Kind::Fargate) && kinds.iter().any(|kind| *kind != Kind::Fargate) {
        // The rule is CapacityProviderStrategyItem's documentation; text unverified.
        return Err(invalid(
            "A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and \
             Fargate providers. Specify one or the other and try again.",
        ));
    }
    // PF.
    if strategy.iter().filter(|item| item.base.is_some_and(|base| base > 0)).count() > 1 {
        return Err(invalid(
            "There are multiple capacity providers in the specified capacity provider strategy with a base value \
             greater than zero. Only one capacity provider can have a base value greater than zero. Specify a valid \
             capacity provider strategy and try again.",
        ));
    }
    let complete = |item: api::CapacityProviderStrategyItem| api::CapacityProviderStrategyItem {
        weight: item.weight.or(Some(0)),
        base: item.base.or(Some(0)),
        ..item
    };
    Ok(strategy.into_iter().map(complete).collect())
}

/// The error of a strategy by which no provider ever gets a task; `is_default` if it is the cluster's.
pub(crate) fn weightless(is_default: bool) -> Error {
    if is_default {
        // Seen: terraform-aws-modules/terraform-aws-ecs#27.
        return invalid(
            "There are no capacity providers with a weight value greater than zero defined in the default capacity \
             provider strategy. At least one capacity provider must have a weight value greater than zero specified. \
             Update the cluster's default capacity provider strategy or specify a valid capacity provider strategy and \
             try again.",
        );
    }
    // PFr has the first half; the rest follows its neighbours.
    invalid(
        "There are no capacity providers in the capacity provider strategy with a weight value greater than zero. \
         Specify a valid capacity provider strategy and try again.",
    )
}
