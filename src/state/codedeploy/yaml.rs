//! Reads YAML as a JSON value: what an AppSpec needs of it, and nothing that costs more than its length.

use serde_json::{Map, Value};
use yaml_rust2::Event;
use yaml_rust2::parser::Parser;
use yaml_rust2::scanner::TScalarStyle;

/// How deep collections may lie in each other.
const DEPTH_MAX: usize = 32;

/// A collection that is being read.
enum Open {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Map(Map<String, Value>, Option<String>),
}

/// Reads the first document. Plain scalars stay texts; aliases are refused, because a few of them can stand for gigabytes.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut parser = Parser::new(text.chars());
    let mut open = Vec::new();
    loop {
        let (event, _) = parser.next_token().map_err(|error| error.to_string())?;
        let value = match event {
            Event::Nothing | Event::StreamStart | Event::DocumentStart => continue,
            Event::StreamEnd | Event::DocumentEnd => return Ok(Value::Null),
            Event::Alias(_) => return Err("aliases are not supported".to_owned()),
            Event::Scalar(text, TScalarStyle::Plain, _, _) if matches!(text.as_str(), "" | "~" | "null") => Value::Null,
            Event::Scalar(text, ..) => Value::String(text),
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH_MAX => {
                return Err(format!("it is more than {DEPTH_MAX} levels deep"));
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Value::Array(items),
                Some(Open::Map(members, _)) => Value::Object(members),
                None => return Err("a collection ends that did not begin".to_owned()),
            },
        };
        match open.last_mut() {
            None => return Ok(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(members, key)) => match (key.take(), value) {
                (Some(key), value) => _ = members.insert(key, value),
                (None, Value::String(text)) => *key = Some(text),
                (None, _) => return Err("a key is no text".to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_app_spec_is_made_of_is_read() {
        let text = "version: 0.0 # a comment\nResources:\n  - Target:\n      Type: 'AWS::ECS::Service'\n      Ports: [1, \"2\"]\nHooks:\n";
        let expected = json!({
            "version": "0.0",
            "Resources": [{ "Target": { "Type": "AWS::ECS::Service", "Ports": ["1", "2"] } }],
            "Hooks": null,
        });
        assert_eq!(read(text), Ok(expected));
        assert_eq!(read(r#"{"a": [true, {}]}"#), Ok(json!({ "a": ["true", {}] })));
        assert_eq!(read(""), Ok(Value::Null));
    }

    #[test]
    fn what_would_cost_more_than_its_length_is_refused() {
        assert_eq!(read("a: &x [1]\nb: *x\n"), Err("aliases are not supported".to_owned()));
        assert_eq!(read(&"[".repeat(100)), Err("it is more than 32 levels deep".to_owned()));
        assert!(read("a: [1\nb").is_err());
        assert!(read("[a]: b").is_err());
    }
}
