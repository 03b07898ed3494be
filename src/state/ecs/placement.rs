//! Where tasks are put among container instances: which ones can take a task, and which of these comes first.
//!
//! Everything here is a decision on records: handlers and controllers place by the same rules.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use base::ContainerInstanceId;
use serde::Deserialize;

use crate::Document;

use super::{
    Candidate, Claim, ContainerInstance, InstanceStatus, Query, QueryError, Service, Shortage, TaskDefinition,
};

/// The attribute that says in which availability zone an instance is.
pub const ZONE_ATTRIBUTE: &str = "ecs.availability-zone";

/// What a task asks of the instance that it runs on, and which one it prefers.
#[derive(Debug, Default)]
pub struct PlacementRules {
    /// What an instance must have: a name, and a value if that matters.
    pub attributes: Vec<(String, Option<String>)>,
    /// What else must hold of it.
    pub constraints: Vec<PlacementConstraint>,
    /// What comes first among those that can take the task. Without any, where the fewest tasks of the group are.
    pub strategies: Vec<PlacementStrategy>,
}

/// What must hold of an instance.
#[derive(Debug)]
pub enum PlacementConstraint {
    /// No task of the same group may be there.
    DistinctInstance,
    /// The expression must choose the instance.
    MemberOf(Query),
}

/// What comes first among instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlacementStrategy {
    /// Any.
    Random,
    /// Where the fewest tasks of the group are among the instances that share the field's value.
    Spread(String),
    /// Where the least of the resource is left.
    Binpack(PlacementResource),
}

/// What tasks are packed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementResource {
    /// CPU units.
    Cpu,
    /// Memory.
    Memory,
}

/// Why an instance cannot take a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementObstacle {
    /// No tasks are put on it any more.
    Inactive,
    /// Its agent is not there.
    Agent,
    /// It lacks an attribute that the definition requires.
    Attribute,
    /// A task of the group is there already.
    DistinctInstance,
    /// An expression does not choose it.
    MemberOf,
    /// It has too little of something.
    Shortage(Shortage),
}

impl PlacementObstacle {
    /// Returns the reason as RunTask's failures spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "INACTIVE",
            Self::Agent => "AGENT",
            Self::Attribute => "ATTRIBUTE",
            Self::DistinctInstance => "DistinctInstance placement constraint unsatisfied.",
            Self::MemberOf => "MemberOf placement constraint unsatisfied.",
            Self::Shortage(shortage) => shortage.as_str(),
        }
    }

    /// Returns the explanation as an event of a service gives it. (The texts on CPU, memory, ports, the agent and
    /// attributes are those of the Developer Guide's service event messages; the others are unverified.)
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Inactive => "is not active.",
            Self::Agent => "encountered error \"AGENT\".",
            Self::Attribute => "is missing an attribute required by your task.",
            Self::DistinctInstance => "encountered error \"DistinctInstance placement constraint unsatisfied.\".",
            Self::MemberOf => "encountered error \"MemberOf placement constraint unsatisfied.\".",
            Self::Shortage(Shortage::Cpu) => "has insufficient CPU units available.",
            Self::Shortage(Shortage::Memory) => "has insufficient memory available.",
            Self::Shortage(Shortage::Ports) => "is already using a port required by your task.",
            Self::Shortage(Shortage::Gpu) => "has insufficient GPU resource available.",
        }
    }

    /// Says how near the instance came: the higher, the nearer.
    fn nearness(self) -> u8 {
        match self {
            Self::Inactive => 0,
            Self::Agent => 1,
            Self::Attribute => 2,
            Self::DistinctInstance | Self::MemberOf => 3,
            Self::Shortage(_) => 4,
        }
    }
}

/// Says how many tasks run on an instance.
pub type RunningTasks<'a> = &'a dyn Fn(&ContainerInstance) -> i32;

impl PlacementRules {
    /// Reads what a definition requires of every instance, whoever chooses it.
    ///
    /// # Errors
    ///
    /// An expression of the definition's constraints is not understood.
    pub fn of_definition(definition: &TaskDefinition) -> Result<Self, QueryError> {
        let shown = read::<ShownDefinition>(&definition.document);
        let attributes = shown.attributes.into_iter().map(|attribute| (attribute.name, attribute.value)).collect();
        let constraints = constraints(shown.constraints)?;
        Ok(Self { attributes, constraints, strategies: Vec::new() })
    }

