//! Where on its container instances a cluster puts the tasks of a request. The rules are the state's.

use std::sync::Arc;

use api::ecs as api;
use state::Cx;
use state::ecs::{
    ContainerInstance, Launch, PlacementConstraint, PlacementRules, PlacementStrategy, Query, QueryError, Task,
    TaskDefinition, ZONE_ATTRIBUTE,
};

use super::order::Order;
use crate::{Error, Result, invalid};

/// The limits are RunTask's documentation.
const CONSTRAINTS_MAX: usize = 10;
const STRATEGIES_MAX: usize = 5;

/// Reads what the definition requires, and what the request adds to it.
pub(super) fn rules(
    definition: &TaskDefinition,
    constraints: Option<Vec<api::PlacementConstraint>>,
    strategies: Option<Vec<api::PlacementStrategy>>,
) -> Result<PlacementRules> {
    let mut rules = PlacementRules::of_definition(definition).map_err(bad_expression)?;
    let constraints = constraints.unwrap_or_default();
    if rules.constraints.len() + constraints.len() > CONSTRAINTS_MAX {
        // Text by the one for strategies.
        return Err(invalid(format!("Maximum number of constraints is {CONSTRAINTS_MAX}")));
    }
    let strategies = strategies.unwrap_or_default();
    if strategies.len() > STRATEGIES_MAX {
        // PFr.
        return Err(invalid(format!("Maximum number of strategies is {STRATEGIES_MAX}")));
    }
    for given in constraints {
        rules.constraints.push(constraint(given)?);
    }
    rules.strategies = strategies.into_iter().map(strategy).collect::<Result<_>>()?;
    Ok(rules)
}

/// Reads what the definition requires of whatever instance was chosen.
pub(super) fn required(definition: &TaskDefinition) -> Result<PlacementRules> {
    let rules = PlacementRules::of_definition(definition).map_err(bad_expression)?;
    Ok(PlacementRules { constraints: Vec::new(), ..rules })
}

/// Makes a task on the first instance that takes it, which then holds its part; or says of each why it cannot.
pub(super) fn place(
    cx: &Cx,
    mut instances: Vec<Arc<ContainerInstance>>,
    rules: &PlacementRules,
    order: &Order<'_>,
    provider: Option<String>,
) -> std::result::Result<Task, Vec<api::Failure>> {
    rules.sort(&mut instances, order.group(), &mut || cx.ids.bits());
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
    rules: &PlacementRules,
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
    let running = |instance: &ContainerInstance| cx.state.ecs.count_tasks_on(cx.scope(), instance).running;
    if let Some(obstacle) = rules.obstacle(instance, &wanted, &running) {
        return Err(failure(obstacle.as_str()));
    }
    let mut task = order.on_instance(cx, Launch::on(instance), provider);
    task.availability_zone = instance.attribute(ZONE_ATTRIBUTE).flatten().map(str::to_owned);
    // Asked again of the instance as it is: another request may have been faster.
    let agrees = |instance: &ContainerInstance| match rules.obstacle(instance, &wanted, &running) {
        Some(obstacle) => Err(obstacle.as_str()),
        None => Ok(()),
    };
    match cx.state.ecs.claim_instance(cx.scope(), &instance.key, &task.key.id, &wanted, agrees) {
        Some(Ok(_)) => Ok(task),
        Some(Err(reason)) => Err(failure(reason)),
        None => Err(failure("MISSING")),
    }
}

/// The error of an expression that cannot be read. (Text unverified.)
pub(crate) fn bad_expression(error: QueryError) -> Error {
    invalid(format!("The expression is invalid: {error}."))
}

/// The error of an expression where there is nothing to say. Seen, of an empty one too: hashicorp/terraform#11471.
pub(crate) fn expression_of_distinct_instance() -> Error {
    invalid("distinctInstance expression should not be specified.")
}

fn constraint(constraint: api::PlacementConstraint) -> Result<PlacementConstraint> {
    let is_distinct = constraint.r#type == Some(api::PlacementConstraintType::DistinctInstance);
    if is_distinct && constraint.expression.is_some() {
        return Err(expression_of_distinct_instance());
    }
    let expression = constraint.expression.filter(|expression| !expression.is_empty());
    // The rules are the PlacementConstraint shape's documentation; texts unverified.
    match (constraint.r#type, expression) {
        (Some(api::PlacementConstraintType::DistinctInstance), _) => Ok(PlacementConstraint::DistinctInstance),
        (Some(api::PlacementConstraintType::MemberOf), Some(expression)) => {
            Query::parse(&expression).map(PlacementConstraint::MemberOf).map_err(bad_expression)
        }
        (Some(api::PlacementConstraintType::MemberOf), None) => {
            Err(invalid("Expression must be specified for the memberOf placement constraint."))
        }
        (None | Some(api::PlacementConstraintType::Other(_)), _) => {
            Err(invalid("The placement constraint type must be distinctInstance or memberOf."))
        }
    }
}

fn strategy(strategy: api::PlacementStrategy) -> Result<PlacementStrategy> {
    let field = strategy.field.unwrap_or_default();
    let kind = strategy.r#type.as_ref().map(api::PlacementStrategyType::as_str).unwrap_or_default();
    PlacementStrategy::parse(kind, &field).ok_or_else(|| match kind {
        // PFr; that of spread by the one of binpack.
        "spread" | "binpack" => invalid(format!("{kind} field '{field}' is invalid")),
        _ => invalid("The placement strategy type must be random, spread or binpack."),
    })
}
