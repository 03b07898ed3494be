use std::collections::BTreeMap;

use aws_smithy_types::{Blob, DateTime, Document};

use super::{JsonReader, JsonWriter};
use crate::{DecodeError, Empty, Member, Shape};

crate::enumeration! {
    Color { Red = "RED", Green = "GREEN", }
}
crate::structure! {
    Leaf {
        0 name: String = Member::new("name");
        1 leaf: Box<Leaf> = Member::new("leaf");
    }
}
crate::structure! {
    Tree {
        0 text: String = Member::new("text");
        1 flag: bool = Member::new("flag");
        2 count: i32 = Member::new("count");
        3 long: i64 = Member::new("long");
        4 ratio: f64 = Member::new("ratio");
        5 at: DateTime = Member::new("at");
        6 blob: Blob = Member::new("blob");
        7 color: Color = Member::new("color");
        8 list: Vec<Leaf> = Member::new("list");
        9 map: BTreeMap<String, Vec<String>> = Member::new("map");
        10 document: Document = Member::new("document");
        11 single: f32 = Member::new("single");
    }
}

fn read(text: &str) -> Result<Tree, DecodeError> {
    let mut reader = JsonReader::new(text.as_bytes())?;
    let mut tree = Tree::empty();
    crate::value::fill_structure(&mut tree, &mut reader)?;
    reader.finish()?;
    Ok(tree)
}

fn write(tree: &Tree) -> String {
    let mut writer = JsonWriter::new();
    crate::Value::write(tree, &mut writer, &Shape::PLAIN);
    String::from_utf8(writer.into_bytes()).unwrap()
}

#[track_caller]
fn reads(text: &str, expected: &str) {
    assert_eq!(write(&read(text).unwrap()), expected, "{text}");
}

#[track_caller]
fn refuses(text: &str, expected: &str) {
    assert_eq!(read(text).unwrap_err().to_string(), expected, "{text}");
}

#[test]
fn every_type_survives_a_round_trip() {
    let text = r#"{"text":"a\"\\\n\u0001ü","flag":true,"count":-5,"long":9007199254740993,"ratio":0.25,"at":1479926042.853,"blob":"AAEC","color":"RED","list":[{"name":"x","leaf":{"leaf":{}}},{}],"map":{"a":["1","2"],"b":[]},"document":{"k":[1,-2,0.5,null,true,"s"]},"single":1.5}"#;
    reads(text, text);
}

#[test]
fn nulls_are_absent_and_unknown_members_skipped() {
    reads(
        r#" { "text" : null , "new": {"a":[1,{"b":"\u00e9\"}"}],"c":-1.5e3,"d":false}, "list": [null, {"name":null}], "map": {"a":null} , "count" : 3 } "#,
        r#"{"count":3,"list":[{}],"map":{}}"#,
    );
}