    /// Reads what the tasks of a service ask. Without a strategy they are spread over availability zones, and within
    /// these over instances.
    ///
    /// # Errors
    ///
    /// An expression of the constraints is not understood.
    pub fn of_service(service: &Service, definition: &TaskDefinition) -> Result<Self, QueryError> {
        let mut rules = Self::of_definition(definition)?;
        let of_service = service.placement_constraints.as_ref().map(read::<Vec<ShownConstraint>>);
        rules.constraints.extend(constraints(of_service.unwrap_or_default())?);
        let shown = service.placement_strategy.as_ref().map(read::<Vec<ShownStrategy>>).unwrap_or_default();
        rules.strategies = shown.into_iter().filter_map(ShownStrategy::parse).collect();
        if rules.strategies.is_empty() {
            let spread = |field: &str| PlacementStrategy::Spread(field.to_owned());
            rules.strategies = vec![spread(ZONE_ATTRIBUTE), spread("instanceId")];
        }
        Ok(rules)
    }

    /// Says why an instance cannot take a task; none if it can.
    pub fn obstacle(
        &self,
        instance: &ContainerInstance,
        claim: &Claim,
        running: RunningTasks<'_>,
    ) -> Option<PlacementObstacle> {
        if instance.status != InstanceStatus::Active {
            return Some(PlacementObstacle::Inactive);
        }
        if !instance.is_agent_connected {
            return Some(PlacementObstacle::Agent);
        }
        self.mismatch(instance, claim, running).or_else(|| instance.shortage(claim).map(PlacementObstacle::Shortage))
    }

    /// Says what of an instance itself keeps a task away, whatever is taken of it; none if nothing does.
    pub fn mismatch(
        &self,
        instance: &ContainerInstance,
        claim: &Claim,
        running: RunningTasks<'_>,
    ) -> Option<PlacementObstacle> {
        let has = |(name, value): &(String, Option<String>)| {
            let known = instance.attribute(name);
            known.is_some_and(|known| value.is_none() || known == value.as_deref())
        };
        if !self.attributes.iter().all(has) {
            return Some(PlacementObstacle::Attribute);
        }
        self.constraints.iter().find_map(|constraint| match constraint {
            PlacementConstraint::DistinctInstance => {
                let is_taken = instance.claims.values().any(|held| held.group == claim.group);
                is_taken.then_some(PlacementObstacle::DistinctInstance)
            }
            PlacementConstraint::MemberOf(query) => {
                let candidate = Candidate { instance, running_tasks: running(instance) };
                (!query.matches(candidate)).then_some(PlacementObstacle::MemberOf)
            }
        })
    }

    /// Sorts instances, the one to take first to the front. `draw` draws lots.
    pub fn sort(&self, instances: &mut [Arc<ContainerInstance>], group: &str, draw: &mut dyn FnMut() -> u128) {
        let by_instance = [PlacementStrategy::Spread("instanceId".to_owned())];
        let strategies = if self.strategies.is_empty() { &by_instance[..] } else { &self.strategies };
        let mut keys = BTreeMap::<ContainerInstanceId, Vec<u128>>::new();
        for strategy in strategies {
            let groups = strategy.groups(instances, group);
            for instance in instances.iter() {
                let rank = strategy.rank(instance, &groups, draw);
                keys.entry(instance.key.id.clone()).or_default().push(rank);
            }
        }
        let rank = |instance: &Arc<ContainerInstance>| keys.get(&instance.key.id);
        instances.sort_by(|left, right| match rank(left).cmp(&rank(right)) {
            Ordering::Equal => left.claims.len().cmp(&right.claims.len()).then_with(|| left.key.cmp(&right.key)),
            order => order,
        });
    }
}

/// Returns the instance that came nearest to taking a task, with what kept it from that.
pub fn closest(
    refusals: &[(Arc<ContainerInstance>, PlacementObstacle)],
) -> Option<&(Arc<ContainerInstance>, PlacementObstacle)> {
    refusals.iter().max_by(|(left, of_left), (right, of_right)| {
        of_left.nearness().cmp(&of_right.nearness()).then_with(|| right.key.cmp(&left.key))
    })
}

