//! Writes shapes as XML, as the query and EC2 protocols answer.

use std::borrow::Cow;

use aws_smithy_types::date_time::Format;
use aws_smithy_types::{DateTime, Document};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::schema::TimestampFormat;
use crate::{Member, Shape, Writer};

/// Writes an XML text.
#[derive(Debug)]
pub struct XmlWriter {
    out: String,
    /// The name of the next element.
    name: Cow<'static, str>,
    /// The namespace of the next element; empty for none.
    namespace: String,
    open: Vec<Frame>,
}

#[derive(Debug)]
struct Frame {
    /// The element that the collection has opened; none for flattened ones.
    element: Option<Cow<'static, str>>,
    /// The name of each item or entry.
    item: Cow<'static, str>,
    key_name: &'static str,
    value_name: &'static str,
    /// Whether a map's entry is open.
    has_open_entry: bool,
}

impl XmlWriter {
    /// Starts a document with its declaration.
    pub fn new() -> Self {
        let mut out = String::with_capacity(512);
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        Self { out, name: Cow::Borrowed(""), namespace: String::new(), open: Vec::new() }
    }

    /// Opens an element; `namespace` may be empty.
    pub fn open(&mut self, name: &str, namespace: &str) {
        self.out.push('<');
        self.out.push_str(name);
        if !namespace.is_empty() {
            self.out.push_str(" xmlns=\"");
            self.out.push_str(&escaped(namespace));
            self.out.push('"');
        }
        self.out.push('>');
    }

    /// Names the next value that is written, which is then the root of the document.
    pub fn root(&mut self, name: &'static str, namespace: &str) {
        self.name = Cow::Borrowed(name);
        namespace.clone_into(&mut self.namespace);
    }

    /// Gives the next element a namespace.
    pub fn namespace(&mut self, namespace: &str) {
        namespace.clone_into(&mut self.namespace);
    }

    /// Opens an element with the namespace that is due.
    fn start_element(&mut self, name: &str) {
        let namespace = std::mem::take(&mut self.namespace);
        self.open(name, &namespace);
    }

    /// Closes an element.
    pub fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// Writes an element that holds a text.
    pub fn element(&mut self, name: &str, text: &str) {
        self.open(name, "");
        self.out.push_str(&escaped(text));
        self.close(name);
    }

    /// Returns the text.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out.into_bytes()
    }

    /// Writes a value whose text needs no escapes.
    fn plain(&mut self, text: &str) {
        let name = std::mem::take(&mut self.name);
        self.start_element(&name);
        self.out.push_str(text);
        self.close(&name);
        self.name = name;
    }

    fn start(&mut self, element: Option<Cow<'static, str>>, item: Cow<'static, str>, shape: &'static Shape) {
        if let Some(element) = &element {
            self.start_element(element);
        }
        let (key_name, value_name) = (shape.key_name, shape.value_name);
        self.open.push(Frame { element, item, key_name, value_name, has_open_entry: false });
    }

    fn end(&mut self) {
        let Some(frame) = self.open.pop() else { return };
        if frame.has_open_entry {
            self.close(&frame.item);
        }
        if let Some(element) = frame.element {
            self.close(&element);
        }
    }
}

impl Default for XmlWriter {
    fn default() -> Self {
        Self::new()
    }
}

/// Escapes a text; characters that XML cannot hold become U+FFFD, and carriage returns survive the parser.
fn escaped(text: &str) -> Cow<'_, str> {
    let escaped = quick_xml::escape::escape(text);
    if !escaped.contains(|c: char| c < ' ' && c != '\t' && c != '\n' || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        return escaped;
    }
    let mut clean = String::with_capacity(escaped.len() + 8);
    for c in escaped.chars() {
        match c {
            '\r' => clean.push_str("&#13;"),
            '\t' | '\n' => clean.push(c),
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => clean.push(char::REPLACEMENT_CHARACTER),
            c => clean.push(c),
        }
    }
    Cow::Owned(clean)
}

/// Renders ISO 8601 with milliseconds: `2026-11-20T10:00:00.000Z`.
fn iso_8601(value: &DateTime) -> String {
    let millis = value.subsec_nanos() / 1_000_000;
    let seconds = DateTime::from_secs(value.secs()).fmt(Format::DateTime).unwrap_or_default();
    format!("{}.{millis:03}Z", seconds.trim_end_matches('Z'))
}

impl Writer for XmlWriter {
    fn boolean(&mut self, value: bool) {
        self.plain(if value { "true" } else { "false" });
    }

    fn integer(&mut self, value: i64) {
        self.plain(itoa::Buffer::new().format(value));
    }

    fn float(&mut self, value: f32) {
        self.plain(ryu::Buffer::new().format(value));
    }

    fn double(&mut self, value: f64) {
        self.plain(ryu::Buffer::new().format(value));
    }

    fn text(&mut self, value: &str) {
        self.plain(&escaped(value));
    }

