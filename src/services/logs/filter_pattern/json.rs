//! Patterns over events that are JSON: `{ ($.level = "error") && ($.latency > 100 || $.user NOT EXISTS) }`.

use serde_json::Value;

use super::comparison::Comparison;
use super::malformed;
use super::scanner::Scanner;
use crate::Result;

/// How deep parentheses may nest.
const NESTING_MAX: usize = 32;

/// What an event's JSON must be like.
#[derive(Debug)]
pub(crate) struct JsonPattern(Condition);

#[derive(Debug)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Is(Selector, Test),
}

#[derive(Debug)]
enum Test {
    Compares(Comparison),
    IsNull,
    IsBool(bool),
    NotExists,
}

/// A path to values: `$.a.b[0]["c"]`.
#[derive(Debug)]
struct Selector(Vec<Step>);

#[derive(Debug)]
enum Step {
    Member(String),
    Item(usize),
    EveryItem,
}

impl JsonPattern {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut scanner = Scanner::new(text);
        scanner.expect("{")?;
        let condition = any(&mut scanner, 0)?;
        scanner.expect("}")?;
        scanner.skip_spaces();
        if scanner.is_done() { Ok(Self(condition)) } else { Err(malformed()) }
    }

    /// An event that is no JSON object matches no such pattern.
    pub(super) fn matches(&self, message: &str) -> bool {
        let value = serde_json::from_str::<Value>(message).ok();
        value.filter(|value| value.is_object() || value.is_array()).is_some_and(|value| self.0.holds(&value))
    }
}

fn any(scanner: &mut Scanner<'_>, depth: usize) -> Result<Condition> {
    let mut conditions = vec![all(scanner, depth)?];
    while scanner.eat_spaced("||") {
        conditions.push(all(scanner, depth)?);
    }
    Ok(Condition::Any(conditions))
}

fn all(scanner: &mut Scanner<'_>, depth: usize) -> Result<Condition> {
    let mut conditions = vec![single(scanner, depth)?];
    while scanner.eat_spaced("&&") {
        conditions.push(single(scanner, depth)?);
    }
    Ok(Condition::All(conditions))
}

fn single(scanner: &mut Scanner<'_>, depth: usize) -> Result<Condition> {
    if depth > NESTING_MAX {
        return Err(malformed());
    }
    if scanner.eat_spaced("(") {
        let condition = any(scanner, depth + 1)?;
        scanner.expect(")")?;
        return Ok(condition);
    }
    let selector = Selector::parse(scanner)?;
    Ok(Condition::Is(selector, Test::parse(scanner)?))
}

impl Condition {
    fn holds(&self, event: &Value) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(event)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(event)),
            Self::Is(selector, test) => test.holds(&selector.values(event)),
        }
    }
}

impl Test {
    fn parse(scanner: &mut Scanner<'_>) -> Result<Self> {
        if let Some(comparison) = Comparison::parse(scanner)? {
            return Ok(Self::Compares(comparison));
        }
        let first = word(scanner);
        match (first.as_str(), word(scanner).as_str()) {
            ("IS", "NULL") => Ok(Self::IsNull),
            ("IS", "TRUE") => Ok(Self::IsBool(true)),
            ("IS", "FALSE") => Ok(Self::IsBool(false)),
            ("NOT", "EXISTS") => Ok(Self::NotExists),
            _ => Err(malformed()),
        }
    }

    fn holds(&self, values: &[&Value]) -> bool {
        match self {
            Self::Compares(comparison) => values.iter().any(|value| comparison.matches_value(value)),
            Self::IsNull => values.iter().any(|value| value.is_null()),
            Self::IsBool(wanted) => values.iter().any(|value| value.as_bool() == Some(*wanted)),
            Self::NotExists => values.is_empty(),
        }
    }
}

fn word(scanner: &mut Scanner<'_>) -> String {
    scanner.skip_spaces();
    scanner.take_while(|c| c.is_ascii_alphabetic()).to_ascii_uppercase()
}

impl Selector {
    fn parse(scanner: &mut Scanner<'_>) -> Result<Self> {
        scanner.expect("$")?;
        let mut steps = Vec::new();
        loop {
            if scanner.eat(".") {
                match scanner.take_while(|c| c.is_alphanumeric() || "_-@".contains(c)) {
                    "" => return Err(scanner.peek().map_or_else(malformed, super::invalid_character)),
                    name => steps.push(Step::Member(name.to_owned())),
                }
            } else if scanner.eat("[") {
                steps.push(Step::in_brackets(scanner)?);
                scanner.expect("]")?;
            } else if steps.is_empty() {
                return Err(malformed());
            } else {
                return Ok(Self(steps));
            }
        }
    }

    fn values<'v>(&self, event: &'v Value) -> Vec<&'v Value> {
        let mut values = vec![event];
        for step in &self.0 {
            values = match step {
                Step::Member(name) => values.iter().filter_map(|value| value.get(name)).collect(),
                Step::Item(index) => values.iter().filter_map(|value| value.get(index)).collect(),
                Step::EveryItem => values.iter().filter_map(|value| value.as_array()).flatten().collect(),
            };
        }
        values
    }
}

