//! Mount targets.

use std::net::Ipv4Addr;
use std::sync::Arc;

use api::efs as api;
use base::{Page, PageToken, SecurityGroupId, SubnetId};
use state::Cx;
use state::efs::MountTarget;

use crate::{error, file_system, identity};

const LISTING: &str = "DescribeMountTargets";

/// Makes a mount target in a subnet: one in each zone, all in one VPC.
pub(crate) async fn create_mount_target(
    cx: &Cx,
    input: api::CreateMountTargetRequest,
) -> Result<api::MountTargetDescription, api::Error> {
    let system = file_system::find(cx, input.file_system_id)?;
    cx.state.ec2.make_default_vpc(cx.scope());
    let subnet_id = SubnetId::new(input.subnet_id.unwrap_or_default());
    let subnet = cx.state.ec2.subnets.get(cx.scope(), &subnet_id);
    let subnet = subnet.ok_or_else(|| error::subnet_not_found(subnet_id.as_str()))?;
    if system.availability_zone.as_ref().is_some_and(|zone| *zone != subnet.availability_zone) {
        return Err(error::zones_mismatch());
    }
    for (_, other) in of_file_system(cx, &system.id) {
        if other.vpc != subnet.vpc {
            return Err(error::mount_target_elsewhere());
        }
        if other.availability_zone == subnet.availability_zone {
            return Err(error::mount_target_conflict());
        }
    }
    let security_groups = match input.security_groups.filter(|groups| !groups.is_empty()) {
        Some(groups) => security_groups(cx, groups)?,
        None => {
            let group = cx.state.ec2.default_security_group(cx.scope(), &subnet.vpc);
            group.map(|group| group.id.clone()).into_iter().collect()
        }
    };
    let wanted = input
        .ip_address
        .map(|address| address.parse::<Ipv4Addr>().map_err(|_| error::bad_request("The IP address is not valid.")));
    let network_interface = cx.ids.eni();
    let address = match wanted.transpose()? {
        Some(address) => address,
        None => {
            let claimed = cx.state.ec2.claim_address(cx.scope(), &subnet_id, &network_interface);
            claimed.ok_or_else(|| error::no_free_addresses(subnet_id.as_str()))?
        }
    };
    let id = cx.ids.ec2("fsmt");
    let target = MountTarget {
        id: id.clone(),
        file_system: system.id.clone(),
        vpc: subnet.vpc.clone(),
        subnet: subnet_id,
        availability_zone: subnet.availability_zone.clone(),
        address,
        network_interface,
        security_groups,
    };
    let target = cx.state.efs.mount_targets.insert(cx.scope(), &id, target);
    Ok(api::MountTargetDescription { life_cycle_state: Some(api::LifeCycleState::Creating), ..view(cx, &target) })
}

/// Shows the mount targets of a file system, or one.
pub(crate) async fn describe_mount_targets(
    cx: &Cx,
    input: api::DescribeMountTargetsRequest,
) -> Result<api::DescribeMountTargetsResponse, api::Error> {
    if let Some(id) = input.mount_target_id {
        let targets = Some(vec![view(cx, &*find(cx, &id)?)]);
        return Ok(api::DescribeMountTargetsResponse { mount_targets: targets, ..Default::default() });
    }
    let system = match (input.file_system_id, input.access_point_id) {
        (Some(reference), _) => file_system::find(cx, Some(reference))?.id.clone(),
        (None, Some(reference)) => {
            let id = identity::id_of(Some(reference));
            let point = cx.state.efs.access_points.get(cx.scope(), &id);
            point.ok_or_else(|| error::access_point_not_found(&id))?.file_system.clone()
        }
        (None, None) => {
            let message = "One of FileSystemId, AccessPointId and MountTargetId must be given.";
            return Err(error::bad_request(message));
        }
    };
    let marker = input.marker;
    let after = marker.as_ref().map(|token| PageToken::decode(LISTING, token).map_err(|_| error::invalid_token()));
    let after = after.transpose()?;
    let targets = of_file_system(cx, &system).filter(|(id, _)| after.as_ref().is_none_or(|after| id > after));
    let page = Page::cut(LISTING, identity::page_size(input.max_items), targets, |(id, _)| id.clone());
    Ok(api::DescribeMountTargetsResponse {
        marker,
        mount_targets: Some(page.items.iter().map(|(_, target)| view(cx, target)).collect()),
        next_marker: page.next,
    })
}

