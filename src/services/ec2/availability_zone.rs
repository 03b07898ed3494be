//! Availability zones: each region has the same three.

use api::ec2 as api;
use base::Region;
use state::Cx;
use state::ec2::ZONES;

use crate::filter::{Field, Filtered, Filters, each, shown, text};
use crate::{Result, error, refuse_dry_run};

/// The directions in the names of regions, and how the ids of zones shorten them. The longer ones come first.
const DIRECTIONS: [(&str, &str); 9] = [
    ("northeast", "ne"),
    ("northwest", "nw"),
    ("southeast", "se"),
    ("southwest", "sw"),
    ("north", "n"),
    ("south", "s"),
    ("east", "e"),
    ("west", "w"),
    ("central", "c"),
];

/// Describes the zones of the region.
pub(crate) async fn describe_availability_zones(
    cx: &Cx,
    input: api::DescribeAvailabilityZonesRequest,
) -> Result<api::DescribeAvailabilityZonesResult> {
    let filters = Filters::parse(input.filters)?;
    let region = &cx.scope().region;
    let zones = ZONES.map(|letter| view(region, letter));
    let names = input.zone_names.unwrap_or_default();
    let ids = input.zone_ids.unwrap_or_default();
    check(&zones, &names, "availability zone", |zone| &zone.zone_name)?;
    check(&zones, &ids, "availability zone-id", |zone| &zone.zone_id)?;
    refuse_dry_run(input.dry_run)?;
    let is_in = |list: &[String], value: &Option<String>| {
        list.is_empty() || value.as_ref().is_some_and(|value| list.contains(value))
    };
    let zones = zones
        .into_iter()
        .filter(|zone| is_in(&names, &zone.zone_name) && is_in(&ids, &zone.zone_id) && filters.pass(zone));
    Ok(api::DescribeAvailabilityZonesResult { availability_zones: Some(zones.collect()) })
}

/// Returns the id of a zone, such as `use1-az1`; none for what is no zone of the region.
///
/// AWS shuffles them by account, so that the first zones are not fuller than others; here the order is that of the names.
pub(crate) fn zone_id(region: &Region, zone: &str) -> Option<String> {
    let letter = zone.strip_prefix(region.as_str())?;
    let number =
        ZONES.iter().zip(1..).find(|(known, _)| letter.chars().eq([**known])).map(|(_, number): (_, u8)| number);
    number.map(|number| format!("{}-az{number}", short_name(region)))
}

fn check(
    zones: &[api::AvailabilityZone],
    wanted: &[String],
    what: &str,
    member: impl Fn(&api::AvailabilityZone) -> &Option<String>,
) -> Result<()> {
    let is_unknown = |wanted: &&String| !zones.iter().any(|zone| member(zone).as_ref() == Some(wanted));
    match wanted.iter().find(is_unknown) {
        Some(unknown) => Err(error("InvalidParameterValue", format!("Invalid {what}: [{unknown}]"))),
        None => Ok(()),
    }
}

/// Shortens a region's name as the ids of its zones do: `us-east-1` → `use1`, `ap-southeast-2` → `apse2`.
fn short_name(region: &Region) -> String {
    let shorten = |part: &str| match part {
        "gov" => "g".to_owned(),
        part => match DIRECTIONS.iter().find(|(direction, _)| *direction == part) {
            Some((_, short)) => (*short).to_owned(),
            None => part.to_owned(),
        },
    };
    region.as_str().split('-').map(shorten).collect()
}

impl Filtered for api::AvailabilityZone {
    const FIELDS: &'static [Field<Self>] = &[
        Field(&["group-name"], |zone| text(&zone.group_name)),
        Field(&["message"], |zone| each(&zone.messages, |message| text(&message.message))),
        Field(&["opt-in-status"], |zone| shown(&zone.opt_in_status)),
        Field(&["parent-zone-id"], |zone| text(&zone.parent_zone_id)),
        Field(&["parent-zone-name"], |zone| text(&zone.parent_zone_name)),
        Field(&["region-name"], |zone| text(&zone.region_name)),
        Field(&["state"], |zone| shown(&zone.state)),
        Field(&["zone-id"], |zone| text(&zone.zone_id)),
        Field(&["zone-name"], |zone| text(&zone.zone_name)),
        Field(&["zone-type"], |zone| text(&zone.zone_type)),
    ];

    const HAS_TAGS: bool = false;

    fn tags(&self) -> Option<&[api::Tag]> {
        None
    }
}

