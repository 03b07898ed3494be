//! Security groups.

use api::ec2 as api;
use base::SecurityGroupId;
use state::Cx;
use state::ec2::SecurityGroup;

use crate::filter::{Field, Filtered, each, shown, text};
use crate::listing::{Described, Request, describe};
use crate::resource_id::Kind;
use crate::{Result, error, tag};

/// What a rule for all protocols has in place of one.
const ALL_PROTOCOLS: &str = "-1";
const ANYWHERE: &str = "0.0.0.0/0";

/// Describes security groups, by id, or by name those of the default VPC.
pub(crate) async fn describe_security_groups(
    cx: &Cx,
    input: api::DescribeSecurityGroupsRequest,
) -> Result<api::DescribeSecurityGroupsResult> {
    cx.state.ec2.make_default_vpc(cx.scope());
    let mut ids = input.group_ids.unwrap_or_default();
    for name in input.group_names.unwrap_or_default() {
        ids.push(id_of(cx, &name)?.to_string());
    }
    let request = Request {
        ids: Some(ids),
        filters: input.filters,
        max_results: input.max_results,
        next_token: input.next_token,
        dry_run: input.dry_run,
    };
    let groups = &cx.state.ec2.security_groups;
    let get = |id: &str| groups.get(cx.scope(), &SecurityGroupId::new(id)).map(|group| view(cx, &group));
    let walk = |after: Option<String>| {
        groups.walk(cx.scope(), after.map(SecurityGroupId::new)).map(|(_, group)| view(cx, &group))
    };
    let page = describe(request, get, walk)?;
    Ok(api::DescribeSecurityGroupsResult { next_token: page.next, security_groups: Some(page.items) })
}

/// Finds a group of the default VPC by its name.
fn id_of(cx: &Cx, name: &str) -> Result<SecurityGroupId> {
    let mut vpcs = cx.state.ec2.vpcs.walk(cx.scope(), None).map(|(_, vpc)| vpc);
    let vpc = vpcs.find(|vpc| vpc.is_default);
    let is_named = |group: &SecurityGroup| vpc.as_ref().is_some_and(|vpc| group.vpc == vpc.id) && group.name == name;
    let mut groups = cx.state.ec2.security_groups.walk(cx.scope(), None).map(|(_, group)| group);
    groups.find(|group| is_named(group)).map(|group| group.id.clone()).ok_or_else(|| {
        let vpc = vpc.as_ref().map_or("none", |vpc| vpc.id.as_str());
        let message = format!("The security group '{name}' does not exist in default VPC '{vpc}'");
        error("InvalidGroup.NotFound", message)
    })
}

impl Described for api::SecurityGroup {
    const KIND: Kind = Kind {
        prefix: "sg",
        malformed: "InvalidGroupId.Malformed",
        not_found: "InvalidGroup.NotFound",
        noun: "security group",
    };
    const LISTING: &'static str = "DescribeSecurityGroups";

    fn id(&self) -> &str {
        self.group_id.as_deref().unwrap_or_default()
    }
}

impl Filtered for api::SecurityGroup {
    const FIELDS: &'static [Field<Self>] = &[
        Field(&["description"], |group| text(&group.description)),
        Field(&["egress.ip-permission.cidr"], |group| each(&group.ip_permissions_egress, ranges)),
        Field(&["egress.ip-permission.from-port"], |group| {
            each(&group.ip_permissions_egress, |rule| shown(&rule.from_port))
        }),
        Field(&["egress.ip-permission.group-id"], |group| each(&group.ip_permissions_egress, peer_ids)),
        Field(&["egress.ip-permission.protocol"], |group| {
            each(&group.ip_permissions_egress, |rule| text(&rule.ip_protocol))
        }),
        Field(&["egress.ip-permission.to-port"], |group| {
            each(&group.ip_permissions_egress, |rule| shown(&rule.to_port))
        }),
        Field(&["group-id"], |group| text(&group.group_id)),
        Field(&["group-name"], |group| text(&group.group_name)),
        Field(&["ip-permission.cidr"], |group| each(&group.ip_permissions, ranges)),
        Field(&["ip-permission.from-port"], |group| each(&group.ip_permissions, |rule| shown(&rule.from_port))),
        Field(&["ip-permission.group-id"], |group| each(&group.ip_permissions, peer_ids)),
        Field(&["ip-permission.protocol"], |group| each(&group.ip_permissions, |rule| text(&rule.ip_protocol))),
        Field(&["ip-permission.to-port"], |group| each(&group.ip_permissions, |rule| shown(&rule.to_port))),
        Field(&["owner-id"], |group| text(&group.owner_id)),
        Field(&["vpc-id"], |group| text(&group.vpc_id)),
    ];

    fn tags(&self) -> Option<&[api::Tag]> {
        self.tags.as_deref()
    }
}

