//! Elastic network interfaces. Controllers make them for tasks; here they are shown.

use api::ec2 as api;
use base::EniId;
use state::Cx;
use state::ec2::{NetworkInterface, NetworkInterfaceAttachment, NetworkInterfaceStatus};

use crate::availability_zone::zone_id;
use crate::filter::{Field, Filtered, each, shown, text};
use crate::listing::{Described, Request, describe};
use crate::resource_id::Kind;
use crate::{Result, tag};

/// The account in which Fargate runs: the one that asks for the interfaces of tasks and that they are attached in.
const FARGATE_ACCOUNT: &str = "578734482556";
/// The place of a task's interface: on Fargate, `eth0` belongs to the platform.
const TASK_DEVICE_INDEX: i32 = 1;

/// Describes network interfaces.
pub(crate) async fn describe_network_interfaces(
    cx: &Cx,
    input: api::DescribeNetworkInterfacesRequest,
) -> Result<api::DescribeNetworkInterfacesResult> {
    cx.state.ec2.make_default_vpc(cx.scope());
    let request = Request {
        ids: input.network_interface_ids,
        filters: input.filters,
        max_results: input.max_results,
        next_token: input.next_token,
        dry_run: input.dry_run,
    };
    let interfaces = &cx.state.ec2.network_interfaces;
    let get = |id: &str| interfaces.get(cx.scope(), &EniId::new(id)).map(|interface| view(cx, &interface));
    let walk = |after: Option<String>| {
        interfaces.walk(cx.scope(), after.map(EniId::new)).map(|(_, interface)| view(cx, &interface))
    };
    let page = describe(request, get, walk)?;
    Ok(api::DescribeNetworkInterfacesResult { network_interfaces: Some(page.items), next_token: page.next })
}

impl Described for api::NetworkInterface {
    const KIND: Kind = Kind {
        prefix: "eni",
        malformed: "InvalidNetworkInterfaceId.Malformed",
        not_found: "InvalidNetworkInterfaceID.NotFound",
        noun: "networkInterface ID",
    };
    const LISTING: &'static str = "DescribeNetworkInterfaces";

    fn id(&self) -> &str {
        self.network_interface_id.as_deref().unwrap_or_default()
    }
}

impl Filtered for api::NetworkInterface {
    const FIELDS: &'static [Field<Self>] = &[
        Field(&["addresses.association.public-ip"], |eni| {
            each(&eni.private_ip_addresses, |address| {
                address.association.iter().flat_map(|association| text(&association.public_ip)).collect()
            })
        }),
        Field(&["addresses.primary"], |eni| each(&eni.private_ip_addresses, |address| shown(&address.primary))),
        Field(&["addresses.private-ip-address"], |eni| {
            each(&eni.private_ip_addresses, |address| text(&address.private_ip_address))
        }),
        Field(&["association.public-ip"], |eni| {
            eni.association.iter().flat_map(|association| text(&association.public_ip)).collect()
        }),
        Field(&["attachment.attachment-id"], |eni| attached(eni, |attachment| text(&attachment.attachment_id))),
        Field(&["attachment.delete-on-termination"], |eni| {
            attached(eni, |attachment| shown(&attachment.delete_on_termination))
        }),
        Field(&["attachment.device-index"], |eni| attached(eni, |attachment| shown(&attachment.device_index))),
        Field(&["attachment.instance-id"], |eni| attached(eni, |attachment| text(&attachment.instance_id))),
        Field(&["attachment.instance-owner-id"], |eni| attached(eni, |attachment| text(&attachment.instance_owner_id))),
        Field(&["attachment.status"], |eni| attached(eni, |attachment| shown(&attachment.status))),
        Field(&["availability-zone"], |eni| text(&eni.availability_zone)),
        Field(&["availability-zone-id"], |eni| text(&eni.availability_zone_id)),
        Field(&["description"], |eni| text(&eni.description)),
        Field(&["group-id"], |eni| each(&eni.groups, |group| text(&group.group_id))),
        Field(&["group-name"], |eni| each(&eni.groups, |group| text(&group.group_name))),
        Field(&["interface-type"], |eni| shown(&eni.interface_type)),
        Field(&["ipv6-addresses.ipv6-address"], |eni| each(&eni.ipv6_addresses, |address| text(&address.ipv6_address))),
        Field(&["mac-address"], |eni| text(&eni.mac_address)),
        Field(&["network-interface-id"], |eni| text(&eni.network_interface_id)),
        Field(&["owner-id"], |eni| text(&eni.owner_id)),
        Field(&["private-dns-name"], |eni| text(&eni.private_dns_name)),
        Field(&["private-ip-address"], |eni| text(&eni.private_ip_address)),
        Field(&["requester-id"], |eni| text(&eni.requester_id)),
        Field(&["requester-managed"], |eni| shown(&eni.requester_managed)),
        Field(&["source-dest-check"], |eni| shown(&eni.source_dest_check)),
        Field(&["status"], |eni| shown(&eni.status)),
        Field(&["subnet-id"], |eni| text(&eni.subnet_id)),
        Field(&["vpc-id"], |eni| text(&eni.vpc_id)),
    ];

    fn tags(&self) -> Option<&[api::Tag]> {
        self.tag_set.as_deref()
    }
}

