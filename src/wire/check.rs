//! Constraint violations: what a model forbids about a request, and AWS's usual words for it.

use std::fmt;

use crate::{ApiError, Structure, Value};

/// One thing that the model forbids about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where: `containerDefinitions[0].name`, in wire names.
    pub path: String,
    /// The value, as AWS's messages quote it; none where it is missing.
    pub value: Option<String>,
    /// What is wrong with it.
    pub kind: Kind,
}

/// What a violation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A required member is missing.
    Required,
    /// A length is out of bounds; no upper bound is `u64::MAX`.
    Length {
        /// The least length.
        min: u64,
        /// The greatest length.
        max: u64,
        /// The length of the value.
        actual: u64,
    },
    /// A number is out of bounds; no bound is `i64::MIN` or `i64::MAX`.
    Range {
        /// The least number.
        min: i64,
        /// The greatest number.
        max: i64,
    },
    /// A string does not match its pattern.
    Pattern {
        /// The pattern as the model has it.
        pattern: &'static str,
    },
    /// A string is none of an enumeration's values.
    Enum {
        /// The values that the model knows.
        allowed: &'static [&'static str],
        /// The value.
        actual: String,
    },
}

/// Where a value stands in a request. Costs nothing until it is rendered.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Member(&'a str),
    Item(usize),
}

impl Path<'_> {
    /// The request itself.
    pub const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    /// Goes on to a member or a map's key.
    pub fn member<'a>(&'a self, name: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Member(name) }
    }

    /// Goes on to an item of a list.
    pub fn item(&self, index: usize) -> Path<'_> {
        Path { parent: Some(self), step: Step::Item(index) }
    }

    /// Makes a violation at this place.
    pub fn violation(&self, kind: Kind, value: Option<&dyn Value>) -> Violation {
        Violation { path: self.to_string(), value: value.map(Value::describe), kind }
    }

    /// Makes the violation of an enumeration's value that the model does not know.
    pub fn unknown_value(&self, allowed: &'static [&'static str], actual: &str) -> Violation {
        let kind = Kind::Enum { allowed, actual: actual.to_owned() };
        Violation { path: self.to_string(), value: Some(actual.to_owned()), kind }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else { return Ok(()) };
        write!(f, "{parent}")?;
        match self.step {
            Step::Root => Ok(()),
            Step::Member(name) if parent.parent.is_none() => f.write_str(name),
            Step::Member(name) => write!(f, ".{name}"),
            Step::Item(index) => write!(f, "[{index}]"),
        }
    }
}

/// Returns everything that the model forbids about a request.
pub fn violations(input: &dyn Structure) -> Vec<Violation> {
    let mut found = Vec::new();
    crate::value::check_structure(input, &Path::ROOT, &mut found);
    found
}

/// Words violations as most AWS services do: `1 validation error detected: Value '' at 'logGroupName' failed to satisfy
/// constraint: Member must have length greater than or equal to 1`.
pub fn violations_text(violations: &[Violation]) -> String {
    let plural = if violations.len() == 1 { "" } else { "s" };
    let each = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    format!("{} validation error{plural} detected: {each}", violations.len())
}

/// A hook for `service!`: the usual words under `InvalidParameterException` (CloudWatch Logs).
pub fn invalid_parameter(violations: &[Violation]) -> ApiError {
    ApiError::client("InvalidParameterException", violations_text(violations))
}

/// A hook for `service!`: the usual words under `ValidationException` (most JSON services).
pub fn validation_exception(violations: &[Violation]) -> ApiError {
    ApiError::client("ValidationException", violations_text(violations))
}

/// A hook for `service!`: the usual words under `ValidationError` (most query services).
pub fn validation_error(violations: &[Violation]) -> ApiError {
    let spelt = |violation: &Violation| Violation { path: member_text(&violation.path), ..violation.clone() };
    ApiError::client("ValidationError", violations_text(&violations.iter().map(spelt).collect::<Vec<_>>()))
}

/// Spells a path as the messages of query services do: `RoleName` is `roleName` there.
pub fn member_text(path: &str) -> String {
    let spelt = |name: &str| {
        let mut letters = name.chars();
        letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect::<String>()
    };
    path.split('.').map(spelt).collect::<Vec<_>>().join(".")
}

/// Words violations under `ValidationException` for a service whose members begin with capital letters: the messages
/// begin them with small ones. The values of `sensitive` members are not quoted.
pub fn validation_exception_in_small_letters(violations: &[Violation], sensitive: &[&str]) -> ApiError {
    let plural = if violations.len() == 1 { "" } else { "s" };
    let each = violations.iter().map(|violation| {
        let is_sensitive = violation.path.rsplit(['.', '[']).any(|member| sensitive.contains(&member));
        let value = violation.value.clone().filter(|_| !is_sensitive);
        let small = Violation { path: in_small_letters(&violation.path), value, kind: violation.kind.clone() };
        let text = small.to_string();
        match text.strip_prefix("Value null") {
            Some(rest) if is_sensitive && violation.value.is_some() => format!("Value{rest}"),
            _ => text,
        }
    });
    let each = each.collect::<Vec<_>>().join("; ");
    ApiError::client("ValidationException", format!("{} validation error{plural} detected: {each}", violations.len()))
}

