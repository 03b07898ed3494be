//! Where tasks run: launch type or capacity provider strategy, and how many tasks each provider gets.

use api::ecs as api;
use state::Cx;
use state::ecs::{Cluster, InstanceKind};

use crate::{Result, capacity_provider, capacity_provider_strategy, document, invalid};

/// Where the tasks of one RunTask run.
pub(super) enum Capacity {
    /// On Fargate; for each task the provider that the strategy gave it, or none for a plain launch type.
    Fargate(Vec<Option<String>>),
    /// On container instances; for each task the provider that the strategy gave it, or none for a plain launch type.
    Instances {
        /// Whose machines they are.
        kind: InstanceKind,
        /// The providers.
        providers: Vec<Option<String>>,
    },
}

/// Decides where `count` tasks run. Without launch type and strategy the cluster's default strategy decides, and
/// without that they run on EC2.
pub(super) fn of(cx: &Cx, cluster: &Cluster, input: &api::RunTaskRequest, count: usize) -> Result<Capacity> {
    let strategy = input.capacity_provider_strategy.clone().unwrap_or_default();
    if input.launch_type.is_some() && !strategy.is_empty() {
        return Err(invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ));
    }
    match &input.launch_type {
        Some(api::LaunchType::Fargate) => return Ok(Capacity::Fargate(vec![None; count])),
        Some(api::LaunchType::External) => return Ok(plain(InstanceKind::External, count)),
        Some(api::LaunchType::Ec2) => return Ok(plain(InstanceKind::Ec2, count)),
        // moto; managed instances are asked for through their capacity provider alone.
        Some(api::LaunchType::ManagedInstances | api::LaunchType::Other(_)) => {
            return Err(invalid("launch type should be one of [EC2,FARGATE,EXTERNAL]"));
        }
        None => {}
    }
    let default = cluster.default_capacity_provider_strategy.as_ref();
    let is_default = strategy.is_empty();
    let strategy = if strategy.is_empty() { default.map(document::read_list).unwrap_or_default() } else { strategy };
    if strategy.is_empty() {
        return Ok(plain(InstanceKind::Ec2, count));
    }
    let strategy = capacity_provider_strategy::complete(cx, &cluster.capacity_providers, strategy)?;
    let is_on_fargate = |item: &api::CapacityProviderStrategyItem| {
        let found = item.capacity_provider.as_deref().and_then(|name| capacity_provider::find(cx, name));
        found.is_some_and(|found| found.kind() == capacity_provider::Kind::Fargate)
    };
    let is_on_fargate = strategy.iter().all(is_on_fargate);
    let shares = strategy.iter().map(|item| Share {
        provider: item.capacity_provider.clone().unwrap_or_default(),
        base: usize::try_from(item.base.unwrap_or(0)).unwrap_or(0),
        weight: usize::try_from(item.weight.unwrap_or(0)).unwrap_or(0),
    });
    let providers = distribute(&shares.collect::<Vec<_>>(), count);
    if providers.len() < count {
        return Err(capacity_provider_strategy::weightless(is_default));
    }
    let providers = providers.into_iter().map(Some).collect();
    if is_on_fargate {
        Ok(Capacity::Fargate(providers))
    } else {
        Ok(Capacity::Instances { kind: InstanceKind::Ec2, providers })
    }
}

fn plain(kind: InstanceKind, count: usize) -> Capacity {
    Capacity::Instances { kind, providers: vec![None; count] }
}

struct Share {
    provider: String,
    base: usize,
    weight: usize,
}

/// Gives each task a provider: first the bases are filled, then the tasks go by weight, each to the provider that is
/// furthest behind its share.
fn distribute(shares: &[Share], count: usize) -> Vec<String> {
    let mut given = vec![0_usize; shares.len()];
    let mut providers = Vec::new();
    for _ in 0..count {
        let behind_base = (0..shares.len()).find(|&i| given[i] < shares[i].base);
        let by_weight = || {
            let weighted = (0..shares.len()).filter(|&i| shares[i].weight > 0);
            // The least (given beyond base + 1) / weight, compared crosswise to stay in whole numbers.
            weighted.min_by(|&a, &b| {
                let load = |i: usize| given[i].saturating_sub(shares[i].base) + 1;
                (load(a) * shares[b].weight).cmp(&(load(b) * shares[a].weight))
            })
        };
        let Some(chosen) = behind_base.or_else(by_weight) else { break };
        given[chosen] += 1;
        providers.push(shares[chosen].provider.clone());
    }
    providers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_fill_bases_first_and_then_go_by_weight() {
        type Row = (&'static [(&'static str, usize, usize)], usize, &'static str);
        let rows: [Row; 7] = [
            (&[("F", 0, 1)], 3, "FFF"),
            (&[("F", 0, 1), ("S", 0, 1)], 4, "FSFS"),
            (&[("F", 1, 0), ("S", 0, 1)], 4, "FSSS"),
            (&[("F", 2, 1), ("S", 0, 4)], 7, "FFSSSSF"),
            (&[("F", 0, 1), ("S", 0, 3)], 4, "SSFS"),
            (&[("F", 0, 0)], 2, ""),
            (&[("F", 1, 0)], 2, "F"),
        ];
        for (shares, count, expected) in rows {
            let share =
                |&(name, base, weight): &(&str, usize, usize)| Share { provider: name.to_owned(), base, weight };
            let given = distribute(&shares.iter().map(share).collect::<Vec<_>>(), count).concat();
            assert_eq!(given.len(), expected.len(), "{shares:?}: {given}");
            let count_of = |text: &str, name| text.matches(name).count();
            assert_eq!(count_of(&given, "S"), count_of(expected, "S"), "{shares:?}: {given}");
        }
    }
}