/// Removes a mount target and gives its address back.
pub(crate) async fn delete_mount_target(cx: &Cx, input: api::DeleteMountTargetRequest) -> Result<(), api::Error> {
    let id = input.mount_target_id.unwrap_or_default();
    let removed = cx.state.efs.mount_targets.remove(cx.scope(), &id);
    let removed = removed.ok_or_else(|| error::mount_target_not_found(&id))?;
    cx.state.ec2.release_address(cx.scope(), &removed.subnet, removed.address);
    Ok(())
}

/// Lists the security groups of a mount target.
pub(crate) async fn describe_mount_target_security_groups(
    cx: &Cx,
    input: api::DescribeMountTargetSecurityGroupsRequest,
) -> Result<api::DescribeMountTargetSecurityGroupsResponse, api::Error> {
    let target = find(cx, &input.mount_target_id.unwrap_or_default())?;
    let groups = target.security_groups.iter().map(ToString::to_string).collect();
    Ok(api::DescribeMountTargetSecurityGroupsResponse { security_groups: Some(groups) })
}

/// Replaces the security groups of a mount target.
pub(crate) async fn modify_mount_target_security_groups(
    cx: &Cx,
    input: api::ModifyMountTargetSecurityGroupsRequest,
) -> Result<(), api::Error> {
    let target = find(cx, &input.mount_target_id.unwrap_or_default())?;
    let groups = security_groups(cx, input.security_groups.unwrap_or_default())?;
    let updated = cx.state.efs.mount_targets.update(cx.scope(), &target.id, |target| target.security_groups = groups);
    updated.map(drop).ok_or_else(|| error::mount_target_not_found(&target.id))
}

fn find(cx: &Cx, id: &str) -> Result<Arc<MountTarget>, api::Error> {
    cx.state.efs.mount_targets.get(cx.scope(), &id.to_owned()).ok_or_else(|| error::mount_target_not_found(id))
}

fn of_file_system(cx: &Cx, id: &str) -> impl Iterator<Item = (String, Arc<MountTarget>)> {
    cx.state.efs.mount_targets.walk(cx.scope(), None).filter(move |(_, target)| target.file_system == id)
}

fn security_groups(cx: &Cx, ids: Vec<String>) -> Result<Vec<SecurityGroupId>, api::Error> {
    let known = |id: String| {
        let group = SecurityGroupId::new(id);
        match cx.state.ec2.security_groups.get(cx.scope(), &group) {
            Some(_) => Ok(group),
            None => Err(error::security_group_not_found(group.as_str())),
        }
    };
    ids.into_iter().map(known).collect()
}

fn view(cx: &Cx, target: &MountTarget) -> api::MountTargetDescription {
    api::MountTargetDescription {
        owner_id: Some(cx.scope().account.to_string()),
        mount_target_id: Some(target.id.clone()),
        file_system_id: Some(target.file_system.clone()),
        subnet_id: Some(target.subnet.to_string()),
        life_cycle_state: Some(api::LifeCycleState::Available),
        ip_address: Some(target.address.to_string()),
        ipv6_address: None,
        network_interface_id: Some(target.network_interface.to_string()),
        availability_zone_id: Some(file_system::zone_id(&target.availability_zone)),
        availability_zone_name: Some(target.availability_zone.clone()),
        vpc_id: Some(target.vpc.to_string()),
    }
}
