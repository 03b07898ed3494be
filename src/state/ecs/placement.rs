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

#[cfg(test)]
mod tests {
    use base::{AccountId, Arn, Region, Scope, TaskId, Timestamp};

    use super::super::{Attribute, ClusterName, ContainerInstanceKey, InstanceKind, Resources};
    use super::*;

    /// Makes an instance: its id, attributes `name=value`, CPU units, MiB, and the groups of the tasks on it, each of which
    /// takes 100 units and 100 MiB.
    fn instance(id: &str, attributes: &str, cpu_units: u32, memory_mib: u32, groups: &str) -> Arc<ContainerInstance> {
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        let key = ContainerInstanceKey { cluster: ClusterName::default_cluster(), id: ContainerInstanceId::new(id) };
        let attribute = |text: &str| {
            let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
            Attribute { name: name.to_owned(), value: value.map(str::to_owned), is_custom: true }
        };
        let claim = |(place, group): (usize, &str)| {
            let claim = Claim { group: group.to_owned(), cpu_units: 100, memory_mib: 100, ..Claim::default() };
            (TaskId::new(place.to_string()), claim)
        };
        Arc::new(ContainerInstance {
            arn: Arn::new("ecs", &scope, &format!("container-instance/default/{id}")),
            key,
            kind: InstanceKind::Ec2,
            ec2_instance_id: None,
            instance_type: None,
            capacity_provider: None,
            status: InstanceStatus::Active,
            registered_at: Timestamp::from_millis(0),
            tags: Vec::new(),
            resources: Resources { cpu_units, memory_mib, ..Resources::default() },
            claims: groups.split_whitespace().enumerate().map(claim).collect(),
            version_info: None,
            agent_version: None,
            attributes: attributes.split_whitespace().map(attribute).collect(),
            is_agent_connected: true,
            agent_update: None,
            version: 1,
            host: None,
        })
    }

    fn rules(attributes: &[(&str, Option<&str>)], constraints: &str, strategies: &str) -> PlacementRules {
        let shown = serde_json::from_str(constraints).unwrap();
        let strategies = strategies.split_whitespace().map(|text| {
            let (kind, field) = text.split_once('/').unwrap_or((text, ""));
            PlacementStrategy::parse(kind, field).unwrap()
        });
        PlacementRules {
            attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect(),
            constraints: super::constraints(shown).unwrap(),
            strategies: strategies.collect(),
        }
    }

    const DISTINCT: &str = r#"[{"type":"distinctInstance"}]"#;
    const MEMBER: &str = r#"[{"type":"memberOf","expression":"attribute:stack == prod and runningTasksCount < 3"}]"#;

    #[test]
    fn an_instance_is_refused_for_the_first_thing_that_stands_against_it() {
        let row = |attributes: &str, groups: &str| instance("i", attributes, 500, 500, groups);
        let change = |change: fn(&mut ContainerInstance)| {
            let mut changed = ContainerInstance::clone(&row("", ""));
            change(&mut changed);
            Arc::new(changed)
        };
        let needs = [("cap", None), ("os", Some("linux"))];
        let rows = [
            (&[][..], "[]", row("", ""), "none"),
            (&[], "[]", change(|row| row.status = InstanceStatus::Draining), "INACTIVE"),
            (&[], "[]", change(|row| row.is_agent_connected = false), "AGENT"),
            (&needs, "[]", row("cap os=linux", ""), "none"),
            (&needs, "[]", row("cap=1 os=linux", ""), "none"),
            (&needs, "[]", row("cap os=windows", ""), "ATTRIBUTE"),
            (&needs, "[]", row("os=linux", ""), "ATTRIBUTE"),
            (&needs, "[]", row("cap os", ""), "ATTRIBUTE"),
            (&[], DISTINCT, row("", "other other"), "none"),
            (&[], DISTINCT, row("", "other own"), "DistinctInstance placement constraint unsatisfied."),
            (&[], MEMBER, row("stack=prod", ""), "none"),
            (&[], MEMBER, row("stack=test", ""), "MemberOf placement constraint unsatisfied."),
            (&[], MEMBER, row("stack=prod", "a b c"), "MemberOf placement constraint unsatisfied."),
            (&[], "[]", row("", "a b"), "none"),
            (&[], "[]", row("", "a b c"), "RESOURCE:CPU"),
            (&[], "[]", instance("i", "", 500, 250, ""), "RESOURCE:MEMORY"),
            // What it is stands before what is left of it.
            (&needs, "[]", row("", "a b c d"), "ATTRIBUTE"),
        ];
        let claim = Claim { group: "own".to_owned(), cpu_units: 300, memory_mib: 300, ..Claim::default() };
        let running = |row: &ContainerInstance| i32::try_from(row.claims.len()).unwrap();
        for (number, (attributes, constraints, row, expected)) in rows.into_iter().enumerate() {
            let obstacle = rules(attributes, constraints, "").obstacle(&row, &claim, &running);
            assert_eq!(obstacle.map_or("none", PlacementObstacle::as_str), expected, "row {number}");
        }
    }