    fn blob(&mut self, value: &[u8]) {
        self.plain(&STANDARD.encode(value));
    }

    fn timestamp(&mut self, value: &DateTime, shape: &'static Shape) {
        let text = match shape.timestamp {
            TimestampFormat::Protocol | TimestampFormat::DateTime => iso_8601(value),
            TimestampFormat::EpochSeconds => value.secs().to_string(),
            TimestampFormat::HttpDate => value.fmt(Format::HttpDate).unwrap_or_default(),
        };
        self.plain(&text);
    }

    /// XML protocols have no documents; a text is the nearest thing.
    fn document(&mut self, value: &Document) {
        self.text(value.as_string().unwrap_or_default());
    }

    fn start_structure(&mut self) {
        let name = std::mem::take(&mut self.name);
        self.start(Some(name), Cow::Borrowed(""), &Shape::PLAIN);
    }

    fn member(&mut self, member: &'static Member) {
        self.name = Cow::Borrowed(member.name);
    }

    fn end_structure(&mut self) {
        self.end();
    }

    fn start_list(&mut self, shape: &'static Shape, _len: usize) {
        let name = std::mem::take(&mut self.name);
        if shape.is_flattened {
            self.start(None, name, shape);
        } else {
            self.start(Some(name), Cow::Borrowed(shape.item_name), shape);
        }
    }

    fn item(&mut self) {
        if let Some(frame) = self.open.last() {
            self.name = frame.item.clone();
        }
    }

    fn end_list(&mut self) {
        self.end();
    }

    fn start_map(&mut self, shape: &'static Shape, _len: usize) {
        let name = std::mem::take(&mut self.name);
        if shape.is_flattened {
            self.start(None, name, shape);
        } else {
            self.start(Some(name), Cow::Borrowed("entry"), shape);
        }
    }

    fn key(&mut self, key: &str) {
        let Some(frame) = self.open.last_mut() else { return };
        let (item, key_name, value_name) = (frame.item.clone(), frame.key_name, frame.value_name);
        if std::mem::replace(&mut frame.has_open_entry, true) {
            self.close(&item);
        }
        self.open(&item, "");
        self.element(key_name, key);
        self.name = Cow::Borrowed(value_name);
    }

    fn end_map(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    static ITEMS: Shape = Shape::PLAIN.item_name("item");
    static FLAT: Shape = Shape::PLAIN.flattened();

    crate::structure! {
        Vpc {
            0 id: String = Member::new("vpcId");
            1 tags: BTreeMap<String, String> = Member::new("tagMap");
            2 flat_tags: BTreeMap<String, i32> = Member::new("flatTag").shape(&FLAT);
            3 at: DateTime = Member::new("createTime");
        }
    }
    crate::structure! {
        Vpcs {
            0 vpcs: Vec<Vpc> = Member::new("vpcSet").shape(&ITEMS);
            1 names: Vec<String> = Member::new("name").shape(&FLAT);
            2 is_default: bool = Member::new("isDefault");
            3 plain: Vec<String> = Member::new("plain");
        }
    }

    #[track_caller]
    fn check(value: &Vpcs, expected: &str) {
        let mut writer = XmlWriter::new();
        crate::value::write_members(value, &mut writer);
        let text = String::from_utf8(writer.into_bytes()).unwrap();
        assert_eq!(text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"), Some(expected));
    }

    #[test]
    fn lists_and_maps_nest_unless_flattened() {
        let vpc = Vpc {
            id: Some("a<b>&\"c\r\u{1}ü".to_owned()),
            tags: Some([("k".to_owned(), "1".to_owned()), ("l".to_owned(), "2".to_owned())].into()),
            flat_tags: Some([("k".to_owned(), 1), ("l".to_owned(), 2)].into()),
            at: Some(DateTime::from_millis(1_479_926_042_050)),
        };
        check(
            &Vpcs {
                vpcs: Some(vec![vpc, Vpc::default()]),
                names: Some(vec!["x".to_owned(), "y".to_owned()]),
                is_default: Some(false),
                plain: Some(vec!["p".to_owned(), String::new()]),
            },
            "<vpcSet><item><vpcId>a&lt;b&gt;&amp;&quot;c&#13;\u{fffd}ü</vpcId>\
             <tagMap><entry><key>k</key><value>1</value></entry><entry><key>l</key><value>2</value></entry></tagMap>\
             <flatTag><key>k</key><value>1</value></flatTag><flatTag><key>l</key><value>2</value></flatTag>\
             <createTime>2016-11-23T18:34:02.050Z</createTime></item><item></item></vpcSet>\
             <name>x</name><name>y</name><isDefault>false</isDefault>\
             <plain><member>p</member><member></member></plain>",
        );
    }

    #[test]
    fn empty_collections_are_empty_elements() {
        check(&Vpcs { vpcs: Some(vec![]), names: Some(vec![]), ..Vpcs::default() }, "<vpcSet></vpcSet>");
    }
}
