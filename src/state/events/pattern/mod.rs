//! Event patterns: which events a rule is for.

mod matcher;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::matcher::Matcher;

/// How deep patterns may be nested.
const DEPTH_MAX: usize = 32;
/// How many members a pattern may have, counting those of each `$or` as often as they are looked at.
const MEMBERS_MAX: usize = 10_000;

/// An event pattern: its text, and what it means.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    node: Node,
}

/// Why a text is no event pattern, in EventBridge's words as far as they were seen: those of its open source rule engine,
/// without the place that it adds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Event pattern is not valid. Reason: {0}")]
pub struct PatternError(pub(crate) String);

/// What an object must look like.
#[derive(Clone, Debug, Default)]
struct Node {
    members: Vec<(String, Member)>,
    /// One of each must be so too.
    either: Vec<Vec<Node>>,
}

#[derive(Clone, Debug)]
enum Member {
    /// One of these must match one of the values.
    Leaf(Vec<Matcher>),
    /// It must be an object, or a list with one, that looks like this.
    Object(Node),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let fail = |why: &str| PatternError(why.to_owned());
        let value: Value = serde_json::from_str(text).map_err(|_| fail("Filter is not valid JSON"))?;
        let Value::Object(members) = value else { return Err(fail("Filter is not an object")) };
        let mut left = MEMBERS_MAX;
        let node = Node::parse(&members, DEPTH_MAX, &mut left)?;
        Ok(Self { text: text.to_owned(), node })
    }

    /// Returns the pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether an event is one that the rule is for.
    pub fn matches(&self, event: &Value) -> bool {
        event.as_object().is_some_and(|event| self.node.matches(event))
    }

    /// Returns whether an event of that source and type could be one, going by nothing else.
    pub fn may_match(&self, source: &str, detail_type: &str) -> bool {
        self.node.members.iter().all(|(name, member)| match (name.as_str(), member) {
            ("source", Member::Leaf(any)) => matcher::any_matches(any, &[&Value::from(source)]),
            ("detail-type", Member::Leaf(any)) => matcher::any_matches(any, &[&Value::from(detail_type)]),
            _ => true,
        })
    }
}

impl Node {
    fn parse(members: &Map<String, Value>, depth: usize, left: &mut usize) -> Result<Self, PatternError> {
        if members.is_empty() {
            return Err(PatternError("Empty objects are not allowed".to_owned()));
        }
        if depth == 0 {
            return Err(PatternError("Event pattern is nested too deeply".to_owned()));
        }
        let mut node = Self::default();
        for (name, value) in members {
            *left = left.checked_sub(1).ok_or_else(|| PatternError("Event pattern is too complex".to_owned()))?;
            match value {
                Value::Array(branches) if name == "$or" && branches.iter().all(Value::is_object) => {
                    node.either.push(parse_either(branches, depth, left)?);
                }
                Value::Array(values) if values.is_empty() => {
                    return Err(PatternError("Empty arrays are not allowed".to_owned()));
                }
                Value::Array(values) => {
                    let any = values.iter().map(Matcher::parse).collect::<Result<_, _>>()?;
                    node.members.push((name.clone(), Member::Leaf(any)));
                }
                Value::Object(inner) => {
                    let inner = Self::parse(inner, depth - 1, left)?;
                    node.members.push((name.clone(), Member::Object(inner)));
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    return Err(PatternError(format!("\"{name}\" must be an object or an array")));
                }
            }
        }
        Ok(node)
    }

    fn matches(&self, object: &Map<String, Value>) -> bool {
        self.members.iter().all(|(name, member)| member.matches(object.get(name)))
            && self.either.iter().all(|branches| branches.iter().any(|branch| branch.matches(object)))
    }
}

fn parse_either(branches: &[Value], depth: usize, left: &mut usize) -> Result<Vec<Node>, PatternError> {
    if branches.len() < 2 {
        return Err(PatternError("There must have at least 2 Objects for $or relationship.".to_owned()));
    }
    branches.iter().filter_map(Value::as_object).map(|branch| Node::parse(branch, depth - 1, left)).collect()
}

impl Member {
    fn matches(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Leaf(any) => {
                let mut scalars = Vec::new();
                collect_scalars(value, &mut scalars);
                matcher::any_matches(any, &scalars)
            }
            Self::Object(node) => match value {
                Some(Value::Object(object)) => node.matches(object),
                Some(Value::Array(items)) if !items.is_empty() => {
                    items.iter().filter_map(Value::as_object).any(|object| node.matches(object))
                }
                // What is not there can be what must not be there.
                _ => node.matches(&Map::new()),
            },
        }
    }
}

/// Collects the values of a member: those of a list one by one.
fn collect_scalars<'a>(value: Option<&'a Value>, scalars: &mut Vec<&'a Value>) {
    match value {
        Some(Value::Array(items)) => items.iter().for_each(|item| collect_scalars(Some(item), scalars)),
        Some(Value::Object(_)) | None => {}
        Some(scalar) => scalars.push(scalar),
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
