//! The cluster query language: expressions that choose container instances, as in
//! `attribute:ecs.instance-type =~ t3.* and runningTasksCount < 5`.
//!
//! Subjects, operators and forms of dates are the Developer Guide's. What a missing attribute does to a negation is
//! not said there: here it is true, as the negation of what is false.

mod parse;

use std::cmp::Ordering;

use super::ContainerInstance;
use regex_lite::Regex;

pub use parse::QueryError;

/// An expression that was understood.
#[derive(Debug)]
pub struct Query(Expression);

#[derive(Debug)]
enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Test { subject: Subject, test: Test },
}

/// What of an instance is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    AgentConnected,
    AgentVersion,
    Attribute(String),
    Ec2InstanceId,
    RegisteredAt,
    RunningTasksCount,
    TaskGroup,
}

/// What is asked of it. An argument that is a date is in milliseconds.
#[derive(Debug)]
enum Test {
    Exists,
    OneOf(Vec<String>),
    Matches(Regex),
    Compare { allows: &'static [Ordering], with: String },
}

/// An instance, and what an expression asks of it that is not in its record.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// The instance.
    pub instance: &'a ContainerInstance,
    /// How many tasks run on it.
    pub running_tasks: i32,
}

impl Query {
    /// Understands an expression.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        parse::query(text).map(Self)
    }

    /// Returns whether an instance is chosen.
    pub fn matches(&self, candidate: Candidate<'_>) -> bool {
        self.0.holds(candidate)
    }
}

impl Expression {
    fn holds(&self, candidate: Candidate<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(candidate)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(candidate)),
            Self::Not(part) => !part.holds(candidate),
            Self::Test { subject, test } => subject.values(candidate).iter().any(|value| test.holds(value)),
        }
    }
}

impl Subject {
    /// Returns the values that an instance has for the subject: none for a missing attribute, one a task for groups.
    fn values(&self, candidate: Candidate<'_>) -> Vec<String> {
        let instance = candidate.instance;
        match self {
            Self::AgentConnected => vec![instance.is_agent_connected.to_string()],
            Self::AgentVersion => instance.agent_version.iter().cloned().collect(),
            Self::Attribute(name) => {
                instance.attribute(name).map(|value| value.unwrap_or_default().to_owned()).into_iter().collect()
            }
            Self::Ec2InstanceId => instance.ec2_instance_id.iter().cloned().collect(),
            Self::RegisteredAt => vec![instance.registered_at.as_millis().to_string()],
            Self::RunningTasksCount => vec![candidate.running_tasks.to_string()],
            Self::TaskGroup => instance.claims.values().map(|claim| claim.group.clone()).collect(),
        }
    }
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::OneOf(values) => values.iter().any(|known| known == value),
            Self::Matches(regex) => regex.is_match(value),
            Self::Compare { allows, with } => allows.contains(&compare(value, with)),
        }
    }
}

