//! Reads the forms of the query and EC2 protocols: `Filter.1.Value.2=x` is the second value of the first filter.

use std::borrow::Cow;

use aws_smithy_types::date_time::Format;
use aws_smithy_types::{Blob, DateTime, Document};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode;

use crate::{DecodeError, Reader, Schema, Shape};

/// Longer forms are refused.
const PARAMETERS_MAX: usize = 10_000;
/// Names that nest deeper are refused.
const DEPTH_MAX: usize = 64;

/// How lists are written in a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `Name.member.1`, unless the model flattens the list.
    Query,
    /// `Name.1`, always.
    Ec2,
}

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads a form.
#[derive(Debug)]
pub struct FormReader {
    dialect: Dialect,
    /// Sorted by name, so that everything below a name lies together.
    parameters: Vec<(String, String)>,
    /// The name of the value that is being read.
    path: String,
    frames: Vec<Frame>,
}

/// Where the reader stands in a structure, list or map.
#[derive(Debug)]
struct Frame {
    /// How much of the path belongs to the collection itself.
    prefix: usize,
    /// The next member's index, or the position in `numbers`.
    at: usize,
    /// The numbers of a list's items or a map's entries that the form has.
    numbers: Vec<u32>,
    key_name: &'static str,
    value_name: &'static str,
}

/// Splits `a=b&c=d` and decodes its parts.
pub fn parameters(form: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['+', '%']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned())
}

impl FormReader {
    /// Reads the parameters of a URI's query and of a body.
    pub fn new(dialect: Dialect, query: &str, body: &[u8]) -> Result<Self> {
        let body = std::str::from_utf8(body).map_err(|_| DecodeError::new("the body is not UTF-8"))?;
        let all = parameters(query).chain(parameters(body.trim_ascii()));
        let all = all.take(PARAMETERS_MAX + 1).map(|(name, value)| (name.into_owned(), value.into_owned()));
        let mut parameters = all.collect::<Vec<_>>();
        if parameters.len() > PARAMETERS_MAX {
            return Err(DecodeError::new(format!("the form has more than {PARAMETERS_MAX} parameters")));
        }
        parameters.sort();
        Ok(Self { dialect, parameters, path: String::new(), frames: Vec::new() })
    }

    /// Returns the parameter of exactly this name; the last one where there are several.
    fn exact(&self, name: &str) -> Option<&str> {
        let end = self.parameters.partition_point(|(known, _)| known.as_str() <= name);
        let (known, value) = self.parameters.get(end.checked_sub(1)?)?;
        (known == name).then_some(value)
    }

    /// Returns the parameters that begin with a prefix.
    fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let start = self.parameters.partition_point(|(known, _)| known.as_str() < prefix);
        let names = self.parameters[start..].iter().map(|(name, _)| name.as_str());
        names.map_while(move |name| name.strip_prefix(prefix))
    }

    fn has(&mut self) -> bool {
        if self.exact(&self.path).is_some() {
            return true;
        }
        self.path.push('.');
        let is_found = self.below(&self.path).next().is_some();
        self.path.pop();
        is_found
    }

    fn push(&mut self, part: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(part);
    }

    fn enter(&mut self, numbers: Vec<u32>, shape: &'static Shape) -> Result<()> {
        if self.frames.len() == DEPTH_MAX {
            return Err(DecodeError::new(format!("the form is nested deeper than {DEPTH_MAX} levels")));
        }
        let (key_name, value_name) = (shape.key_name, shape.value_name);
        self.frames.push(Frame { prefix: self.path.len(), at: 0, numbers, key_name, value_name });
        Ok(())
    }

    fn leave(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.path.truncate(frame.prefix);
        }
    }

    /// Returns the numbers directly below the path, in ascending order.
    fn numbers(&mut self) -> Vec<u32> {
        self.path.push('.');
        let first = |name: &str| name.split('.').next().and_then(|number| number.parse().ok());
        let mut numbers = self.below(&self.path).filter_map(first).collect::<Vec<u32>>();
        self.path.pop();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Moves to the next number of the innermost list or map; the path then ends in it.
    fn next_number(&mut self) -> bool {
        let Some(frame) = self.frames.last_mut() else { return false };
        self.path.truncate(frame.prefix);
        let Some(number) = frame.numbers.get(frame.at) else {
            self.leave();
            return false;
        };
        frame.at += 1;
        let number = number.to_string();
        self.push(&number);
        true
    }

    fn value(&self, wanted: &'static str) -> Result<&str> {
        self.exact(&self.path).ok_or_else(|| DecodeError::wrong_type("a structure", wanted))
    }

    fn not_a(&self, value: &str, wanted: &'static str) -> DecodeError {
        DecodeError::new(format!("Value ({value}) for parameter {} is invalid. Expected: {wanted}.", self.path))
    }
}