fn attached(
    eni: &api::NetworkInterface,
    values: impl Fn(&api::NetworkInterfaceAttachment) -> Vec<String>,
) -> Vec<String> {
    eni.attachment.as_ref().map(values).unwrap_or_default()
}

fn view(cx: &Cx, eni: &NetworkInterface) -> api::NetworkInterface {
    let group = |id: &base::SecurityGroupId| api::GroupIdentifier {
        group_id: Some(id.to_string()),
        group_name: cx.state.ec2.security_groups.get(cx.scope(), id).map(|group| group.name.clone()),
    };
    let address = api::NetworkInterfacePrivateIpAddress {
        association: None,
        primary: Some(true),
        private_dns_name: Some(eni.private_dns_name.clone()),
        private_ip_address: Some(eni.address.to_string()),
    };
    api::NetworkInterface {
        attachment: eni.attachment.as_ref().map(view_attachment),
        availability_zone: Some(eni.availability_zone.clone()),
        availability_zone_id: zone_id(&cx.scope().region, &eni.availability_zone),
        description: Some(eni.description.clone()),
        groups: Some(eni.security_groups.iter().map(group).collect()),
        interface_type: Some(api::NetworkInterfaceType::Interface),
        ipv6_addresses: Some(Vec::new()),
        mac_address: Some(eni.mac.clone()),
        network_interface_id: Some(eni.id.to_string()),
        operator: Some(api::OperatorResponse { managed: Some(false), ..api::OperatorResponse::default() }),
        owner_id: Some(cx.scope().account.to_string()),
        private_dns_name: Some(eni.private_dns_name.clone()),
        private_ip_address: Some(eni.address.to_string()),
        private_ip_addresses: Some(vec![address]),
        requester_id: Some(FARGATE_ACCOUNT.to_owned()),
        requester_managed: Some(true),
        source_dest_check: Some(true),
        status: Some(match eni.status {
            NetworkInterfaceStatus::Available => api::NetworkInterfaceStatus::Available,
            NetworkInterfaceStatus::InUse => api::NetworkInterfaceStatus::InUse,
        }),
        subnet_id: Some(eni.subnet.to_string()),
        tag_set: Some(tag::view(&eni.tags)),
        vpc_id: Some(eni.vpc.to_string()),
        ..api::NetworkInterface::default()
    }
}

fn view_attachment(attachment: &NetworkInterfaceAttachment) -> api::NetworkInterfaceAttachment {
    api::NetworkInterfaceAttachment {
        attach_time: Some(attachment.attached_at.into()),
        attachment_id: Some(attachment.id.clone()),
        delete_on_termination: Some(false),
        device_index: Some(TASK_DEVICE_INDEX),
        network_card_index: Some(0),
        instance_owner_id: Some(FARGATE_ACCOUNT.to_owned()),
        status: Some(api::AttachmentStatus::Attached),
        ..api::NetworkInterfaceAttachment::default()
    }
}

#[cfg(test)]
mod tests {
    use base::SecurityGroupId;
    use state::Tag;

    use super::*;
    use crate::testing::{answer, cx, filter, refused, send};

