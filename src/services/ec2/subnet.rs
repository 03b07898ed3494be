//! Subnets.

use api::ec2 as api;
use base::SubnetId;
use state::Cx;
use state::ec2::Subnet;

use crate::availability_zone::zone_id;
use crate::filter::{Field, Filtered, each, shown, text};
use crate::listing::{Described, Request, describe};
use crate::resource_id::Kind;
use crate::{Result, tag};

/// Describes subnets.
pub(crate) async fn describe_subnets(
    cx: &Cx,
    input: api::DescribeSubnetsRequest,
) -> Result<api::DescribeSubnetsResult> {
    cx.state.ec2.make_default_vpc(cx.scope());
    let request = Request {
        ids: input.subnet_ids,
        filters: input.filters,
        max_results: input.max_results,
        next_token: input.next_token,
        dry_run: input.dry_run,
    };
    let subnets = &cx.state.ec2.subnets;
    let get = |id: &str| subnets.get(cx.scope(), &SubnetId::new(id)).map(|subnet| view(cx, &subnet));
    let walk =
        |after: Option<String>| subnets.walk(cx.scope(), after.map(SubnetId::new)).map(|(_, subnet)| view(cx, &subnet));
    let page = describe(request, get, walk)?;
    Ok(api::DescribeSubnetsResult { next_token: page.next, subnets: Some(page.items) })
}

impl Described for api::Subnet {
    const KIND: Kind = Kind {
        prefix: "subnet",
        malformed: "InvalidSubnetID.Malformed",
        not_found: "InvalidSubnetID.NotFound",
        noun: "subnet ID",
    };
    const LISTING: &'static str = "DescribeSubnets";

    fn id(&self) -> &str {
        self.subnet_id.as_deref().unwrap_or_default()
    }
}

impl Filtered for api::Subnet {
    const FIELDS: &'static [Field<Self>] = &[
        Field(&["availability-zone", "availabilityZone"], |subnet| text(&subnet.availability_zone)),
        Field(&["availability-zone-id", "availabilityZoneId"], |subnet| text(&subnet.availability_zone_id)),
        Field(&["available-ip-address-count"], |subnet| shown(&subnet.available_ip_address_count)),
        Field(&["cidr-block", "cidr", "cidrBlock"], |subnet| text(&subnet.cidr_block)),
        Field(&["customer-owned-ipv4-pool"], |subnet| text(&subnet.customer_owned_ipv4_pool)),
        Field(&["default-for-az", "defaultForAz"], |subnet| shown(&subnet.default_for_az)),
        Field(&["enable-dns64"], |subnet| shown(&subnet.enable_dns64)),
        Field(&["ipv6-cidr-block-association.ipv6-cidr-block"], |subnet| {
            each(&subnet.ipv6_cidr_block_association_set, |association| text(&association.ipv6_cidr_block))
        }),
        Field(&["ipv6-native"], |subnet| shown(&subnet.ipv6_native)),
        Field(&["map-customer-owned-ip-on-launch"], |subnet| shown(&subnet.map_customer_owned_ip_on_launch)),
        Field(&["map-public-ip-on-launch"], |subnet| shown(&subnet.map_public_ip_on_launch)),
        Field(&["outpost-arn"], |subnet| text(&subnet.outpost_arn)),
        Field(&["owner-id"], |subnet| text(&subnet.owner_id)),
        Field(&["state"], |subnet| shown(&subnet.state)),
        Field(&["subnet-arn"], |subnet| text(&subnet.subnet_arn)),
        Field(&["subnet-id"], |subnet| text(&subnet.subnet_id)),
        Field(&["vpc-id"], |subnet| text(&subnet.vpc_id)),
    ];

    fn tags(&self) -> Option<&[api::Tag]> {
        self.tags.as_deref()
    }
}

fn view(cx: &Cx, subnet: &Subnet) -> api::Subnet {
    let free = cx.state.ec2.count_free_addresses(cx.scope(), subnet);
    api::Subnet {
        availability_zone_id: zone_id(&cx.scope().region, &subnet.availability_zone),
        map_customer_owned_ip_on_launch: Some(false),
        owner_id: Some(cx.scope().account.to_string()),
        assign_ipv6_address_on_creation: Some(false),
        ipv6_cidr_block_association_set: Some(Vec::new()),
        tags: tag::view_if_any(&subnet.tags),
        subnet_arn: Some(subnet.arn.to_string()),
        enable_dns64: Some(false),
        ipv6_native: Some(false),
        private_dns_name_options_on_launch: Some(api::PrivateDnsNameOptionsOnLaunch {
            hostname_type: Some(api::HostnameType::IpName),
            enable_resource_name_dns_a_record: Some(false),
            enable_resource_name_dns_aaaa_record: Some(false),
        }),
        block_public_access_states: Some(api::BlockPublicAccessStates {
            internet_gateway_block_mode: Some(api::BlockPublicAccessMode::Off),
        }),
        subnet_id: Some(subnet.id.to_string()),
        state: Some(api::SubnetState::Available),
        vpc_id: Some(subnet.vpc.to_string()),
        cidr_block: Some(subnet.cidr.to_string()),
        available_ip_address_count: Some(i32::try_from(free).unwrap_or(i32::MAX)),
        availability_zone: Some(subnet.availability_zone.clone()),
        default_for_az: Some(subnet.is_default),
        map_public_ip_on_launch: Some(subnet.maps_public_ip),
        ..api::Subnet::default()
    }
}

