//! What is written as JSON is read back equal: for every request and response, filled with values of chance.

#![allow(clippy::unwrap_used, reason = "tests may panic, their helpers too")]

use std::borrow::Cow;

use aws_smithy_types::{Blob, DateTime, Document};
use wire::{DecodeError, Empty, JsonReader, JsonWriter, Operation, Reader, Schema, Shape};

type Result<T> = std::result::Result<T, DecodeError>;

/// Deeper values have no members, items or entries.
const DEPTH_MAX: usize = 6;

/// A codec without input: every value is of chance, with a fixed seed.
struct Chance {
    seed: u64,
    /// What is left of each open structure, list and map.
    left: Vec<usize>,
}

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.seed >> 33).unwrap() % bound
    }

    fn number(&mut self) -> i64 {
        i64::try_from(self.below(1 << 30)).unwrap() - (1 << 29)
    }

    fn enter(&mut self, bound: usize) {
        let count = if self.left.len() < DEPTH_MAX { self.below(bound) } else { 0 };
        self.left.push(count);
    }

    fn next(&mut self) -> bool {
        let last = self.left.last_mut().unwrap();
        if *last == 0 {
            self.left.pop();
            return false;
        }
        *last -= 1;
        true
    }
}

impl Reader for Chance {
    fn boolean(&mut self) -> Result<bool> {
        Ok(self.below(2) == 0)
    }

    fn integer(&mut self, min: i64, max: i64, _kind: &'static str) -> Result<i64> {
        Ok(match self.below(8) {
            0 => min,
            1 => max,
            _ => self.number(),
        })
    }

    fn double(&mut self) -> Result<f64> {
        let number = i32::try_from(self.number()).unwrap();
        Ok(f64::from(number) / 64.0)
    }

    fn text(&mut self) -> Result<Cow<'_, str>> {
        const CHARS: [char; 12] = ['a', 'Z', '"', '\\', '\n', '\u{0}', '\u{1f}', 'ü', '€', '😀', '/', '\u{7f}'];
        let length = self.below(12);
        Ok((0..length).map(|_| CHARS[self.below(CHARS.len())]).collect::<String>().into())
    }

    fn blob(&mut self) -> Result<Blob> {
        let length = self.below(8);
        Ok(Blob::new(vec![0xfe; length]))
    }

    fn timestamp(&mut self, _shape: &'static Shape) -> Result<DateTime> {
        Ok(DateTime::from_millis(self.number() * 4096 + 17))
    }

    fn document(&mut self) -> Result<Document> {
        Ok(Document::Array(vec![Document::Null, Document::Bool(true), Document::String(self.text()?.into_owned())]))
    }

    fn start_structure(&mut self) -> Result<()> {
        let depth = self.left.len();
        self.left.push(if depth < DEPTH_MAX { usize::MAX } else { 0 });
        Ok(())
    }

    fn next_member(&mut self, schema: &'static Schema, expected: usize) -> Result<Option<usize>> {
        let is_open = self.left.last().is_some_and(|left| *left > 0);
        let chosen = (expected..schema.members.len()).find(|_| is_open && self.below(3) > 0);
        if chosen.is_none() {
            self.left.pop();
        }
        Ok(chosen)
    }

    fn start_list(&mut self, _shape: &'static Shape) -> Result<()> {
        self.enter(4);
        Ok(())
    }

    fn next_item(&mut self) -> Result<bool> {
        Ok(self.next())
    }

    fn start_map(&mut self, _shape: &'static Shape) -> Result<()> {
        self.enter(4);
        Ok(())
    }

    fn next_key(&mut self) -> Result<Option<String>> {
        if !self.next() {
            return Ok(None);
        }
        let number = self.number();
        Ok(Some(format!("{}{number}", self.text()?)))
    }
}

fn written(value: &dyn wire::Value) -> Vec<u8> {
    let mut writer = JsonWriter::new();
    value.write(&mut writer, &Shape::PLAIN);
    writer.into_bytes()
}

fn check<T: wire::Structure + Empty + PartialEq>(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut value = T::empty();
        wire::value::fill_structure(&mut value, &mut Chance { seed, left: Vec::new() }).unwrap();
        let text = written(&value);
        let mut reader = JsonReader::new(&text).unwrap();
        let mut back = T::empty();
        wire::value::fill_structure(&mut back, &mut reader).unwrap();
        reader.finish().unwrap();
        assert!(back == value, "seed {seed}: {}", String::from_utf8_lossy(&text));
        wire::check::violations(&value);
    }
}

fn both<O: Operation>()
where
    O::Input: PartialEq,
    O::Output: Empty + PartialEq,
{
    check::<O::Input>(0..200);
    check::<O::Output>(0..200);
}

macro_rules! every {
    ($test:ident, $service:ident: $($operation:ident)*) => {
        #[test]
        fn $test() {
            let listed = [$(both::<api::$service::ops::$operation> as fn()),*];
            listed.iter().for_each(|check| check());
            let names = [$(<api::$service::ops::$operation as Operation>::NAME),*];
            assert!(names.iter().all(|name| api::$service::SERVICE.has(name)));
        }
    };
}

every!(
    ecs_survives_a_round_trip,
    ecs: CreateCluster DescribeClusters ListClusters DeleteCluster RegisterTaskDefinition DescribeTaskDefinition
        ListTaskDefinitions ListTaskDefinitionFamilies DeregisterTaskDefinition RunTask DescribeTasks ListTasks StopTask
);
every!(
    logs_survives_a_round_trip,
    logs: CreateLogGroup DescribeLogGroups DeleteLogGroup CreateLogStream DescribeLogStreams PutLogEvents GetLogEvents
        FilterLogEvents
);
every!(sts_survives_a_round_trip, sts: GetCallerIdentity);
every!(
    ec2_survives_a_round_trip,
    ec2: DescribeVpcs DescribeSubnets DescribeSecurityGroups DescribeNetworkInterfaces DescribeAvailabilityZones
);

#[test]
fn every_service_of_a_model_is_routed_to_by_the_same_id() {
    for model in [&api::ecs::SERVICE, &api::logs::SERVICE, &api::sts::SERVICE, &api::ec2::SERVICE] {
        let names = wire::service_named(model.id).unwrap();
        assert_eq!(names.protocol, model.protocol, "{}", model.id);
        assert!(names.version.is_empty() || names.version == model.version, "{}", model.id);
        assert!(model.operations.is_sorted(), "{}", model.id);
    }
}

#[test]
fn ec2_names_follow_the_rules_of_its_form() {
    let body = b"Action=DescribeNetworkInterfaces&Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1&NetworkInterfaceId.1=eni-1&MaxResults=5&DryRun=false";
    let mut input = api::ec2::DescribeNetworkInterfacesRequest::default();
    let mut reader = wire::FormReader::new(wire::Dialect::Ec2, "", body).unwrap();
    wire::value::fill_structure(&mut input, &mut reader).unwrap();
    let expected = api::ec2::DescribeNetworkInterfacesRequest {
        filters: Some(vec![api::ec2::Filter {
            name: Some("vpc-id".to_owned()),
            values: Some(vec!["vpc-1".to_owned()]),
        }]),
        network_interface_ids: Some(vec!["eni-1".to_owned()]),
        max_results: Some(5),
        dry_run: Some(false),
        ..Default::default()
    };
    assert_eq!(input, expected);
}
