//! Lifecycle policies: which images go after a time. Pure functions.
//!
//! All rules look at all images; then they are applied in the order of their priorities. An image that a rule selects by
//! its tags is out of reach of the rules after it, whether or not the first one marks it.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use base::{Scope, Timestamp};
use serde_json::{Map, Value};

use super::{Digest, Ecr, Reference};
use crate::matches_wildcard;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How many rules a policy has at most. AWS's limit.
const RULES_MAX: usize = 50;
const DESCRIPTION_LENGTH_MAX: usize = 256;
/// How many wildcards a pattern has at most. AWS's limit.
const WILDCARDS_MAX: usize = 4;
/// What every rule is tried against in AWS; a rule that is wrong in whatever way fails with this.
const NO_SCHEMA: &str = "instance failed to match exactly one schema (matched 0 out of 2)";

/// A policy that is in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecyclePolicy {
    /// The rules, by priority.
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    priority: i32,
    selection: Selection,
    count: Count,
    action: Action,
}

/// What becomes of the images that a rule marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// They are deleted.
    Expire,
    /// They are put into the archive. There is none here: such images stay as they are.
    Archive,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Selection {
    Untagged,
    Any,
    /// Images on which each prefix has a tag.
    Prefixes(Vec<String>),
    /// Images on which each pattern has a tag.
    Patterns(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    MoreThan(usize),
    SincePushed(Duration),
    SincePulled(Duration),
    /// Nothing was ever put into the archive.
    SinceArchived,
}

/// What a policy must know of an image.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The digest of its manifest.
    pub digest: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// When it was last pulled, if it ever was.
    pub pulled_at: Option<Timestamp>,
    /// Whether it goes only with another one: an index names it, or it is about another image
    /// that is there.
    pub is_bound: bool,
}

/// What a policy says of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The digest of its manifest.
    pub digest: String,
    /// The priority of the rule that marked it.
    pub priority: i32,
    /// What becomes of it.
    pub action: Action,
}

impl Ecr {
    /// Returns what a lifecycle policy must know of the images of a repository.
    pub fn lifecycle_candidates(&self, scope: &Scope, repository: &str) -> Vec<Candidate> {
        let is_here = |digest: &Digest| self.image(scope, repository, &Reference::Digest(*digest)).is_some();
        let candidate = |image: std::sync::Arc<super::Image>| Candidate {
            digest: image.digest.to_string(),
            tags: self.tags_of_image(scope, repository, &image.digest),
            pushed_at: image.pushed_at,
            pulled_at: image.last_pulled_at,
            is_bound: image.subject.is_some_and(|subject| is_here(&subject))
                || !self.indexes_of(scope, repository, &image.digest).is_empty(),
        };
        self.images_of(scope, repository, None).map(candidate).collect()
    }
}