fn ranges(rule: &api::IpPermission) -> Vec<String> {
    each(&rule.ip_ranges, |range| text(&range.cidr_ip))
}

fn peer_ids(rule: &api::IpPermission) -> Vec<String> {
    each(&rule.user_id_group_pairs, |peer| text(&peer.group_id))
}

fn view(cx: &Cx, group: &SecurityGroup) -> api::SecurityGroup {
    let account = cx.scope().account.to_string();
    // The only groups so far are those that VPCs come with: open inside, and to everywhere.
    let members = api::UserIdGroupPair {
        user_id: Some(account.clone()),
        group_id: Some(group.id.to_string()),
        ..api::UserIdGroupPair::default()
    };
    let anywhere = api::IpRange { cidr_ip: Some(ANYWHERE.to_owned()), description: None };
    api::SecurityGroup {
        group_id: Some(group.id.to_string()),
        ip_permissions_egress: Some(vec![every_protocol(Vec::new(), vec![anywhere])]),
        tags: tag::view_if_any(&group.tags),
        vpc_id: Some(group.vpc.to_string()),
        security_group_arn: Some(group.arn.to_string()),
        owner_id: Some(account),
        group_name: Some(group.name.clone()),
        description: Some(group.description.clone()),
        ip_permissions: Some(vec![every_protocol(vec![members], Vec::new())]),
    }
}

fn every_protocol(groups: Vec<api::UserIdGroupPair>, ranges: Vec<api::IpRange>) -> api::IpPermission {
    api::IpPermission {
        ip_protocol: Some(ALL_PROTOCOLS.to_owned()),
        from_port: None,
        to_port: None,
        user_id_group_pairs: Some(groups),
        ip_ranges: Some(ranges),
        ipv6_ranges: Some(Vec::new()),
        prefix_list_ids: Some(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answer, cx, filter, refused, send};

    fn describe_with(cx: &Cx, filters: &[(&str, &str)]) -> Vec<api::SecurityGroup> {
        let input = api::DescribeSecurityGroupsRequest { filters: filter(filters), ..Default::default() };
        answer(describe_security_groups(cx, input)).unwrap().security_groups.unwrap()
    }

    #[test]
    fn the_default_group_lets_in_its_members_and_out_everything() {
        let cx = cx();
        let groups = describe_with(&cx, &[("group-name", "default")]);
        let [group] = groups.as_slice() else { panic!("one group: {groups:?}") };
        assert_eq!(group.description.as_deref(), Some("default VPC security group"));
        let ingress = &group.ip_permissions.as_ref().unwrap()[0];
        assert_eq!(peer_ids(ingress), [group.group_id.clone().unwrap()]);
        assert_eq!(ranges(ingress), [""; 0]);
        let egress = &group.ip_permissions_egress.as_ref().unwrap()[0];
        assert_eq!(ranges(egress), ["0.0.0.0/0"]);
        assert_eq!((egress.ip_protocol.as_deref(), egress.from_port), (Some("-1"), None));
    }

    #[test]
    fn groups_are_filtered_by_their_rules_too() {
        let cx = cx();
        let id = describe_with(&cx, &[])[0].group_id.clone().unwrap();
        for (filters, count) in [
            (vec![("group-id", id.as_str())], 1),
            (vec![("ip-permission.group-id", id.as_str())], 1),
            (vec![("ip-permission.cidr", "0.0.0.0/0")], 0),
            (vec![("egress.ip-permission.cidr", "0.0.0.0/0"), ("egress.ip-permission.protocol", "-1")], 1),
            (vec![("ip-permission.from-port", "80")], 0),
            (vec![("description", "default*")], 1),
            (vec![("group-name", "web")], 0),
        ] {
            assert_eq!(describe_with(&cx, &filters).len(), count, "{filters:?}");
        }
    }

    #[test]
    fn a_group_is_found_by_id_or_by_name_in_the_default_vpc() {
        let cx = cx();
        let (status, body) = send(&cx, "DescribeSecurityGroups", "GroupName.1=default");
        assert_eq!(status, 200);
        assert!(body.contains("<securityGroupInfo><item><groupId>sg-0"), "{body}");
        let vpc = cx.state.ec2.vpcs.keys()[0].1.to_string();
        let (code, message) = refused(&cx, "DescribeSecurityGroups", "GroupName.1=web");
        assert_eq!(code, "InvalidGroup.NotFound");
        assert_eq!(message, format!("The security group 'web' does not exist in default VPC '{vpc}'"));
        let (code, message) = refused(&cx, "DescribeSecurityGroups", "GroupId.1=sg-0123abcd");
        assert_eq!(code, "InvalidGroup.NotFound");
        assert_eq!(message, "The security group 'sg-0123abcd' does not exist");
        let (code, _) = refused(&cx, "DescribeSecurityGroups", "GroupId.1=default");
        assert_eq!(code, "InvalidGroupId.Malformed");
    }
}
