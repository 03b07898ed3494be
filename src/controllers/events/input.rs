//! What a target is given: the event, a part of it, or a text made of parts of it.

use serde_json::Value;
use state::events::{Event, Input, Rule};

/// Makes what a target is given of an event.
pub(super) fn payload(input: &Input, event: &Event, rule: &Rule) -> String {
    match input {
        Input::Event => event.text(),
        Input::Constant(text) => text.clone(),
        Input::Path(path) => find(&event.value(), path).map_or_else(|| "null".to_owned(), |found| found.to_string()),
        Input::Template { paths, template } => fill(paths, template, event, rule),
    }
}

/// Finds a part by its path: `$`, `$.detail.x`, `$.resources[0]`, `$.detail.containers[*].name`.
fn find(value: &Value, path: &str) -> Option<Value> {
    let mut found = vec![value];
    let mut is_list = false;
    for step in steps(path.strip_prefix('$')?)? {
        found = match &step {
            Step::Member(name) => found.into_iter().filter_map(|value| value.get(name)).collect(),
            Step::Item(place) => found.into_iter().filter_map(|value| value.get(*place)).collect(),
            Step::All => {
                is_list = true;
                found.into_iter().filter_map(Value::as_array).flatten().collect()
            }
        };
    }
    if is_list {
        return Some(found.into_iter().cloned().collect());
    }
    found.first().copied().cloned()
}

enum Step {
    Member(String),
    Item(usize),
    All,
}

fn steps(mut rest: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (inside, after) = after.split_once(']')?;
            let name = inside.trim_matches(['\'', '"']);
            steps.push(match inside {
                "*" => Step::All,
                place if place.bytes().all(|digit| digit.is_ascii_digit()) => Step::Item(place.parse().ok()?),
                _ => Step::Member(name.to_owned()),
            });
            rest = after;
        } else {
            let after = rest.strip_prefix('.')?;
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            steps.push(if name == "*" { Step::All } else { Step::Member(name.to_owned()) });
            rest = after;
        }
    }
    Some(steps)
}

/// Fills a template. `<name>` stands for a part, as text within a string and as JSON elsewhere; what is not there is left
/// out within a string, and null elsewhere.
fn fill(paths: &[(String, String)], template: &str, event: &Event, rule: &Rule) -> String {
    let value = event.value();
    let part = |name: &str| match name {
        "aws.events.rule-arn" => Some(Value::from(rule.arn.as_str())),
        "aws.events.rule-name" => Some(Value::from(rule.key.name.as_str())),
        "aws.events.event.ingestion-time" => Some(Value::from(event.at.iso_millis())),
        "aws.events.event" | "aws.events.event.json" => Some(value.clone()),
        _ => {
            let (_, path) = paths.iter().find(|(known, _)| known == name)?;
            Some(find(&value, path).unwrap_or_default())
        }
    };
    let mut filled = String::new();
    let mut is_in_string = false;
    let mut rest = template;
    while let Some(character) = rest.chars().next() {
        let named = rest.strip_prefix('<').and_then(|after| after.split_once('>'));
        if let Some((found, after)) = named.and_then(|(name, after)| Some((part(name)?, after))) {
            filled.push_str(&shown(&found, is_in_string));
            rest = after;
            continue;
        }
        let (this, after) = match character {
            '\\' if is_in_string => rest.split_at(rest.char_indices().nth(2).map_or(rest.len(), |(at, _)| at)),
            _ => rest.split_at(character.len_utf8()),
        };
        is_in_string ^= this == "\"";
        filled.push_str(this);
        rest = after;
    }
    filled
}

fn shown(value: &Value, is_in_string: bool) -> String {
    match value {
        Value::Null if is_in_string => String::new(),
        Value::String(text) if is_in_string => {
            let quoted = Value::from(text.as_str()).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }
        value if is_in_string => {
            let quoted = Value::from(value.to_string()).to_string();
            quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Arn, Region, Scope, Timestamp};
    use serde_json::json;
    use state::Document;
    use state::events::{RuleKey, RuleState};

    use super::*;

    fn event() -> Event {
        let detail = json!({"a": "x \"y\"", "n": 3, "o": {"p": true}, "list": [{"name": "web"}, {"name": "log"}]});
        Event {
            id: "id".to_owned(),
            source: "my.app".to_owned(),
            detail_type: "Thing".to_owned(),
            account: AccountId::DEFAULT,
            at: Timestamp::from_millis(0),
            region: Region::default(),
            resources: vec!["r0".to_owned(), "r1".to_owned()],
            detail: Document::new(detail.to_string()),
            hops: 0,
        }
    }

    fn rule() -> Rule {
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        Rule {
            key: RuleKey { bus: "default".to_owned(), name: "rule".to_owned() },
            arn: Arn::new("events", &scope, "rule/rule"),
            pattern: None,
            schedule: None,
            state: RuleState::Enabled,
            description: None,
            role: None,
            targets: Vec::new(),
            tags: Vec::new(),
            scheduled_from: Timestamp::from_millis(0),
            ran_at: None,
        }
    }

    #[test]
    fn a_path_finds_a_part() {
        for (path, expected) in [
            ("$.source", r#""my.app""#),
            ("$.detail.n", "3"),
            ("$.detail.o", r#"{"p":true}"#),
            ("$.resources[1]", r#""r1""#),
            ("$.resources", r#"["r0","r1"]"#),
            ("$.detail.list[0].name", r#""web""#),
            ("$.detail.list[*].name", r#"["web","log"]"#),
            ("$['detail']['n']", "3"),
            ("$.missing", "null"),
            ("nonsense", "null"),
        ] {
            assert_eq!(payload(&Input::Path(path.to_owned()), &event(), &rule()), expected, "{path}");
        }
        assert_eq!(payload(&Input::Path("$".to_owned()), &event(), &rule()), event().value().to_string());
    }

    #[test]
    fn a_template_is_filled_with_parts() {
        let paths = [("a", "$.detail.a"), ("n", "$.detail.n"), ("o", "$.detail.o"), ("no", "$.detail.no")];
        let paths = paths.map(|(name, path)| (name.to_owned(), path.to_owned())).to_vec();
        for (template, expected) in [
            (r#""it is <a>, <n> times""#, r#""it is x \"y\", 3 times""#),
            (r#"{"a": <a>, "n": <n>, "o": <o>}"#, r#"{"a": "x \"y\"", "n": 3, "o": {"p":true}}"#),
            (r#"{"text": "<no>!", "no": <no>}"#, r#"{"text": "!", "no": null}"#),
            (r#""<unknown> < <n>""#, r#""<unknown> < 3""#),
            (r#"{"q": "\"<n>\"", "n": <n>}"#, r#"{"q": "\"3\"", "n": 3}"#),
            (r#""<aws.events.rule-name>""#, r#""rule""#),
            (r#"{"e": <aws.events.event.ingestion-time>}"#, r#"{"e": "1970-01-01T00:00:00.000Z"}"#),
        ] {
            let input = Input::Template { paths: paths.clone(), template: template.to_owned() };
            assert_eq!(payload(&input, &event(), &rule()), expected, "{template}");
        }
    }
}
