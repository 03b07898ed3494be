//! Where on its container instances a cluster puts a task: which ones can take it, and which of these comes first.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use api::ecs as api;
use state::Cx;
use state::ecs::{Claim, Cluster, ContainerInstance, InstanceKind, InstanceStatus, Launch, Task, TaskDefinition};

use super::order::Order;
use crate::query::{Candidate, Query};
use crate::{Result, document, invalid};

/// The limits are RunTask's documentation.
const CONSTRAINTS_MAX: usize = 10;
const STRATEGIES_MAX: usize = 5;

/// What a task asks of the instance that it runs on.
pub(super) struct Rules {
    attributes: Vec<(String, Option<String>)>,
    constraints: Vec<Constraint>,
    strategies: Vec<Strategy>,
}

enum Constraint {
    /// No task of the same group may be there.
    DistinctInstance,
    /// The expression must choose the instance.
    MemberOf(Query),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Strategy {
    Random,
    /// Where the fewest tasks of the group are among the instances that share the field's value.
    Spread(String),
    /// Where the least of the resource is left.
    Binpack(Resource),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Cpu,
    Memory,
}

impl Rules {
    /// Reads what the definition requires, and what the request adds to it.
    pub(super) fn parse(
        definition: &TaskDefinition,
        constraints: Option<Vec<api::PlacementConstraint>>,
        strategies: Option<Vec<api::PlacementStrategy>>,
    ) -> Result<Self> {
        let shown = document::read::<api::TaskDefinition>(&definition.document);
        let of_definition = shown.placement_constraints.unwrap_or_default().into_iter();
        let of_definition = of_definition.map(|constraint| api::PlacementConstraint {
            r#type: constraint.r#type.map(|kind| api::PlacementConstraintType::from(kind.as_str())),
            expression: constraint.expression,
        });
        let constraints = of_definition.chain(constraints.unwrap_or_default()).collect::<Vec<_>>();
        if constraints.len() > CONSTRAINTS_MAX {
            // Text by the one for strategies.
            return Err(invalid(format!("Maximum number of constraints is {CONSTRAINTS_MAX}")));
        }
        let strategies = strategies.unwrap_or_default();
        if strategies.len() > STRATEGIES_MAX {
            // PFr.
            return Err(invalid(format!("Maximum number of strategies is {STRATEGIES_MAX}")));
        }
        Ok(Self {
            attributes: required_attributes(shown.requires_attributes),
            constraints: constraints.into_iter().map(constraint).collect::<Result<_>>()?,
            strategies: strategies.into_iter().map(strategy).collect::<Result<_>>()?,
        })
    }

    /// Reads what the definition requires of whatever instance was chosen.
    pub(super) fn required(definition: &TaskDefinition) -> Self {
        let shown = document::read::<api::TaskDefinition>(&definition.document);
        Self {
            attributes: required_attributes(shown.requires_attributes),
            constraints: Vec::new(),
            strategies: Vec::new(),
        }
    }

    /// Says, as a failure's reason, why an instance cannot take a task; none if it can.
    pub(super) fn obstacle(&self, cx: &Cx, instance: &ContainerInstance, claim: &Claim) -> Option<&'static str> {
        if instance.status != InstanceStatus::Active {
            return Some("INACTIVE");
        }
        if !instance.is_agent_connected {
            return Some("AGENT");
        }
        let has = |(name, value): &(String, Option<String>)| {
            let known = instance.attribute(name);
            known.is_some_and(|known| value.is_none() || known == value.as_deref())
        };
        if !self.attributes.iter().all(has) {
            return Some("ATTRIBUTE");
        }
        for constraint in &self.constraints {
            match constraint {
                Constraint::DistinctInstance => {
                    if instance.claims.values().any(|held| held.group == claim.group) {
                        return Some("DistinctInstance placement constraint unsatisfied.");
                    }
                }
                Constraint::MemberOf(query) => {
                    let running_tasks = cx.state.ecs.count_tasks_on(cx.scope(), instance).running;
                    if !query.matches(Candidate { instance, running_tasks }) {
                        return Some("MemberOf placement constraint unsatisfied.");
                    }
                }
            }
        }
        instance.shortage(claim).map(state::ecs::Shortage::as_str)
    }

    /// Sorts instances, the one to take first to the front. Without a strategy the emptiest comes first.
    fn sort(&self, cx: &Cx, instances: &mut [Arc<ContainerInstance>], group: &str) {
        let by_instance = [Strategy::Spread("instanceId".to_owned())];
        let strategies = if self.strategies.is_empty() { &by_instance[..] } else { &self.strategies };
        let mut keys = BTreeMap::new();
        for instance in instances.iter() {
            let key = strategies.iter().map(|strategy| strategy.rank(cx, instance, instances, group));
            keys.insert(instance.key.id.clone(), key.collect::<Vec<_>>());
        }
        let rank = |instance: &Arc<ContainerInstance>| keys.get(&instance.key.id);
        instances.sort_by(|left, right| match rank(left).cmp(&rank(right)) {
            Ordering::Equal => left.claims.len().cmp(&right.claims.len()).then_with(|| left.key.cmp(&right.key)),
            order => order,
        });
    }
}