#[test]
fn the_last_of_duplicate_members_wins() {
    reads(r#"{"text":"a","list":[{"name":"x"}],"text":"b","list":[]}"#, r#"{"text":"b","list":[]}"#);
}

#[test]
fn an_empty_body_is_an_empty_structure() {
    reads("", "{}");
    reads(" \n", "{}");
}

#[test]
fn unknown_enum_values_are_kept() {
    reads(r#"{"color":"BLUE"}"#, r#"{"color":"BLUE"}"#);
}

#[test]
fn numbers_are_read_as_their_type() {
    reads(r#"{"count":2147483647,"ratio":3}"#, r#"{"count":2147483647,"ratio":3.0}"#);
    reads(r#"{"count":1.0}"#, r#"{"count":1}"#);
    reads(r#"{"count":1e3}"#, r#"{"count":1000}"#);
    reads(r#"{"ratio":"NaN","single":"-Infinity"}"#, r#"{"ratio":"NaN","single":"-Infinity"}"#);
    refuses(r#"{"count":2147483648}"#, "Numeric value (2147483648) out of range of Integer at 'count'");
    refuses(r#"{"count":1.5}"#, "Numeric value (1.5) out of range of Integer at 'count'");
    refuses(r#"{"long":9223372036854775808}"#, "Numeric value (9223372036854775808) out of range of Long at 'long'");
    refuses(r#"{"at":1e300}"#, "Numeric value (1e300) out of range of Timestamp at 'at'");
}

#[test]
fn timestamps_are_epoch_seconds() {
    reads(r#"{"at":1479926042}"#, r#"{"at":1479926042}"#);
    reads(r#"{"at":1479926042.5}"#, r#"{"at":1479926042.5}"#);
    reads(r#"{"at":1.479926042007E9}"#, r#"{"at":1479926042.007}"#);
    reads(r#"{"at":-1.25}"#, r#"{"at":-1.25}"#);
    reads(r#"{"at":"2016-11-23T18:34:02.853Z"}"#, r#"{"at":1479926042.853}"#);
}

#[test]
fn escapes_and_surrogate_pairs_are_decoded() {
    reads(r#"{"text":"\ud83d\ude00\/\b\f\r\t"}"#, "{\"text\":\"😀/\\u0008\\u000c\\r\\t\"}");
    reads(r#"{"text":"\ud83dx\ude00\ud83d\u0041"}"#, "{\"text\":\"\u{fffd}x\u{fffd}\u{fffd}A\"}");
    reads(r#"{"te\u0078t":"a"}"#, r#"{"text":"a"}"#);
}

#[test]
fn a_wrong_type_names_the_member() {
    refuses(r#"{"count":"5"}"#, "STRING_VALUE can not be converted to an Integer at 'count'");
    refuses(r#"{"text":5}"#, "NUMBER_VALUE can not be converted to a String at 'text'");
    refuses(r#"{"text":{}}"#, "START_OBJECT can not be converted to a String at 'text'");
    refuses(
        r#"{"list":[{},{"leaf":{"name":[]}}]}"#,
        "START_ARRAY can not be converted to a String at 'list[1].leaf.name'",
    );
    refuses(r#"{"map":{"k":["a",true]}}"#, "TRUE_VALUE can not be converted to a String at 'map.k[1]'");
    refuses(r#"{"flag":"true"}"#, "STRING_VALUE can not be converted to a Boolean at 'flag'");
    refuses(r#"{"list":"x"}"#, "STRING_VALUE can not be converted to a List at 'list'");
    refuses(r#"{"ratio":"x"}"#, "STRING_VALUE can not be converted to a Double at 'ratio'");
    refuses(r#"{"at":false}"#, "FALSE_VALUE can not be converted to a Timestamp at 'at'");
    refuses(r#"{"blob":"***"}"#, "the value is not base64 at 'blob'");
    refuses("[]", "START_ARRAY can not be converted to a Structure");
}

#[test]
fn malformed_json_is_refused() {
    for text in [
        "{",
        "}",
        "{,}",
        r#"{"text"}"#,
        r#"{"text":}"#,
        r#"{"text":"a",}"#,
        r#"{"text":"a" "flag":true}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":[,1]}"#,
        r#"{"a":01}"#,
        r#"{"a":-}"#,
        r#"{"a":1.}"#,
        r#"{"a":1e}"#,
        r#"{"a":.5}"#,
        r#"{"a":tru}"#,
        "{} {}",
        "{}x",
        r#"{"a":"\x"}"#,
        r#"{"a":"\u12g4"}"#,
        r#"{"a":"\u12"#,
        "{\"a\":\"\n\"}",
        "{a:1}",
        "{'a':1}",
        r#"{"a":nul}"#,
        "null",
        "1",
        r#"{"text":"abc"#,
        r#"{"text":nul}"#,
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    assert!(JsonReader::new(b"{\"text\":\"\xff\"}").is_err());
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = |levels| format!(r#"{{"new":{}1{}}}"#, open.repeat(levels), close.repeat(levels));
        assert!(read(&deep(100)).is_ok());
        assert!(read(&deep(100_000)).unwrap_err().to_string().contains("nested deeper"));
    }
    let leaves = format!(r#"{{"list":[{}{{}}{}]}}"#, r#"{"leaf":"#.repeat(1000), "}".repeat(1000));
    assert!(read(&leaves).is_err());
}

#[test]
fn damaged_inputs_never_panic() {
    let text = r#"{"text":"a\u00e9\ud83d\ude00","count":-5,"ratio":0.25e-3,"at":1.5,"blob":"AAEC","list":[{"name":"x"}],"map":{"a":["1"]},"document":{"k":[1,null]}}"#;
    let bytes = text.as_bytes();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..20_000 {
        let mut damaged = bytes[..bytes.len() - round % bytes.len()].to_vec();
        for _ in 0..round % 4 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(seed >> 33).unwrap() % damaged.len();
            damaged[at] = seed.to_le_bytes()[2];
        }
        if let Ok(mut reader) = JsonReader::new(&damaged) {
            let _ = crate::value::fill_structure(&mut Tree::empty(), &mut reader);
        }
    }
}