    /// Makes an interface as a task has it, and one that nobody uses.
    fn with_interfaces() -> Cx {
        let cx = cx();
        let ec2 = &cx.state.ec2;
        ec2.make_default_vpc(cx.scope());
        let (_, subnet) =
            ec2.subnets.walk(cx.scope(), None).find(|(_, row)| row.cidr.to_string() == "172.31.0.0/20").unwrap();
        let group = ec2.default_security_group(cx.scope(), &subnet.vpc).unwrap();
        for (id, status) in
            [("eni-00000001", NetworkInterfaceStatus::InUse), ("eni-00000002", NetworkInterfaceStatus::Available)]
        {
            let id = EniId::new(id);
            let attachment = || NetworkInterfaceAttachment { id: "eni-attach-1".to_owned(), attached_at: cx.now() };
            let interface = NetworkInterface {
                id: id.clone(),
                vpc: subnet.vpc.clone(),
                subnet: subnet.id.clone(),
                availability_zone: subnet.availability_zone.clone(),
                address: ec2.claim_address(cx.scope(), &subnet.id, &id).unwrap(),
                mac: "0a:00:00:00:00:01".to_owned(),
                private_dns_name: "ip-172-31-0-4.ec2.internal".to_owned(),
                description: format!("arn:aws:ecs:us-east-1:123456789012:attachment/{id}"),
                security_groups: vec![group.id.clone(), SecurityGroupId::new("sg-gone")],
                status,
                attachment: (status == NetworkInterfaceStatus::InUse).then(attachment),
                created_at: cx.now(),
                tags: vec![Tag { key: "n".to_owned(), value: id.to_string() }],
            };
            ec2.network_interfaces.insert(cx.scope(), &id, interface);
        }
        cx
    }

    fn ids(cx: &Cx, filters: &[(&str, &str)]) -> Vec<String> {
        let input = api::DescribeNetworkInterfacesRequest { filters: filter(filters), ..Default::default() };
        let interfaces = answer(describe_network_interfaces(cx, input)).unwrap().network_interfaces.unwrap();
        interfaces.into_iter().map(|interface| interface.network_interface_id.unwrap()).collect()
    }

    #[test]
    fn a_task_s_interface_is_shown_as_fargate_s() {
        let cx = with_interfaces();
        let (status, body) = send(&cx, "DescribeNetworkInterfaces", "NetworkInterfaceId.1=eni-00000001");
        assert_eq!(status, 200);
        for part in [
            "<networkInterfaceSet><item><attachment><attachTime>2027-01-15T08:00:00",
            "<attachmentId>eni-attach-1</attachmentId><deleteOnTermination>false</deleteOnTermination>\
             <deviceIndex>1</deviceIndex>",
            "<instanceOwnerId>578734482556</instanceOwnerId><status>attached</status></attachment>",
            "<availabilityZone>us-east-1a</availabilityZone>",
            "<groupName>default</groupName></item><item><groupId>sg-gone</groupId></item></groupSet>",
            "<interfaceType>interface</interfaceType><ipv6AddressesSet/>",
            "<privateIpAddress>172.31.0.4</privateIpAddress><privateIpAddressesSet><item><primary>true</primary>",
            "<requesterManaged>true</requesterManaged>",
            "<status>in-use</status>",
            "<tagSet><item><key>n</key><value>eni-00000001</value></item></tagSet>",
            "<availabilityZoneId>use1-az1</availabilityZoneId>",
        ] {
            let body = body.replace("<ipv6AddressesSet></ipv6AddressesSet>", "<ipv6AddressesSet/>");
            assert!(body.contains(part), "{part} in {body}");
        }
    }

    #[test]
    fn interfaces_are_filtered_by_what_they_show() {
        let cx = with_interfaces();
        let both = ["eni-00000001", "eni-00000002"].as_slice();
        for (filters, expected) in [
            (vec![], both),
            (vec![("status", "in-use")], &both[..1]),
            (vec![("attachment.status", "attached")], &both[..1]),
            (vec![("private-ip-address", "172.31.0.5")], &both[1..]),
            (vec![("addresses.private-ip-address", "172.31.0.*")], both),
            (vec![("description", "*attachment/eni-00000002")], &both[1..]),
            (vec![("group-name", "default"), ("requester-managed", "true")], both),
            (vec![("group-id", "sg-gone")], both),
            (vec![("tag:n", "eni-00000001")], &both[..1]),
            (vec![("network-interface-id", "eni-00000003")], &[]),
            (vec![("association.public-ip", "*")], &[]),
        ] {
            assert_eq!(ids(&cx, &filters), expected, "{filters:?}");
        }
    }

    #[test]
    fn an_interface_that_does_not_exist_is_an_error() {
        let cx = with_interfaces();
        let form = "NetworkInterfaceId.1=eni-00000001&NetworkInterfaceId.2=eni-00000009";
        let (code, message) = refused(&cx, "DescribeNetworkInterfaces", form);
        assert_eq!(code, "InvalidNetworkInterfaceID.NotFound");
        assert_eq!(message, "The networkInterface ID 'eni-00000009' does not exist");
        let (code, message) = refused(&cx, "DescribeNetworkInterfaces", "NetworkInterfaceId.1=x");
        assert_eq!(code, "InvalidNetworkInterfaceId.Malformed");
        assert_eq!(message, "Invalid id: \"x\" (expecting \"eni-...\")");
    }
}