impl Strategy {
    /// Returns where an instance stands among others: the least comes first.
    fn rank(&self, cx: &Cx, instance: &ContainerInstance, all: &[Arc<ContainerInstance>], group: &str) -> u128 {
        match self {
            Self::Random => cx.ids.bits(),
            Self::Spread(field) => {
                let tasks = |instance: &ContainerInstance| {
                    instance.claims.values().filter(|claim| claim.group == group).count()
                };
                let name = field.strip_prefix("attribute:").unwrap_or(field);
                let count = match name {
                    "instanceId" | "host" => tasks(instance),
                    name => {
                        let value = instance.attribute(name);
                        all.iter().filter(|other| other.attribute(name) == value).map(|other| tasks(other)).sum()
                    }
                };
                u128::try_from(count).unwrap_or(u128::MAX)
            }
            Self::Binpack(Resource::Cpu) => u128::from(instance.remaining().cpu_units),
            Self::Binpack(Resource::Memory) => u128::from(instance.remaining().memory_mib),
        }
    }
}

/// Returns the instances of a kind that tasks are placed on.
pub(super) fn instances(cx: &Cx, cluster: &Cluster, kind: InstanceKind) -> Vec<Arc<ContainerInstance>> {
    let instances = cx.state.ecs.container_instances_of(cx.scope(), &cluster.name);
    instances.filter(|instance| instance.status == InstanceStatus::Active && instance.kind == kind).collect()
}

/// Makes a task on the first instance that takes it, which then holds its part; or says of each why it cannot.
pub(super) fn place(
    cx: &Cx,
    mut instances: Vec<Arc<ContainerInstance>>,
    rules: &Rules,
    order: &Order<'_>,
    provider: Option<String>,
) -> std::result::Result<Task, Vec<api::Failure>> {
    rules.sort(cx, &mut instances, order.group());
    let mut failures = Vec::new();
    for instance in instances {
        match claim(cx, &instance, rules, order, provider.clone()) {
            Ok(task) => return Ok(task),
            Err(failure) => failures.push(failure),
        }
    }
    Err(failures)
}

/// Makes a task on an instance, which then holds its part.
pub(super) fn claim(
    cx: &Cx,
    instance: &ContainerInstance,
    rules: &Rules,
    order: &Order<'_>,
    provider: Option<String>,
) -> std::result::Result<Task, api::Failure> {
    let failure = |reason: &str| api::Failure {
        arn: Some(instance.arn.to_string()),
        reason: Some(reason.to_owned()),
        detail: None,
    };
    // Asked before the task is made, so that a refusal uses no identifier up.
    let wanted = order.claim(Launch::on(instance));
    if let Some(reason) = rules.obstacle(cx, instance, &wanted) {
        return Err(failure(reason));
    }
    let mut task = order.on_instance(cx, Launch::on(instance), provider);
    task.availability_zone = instance.attribute("ecs.availability-zone").flatten().map(str::to_owned);
    // Asked again of the instance as it is: another request may have been faster.
    let agrees = |instance: &ContainerInstance| match rules.obstacle(cx, instance, &wanted) {
        Some(reason) => Err(reason),
        None => Ok(()),
    };
    match cx.state.ecs.claim_instance(cx.scope(), &instance.key, &task.key.id, &wanted, agrees) {
        Some(Ok(_)) => Ok(task),
        Some(Err(reason)) => Err(failure(reason)),
        None => Err(failure("MISSING")),
    }
}

fn required_attributes(attributes: Option<Vec<api::Attribute>>) -> Vec<(String, Option<String>)> {
    let attributes = attributes.unwrap_or_default().into_iter();
    attributes.filter_map(|attribute| Some((attribute.name?, attribute.value))).collect()
}

fn constraint(constraint: api::PlacementConstraint) -> Result<Constraint> {
    let expression = constraint.expression.filter(|expression| !expression.is_empty());
    // The rules are the PlacementConstraint shape's documentation; texts unverified.
    match (constraint.r#type, expression) {
        (Some(api::PlacementConstraintType::DistinctInstance), None) => Ok(Constraint::DistinctInstance),
        (Some(api::PlacementConstraintType::DistinctInstance), Some(_)) => {
            Err(invalid("Expression is not supported for the distinctInstance placement constraint."))
        }
        (Some(api::PlacementConstraintType::MemberOf), Some(expression)) => {
            let query = Query::parse(&expression);
            Ok(Constraint::MemberOf(query.map_err(|error| invalid(format!("The expression is invalid: {error}.")))?))
        }
        (Some(api::PlacementConstraintType::MemberOf), None) => {
            Err(invalid("Expression must be specified for the memberOf placement constraint."))
        }
        (None | Some(api::PlacementConstraintType::Other(_)), _) => {
            Err(invalid("The placement constraint type must be distinctInstance or memberOf."))
        }
    }
}

fn strategy(strategy: api::PlacementStrategy) -> Result<Strategy> {
    let field = strategy.field.unwrap_or_default();
    match strategy.r#type {
        Some(api::PlacementStrategyType::Random) => Ok(Strategy::Random),
        Some(api::PlacementStrategyType::Spread) if !field.is_empty() => Ok(Strategy::Spread(field)),
        Some(api::PlacementStrategyType::Binpack) => match field.to_ascii_lowercase().as_str() {
            "cpu" => Ok(Strategy::Binpack(Resource::Cpu)),
            "memory" => Ok(Strategy::Binpack(Resource::Memory)),
            // PFr.
            _ => Err(invalid(format!("binpack field '{field}' is invalid"))),
        },
        // By the one above.
        Some(api::PlacementStrategyType::Spread) => Err(invalid("spread field '' is invalid")),
        None | Some(api::PlacementStrategyType::Other(_)) => {
            Err(invalid("The placement strategy type must be random, spread or binpack."))
        }
    }
}