    #[test]
    fn strategies_say_which_instance_comes_first() {
        // Two in one zone, one in the other; with tasks of the own group (o) and of others (x).
        let rows = [
            ("", ["", "", ""], "a b c"),
            ("", ["o", "", "o"], "b a c"),
            ("", ["x", "", "x x"], "b a c"),
            ("", ["x x", "o", ""], "c a b"),
            ("spread/instanceId", ["o o", "o", ""], "c b a"),
            ("spread/host", ["o", "x x", "x"], "c b a"),
            ("spread/attribute:zone", ["o", "", ""], "c b a"),
            ("spread/attribute:zone", ["", "", "o"], "a b c"),
            ("spread/zone", ["o", "", "o"], "b a c"),
            ("spread/attribute:zone spread/instanceId", ["o", "", "o"], "b a c"),
            ("spread/attribute:zone spread/instanceId", ["o", "o", "o o"], "a b c"),
            // None has it, so they share it.
            ("spread/attribute:none", ["x", "", ""], "b c a"),
            ("binpack/cpu", ["x", "x x", ""], "b a c"),
            ("binpack/memory", ["", "x", "o o"], "c b a"),
            ("binpack/MEMORY", ["x", "", ""], "a b c"),
            ("spread/attribute:zone binpack/cpu", ["x", "", ""], "a b c"),
            ("spread/attribute:zone binpack/cpu", ["", "x o", ""], "c b a"),
            ("binpack/cpu spread/instanceId", ["o", "x", ""], "b a c"),
        ];
        for (strategies, tasks, expected) in rows {
            let zones = ["zone=1", "zone=1", "zone=2"];
            let mut instances =
                (0..3).map(|n| instance(["a", "b", "c"][n], zones[n], 1000, 1000, tasks[n])).collect::<Vec<_>>();
            rules(&[], "[]", strategies).sort(&mut instances, "o", &mut || unreachable!("nothing is left to chance"));
            let order = instances.iter().map(|row| row.key.id.as_str()).collect::<Vec<_>>().join(" ");
            assert_eq!(order, expected, "{strategies}: {tasks:?}");
        }
    }

    #[test]
    fn random_is_what_is_drawn() {
        let mut instances = ["a", "b", "c"].map(|id| instance(id, "", 1, 1, "")).to_vec();
        let mut lots = [2_u128, 3, 1].into_iter();
        rules(&[], "[]", "random").sort(&mut instances, "o", &mut || lots.next().unwrap());
        assert_eq!(instances.iter().map(|row| row.key.id.as_str()).collect::<String>(), "cab");
    }

    #[test]
    fn the_closest_instance_is_the_one_that_only_lacks_room() {
        use PlacementObstacle::{Agent, Attribute, DistinctInstance, Inactive, Shortage as Lacks};
        let rows = [
            (vec![Agent, Attribute], Some("b")),
            (vec![Lacks(Shortage::Cpu), Attribute, Lacks(Shortage::Memory)], Some("a")),
            (vec![Inactive, DistinctInstance, Attribute], Some("b")),
            (vec![Inactive], Some("a")),
            (vec![], None),
        ];
        for (obstacles, expected) in rows {
            let ids = ["a", "b", "c"];
            let refusals = obstacles.iter().zip(ids).map(|(obstacle, id)| (instance(id, "", 1, 1, ""), *obstacle));
            let refusals = refusals.collect::<Vec<_>>();
            assert_eq!(closest(&refusals).map(|(row, _)| row.key.id.as_str()), expected, "{obstacles:?}");
        }
    }

    #[test]
    fn strategies_that_do_not_exist_are_none() {
        for (kind, field) in [("spread", ""), ("binpack", "disk"), ("binpack", ""), ("", "cpu"), ("pack", "cpu")] {
            assert_eq!(PlacementStrategy::parse(kind, field), None, "{kind} {field}");
        }
    }
}