impl Reader for FormReader {
    fn boolean(&mut self) -> Result<bool> {
        match self.value("Boolean")? {
            value if value.eq_ignore_ascii_case("true") || value == "1" => Ok(true),
            value if value.eq_ignore_ascii_case("false") || value == "0" => Ok(false),
            value => Err(self.not_a(value, "Boolean")),
        }
    }

    fn integer(&mut self, min: i64, max: i64, kind: &'static str) -> Result<i64> {
        let value = self.value(kind)?;
        let number = value.trim().parse::<i64>().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| self.not_a(value, kind))
    }

    fn double(&mut self) -> Result<f64> {
        let value = self.value("Double")?;
        value.trim().parse().map_err(|_| self.not_a(value, "Double"))
    }

    fn text(&mut self) -> Result<Cow<'_, str>> {
        self.value("String").map(Cow::Borrowed)
    }

    fn blob(&mut self) -> Result<Blob> {
        let value = self.value("Blob")?;
        STANDARD.decode(value).map(Blob::new).map_err(|_| self.not_a(value, "Blob"))
    }

    fn timestamp(&mut self, _shape: &'static Shape) -> Result<DateTime> {
        let value = self.value("Timestamp")?;
        let formats = [Format::DateTimeWithOffset, Format::EpochSeconds, Format::HttpDate];
        let at = formats.into_iter().find_map(|format| DateTime::from_str(value, format).ok());
        at.ok_or_else(|| self.not_a(value, "Timestamp"))
    }

    fn document(&mut self) -> Result<Document> {
        self.value("Document").map(|value| Document::String(value.to_owned()))
    }

    fn start_structure(&mut self) -> Result<()> {
        self.enter(Vec::new(), &Shape::PLAIN)
    }

    fn next_member(&mut self, schema: &'static Schema, _expected: usize) -> Result<Option<usize>> {
        let Some(frame) = self.frames.last() else { return Ok(None) };
        let (prefix, from) = (frame.prefix, frame.at);
        for (index, member) in schema.members.iter().enumerate().skip(from) {
            self.path.truncate(prefix);
            self.push(member.query);
            if self.has() {
                if let Some(frame) = self.frames.last_mut() {
                    frame.at = index + 1;
                }
                return Ok(Some(index));
            }
        }
        self.leave();
        Ok(None)
    }

    fn start_list(&mut self, shape: &'static Shape) -> Result<()> {
        if self.dialect == Dialect::Query && !shape.is_flattened {
            self.push(shape.item_name);
        }
        let numbers = self.numbers();
        self.enter(numbers, shape)
    }

    fn next_item(&mut self) -> Result<bool> {
        Ok(self.next_number())
    }

    fn start_map(&mut self, shape: &'static Shape) -> Result<()> {
        if !shape.is_flattened {
            self.push("entry");
        }
        let numbers = self.numbers();
        self.enter(numbers, shape)
    }

    fn next_key(&mut self) -> Result<Option<String>> {
        if !self.next_number() {
            return Ok(None);
        }
        let (key_name, value_name) =
            self.frames.last().map_or(("key", "value"), |frame| (frame.key_name, frame.value_name));
        let entry = self.path.len();
        self.push(key_name);
        let key = self.value("String")?.to_owned();
        self.path.truncate(entry);
        self.push(value_name);
        Ok(Some(key))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Empty, Member};

    static FLAT: Shape = Shape::PLAIN.flattened();
    static NAMED: Shape = Shape::PLAIN.item_name("Name");

    crate::structure! {
        Filter {
            0 name: String = Member::new("name").query("Name");
            1 values: Vec<String> = Member::new("Value");
        }
    }
    crate::structure! {
        Form {
            0 filters: Vec<Filter> = Member::new("Filter");
            1 dry_run: bool = Member::new("dryRun").query("DryRun");
            2 count: i32 = Member::new("Count");
            3 flat: Vec<String> = Member::new("Flat").shape(&FLAT);
            4 named: Vec<String> = Member::new("Named").shape(&NAMED);
            5 tags: BTreeMap<String, String> = Member::new("Tags");
            6 at: DateTime = Member::new("At");
            7 inner: Box<Form> = Member::new("Inner");
        }
    }

    fn read(dialect: Dialect, body: &str) -> Result<Form> {
        let mut form = Form::empty();
        crate::value::fill_structure(&mut form, &mut FormReader::new(dialect, "", body.as_bytes())?)?;
        Ok(form)
    }

    #[test]
    fn ec2_lists_are_flat_and_sorted_by_number() {
        let body = "Action=X&Filter.10.Name=ten&Filter.2.Name=vpc-id&Filter.2.Value.2=b&Filter.2.Value.1=a%20%2Bx+y&DryRun=true&Filter-z=1";
        let form = read(Dialect::Ec2, body).unwrap();
        let filters = form.filters.unwrap();
        assert_eq!(filters[0].name.as_deref(), Some("vpc-id"));
        assert_eq!(filters[0].values.as_deref().unwrap(), ["a +x y", "b"]);
        assert_eq!(filters[1], Filter { name: Some("ten".to_owned()), values: None });
        assert_eq!(form.dry_run, Some(true));
        assert_eq!(form.inner, None);
    }

    #[test]
    fn query_lists_nest_unless_flattened() {
        let body = "Filter.member.1.Name=n&Flat.1=a&Flat.2=b&Named.Name.1=x&Tags.entry.1.key=k&Tags.entry.1.value=v&Count=-3&At=2026-11-20T10:00:00.5Z&Inner.Count=1";
        let form = read(Dialect::Query, body).unwrap();
        assert_eq!(form.filters.unwrap()[0].name.as_deref(), Some("n"));
        assert_eq!(form.flat.unwrap(), ["a", "b"]);
        assert_eq!(form.named.unwrap(), ["x"]);
        assert_eq!(form.tags.unwrap()["k"], "v");
        assert_eq!((form.count, form.at.unwrap().to_millis().unwrap() % 1000), (Some(-3), 500));
        assert_eq!(form.inner.unwrap().count, Some(1));
    }

    #[test]
    fn an_empty_parameter_is_an_empty_list() {
        assert_eq!(read(Dialect::Query, "Flat=&Filter=").unwrap().flat, Some(vec![]));
    }

    #[test]
    fn a_wrong_type_names_the_parameter() {
        let error = |body| read(Dialect::Ec2, body).unwrap_err().to_string();
        assert_eq!(error("Count=x"), "Value (x) for parameter Count is invalid. Expected: Integer. at 'Count'");
        assert_eq!(
            error("DryRun=maybe"),
            "Value (maybe) for parameter DryRun is invalid. Expected: Boolean. at 'dryRun'"
        );
        assert_eq!(error("Count.1=2"), "a structure can not be converted to an Integer at 'Count'");
        assert_eq!(error("At=soon"), "Value (soon) for parameter At is invalid. Expected: Timestamp. at 'At'");
    }

    #[test]
    fn forms_are_bounded() {
        assert!(read(Dialect::Ec2, &format!("{}Count=1", "Inner.".repeat(10_000))).is_err());
        assert!(read(Dialect::Ec2, &"a=1&".repeat(PARAMETERS_MAX + 1)).is_err());
    }

    #[test]
    fn damaged_forms_never_panic() {
        let body = "Filter.1.Name=%zz%e2&Filter.999999999999.Name=a&Filter..=&=&&%&Flat.0=a&.Count=1&Inner.=&Tags.entry.1.value=x";
        for end in 0..body.len() {
            let _ = read(Dialect::Ec2, &body[..end]);
            let _ = read(Dialect::Query, &body[end..]);
        }
    }
}
