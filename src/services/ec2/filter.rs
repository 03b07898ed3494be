//! Filters: `Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-*`. All filters must match, each with one of its values.

use api::ec2 as api;

use crate::{Result, error};

/// How many values one filter may have.
const VALUES_MAX: usize = 200;

/// What filters can ask of a resource, in the form that responses show it.
pub(crate) trait Filtered: Sized + 'static {
    /// The names of filters, and the values that they look at.
    const FIELDS: &'static [Field<Self>];

    /// Returns the tags; none for what cannot have any.
    fn tags(&self) -> Option<&[api::Tag]>;

    /// Tells whether `tag:…` is a filter here.
    const HAS_TAGS: bool = true;
}

/// The names of a filter, and what it looks at.
pub(crate) struct Field<T>(pub(crate) &'static [&'static str], pub(crate) fn(&T) -> Vec<String>);

/// The filters of a request.
pub(crate) struct Filters<T: 'static>(Vec<Filter<T>>);

struct Filter<T: 'static> {
    subject: Subject<T>,
    patterns: Vec<String>,
}

enum Subject<T: 'static> {
    Field(fn(&T) -> Vec<String>),
    Tag(String),
    TagKey,
}

impl<T: Filtered> Filters<T> {
    /// Reads the filters of a request and refuses those that the resource does not have.
    pub(crate) fn parse(filters: Option<Vec<api::Filter>>) -> Result<Self> {
        filters.unwrap_or_default().into_iter().map(Filter::parse).collect::<Result<_>>().map(Self)
    }

    /// Tells whether a resource passes.
    pub(crate) fn pass(&self, resource: &T) -> bool {
        self.0.iter().all(|filter| filter.passes(resource))
    }
}

impl<T: Filtered> Filter<T> {
    fn parse(filter: api::Filter) -> Result<Self> {
        let name = filter.name.unwrap_or_else(|| "null".to_owned());
        let field = T::FIELDS.iter().find(|Field(names, _)| names.contains(&name.as_str()));
        let subject = match (field, name.strip_prefix("tag:")) {
            (Some(Field(_, values)), _) => Subject::Field(*values),
            (None, Some(key)) if T::HAS_TAGS => Subject::Tag(key.to_owned()),
            (None, None) if T::HAS_TAGS && name == "tag-key" => Subject::TagKey,
            (None, _) => return Err(error("InvalidParameterValue", format!("The filter '{name}' is invalid"))),
        };
        let patterns = filter.values.unwrap_or_default();
        if patterns.is_empty() {
            // Text unverified.
            return Err(error("InvalidParameterValue", format!("The filter '{name}' has no values")));
        }
        if patterns.len() > VALUES_MAX {
            // Text unverified.
            let message = format!("The maximum number of filter values specified on a single call is {VALUES_MAX}");
            return Err(error("FilterLimitExceeded", message));
        }
        Ok(Self { subject, patterns })
    }

    fn passes(&self, resource: &T) -> bool {
        let tags = || resource.tags().unwrap_or_default().iter();
        let values = match &self.subject {
            Subject::Field(values) => values(resource),
            Subject::Tag(key) => {
                tags().filter(|tag| tag.key.as_ref() == Some(key)).filter_map(|tag| tag.value.clone()).collect()
            }
            Subject::TagKey => tags().filter_map(|tag| tag.key.clone()).collect(),
        };
        values.iter().any(|value| self.patterns.iter().any(|pattern| is_like(pattern, value)))
    }
}

/// Returns the value of a member, as filters look at it.
pub(crate) fn text(member: &Option<String>) -> Vec<String> {
    member.iter().cloned().collect()
}

/// Returns a member that is not text, as filters look at it.
pub(crate) fn shown<T: ToString>(member: &Option<T>) -> Vec<String> {
    member.iter().map(ToString::to_string).collect()
}

/// Collects what each item of a list has.
pub(crate) fn each<T>(list: &Option<Vec<T>>, values: impl Fn(&T) -> Vec<String>) -> Vec<String> {
    list.iter().flatten().flat_map(values).collect()
}