impl LifecyclePolicy {
    /// Reads a policy; on failure says what is wrong, in the words of AWS's schema as far as they were seen.
    pub fn parse(text: &str) -> Result<Self, String> {
        // Text unverified.
        let document = serde_json::from_str::<Value>(text).map_err(|_| "invalid JSON".to_owned())?;
        let rules = match document {
            Value::Object(mut members) => {
                let rules = members.remove("rules").ok_or(r#"object has missing required properties (["rules"])"#)?;
                check_surplus(&members)?;
                rules
            }
            other => return Err(wrong_type(&other, "object")),
        };
        let rules = match rules {
            Value::Array(rules) => rules,
            other => return Err(wrong_type(&other, "array")),
        };
        if rules.is_empty() {
            return Err("array is too short: must have at least 1 elements but instance has 0 elements".to_owned());
        }
        if rules.len() > RULES_MAX {
            let length = rules.len();
            return Err(format!(
                "array is too long: must have at most {RULES_MAX} elements but instance has {length} elements"
            ));
        }
        let rules = rules.iter().map(|rule| Rule::parse(rule).ok_or_else(|| NO_SCHEMA.to_owned()));
        let mut rules = rules.collect::<Result<Vec<_>, _>>()?;
        rules.sort_by_key(|rule| rule.priority);
        check_together(&rules)?;
        Ok(Self { rules })
    }

    /// Marks images, the oldest first.
    pub fn evaluate(&self, images: &[Candidate], now: Timestamp) -> Vec<Verdict> {
        let mut youngest_first = images.iter().filter(|image| !image.is_bound).collect::<Vec<_>>();
        youngest_first.sort_by_key(|image| (Reverse(image.pushed_at), image.digest.as_str()));
        let mut claimed = BTreeSet::new();
        let mut marked = Vec::new();
        for rule in &self.rules {
            let selected = youngest_first.iter().copied().filter(|image| rule.selection.has(image)).collect::<Vec<_>>();
            for (place, image) in selected.iter().copied().enumerate() {
                if rule.count.is_exceeded(place, image, now) && !claimed.contains(image.digest.as_str()) {
                    marked.push((image.pushed_at, image, rule));
                }
            }
            claimed.extend(selected.iter().map(|image| image.digest.as_str()));
        }
        marked.sort_by_key(|(pushed_at, image, _)| (*pushed_at, image.digest.as_str()));
        let verdict = |(_, image, rule): (Timestamp, &Candidate, &Rule)| Verdict {
            digest: image.digest.clone(),
            priority: rule.priority,
            action: rule.action,
        };
        marked.into_iter().map(verdict).collect()
    }
}

impl Rule {
    fn parse(rule: &Value) -> Option<Self> {
        let rule = rule.as_object()?;
        let is_known = |name: &String| ["rulePriority", "description", "selection", "action"].contains(&name.as_str());
        let description = rule.get("description").map_or(Some(""), Value::as_str)?;
        if !rule.keys().all(is_known) || description.chars().count() > DESCRIPTION_LENGTH_MAX {
            return None;
        }
        let priority = rule.get("rulePriority")?.as_i64().and_then(|number| i32::try_from(number).ok());
        let priority = priority.filter(|priority| *priority >= 1)?;
        let action = rule.get("action")?.as_object()?;
        let action = match (action.get("type")?.as_str()?, action.get("targetStorageClass"), action.len()) {
            ("expire", None, 1) => Action::Expire,
            ("transition", Some(target), 2) if target == "archive" => Action::Archive,
            _ => return None,
        };
        let (selection, count) = select(rule.get("selection")?.as_object()?)?;
        Some(Self { priority, selection, count, action })
    }
}

fn select(selection: &Map<String, Value>) -> Option<(Selection, Count)> {
    const KNOWN: [&str; 7] =
        ["tagStatus", "tagPrefixList", "tagPatternList", "countType", "countUnit", "countNumber", "storageClass"];
    if !selection.keys().all(|name| KNOWN.contains(&name.as_str())) {
        return None;
    }
    let texts = |name: &str| -> Option<Option<Vec<String>>> {
        let Some(list) = selection.get(name) else { return Some(None) };
        let texts = list.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()?;
        let is_right = !texts.is_empty() && texts.iter().all(|text| !text.is_empty());
        is_right.then_some(Some(texts))
    };
    let select = match (selection.get("tagStatus")?.as_str()?, texts("tagPrefixList")?, texts("tagPatternList")?) {
        ("untagged", None, None) => Selection::Untagged,
        ("any", None, None) => Selection::Any,
        ("tagged", Some(prefixes), None) => Selection::Prefixes(prefixes),
        ("tagged", None, Some(patterns))
            if patterns.iter().all(|pattern| pattern.matches('*').count() <= WILDCARDS_MAX) =>
        {
            Selection::Patterns(patterns)
        }
        _ => return None,
    };
    let number = u32::try_from(selection.get("countNumber")?.as_i64()?).ok().filter(|number| *number >= 1)?;
    let unit = selection.get("countUnit").map_or(Some(None), |unit| unit.as_str().map(Some))?;
    let count = match (selection.get("countType")?.as_str()?, unit) {
        ("imageCountMoreThan", None) => Count::MoreThan(usize::try_from(number).ok()?),
        ("sinceImagePushed", Some("days")) => Count::SincePushed(DAY * number),
        ("sinceImagePulled", Some("days")) => Count::SincePulled(DAY * number),
        ("sinceImageTransitioned", Some("days")) => Count::SinceArchived,
        _ => return None,
    };
    Some((select, count))
}

impl Selection {
    fn has(&self, image: &Candidate) -> bool {
        match self {
            Self::Any => true,
            Self::Untagged => image.tags.is_empty(),
            Self::Prefixes(all) => all.iter().all(|prefix| image.tags.iter().any(|tag| tag.starts_with(prefix))),
            Self::Patterns(all) => {
                all.iter().all(|pattern| image.tags.iter().any(|tag| matches_wildcard(pattern, tag)))
            }
        }
    }
}

impl Count {
    /// Tells whether an image is too many or too old; `place` says how many younger ones are selected with it.
    fn is_exceeded(self, place: usize, image: &Candidate, now: Timestamp) -> bool {
        match self {
            Self::MoreThan(number) => place >= number,
            Self::SincePushed(age) => now.since(image.pushed_at) >= age,
            Self::SincePulled(age) => now.since(image.pulled_at.unwrap_or(image.pushed_at)) >= age,
            Self::SinceArchived => false,
        }
    }
}

/// Checks what rules may not be beside each other. (Texts unverified.)
fn check_together(rules: &[Rule]) -> Result<(), String> {
    if rules.windows(2).any(|pair| pair[0].priority == pair[1].priority) {
        return Err("All rules must have a unique rulePriority".to_owned());
    }
    let untagged = rules.iter().filter(|rule| rule.selection == Selection::Untagged && rule.action == Action::Expire);
    if untagged.count() > 1 {
        return Err("Only one rule can have tagStatus untagged".to_owned());
    }
    let is_any = |rule: &&Rule| rule.selection == Selection::Any && rule.action == Action::Expire;
    if rules.iter().rev().skip(1).any(|rule| is_any(&rule)) {
        return Err("The rule with tagStatus any must have the highest value for rulePriority".to_owned());
    }
    Ok(())
}

fn check_surplus(members: &Map<String, Value>) -> Result<(), String> {
    let names = members.keys().map(|name| format!("\"{name}\"")).collect::<Vec<_>>();
    if names.is_empty() {
        return Ok(());
    }
    Err(format!("object instance has properties which are not allowed by the schema: [{}]", names.join(",")))
}

fn wrong_type(value: &Value, wanted: &str) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("instance type ({found}) does not match any allowed primitive type (allowed: [\"{wanted}\"])")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(number: u32) -> Timestamp {
        Timestamp::from_millis(0).plus(DAY * number)
    }