/// Begins each member of a path with a small letter.
fn in_small_letters(path: &str) -> String {
    let small = |member: &str| {
        let mut letters = member.chars();
        letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_ascii_lowercase(), letters.as_str()))
    };
    path.split('.').map(small).collect::<Vec<_>>().join(".")
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = dotted(&self.path);
        match &self.value {
            Some(value) => write!(f, "Value '{value}' at '{at}' failed to satisfy constraint: ")?,
            None => write!(f, "Value null at '{at}' failed to satisfy constraint: ")?,
        }
        match &self.kind {
            Kind::Required => f.write_str("Member must not be null"),
            Kind::Length { min, actual, .. } if actual < min => {
                write!(f, "Member must have length greater than or equal to {min}")
            }
            Kind::Length { max, .. } => write!(f, "Member must have length less than or equal to {max}"),
            Kind::Range { min, max } => match self.value.as_deref().and_then(|value| value.parse::<f64>().ok()) {
                Some(value) if value > *max as f64 => write!(f, "Member must have value less than or equal to {max}"),
                _ => write!(f, "Member must have value greater than or equal to {min}"),
            },
            Kind::Pattern { pattern } => write!(f, "Member must satisfy regular expression pattern: {pattern}"),
            Kind::Enum { allowed, .. } => write!(f, "Member must satisfy enum value set: [{}]", allowed.join(", ")),
        }
    }
}

/// Renders a path as AWS's messages do: list items count from one and are called `member`.
fn dotted(path: &str) -> String {
    let mut dotted = String::with_capacity(path.len());
    for (index, part) in path.split('[').enumerate() {
        match part.split_once(']') {
            Some((item, rest)) if index > 0 => {
                let position = item.parse::<usize>().map_or(0, |item| item + 1);
                dotted.push_str(&format!(".{position}.member{rest}"));
            }
            _ => dotted.push_str(part),
        }
    }
    dotted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Member, Pattern, Shape};

    static NAME_PATTERN: Pattern = Pattern::new("[a-z]*");
    static NAME: Shape = Shape::PLAIN.length(1, 3).pattern(&NAME_PATTERN);
    static COUNT: Shape = Shape::PLAIN.range(0, 10);
    static NAMES: Shape = Shape::PLAIN.length(0, 2).item(&NAME);

    crate::enumeration! {
        Color { Red = "RED", Green = "GREEN", }
    }
    crate::structure! {
        Inner { 0 name: String = Member::new("name").required().shape(&NAME); }
    }
    crate::structure! {
        Outer {
            0 inner: Vec<Inner> = Member::new("inner");
            1 count: i32 = Member::new("count").shape(&COUNT);
            2 color: Color = Member::new("color");
            3 names: Vec<String> = Member::new("names").shape(&NAMES);
        }
    }

    #[track_caller]
    fn check(input: Outer, expected: &str) {
        assert_eq!(violations_text(&violations(&input)), expected);
    }

    #[test]
    fn a_request_within_its_constraints_has_no_violation() {
        let input = Outer {
            inner: Some(vec![Inner { name: Some("abc".to_owned()) }]),
            count: Some(10),
            color: Some(Color::Green),
            names: Some(vec![]),
        };
        assert_eq!(violations(&input), []);
    }

    #[test]
    fn members_begin_with_small_letters_and_secrets_are_not_quoted() {
        let length = |path: &str, value: &str| Violation {
            path: path.to_owned(),
            value: Some(value.to_owned()),
            kind: Kind::Length { min: 1, max: 2, actual: 3 },
        };
        let found = [length("Tags[0].Key", "abc"), length("SecretString", "hunter2")];
        let error = validation_exception_in_small_letters(&found, &["SecretString"]);
        let at = "failed to satisfy constraint: Member must have length less than or equal to 2";
        assert_eq!(
            error.message(),
            format!(
                "2 validation errors detected: Value 'abc' at 'tags.1.member.key' {at}; Value at 'secretString' {at}"
            )
        );
    }

    #[test]
    fn each_kind_has_the_words_of_aws() {
        let constraint = "failed to satisfy constraint: Member must";
        check(
            Outer { inner: Some(vec![Inner::default()]), ..Outer::default() },
            &format!("1 validation error detected: Value null at 'inner.1.member.name' {constraint} not be null"),
        );
        check(
            Outer { names: Some(vec!["a".into(), "Ab".into(), "".into()]), ..Outer::default() },
            &format!(
                "3 validation errors detected: Value '[a, Ab, ]' at 'names' {constraint} have length less than or \
                 equal to 2; Value 'Ab' at 'names.2.member' {constraint} satisfy regular expression pattern: [a-z]*; \
                 Value '' at 'names.3.member' {constraint} have length greater than or equal to 1"
            ),
        );
        check(
            Outer { count: Some(11), ..Outer::default() },
            &format!(
                "1 validation error detected: Value '11' at 'count' {constraint} have value less than or equal to 10"
            ),
        );
        check(
            Outer { count: Some(-1), ..Outer::default() },
            &format!(
                "1 validation error detected: Value '-1' at 'count' {constraint} have value greater than or equal to 0"
            ),
        );
        check(
            Outer { color: Some(Color::from("BLUE")), ..Outer::default() },
            &format!(
                "1 validation error detected: Value 'BLUE' at 'color' {constraint} satisfy enum value set: [RED, GREEN]"
            ),
        );
    }

    #[test]
    fn query_services_spell_members_in_lower_case() {
        let kind = Kind::Required;
        let error = validation_error(&[Violation { path: "Tags[0].Key".to_owned(), value: None, kind }]);
        let message = "1 validation error detected: Value null at 'tags.1.member.key' failed to satisfy constraint: Member \
                       must not be null";
        assert_eq!((error.code(), error.message()), ("ValidationError", message));
    }

    #[test]
    fn a_path_names_members_and_items() {
        let input = Outer { inner: Some(vec![Inner { name: Some("a".into()) }, Inner::default()]), ..Outer::default() };
        assert_eq!(violations(&input)[0].path, "inner[1].name");
    }
}