/// Compares as numbers, part by part: `1.9.0` comes before `1.51.0`. What is no number compares as text.
fn compare(left: &str, right: &str) -> Ordering {
    let number = |part: &str| part.parse::<i64>().ok();
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(l), Some(r)) => match (number(l), number(r)) {
                (Some(l), Some(r)) => l.cmp(&r),
                _ => l.cmp(r),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::ecs::{Attribute, Claim, ClusterName, ContainerInstanceKey, InstanceKind, InstanceStatus, Resources};
    use base::{AccountId, Arn, ContainerInstanceId, Region, Scope, TaskId, Timestamp};

    use super::*;

    fn instance() -> ContainerInstance {
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        let attribute = |(name, value): (&str, Option<&str>)| Attribute {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            is_custom: true,
        };
        let claim = |group: &str| Claim { group: group.to_owned(), ..Claim::default() };
        ContainerInstance {
            key: ContainerInstanceKey { cluster: ClusterName::default_cluster(), id: ContainerInstanceId::new("1") },
            arn: Arn::new("ecs", &scope, "container-instance/default/1"),
            kind: InstanceKind::Ec2,
            ec2_instance_id: Some("i-0a".to_owned()),
            instance_type: None,
            capacity_provider: None,
            status: InstanceStatus::Active,
            // 2018-06-18T22:28:28Z
            registered_at: Timestamp::from_millis(1_529_360_908_000),
            tags: Vec::new(),
            resources: Resources::default(),
            claims: BTreeMap::from([(TaskId::new("a"), claim("service:web")), (TaskId::new("b"), claim("family:job"))]),
            version_info: None,
            agent_version: Some("1.51.0".to_owned()),
            attributes: [
                ("ecs.instance-type", Some("t3.micro")),
                ("stack", Some("prod")),
                ("gpu", None),
                ("size", Some("10")),
                ("name", Some("two words")),
            ]
            .map(attribute)
            .to_vec(),
            is_agent_connected: true,
            agent_update: None,
            version: 1,
            host: None,
        }
    }

    #[test]
    fn expressions_choose_instances() {
        let rows = [
            ("attribute:stack == prod", true),
            ("attribute:stack==prod", true),
            ("attribute:stack equals test", false),
            ("attribute:stack != test", true),
            ("attribute:nothing == prod", false),
            ("attribute:nothing not_equals prod", true),
            ("attribute:stack in [test, prod]", true),
            ("attribute:stack !in [test,prod]", false),
            ("attribute:stack not_in [test]", true),
            ("attribute:gpu exists", true),
            ("attribute:nothing exists", false),
            ("attribute:nothing !exists", true),
            ("attribute:gpu not_exists", false),
            ("attribute:ecs.instance-type =~ t3.*", true),
            ("attribute:ecs.instance-type =~ t3", false),
            ("attribute:ecs.instance-type !~ g.*", true),
            ("attribute:ecs.instance-type matches 't[23]\\.(micro|small)'", true),
            ("attribute:size > 9", true),
            ("attribute:size <= 10", true),
            ("attribute:size less_than 9", false),
            ("attribute:name == \"two words\"", true),
            ("attribute:name == 'two words'", true),
            ("agentConnected == true", true),
            ("agentConnected != true", false),
            ("agentVersion >= 1.9.0", true),
            ("agentVersion < 1.51", false),
            ("agentVersion greater_than 1.51.0", false),
            ("ec2InstanceId == i-0a", true),
            ("ec2InstanceId in ['i-0a', 'i-0b']", true),
            ("runningTasksCount == 3", true),
            ("runningTasksCount greater_than_equal 3", true),
            ("runningTasksCount less_than_equal 2", false),
            ("registeredAt > 2018-06-18", true),
            ("registeredAt == 2018-06-18T22:28:28Z", true),
            ("registeredAt == 2018-06-18T22:28:28", true),
            ("registeredAt == 2018-06-19T00:28:28+02:00", true),
            ("registeredAt < 2018-06-18T22:28:28+00:00", false),
            ("task:group == service:web", true),
            ("task:group != service:web", false),
            ("task:group =~ family:.*", true),
            ("task:group == service:api", false),
            ("attribute:stack == prod and attribute:size == 9", false),
            ("attribute:stack == prod && attribute:size == 10", true),
            ("attribute:stack == test or attribute:size == 10", true),
            ("attribute:stack == test || attribute:size == 9", false),
            ("not (attribute:stack == test)", true),
            ("!(attribute:stack == test) && agentConnected == true", true),
            ("attribute:stack == test and agentConnected == true or attribute:size == 10", true),
            ("attribute:stack == test and (agentConnected == true or attribute:size == 10)", false),
        ];
        let instance = instance();
        let candidate = Candidate { instance: &instance, running_tasks: 3 };
        for (text, expected) in rows {
            let query = Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(query.matches(candidate), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        let deep = format!("{}agentConnected == true{}", "(".repeat(40), ")".repeat(40));
        let rows = [
            "",
            "stack == prod",
            "attribute: == prod",
            "attribute:stack",
            "attribute:stack ==",
            "attribute:stack == prod and",
            "attribute:stack == prod attribute:size == 10",
            "(attribute:stack == prod",
            "attribute:stack == prod)",
            "attribute:stack in prod",
            "attribute:stack in [",
            "attribute:stack in []",
            "attribute:stack in [a b]",
            "attribute:stack =~ '['",
            "attribute:stack == 'prod",
            "attribute:stack ! prod",
            "attribute:stack = prod",
            "agentConnected > true",
            "ec2InstanceId < i",
            "runningTasksCount =~ 3",
            "runningTasksCount == many",
            "registeredAt exists",
            "registeredAt == yesterday",
            "agentVersion in [1]",
            &deep,
        ];
        for text in rows {
            assert!(Query::parse(text).is_err(), "{text}");
        }
    }
}
