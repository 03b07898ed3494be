//! Placement constraints and strategies of a service.

use api::ecs as api;
use state::ecs::{LaunchType, Query, SchedulingStrategy};

use crate::{Result, invalid, task};

const CONSTRAINTS_MAX: usize = 10;
const STRATEGIES_MAX: usize = 5;
const EXPRESSION_CHARS_MAX: usize = 2000;

/// Checks constraints and strategies. Without a launch type, a task set will say where tasks run.
pub(super) fn check(
    launch_type: Option<LaunchType>,
    scheduling: SchedulingStrategy,
    constraints: &[api::PlacementConstraint],
    strategies: &[api::PlacementStrategy],
) -> Result<()> {
    let is_fargate = launch_type == Some(LaunchType::Fargate);
    if is_fargate && !constraints.is_empty() {
        return Err(invalid("Placement constraints are not supported with FARGATE launch type."));
    }
    if is_fargate && !strategies.is_empty() {
        return Err(invalid("Placement strategies are not supported with FARGATE launch type."));
    }
    if scheduling == SchedulingStrategy::Daemon && !strategies.is_empty() {
        // Seen: kayac/ecspresso#402.
        return Err(invalid(
            "The daemon scheduling strategy does not support placement strategies. Remove the placement strategy and \
             try again",
        ));
    }
    if constraints.len() > CONSTRAINTS_MAX {
        // The form of the next one; unverified.
        return Err(invalid(format!("Maximum number of constraints is {CONSTRAINTS_MAX}.")));
    }
    if strategies.len() > STRATEGIES_MAX {
        return Err(invalid(format!("Maximum number of strategies is {STRATEGIES_MAX}.")));
    }
    constraints.iter().try_for_each(check_constraint)?;
    strategies.iter().try_for_each(check_strategy)
}

fn check_constraint(constraint: &api::PlacementConstraint) -> Result<()> {
    let expression = constraint.expression.as_deref().unwrap_or_default();
    // The rules are PlacementConstraint's documentation; texts unverified.
    match constraint.r#type {
        None => Err(invalid("Placement constraint type can not be blank.")),
        Some(api::PlacementConstraintType::DistinctInstance) if constraint.expression.is_some() => {
            Err(task::expression_of_distinct_instance())
        }
        Some(api::PlacementConstraintType::MemberOf) if expression.is_empty() => {
            Err(invalid("Placement constraint of type memberOf must have an expression."))
        }
        Some(_) if expression.chars().count() > EXPRESSION_CHARS_MAX => {
            Err(invalid(format!("Placement constraint expression must be at most {EXPRESSION_CHARS_MAX} characters.")))
        }
        Some(api::PlacementConstraintType::MemberOf) => {
            Query::parse(expression).map(drop).map_err(task::bad_expression)
        }
        Some(_) => Ok(()),
    }
}

fn check_strategy(strategy: &api::PlacementStrategy) -> Result<()> {
    let field = strategy.field.as_deref().unwrap_or_default();
    match strategy.r#type {
        // Text unverified, as the one of spread.
        None => Err(invalid("Placement strategy type can not be blank.")),
        Some(api::PlacementStrategyType::Binpack)
            if !matches!(field.to_ascii_lowercase().as_str(), "cpu" | "memory") =>
        {
            Err(invalid(format!("binpack field '{field}' is invalid.")))
        }
        Some(api::PlacementStrategyType::Spread) => {
            let is_known = matches!(field, "instanceId" | "host") || field.starts_with("attribute:");
            if is_known { Ok(()) } else { Err(invalid(format!("spread field '{field}' is invalid."))) }
        }
        Some(_) => Ok(()),
    }
}
