//! VPCs.

use api::ec2 as api;
use base::VpcId;
use state::Cx;
use state::ec2::Vpc;

use crate::filter::{Field, Filtered, each, shown, text};
use crate::listing::{Described, Request, describe};
use crate::resource_id::{Kind, derived};
use crate::{Result, tag};

/// Describes VPCs.
pub(crate) async fn describe_vpcs(cx: &Cx, input: api::DescribeVpcsRequest) -> Result<api::DescribeVpcsResult> {
    cx.state.ec2.make_default_vpc(cx.scope());
    let request = Request {
        ids: input.vpc_ids,
        filters: input.filters,
        max_results: input.max_results,
        next_token: input.next_token,
        dry_run: input.dry_run,
    };
    let vpcs = &cx.state.ec2.vpcs;
    let get = |id: &str| vpcs.get(cx.scope(), &VpcId::new(id)).map(|vpc| view(cx, &vpc));
    let walk = |after: Option<String>| vpcs.walk(cx.scope(), after.map(VpcId::new)).map(|(_, vpc)| view(cx, &vpc));
    let page = describe(request, get, walk)?;
    Ok(api::DescribeVpcsResult { next_token: page.next, vpcs: Some(page.items) })
}

impl Described for api::Vpc {
    const KIND: Kind =
        Kind { prefix: "vpc", malformed: "InvalidVpcID.Malformed", not_found: "InvalidVpcID.NotFound", noun: "vpc ID" };
    const LISTING: &'static str = "DescribeVpcs";

    fn id(&self) -> &str {
        self.vpc_id.as_deref().unwrap_or_default()
    }
}

impl Filtered for api::Vpc {
    const FIELDS: &'static [Field<Self>] = &[
        Field(&["cidr", "cidr-block", "cidrBlock"], |vpc| text(&vpc.cidr_block)),
        Field(&["cidr-block-association.association-id"], |vpc| {
            each(&vpc.cidr_block_association_set, |association| text(&association.association_id))
        }),
        Field(&["cidr-block-association.cidr-block"], |vpc| {
            each(&vpc.cidr_block_association_set, |association| text(&association.cidr_block))
        }),
        Field(&["cidr-block-association.state"], |vpc| {
            each(&vpc.cidr_block_association_set, |association| {
                association.cidr_block_state.iter().flat_map(|state| shown(&state.state)).collect()
            })
        }),
        Field(&["dhcp-options-id", "dhcpOptionsId"], |vpc| text(&vpc.dhcp_options_id)),
        Field(&["ipv6-cidr-block-association.association-id"], |vpc| {
            each(&vpc.ipv6_cidr_block_association_set, |association| text(&association.association_id))
        }),
        Field(&["ipv6-cidr-block-association.ipv6-cidr-block"], |vpc| {
            each(&vpc.ipv6_cidr_block_association_set, |association| text(&association.ipv6_cidr_block))
        }),
        Field(&["is-default", "isDefault"], |vpc| shown(&vpc.is_default)),
        Field(&["owner-id"], |vpc| text(&vpc.owner_id)),
        Field(&["state"], |vpc| shown(&vpc.state)),
        Field(&["vpc-id"], |vpc| text(&vpc.vpc_id)),
    ];

    fn tags(&self) -> Option<&[api::Tag]> {
        self.tags.as_deref()
    }
}

fn view(cx: &Cx, vpc: &Vpc) -> api::Vpc {
    let association = api::VpcCidrBlockAssociation {
        association_id: Some(derived("vpc-cidr-assoc", vpc.id.as_str())),
        cidr_block: Some(vpc.cidr.to_string()),
        cidr_block_state: Some(api::VpcCidrBlockState {
            state: Some(api::VpcCidrBlockStateCode::Associated),
            status_message: None,
        }),
    };
    api::Vpc {
        owner_id: Some(cx.scope().account.to_string()),
        instance_tenancy: Some(api::Tenancy::Default),
        cidr_block_association_set: Some(vec![association]),
        is_default: Some(vpc.is_default),
        tags: tag::view_if_any(&vpc.tags),
        block_public_access_states: Some(api::BlockPublicAccessStates {
            internet_gateway_block_mode: Some(api::BlockPublicAccessMode::Off),
        }),
        vpc_id: Some(vpc.id.to_string()),
        state: Some(api::VpcState::Available),
        cidr_block: Some(vpc.cidr.to_string()),
        dhcp_options_id: Some(derived("dopt", vpc.id.as_str())),
        ..api::Vpc::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{cx, send};

    #[test]
    fn every_region_has_its_default_vpc() {
        let cx = cx();
        let (status, body) = send(&cx, "DescribeVpcs", "Filter.1.Name=isDefault&Filter.1.Value.1=true");
        assert_eq!(status, 200);
        let id = cx.state.ec2.vpcs.keys()[0].1.to_string();
        let digits = id.strip_prefix("vpc-").unwrap();
        for part in [
            "<DescribeVpcsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15\">",
            "<vpcSet><item><ownerId>123456789012</ownerId><instanceTenancy>default</instanceTenancy>",
            &format!("<associationId>vpc-cidr-assoc-{digits}</associationId><cidrBlock>172.31.0.0/16</cidrBlock>"),
            "<cidrBlockState><state>associated</state></cidrBlockState>",
            "<isDefault>true</isDefault>",
            &format!("<vpcId>{id}</vpcId><state>available</state><cidrBlock>172.31.0.0/16</cidrBlock>"),
            &format!("<dhcpOptionsId>dopt-{digits}</dhcpOptionsId>"),
        ] {
            assert!(body.contains(part), "{part} in {body}");
        }
        assert!(!body.contains("tagSet"), "{body}");
    }

    #[test]
    fn errors_have_the_codes_and_words_of_ec2() {
        let cx = cx();
        for (form, expected) in [
            (
                "VpcId.1=vpc-0123abcd",
                "<Code>InvalidVpcID.NotFound</Code><Message>The vpc ID 'vpc-0123abcd' does not exist</Message>",
            ),
            ("VpcId.1=x", "<Code>InvalidVpcID.Malformed</Code>"),
            (
                "Filter.1.Name=x&Filter.1.Value.1=y",
                "<Code>InvalidParameterValue</Code><Message>The filter 'x' is invalid</Message>",
            ),
            (
                "MaxResults=4",
                "<Code>InvalidParameterValue</Code><Message>Value ( 4 ) for parameter MaxResults is invalid. \
                 Expecting a value greater than or equal to 5.</Message>",
            ),
            (
                "MaxResults=1001",
                "<Code>InvalidParameterValue</Code><Message>Value ( 1001 ) for parameter MaxResults is invalid. \
                 Expecting a value smaller than or equal to 1000.</Message>",
            ),
            ("NextToken=x", "<Code>InvalidParameterValue</Code>"),
        ] {
            let (status, body) = send(&cx, "DescribeVpcs", form);
            assert_eq!(status, 400);
            let body = body.replace("&apos;", "'");
            assert!(body.contains(expected), "{expected} in {body}");
        }
        assert_eq!(send(&cx, "DescribeVpcs", "DryRun=true").0, 412);
    }
}