    /// Images are written `digest@day:tag,tag`; `!` after the digest binds one to another.
    fn images(text: &str) -> Vec<Candidate> {
        let image = |text: &str| {
            let (digest, rest) = text.split_once('@').unwrap();
            let (day, tags) = rest.split_once(':').unwrap_or((rest, ""));
            Candidate {
                digest: digest.trim_end_matches('!').to_owned(),
                tags: tags.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
                pushed_at: days(day.parse().unwrap()),
                pulled_at: None,
                is_bound: digest.ends_with('!'),
            }
        };
        text.split_whitespace().map(image).collect()
    }

    /// Rules are written `tagStatus list countType number`.
    fn policy(rules: &[&str]) -> String {
        let rule = |(index, text): (usize, &&str)| {
            let words = text.split(' ').collect::<Vec<_>>();
            let list = match words[1] {
                "-" => String::new(),
                list => {
                    let name = if list.contains('*') { "tagPatternList" } else { "tagPrefixList" };
                    format!(r#""{name}":["{}"],"#, list.replace(',', r#"",""#))
                }
            };
            let (kind, unit) = match words[2] {
                "more" => ("imageCountMoreThan", ""),
                "pushed" => ("sinceImagePushed", r#""countUnit":"days","#),
                "pulled" => ("sinceImagePulled", r#""countUnit":"days","#),
                other => panic!("{other}"),
            };
            format!(
                r#"{{"rulePriority":{},"selection":{{"tagStatus":"{}",{list}"countType":"{kind}",{unit}"countNumber":{}}},
                    "action":{{"type":"expire"}}}}"#,
                index + 1,
                words[0],
                words[3]
            )
        };
        let rules = rules.iter().enumerate().map(rule).collect::<Vec<_>>();
        format!(r#"{{"rules":[{}]}}"#, rules.join(","))
    }

    #[track_caller]
    fn check(rules: &[&str], now: u32, text: &str, expected: &str) {
        let policy = LifecyclePolicy::parse(&policy(rules)).unwrap();
        let marked = policy.evaluate(&images(text), days(now));
        let marked = marked.iter().map(|verdict| format!("{}:{}", verdict.digest, verdict.priority));
        assert_eq!(marked.collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn images_are_marked_by_age_and_by_number_the_oldest_first() {
        check(&["untagged - pushed 14"], 20, "a@5 b@6 c@7 d@1:x", "a:1 b:1");
        check(&["any - more 1"], 20, "a@5 b@7:x c@6", "a:1 c:1");
        check(&["tagged prod more 1"], 20, "a@1:prod1 b@2:prod2 c@3:beta d@0", "a:1");
        check(&["tagged prod-*-x pushed 1"], 20, "a@1:prod-1-x b@2:prod-1 c@20:prod-2-x", "a:1");
        check(&["any - pulled 3"], 20, "a@1 b@18", "a:1");
        check(&["any - more 5"], 20, "a@1 b@18", "");
    }

    #[test]
    fn an_image_must_have_a_tag_for_each_item_of_the_list() {
        check(&["tagged alpha,beta pushed 5"], 20, "a@1:alpha1,beta1 b@1:alpha2 c@1:beta2", "a:1");
        check(&["tagged *alpha,beta* pushed 5"], 20, "a@1:1alpha,beta1 b@1:2alpha", "a:1");
    }

    #[test]
    fn what_a_rule_selects_is_out_of_reach_of_the_rules_after_it() {
        // The examples of AWS's guide for more than one rule.
        let both = ["tagged prod more 1", "tagged beta more 1"];
        check(&both, 20, "A@10:beta-1,prod-1 B@11:beta-2,prod-2 C@12:beta-3", "A:1");
        check(&both, 20, "A@10:beta-1,prod-1 B@11:beta-2 C@12:beta-3", "B:2");
        check(&["tagged prod pushed 5", "any - more 1"], 20, "a@19:prod b@18 c@17", "c:2 b:2");
    }

    #[test]
    fn what_goes_only_with_another_image_is_not_marked_or_counted() {
        check(&["any - more 1"], 20, "index@5:v1 child!@5 other@4", "other:1");
    }

    #[test]
    fn rules_that_cannot_be_are_refused() {
        let with = |from: &str, to: &str| {
            let valid = policy(&["tagged prod more 1"]);
            assert!(valid.contains(from), "{from}");
            valid.replace(from, to)
        };
        for wrong in [
            with("\"tagged\"", "\"untagged\""),
            with("\"tagged\"", "\"x\""),
            with(r#"["prod"]"#, "[]"),
            with(r#"["prod"]"#, "[1]"),
            with(r#""tagPrefixList":["prod"],"#, ""),
            with("\"countNumber\":1", "\"countNumber\":0"),
            with("\"countNumber\":1", "\"countNumber\":1.5"),
            with("\"countNumber\":1", "\"countNumber\":1,\"countUnit\":\"days\""),
            with("\"countNumber\":1", "\"countNumber\":1,\"x\":1"),
            with("imageCountMoreThan", "sinceImagePushed"),
            with("\"expire\"", "\"delete\""),
            with("\"expire\"", "\"expire\",\"targetStorageClass\":null"),
            with("\"expire\"", "\"transition\""),
            with("\"rulePriority\":1", "\"rulePriority\":0"),
            with("\"rulePriority\":1,", ""),
            with("\"rulePriority\":1", "\"rulePriority\":1,\"x\":2"),
            with("\"rulePriority\":1", &format!("\"rulePriority\":1,\"description\":\"{}\"", "x".repeat(257))),
            with(r#""tagPrefixList":["prod"]"#, r#""tagPatternList":["*a*b*c*d*"]"#),
            r#"{"rules":[1]}"#.to_owned(),
        ] {
            assert_eq!(LifecyclePolicy::parse(&wrong).unwrap_err(), NO_SCHEMA, "{wrong}");
        }
        let archive = with("\"expire\"", "\"transition\",\"targetStorageClass\":\"archive\"");
        assert_eq!(LifecyclePolicy::parse(&archive).unwrap().rules[0].action, Action::Archive);
    }

    #[test]
    fn documents_that_are_no_policy_are_refused() {
        for (text, error) in [
            ("{", "invalid JSON"),
            ("[]", "instance type (array) does not match any allowed primitive type (allowed: [\"object\"])"),
            ("{}", "object has missing required properties ([\"rules\"])"),
            (r#"{"rules":[],"x":1}"#, "object instance has properties which are not allowed by the schema: [\"x\"]"),
            (
                r#"{"rules":1}"#,
                "instance type (integer) does not match any allowed primitive type (allowed: [\"array\"])",
            ),
            (r#"{"rules":[]}"#, "array is too short: must have at least 1 elements but instance has 0 elements"),
        ] {
            assert_eq!(LifecyclePolicy::parse(text).unwrap_err(), error, "{text}");
        }
        for (rules, error) in [
            (&["untagged - more 1", "untagged - more 2"][..], "Only one rule can have tagStatus untagged"),
            (
                &["any - more 1", "untagged - more 2"],
                "The rule with tagStatus any must have the highest value for rulePriority",
            ),
        ] {
            assert_eq!(LifecyclePolicy::parse(&policy(rules)).unwrap_err(), error);
        }
        let twice = policy(&["tagged a more 1", "tagged b more 1"]).replace("\"rulePriority\":2", "\"rulePriority\":1");
        assert_eq!(LifecyclePolicy::parse(&twice).unwrap_err(), "All rules must have a unique rulePriority");
        assert!(
            LifecyclePolicy::parse(&policy(&vec!["tagged a more 1"; 51])).unwrap_err().starts_with("array is too long")
        );
    }
}
