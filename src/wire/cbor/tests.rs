use std::collections::BTreeMap;

use aws_smithy_types::{Blob, DateTime};

use super::{CborReader, CborWriter};
use crate::{DecodeError, Empty, Member, Shape};

crate::enumeration! {
    Color { Red = "RED", }
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
        10 single: f32 = Member::new("single");
    }
}

fn read(body: &[u8]) -> Result<Tree, DecodeError> {
    let mut reader = CborReader::new(body);
    let mut tree = Tree::empty();
    crate::value::fill_structure(&mut tree, &mut reader)?;
    reader.finish()?;
    Ok(tree)
}

fn write(tree: &Tree) -> Vec<u8> {
    let mut writer = CborWriter::new();
    crate::Value::write(tree, &mut writer, &Shape::PLAIN);
    writer.into_bytes()
}

fn bytes(text: &str) -> Vec<u8> {
    let text = text.replace(' ', "");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn full() -> Tree {
    let leaf = Leaf { name: Some("x".to_owned()), leaf: Some(Box::default()) };
    Tree {
        text: Some("aü".to_owned()),
        flag: Some(true),
        count: Some(-5),
        long: Some(9_007_199_254_740_993),
        ratio: Some(0.25),
        at: Some(DateTime::from_millis(1_479_926_042_853)),
        blob: Some(Blob::new(vec![0, 1, 255])),
        color: Some(Color::Red),
        list: Some(vec![leaf, Leaf::default()]),
        map: Some(BTreeMap::from([("a".to_owned(), vec!["1".to_owned()]), ("b".to_owned(), Vec::new())])),
        single: Some(1.5),
    }
}

#[track_caller]
fn refuses(body: &str, expected: &str) {
    assert_eq!(read(&bytes(body)).unwrap_err().to_string(), expected, "{body}");
}

#[test]
fn every_type_survives_a_round_trip() {
    let tree = full();
    assert_eq!(read(&write(&tree)).unwrap(), tree);
}

#[test]
fn a_structure_is_written_as_a_map_with_an_end() {
    let tree = Tree { count: Some(1), at: Some(DateTime::from_secs(2)), ..Tree::default() };
    assert_eq!(write(&tree), bytes("bf 65 636f756e74 01 62 6174 c1 02 ff"));
}

#[test]
fn maps_lists_and_strings_may_have_lengths_or_ends() {
    // {"text": "ab", "list": [{}], "map": {"k": ["v"]}}, once with lengths and once with ends.
    let lengths = "a3 6474657874 626162 646c697374 81 a0 636d6170 a1 616b 81 6176";
    let ends = "bf 6474657874 7f 6161 6162 ff 646c697374 9f bf ff ff 636d6170 bf 616b 9f 6176 ff ff ff";
    let tree = read(&bytes(lengths)).unwrap();
    assert_eq!((tree.text.as_deref(), tree.list.as_ref().map(Vec::len)), (Some("ab"), Some(1)));
    assert_eq!(tree.map.as_ref().unwrap()["k"], ["v"]);
    assert_eq!(read(&bytes(ends)).unwrap(), tree);
}

#[test]
fn nulls_are_absent_and_unknown_members_skipped() {
    // {"text": null, "new": [1, {"b": -1.5}], "count": 3}
    let tree = read(&bytes("a3 6474657874 f6 636e6577 82 01 a1 6162 f9be00 65636f756e74 03")).unwrap();
    assert_eq!(tree, Tree { count: Some(3), ..Tree::default() });
}

#[test]
fn an_empty_body_is_an_empty_structure() {
    assert_eq!(read(b"").unwrap(), Tree::default());
}

#[test]
fn numbers_are_read_as_their_type() {
    // A whole number for a double, floats of each size for a double, and 5.0 for a whole number.
    for (body, ratio) in [("03", 3.0), ("20", -1.0), ("f93e00", 1.5), ("fa3fc00000", 1.5), ("fb3ff8000000000000", 1.5)]
    {
        assert_eq!(read(&bytes(&format!("a1 65726174696f {body}"))).unwrap().ratio, Some(ratio), "{body}");
    }
    assert_eq!(read(&bytes("a1 65636f756e74 fa40a00000")).unwrap().count, Some(5));
    refuses("a1 65636f756e74 f93e00", "Numeric value out of range of Integer at 'count'");
    refuses("a1 65636f756e74 1a80000000", "Numeric value out of range of Integer at 'count'");
    refuses("a1 646c6f6e67 1bffffffffffffffff", "Numeric value out of range of Long at 'long'");
}

#[test]
fn timestamps_are_epoch_seconds_tagged_or_not() {
    for body in ["c1 1a58360000", "1a58360000", "c1 fb41d60d8000000000"] {
        let at = read(&bytes(&format!("a1 626174 {body}"))).unwrap().at.unwrap();
        assert_eq!(at, DateTime::from_secs(0x5836_0000), "{body}");
    }
    refuses("a1 626174 c2 01", "the tag 2 is not that of a Timestamp at 'at'");
    refuses("a1 626174 fb7e37e43c8800759c", "Numeric value out of range of Timestamp at 'at'");
}

#[test]
fn a_wrong_type_names_the_member() {
    refuses("a1 65636f756e74 6135", "STRING_VALUE can not be converted to an Integer at 'count'");
    refuses("a1 6474657874 05", "NUMBER_VALUE can not be converted to a String at 'text'");
    refuses(
        "a1 646c697374 82 a0 a1 646c656166 a1 646e616d65 80",
        "START_ARRAY can not be converted to a String at 'list[1].leaf.name'",
    );
    refuses("a1 64666c6167 a0", "START_OBJECT can not be converted to a Boolean at 'flag'");
    refuses("a1 64626c6f62 f5", "BOOLEAN_VALUE can not be converted to a Blob at 'blob'");
    refuses("80", "START_ARRAY can not be converted to a Structure");
}

#[test]
fn what_follows_the_body_is_refused() {
    refuses("a0 00", "unexpected bytes after the end of the body");
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("a1 646c656166 {}", "a1 646c656166 ".repeat(100_000));
    let list = format!("a1 646c697374 81 {deep}");
    assert!(read(&bytes(&list)).unwrap_err().to_string().contains("nested deeper"));
    let unknown = format!("a1 636e6577 {} 00", "81".repeat(100_000));
    assert!(read(&bytes(&unknown)).is_ok());
}

#[test]
fn damaged_inputs_never_panic() {
    let whole = write(&full());
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..20_000 {
        let mut damaged = whole[..whole.len() - round % whole.len()].to_vec();
        for _ in 0..round % 4 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(seed >> 33).unwrap() % damaged.len();
            damaged[at] = seed.to_le_bytes()[2];
        }
        let _ = read(&damaged);
    }
}