fn view(region: &Region, letter: char) -> api::AvailabilityZone {
    let name = format!("{region}{letter}");
    api::AvailabilityZone {
        opt_in_status: Some(api::AvailabilityZoneOptInStatus::OptInNotRequired),
        messages: Some(Vec::new()),
        region_name: Some(region.to_string()),
        zone_id: zone_id(region, &name),
        zone_name: Some(name),
        group_name: Some(format!("{region}-zg-1")),
        network_border_group: Some(region.to_string()),
        zone_type: Some("availability-zone".to_owned()),
        state: Some(api::AvailabilityZoneState::Available),
        ..api::AvailabilityZone::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answer, cx, filter, refused, send};

    fn names(cx: &Cx, input: api::DescribeAvailabilityZonesRequest) -> Vec<String> {
        let zones = answer(describe_availability_zones(cx, input)).unwrap().availability_zones.unwrap();
        zones.into_iter().map(|zone| zone.zone_name.unwrap()).collect()
    }

    #[test]
    fn a_region_has_three_zones() {
        let cx = cx();
        let (status, body) = send(&cx, "DescribeAvailabilityZones", "");
        assert_eq!(status, 200);
        let zone = "<regionName>us-east-1</regionName><zoneName>us-east-1c</zoneName><zoneId>use1-az3</zoneId>\
                    <groupName>us-east-1-zg-1</groupName><networkBorderGroup>us-east-1</networkBorderGroup>\
                    <zoneType>availability-zone</zoneType><zoneState>available</zoneState>";
        assert!(body.contains(zone), "{body}");
        assert_eq!(body.matches("<zoneId>").count(), 3);
    }

    #[test]
    fn zones_are_chosen_by_name_id_or_filter() {
        let cx = cx();
        let list = |text: &str| Some(vec![text.to_owned()]);
        let by_name = api::DescribeAvailabilityZonesRequest { zone_names: list("us-east-1b"), ..Default::default() };
        assert_eq!(names(&cx, by_name), ["us-east-1b"]);
        let by_id = api::DescribeAvailabilityZonesRequest { zone_ids: list("use1-az1"), ..Default::default() };
        assert_eq!(names(&cx, by_id), ["us-east-1a"]);
        let filters = filter(&[("zone-name", "*c"), ("state", "available"), ("region-name", "us-east-1")]);
        let by_filter = api::DescribeAvailabilityZonesRequest { filters, ..Default::default() };
        assert_eq!(names(&cx, by_filter), ["us-east-1c"]);
    }

    #[test]
    fn unknown_zones_and_filters_are_refused() {
        let cx = cx();
        for (form, expected) in [
            ("ZoneName.1=us-east-1z", "Invalid availability zone: [us-east-1z]"),
            ("ZoneId.1=use1-az9", "Invalid availability zone-id: [use1-az9]"),
            ("Filter.1.Name=tag:x&Filter.1.Value.1=y", "The filter 'tag:x' is invalid"),
        ] {
            let refusal = refused(&cx, "DescribeAvailabilityZones", form);
            assert_eq!(refusal, ("InvalidParameterValue".to_owned(), expected.to_owned()));
        }
        assert_eq!(send(&cx, "DescribeAvailabilityZones", "DryRun=true").0, 412);
    }

    #[test]
    fn the_ids_of_zones_shorten_the_region() {
        for (region, zone, expected) in [
            ("us-east-1", "us-east-1a", Some("use1-az1")),
            ("eu-central-1", "eu-central-1b", Some("euc1-az2")),
            ("ap-southeast-2", "ap-southeast-2c", Some("apse2-az3")),
            ("us-gov-west-1", "us-gov-west-1a", Some("usgw1-az1")),
            ("cn-north-1", "cn-north-1a", Some("cnn1-az1")),
            ("us-east-1", "us-east-1z", None),
            ("us-east-1", "us-east-1", None),
            ("us-east-1", "us-east-1ab", None),
            ("us-east-1", "eu-west-1a", None),
        ] {
            let region = Region::parse(region).unwrap();
            assert_eq!(zone_id(&region, zone).as_deref(), expected, "{zone}");
        }
    }
}