impl PlacementStrategy {
    /// Counts the tasks of the group by what instances share.
    fn groups(&self, instances: &[Arc<ContainerInstance>], group: &str) -> BTreeMap<String, u128> {
        let mut counts = BTreeMap::new();
        if let Self::Spread(field) = self {
            for instance in instances {
                let tasks = instance.claims.values().filter(|claim| claim.group == group).count();
                *counts.entry(shared(instance, field)).or_default() += u128::try_from(tasks).unwrap_or(u128::MAX);
            }
        }
        counts
    }

    /// Returns where an instance stands among others: the least comes first.
    fn rank(
        &self,
        instance: &ContainerInstance,
        groups: &BTreeMap<String, u128>,
        draw: &mut dyn FnMut() -> u128,
    ) -> u128 {
        match self {
            Self::Random => draw(),
            Self::Spread(field) => groups.get(&shared(instance, field)).copied().unwrap_or_default(),
            Self::Binpack(PlacementResource::Cpu) => u128::from(instance.remaining().cpu_units),
            Self::Binpack(PlacementResource::Memory) => u128::from(instance.remaining().memory_mib),
        }
    }
}

/// Returns what an instance has for a field that tasks are spread over: those without the attribute are one group.
fn shared(instance: &ContainerInstance, field: &str) -> String {
    match field.strip_prefix("attribute:").unwrap_or(field) {
        "instanceId" | "host" => instance.key.id.to_string(),
        name => instance.attribute(name).flatten().map(|value| format!("={value}")).unwrap_or_default(),
    }
}

// What is kept as the API's JSON is read here by the few members that decide: the services that write it check it.

#[derive(Default, Deserialize)]
struct ShownDefinition {
    #[serde(default, rename = "requiresAttributes")]
    attributes: Vec<ShownAttribute>,
    #[serde(default, rename = "placementConstraints")]
    constraints: Vec<ShownConstraint>,
}

#[derive(Deserialize)]
struct ShownAttribute {
    name: String,
    value: Option<String>,
}

#[derive(Deserialize)]
struct ShownConstraint {
    #[serde(rename = "type")]
    kind: Option<String>,
    expression: Option<String>,
}

#[derive(Deserialize)]
struct ShownStrategy {
    #[serde(rename = "type")]
    kind: Option<String>,
    field: Option<String>,
}

impl ShownStrategy {
    fn parse(self) -> Option<PlacementStrategy> {
        PlacementStrategy::parse(self.kind.as_deref()?, self.field.as_deref().unwrap_or_default())
    }
}

impl PlacementStrategy {
    /// Reads a strategy by the API's names; none if there is no such strategy or field.
    pub fn parse(kind: &str, field: &str) -> Option<Self> {
        match (kind, field.to_ascii_lowercase().as_str()) {
            ("random", _) => Some(Self::Random),
            ("spread", "instanceid" | "host") => Some(Self::Spread("instanceId".to_owned())),
            ("spread", lower) if !lower.is_empty() => Some(Self::Spread(field.to_owned())),
            ("binpack", "cpu") => Some(Self::Binpack(PlacementResource::Cpu)),
            ("binpack", "memory") => Some(Self::Binpack(PlacementResource::Memory)),
            _ => None,
        }
    }
}

fn constraints(shown: Vec<ShownConstraint>) -> Result<Vec<PlacementConstraint>, QueryError> {
    let read = |shown: ShownConstraint| match (shown.kind.as_deref(), shown.expression.as_deref()) {
        (Some("memberOf"), Some(text)) => Some(Query::parse(text).map(PlacementConstraint::MemberOf)),
        (Some("distinctInstance"), _) => Some(Ok(PlacementConstraint::DistinctInstance)),
        _ => None,
    };
    shown.into_iter().filter_map(read).collect()
}

/// Reads what a service wrote. What is no such JSON asks for nothing.
fn read<T: Default + for<'a> Deserialize<'a>>(document: &Document) -> T {
    serde_json::from_str(document.as_str()).unwrap_or_default()
}
