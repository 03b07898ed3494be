//! How a line becomes an event: pure functions.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

/// How a line is put into an event: `splunk-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As text beside where it comes from.
    #[default]
    Inline,
    /// As the JSON that it is beside where it comes from; as text if it is none.
    Json,
    /// As text behind where it comes from.
    Raw,
}

/// What every event of a container bears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// The machine.
    pub host: String,
    /// `splunk-source`.
    pub source: Option<String>,
    /// `splunk-sourcetype`.
    pub source_type: Option<String>,
    /// `splunk-index`.
    pub index: Option<String>,
    /// What the container is told by.
    pub tag: String,
    /// Labels and variables of the container.
    pub attributes: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Event<'a> {
    event: Content<'a>,
    time: String,
    host: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(rename = "sourcetype", skip_serializing_if = "Option::is_none")]
    source_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(String),
    Line {
        line: Line<'a>,
        source: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        tag: &'a str,
        #[serde(rename = "attrs", skip_serializing_if = "BTreeMap::is_empty")]
        attributes: &'a BTreeMap<String, String>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Text(&'a str),
    Json(&'a RawValue),
}

/// Adds the event of a line to a batch. `time_ms` is in milliseconds since 1970, and `source` the stream. Splunk refuses an
/// event without text, so that such lines are left out of the raw format.
pub fn event(batch: &mut Vec<u8>, format: Format, labels: &Labels, time_ms: i64, source: &str, line: &str) {
    let beside = |line| Content::Line { line, source, tag: &labels.tag, attributes: &labels.attributes };
    let content = match format {
        Format::Raw if line.trim().is_empty() => return,
        Format::Raw => Content::Text(raw(labels, line)),
        Format::Inline => beside(Line::Text(line)),
        Format::Json => beside(serde_json::from_str(line).map_or(Line::Text(line), Line::Json)),
    };
    let event = Event {
        event: content,
        time: format!("{}.{:03}000", time_ms.div_euclid(1000), time_ms.rem_euclid(1000)),
        host: &labels.host,
        source: labels.source.as_deref(),
        source_type: labels.source_type.as_deref(),
        index: labels.index.as_deref(),
    };
    serde_json::to_writer(batch, &event).expect("it has text for names, and memory takes what is written");
}

/// Puts tag and attributes before a line.
fn raw(labels: &Labels, line: &str) -> String {
    let attributes = labels.attributes.iter().map(|(name, value)| format!("{name}={value}"));
    let tag = Some(labels.tag.clone()).filter(|tag| !tag.is_empty());
    tag.into_iter().chain(attributes).chain([line.to_owned()]).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        Labels { host: "h".to_owned(), tag: "t".to_owned(), ..Labels::default() }
    }

    fn of(format: Format, labels: &Labels, line: &str) -> String {
        let mut batch = Vec::new();
        event(&mut batch, format, labels, 1_700_000_000_042, "stdout", line);
        String::from_utf8(batch).unwrap()
    }

    #[test]
    fn a_line_becomes_what_its_format_says() {
        let end = r#","time":"1700000000.042000","host":"h"}"#;
        let cases = [
            (Format::Inline, r#"say "hi""#, r#"{"event":{"line":"say \"hi\"","source":"stdout","tag":"t"}"#),
            (Format::Inline, "", r#"{"event":{"line":"","source":"stdout","tag":"t"}"#),
            (Format::Json, r#"{"b":1, "a":[2]}"#, r#"{"event":{"line":{"b":1, "a":[2]},"source":"stdout","tag":"t"}"#),
            (Format::Json, "no json", r#"{"event":{"line":"no json","source":"stdout","tag":"t"}"#),
            (Format::Json, "{} {}", r#"{"event":{"line":"{} {}","source":"stdout","tag":"t"}"#),
            (Format::Raw, "some text", r#"{"event":"t some text""#),
        ];
        for (format, line, expected) in cases {
            assert_eq!(of(format, &labels(), line), format!("{expected}{end}"), "{format:?} {line}");
        }
        assert_eq!(of(Format::Raw, &labels(), " \t"), "");
    }

    #[test]
    fn labels_are_there_if_they_were_given() {
        let labels = Labels {
            source: Some("s".to_owned()),
            source_type: Some("st".to_owned()),
            index: Some("i".to_owned()),
            tag: String::new(),
            attributes: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            ..labels()
        };
        let end = r#","time":"1700000000.042000","host":"h","source":"s","sourcetype":"st","index":"i"}"#;
        assert_eq!(
            of(Format::Inline, &labels, "x"),
            format!(r#"{{"event":{{"line":"x","source":"stdout","attrs":{{"k":"v"}}}}{end}"#)
        );
        assert_eq!(of(Format::Raw, &labels, "x"), format!(r#"{{"event":"k=v x"{end}"#));
    }

    #[test]
    fn events_of_a_batch_follow_one_another() {
        let mut batch = Vec::new();
        for line in ["one", "two"] {
            event(&mut batch, Format::Raw, &labels(), -1, "stderr", line);
        }
        let text = String::from_utf8(batch).unwrap();
        assert_eq!(
            text,
            r#"{"event":"t one","time":"-1.999000","host":"h"}{"event":"t two","time":"-1.999000","host":"h"}"#
        );
    }
}