impl Step {
    fn in_brackets(scanner: &mut Scanner<'_>) -> Result<Self> {
        match scanner.peek() {
            Some(quote @ ('"' | '\'')) => scanner.quoted(quote).map(Self::Member),
            Some('*') => {
                scanner.eat("*");
                Ok(Self::EveryItem)
            }
            _ => scanner.take_while(|c| c.is_ascii_digit()).parse().map(Self::Item).map_err(|_| malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, refused};

    #[test]
    fn text_is_compared_with_asterisks() {
        check(
            r#"{ $.a = "x" }"#,
            &[r#"{"a":"x"}"#],
            &[r#"{"a":"xy"}"#, r#"{"b":"x"}"#, "x", "", r#""x""#, r#"{"a":null}"#],
        );
        check(r#"{$.a = "x*"}"#, &[r#"{"a":"xy"}"#], &[r#"{"a":"yx"}"#]);
        check(r#"{ $.a != "x" }"#, &[r#"{"a":"y"}"#], &[r#"{"a":"x"}"#, "{}"]);
        check("{ $.a = UpdateTrail }", &[r#"{"a":"UpdateTrail"}"#], &[r#"{"a":"Update"}"#]);
        check("{ $.a = %^x+$% }", &[r#"{"a":"xx"}"#], &[r#"{"a":"xy"}"#]);
    }

    #[test]
    fn numbers_are_compared_by_value() {
        check("{ $.n = 1 }", &[r#"{"n":1}"#, r#"{"n":1.0}"#], &[r#"{"n":2}"#, r#"{"n":"1"}"#]);
        check("{ $.n != 1 }", &[r#"{"n":2}"#], &[r#"{"n":1}"#, "{}"]);
        check("{ $.n > -1.5 }", &[r#"{"n":-1}"#], &[r#"{"n":-2}"#, r#"{"n":"x"}"#]);
        check("{ $.n >= 2 && $.n<=3 }", &[r#"{"n":2}"#, r#"{"n":3}"#], &[r#"{"n":1}"#, r#"{"n":4}"#]);
        check("{ $.n < 1e3 }", &[r#"{"n":999}"#], &[r#"{"n":1000}"#]);
        check("{ $.n = 4* }", &[r#"{"n":404}"#], &[r#"{"n":500}"#]);
        check(r#"{ $.n = "4" }"#, &[], &[r#"{"n":4}"#]);
    }

    #[test]
    fn conditions_are_joined_and_grouped() {
        let pattern = "{ $.a = 1 && $.b = 2 || $.c = 3 }";
        check(pattern, &[r#"{"a":1,"b":2}"#, r#"{"c":3}"#], &[r#"{"a":1}"#]);
        let pattern = "{ ($.a = 1) && ($.b = 2 || $.c = 3) }";
        check(pattern, &[r#"{"a":1,"c":3}"#], &[r#"{"a":1}"#, r#"{"b":2,"c":3}"#]);
    }

    #[test]
    fn paths_lead_through_members_and_items() {
        check("{ $.a.b-c[1].d = 1 }", &[r#"{"a":{"b-c":[0,{"d":1}]}}"#], &[r#"{"a":{"b-c":[{"d":1}]}}"#]);
        check("{ $.a[*].b = 1 }", &[r#"{"a":[{"b":0},{"b":1}]}"#], &[r#"{"a":[{"b":0}]}"#]);
        check(r#"{ $["a b"]['c'] = 1 }"#, &[r#"{"a b":{"c":1}}"#], &["{}"]);
        check("{ $[0].a = 1 }", &[r#"[{"a":1}]"#], &["[]"]);
    }

    #[test]
    fn null_booleans_and_absence_have_words() {
        check("{ $.a IS NULL }", &[r#"{"a":null}"#], &["{}", r#"{"a":0}"#]);
        check("{ $.a IS TRUE }", &[r#"{"a":true}"#], &[r#"{"a":false}"#, r#"{"a":"true"}"#]);
        check("{ $.a IS FALSE }", &[r#"{"a":false}"#], &["{}"]);
        check("{ $.a NOT EXISTS }", &["{}"], &[r#"{"a":null}"#]);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for pattern in [
            "{",
            "{}",
            "{ $ = 1 }",
            "{ $.a }",
            "{ $.a = }",
            "{ $.a = 1",
            "{ $.a = 1 } x",
            "{ $.a = 1 && }",
            "{ a = 1 }",
            "{ $.a < \"x\" }",
            "{ ($.a = 1 }",
            "{ $.a IS 1 }",
            "{ $.a NOT NULL }",
            "{ $[x] = 1 }",
            "{ $.a[ = 1 }",
            "{ $.a = \"x }",
        ] {
            refused(pattern, "Invalid filter pattern");
        }
        refused(r#"{ $."a b" = 1 }"#, "Invalid character(s) in term '\"'");
        refused(&format!("{{ {}$.a = 1{} }}", "(".repeat(500), ")".repeat(500)), "Invalid filter pattern");
    }
}