/// Tells whether a text is like a pattern: `*` stands for any characters, `?` for one, and a backslash takes that away.
/// A mismatch goes back to the last asterisk alone, so the cost is bound by the product of the lengths.
fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (parts(pattern), text.chars().collect::<Vec<_>>());
    let (mut at, mut place) = (0, 0);
    let mut last_any = None;
    while place < text.len() {
        let is_match = match pattern.get(at) {
            Some(Part::Any) => {
                last_any = Some((at, place));
                at += 1;
                continue;
            }
            Some(Part::One) => true,
            Some(Part::Char(c)) => *c == text[place],
            None => false,
        };
        if is_match {
            (at, place) = (at + 1, place + 1);
        } else if let Some((any, from)) = last_any {
            last_any = Some((any, from + 1));
            (at, place) = (any + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|part| matches!(part, Part::Any))
}

#[derive(Clone, Copy)]
enum Part {
    Any,
    One,
    Char(char),
}

fn parts(pattern: &str) -> Vec<Part> {
    let mut chars = pattern.chars();
    let mut parts = Vec::with_capacity(pattern.len());
    while let Some(c) = chars.next() {
        parts.push(match c {
            '*' => Part::Any,
            '?' => Part::One,
            '\\' => Part::Char(chars.next().unwrap_or('\\')),
            c => Part::Char(c),
        });
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fails;

    /// The name of a filter and its values.
    type Wanted<'a> = (&'a str, &'a [&'a str]);

    fn filters(filters: &[Wanted<'_>]) -> Result<Filters<api::Vpc>> {
        let filter = |(name, values): &Wanted<'_>| api::Filter {
            name: Some((*name).to_owned()),
            values: Some(values.iter().map(|&value| value.to_owned()).collect()),
        };
        Filters::parse(Some(filters.iter().map(filter).collect()))
    }

    fn vpc() -> api::Vpc {
        let tag = |key: &str, value: &str| api::Tag { key: Some(key.to_owned()), value: Some(value.to_owned()) };
        api::Vpc {
            vpc_id: Some("vpc-1".to_owned()),
            is_default: Some(true),
            tags: Some(vec![tag("Name", "main one"), tag("env:x", "")]),
            ..Default::default()
        }
    }

    #[test]
    fn every_filter_must_pass_with_one_of_its_values() {
        let cases: [(&[Wanted<'_>], bool); 9] = [
            (&[], true),
            (&[("vpc-id", &["vpc-1"])], true),
            (&[("vpc-id", &["vpc-2", "vpc-1"])], true),
            (&[("vpc-id", &["vpc-2"])], false),
            (&[("vpc-id", &["vpc-*"]), ("is-default", &["true"])], true),
            (&[("vpc-id", &["vpc-?"]), ("isDefault", &["false"])], false),
            (&[("tag:Name", &["main*"]), ("tag-key", &["env:x"])], true),
            (&[("tag:env:x", &[""])], true),
            (&[("tag:name", &["*"])], false),
        ];
        for (wanted, passes) in cases {
            assert_eq!(filters(wanted).unwrap().pass(&vpc()), passes, "{wanted:?}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        let code = "InvalidParameterValue";
        fails(filters(&[("vpc_id", &["x"])]).map(|_| ()), code, "The filter 'vpc_id' is invalid");
        fails(filters(&[("VPC-ID", &["x"])]).map(|_| ()), code, "The filter 'VPC-ID' is invalid");
        fails(filters(&[("vpc-id", &[])]).map(|_| ()), code, "The filter 'vpc-id' has no values");
        let nameless = Filters::<api::Vpc>::parse(Some(vec![api::Filter::default()]));
        fails(nameless.map(|_| ()), code, "The filter 'null' is invalid");
        let many = filters(&[("vpc-id", &["x"; 201])]);
        let message = "The maximum number of filter values specified on a single call is 200";
        fails(many.map(|_| ()), "FilterLimitExceeded", message);
    }

    #[test]
    fn asterisk_and_question_mark_stand_for_characters() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("*a*a*", "banana", true),
            ("*ab", "aab", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "é", true),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            (r"a\?\\", r"a?\", true),
            ("us-east-1?", "us-east-1a", true),
            ("A", "a", false),
        ] {
            assert_eq!(is_like(pattern, text), expected, "{pattern} {text}");
        }
        assert!(!is_like(&"*a".repeat(100), &"a".repeat(99)));
    }
}