#[cfg(test)]
mod tests {
    use base::EniId;

    use super::*;
    use crate::testing::{answer, cx, filter, refused, send};

    fn describe_with(cx: &Cx, filters: &[(&str, &str)]) -> Vec<api::Subnet> {
        let input = api::DescribeSubnetsRequest { filters: filter(filters), ..Default::default() };
        answer(describe_subnets(cx, input)).unwrap().subnets.unwrap()
    }

    #[test]
    fn each_zone_has_a_default_subnet() {
        let cx = cx();
        let mut subnets = describe_with(&cx, &[("default-for-az", "true")]);
        subnets.sort_by(|left, right| left.availability_zone.cmp(&right.availability_zone));
        let shown = subnets.iter().map(|subnet| {
            [&subnet.availability_zone, &subnet.availability_zone_id, &subnet.cidr_block]
                .map(|member| member.clone().unwrap())
                .join(" ")
        });
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                "us-east-1a use1-az1 172.31.0.0/20",
                "us-east-1b use1-az2 172.31.16.0/20",
                "us-east-1c use1-az3 172.31.32.0/20"
            ]
        );
        assert!(subnets.iter().all(|subnet| subnet.map_public_ip_on_launch == Some(true)));
    }

    #[test]
    fn the_addresses_in_use_are_not_available() {
        let cx = cx();
        let id =
            SubnetId::new(describe_with(&cx, &[("availability-zone", "us-east-1b")])[0].subnet_id.clone().unwrap());
        let free = || describe_with(&cx, &[("subnet-id", id.as_str())])[0].available_ip_address_count.unwrap();
        assert_eq!(free(), 4091);
        cx.state.ec2.claim_address(cx.scope(), &id, &EniId::new("eni-1")).unwrap();
        assert_eq!(free(), 4090);
    }

    #[test]
    fn subnets_are_filtered_by_what_they_show() {
        let cx = cx();
        let vpc = describe_with(&cx, &[])[0].vpc_id.clone().unwrap();
        for (filters, count) in [
            (vec![("vpc-id", vpc.as_str())], 3),
            (vec![("vpc-id", "vpc-0")], 0),
            (vec![("availability-zone", "us-east-1?")], 3),
            (vec![("availabilityZone", "us-east-1a"), ("state", "available")], 1),
            (vec![("availability-zone-id", "use1-az3")], 1),
            (vec![("cidr", "172.31.16.0/20")], 1),
            (vec![("map-public-ip-on-launch", "false")], 0),
            (vec![("owner-id", "123456789012")], 3),
            (vec![("tag:Name", "*")], 0),
        ] {
            assert_eq!(describe_with(&cx, &filters).len(), count, "{filters:?}");
        }
    }

    #[test]
    fn a_subnet_that_does_not_exist_is_an_error() {
        let cx = cx();
        let (code, message) = refused(&cx, "DescribeSubnets", "SubnetId.1=subnet-0123abcd");
        assert_eq!(code, "InvalidSubnetID.NotFound");
        assert_eq!(message, "The subnet ID 'subnet-0123abcd' does not exist");
        let (code, message) = refused(&cx, "DescribeSubnets", "SubnetId.1=vpc-0123abcd");
        assert_eq!(code, "InvalidSubnetID.Malformed");
        assert_eq!(message, "Invalid id: \"vpc-0123abcd\" (expecting \"subnet-...\")");
    }

    #[test]
    fn the_answer_is_ec2_xml() {
        let cx = cx();
        let (status, body) =
            send(&cx, "DescribeSubnets", "Filter.1.Name=availability-zone&Filter.1.Value.1=us-east-1a");
        assert_eq!(status, 200);
        assert!(body.contains("<defaultForAz>true</defaultForAz>"), "{body}");
        assert!(body.contains("<availableIpAddressCount>4091</availableIpAddressCount>"), "{body}");
    }
}
