//! File systems.

use std::sync::Arc;

use api::efs as api;
use base::{Arn, Page, PageToken};
use state::Cx;
use state::efs::FileSystem;

use crate::{error, identity, tags};

const LISTING: &str = "DescribeFileSystems";
/// What an empty file system is metered with.
const SIZE_EMPTY_BYTES: i64 = 6144;

/// Makes a file system.
pub(crate) async fn create_file_system(
    cx: &Cx,
    input: api::CreateFileSystemRequest,
) -> Result<api::FileSystemDescription, api::Error> {
    let token = input.creation_token.unwrap_or_default();
    let same = cx.state.efs.file_systems.walk(cx.scope(), None).find(|(_, system)| system.creation_token == token);
    if let Some((id, _)) = same {
        return Err(error::file_system_already_exists(&id, &token));
    }
    let throughput_mode = input.throughput_mode.unwrap_or(api::ThroughputMode::Bursting);
    let throughput = input.provisioned_throughput_in_mibps;
    check_throughput(&throughput_mode, throughput)?;
    let is_encrypted = input.encrypted.unwrap_or(false);
    if input.kms_key_id.is_some() && !is_encrypted {
        return Err(error::bad_request("A KMS key can only be given for an encrypted file system."));
    }
    let zone = input.availability_zone_name;
    let is_known_zone =
        |zone: &String| state::ec2::ZONES.iter().any(|letter| *zone == format!("{}{letter}", cx.scope().region));
    if zone.as_ref().is_some_and(|zone| !is_known_zone(zone)) {
        return Err(error::bad_request("The Availability Zone is not one of the region."));
    }
    let performance_mode = input.performance_mode.unwrap_or(api::PerformanceMode::GeneralPurpose);
    // A file system of one zone is backed up unless its client says no.
    let backs_up = input.backup.unwrap_or_else(|| zone.is_some());
    let id = cx.ids.ec2("fs");
    let system = FileSystem {
        arn: identity::arn(cx, &format!("file-system/{id}")),
        id: id.clone(),
        creation_token: token,
        created_at: cx.now(),
        performance_mode: performance_mode.to_string(),
        throughput_mode: throughput_mode.to_string(),
        provisioned_throughput_mibps: throughput,
        kms_key: is_encrypted.then(|| key_arn(cx, input.kms_key_id)),
        availability_zone: zone,
        backup_status: if backs_up { "ENABLED" } else { "DISABLED" }.to_owned(),
        overwrite_protection: "ENABLED".to_owned(),
        policy: None,
        lifecycle: None,
        tags: tags::parse(input.tags)?,
    };
    let system = cx.state.efs.file_systems.insert(cx.scope(), &id, system);
    Ok(api::FileSystemDescription { life_cycle_state: Some(api::LifeCycleState::Creating), ..view(cx, &system) })
}

/// Shows file systems: one, or a page of all.
pub(crate) async fn describe_file_systems(
    cx: &Cx,
    input: api::DescribeFileSystemsRequest,
) -> Result<api::DescribeFileSystemsResponse, api::Error> {
    let marker = input.marker;
    if input.file_system_id.is_some() {
        let system = find(cx, input.file_system_id)?;
        let systems = Some(vec![view(cx, &system)]);
        return Ok(api::DescribeFileSystemsResponse { file_systems: systems, ..Default::default() });
    }
    let after = marker.as_ref().map(|token| PageToken::decode(LISTING, token).map_err(|_| error::invalid_token()));
    let all = cx.state.efs.file_systems.walk(cx.scope(), after.transpose()?);
    let token = input.creation_token;
    let all = all.filter(|(_, system)| token.as_ref().is_none_or(|token| system.creation_token == *token));
    let page = Page::cut(LISTING, identity::page_size(input.max_items), all, |(id, _)| id.clone());
    Ok(api::DescribeFileSystemsResponse {
        marker,
        file_systems: Some(page.items.iter().map(|(_, system)| view(cx, system)).collect()),
        next_marker: page.next,
    })
}

/// Changes the throughput of a file system.
pub(crate) async fn update_file_system(
    cx: &Cx,
    input: api::UpdateFileSystemRequest,
) -> Result<api::FileSystemDescription, api::Error> {
    let system = find(cx, input.file_system_id)?;
    let mode = input.throughput_mode.unwrap_or_else(|| system.throughput_mode.as_str().into());
    let is_provisioned = mode == api::ThroughputMode::Provisioned;
    let throughput = input
        .provisioned_throughput_in_mibps
        .or_else(|| system.provisioned_throughput_mibps.filter(|_| is_provisioned));
    check_throughput(&mode, throughput)?;
    let updated = cx.state.efs.file_systems.update(cx.scope(), &system.id, |system| {
        system.throughput_mode = mode.to_string();
        system.provisioned_throughput_mibps = throughput;
    });
    let updated = updated.ok_or_else(|| error::file_system_not_found(&system.id))?;
    Ok(view(cx, &updated))
}

/// Removes a file system that nobody can mount, with its access points.
pub(crate) async fn delete_file_system(cx: &Cx, input: api::DeleteFileSystemRequest) -> Result<(), api::Error> {
    let system = find(cx, input.file_system_id)?;
    if count_mount_targets(cx, &system.id) > 0 {
        return Err(error::file_system_in_use(&system.id));
    }
    let efs = &cx.state.efs;
    cx.state.together(|| {
        let points = efs.access_points.walk(cx.scope(), None).filter(|(_, point)| point.file_system == system.id);
        for id in points.map(|(id, _)| id).collect::<Vec<_>>() {
            efs.access_points.remove(cx.scope(), &id);
        }
        efs.file_systems.remove(cx.scope(), &system.id);
    });
    Ok(())
}

/// Finds a file system by id or ARN.
pub(crate) fn find(cx: &Cx, reference: Option<String>) -> Result<Arc<FileSystem>, api::Error> {
    let id = identity::id_of(reference);
    cx.state.efs.file_systems.get(cx.scope(), &id).ok_or_else(|| error::file_system_not_found(&id))
}

fn check_throughput(mode: &api::ThroughputMode, throughput: Option<f64>) -> Result<(), api::Error> {
    let is_provisioned = *mode == api::ThroughputMode::Provisioned;
    match throughput {
        None if is_provisioned => {
            Err(error::bad_request("A throughput must be given in the throughput mode provisioned."))
        }
        Some(_) if !is_provisioned => {
            Err(error::bad_request("A throughput can only be given in the throughput mode provisioned."))
        }
        Some(throughput) if throughput < 1.0 => Err(error::bad_request("The throughput must be at least 1 MiB/s.")),
        _ => Ok(()),
    }
}

/// Returns the ARN of a key; without one it is the key that EFS has in every account.
fn key_arn(cx: &Cx, key: Option<String>) -> String {
    let arn = |resource: &str| Arn::new("kms", cx.scope(), resource).to_string();
    match key {
        Some(key) if key.starts_with("arn:") => key,
        Some(key) if key.starts_with("alias/") => arn(&key),
        Some(key) => arn(&format!("key/{key}")),
        None => arn("key/00000000-0000-4000-8000-0000000000ef"),
    }
}

fn count_mount_targets(cx: &Cx, id: &str) -> usize {
    cx.state.efs.mount_targets.walk(cx.scope(), None).filter(|(_, target)| target.file_system == id).count()
}

fn view(cx: &Cx, system: &FileSystem) -> api::FileSystemDescription {
    let zone_id = system.availability_zone.as_ref().map(|zone| zone_id(zone));
    api::FileSystemDescription {
        owner_id: Some(cx.scope().account.to_string()),
        creation_token: Some(system.creation_token.clone()),
        file_system_id: Some(system.id.clone()),
        file_system_arn: Some(system.arn.to_string()),
        creation_time: Some(system.created_at.into()),
        life_cycle_state: Some(api::LifeCycleState::Available),
        name: tags::name(&system.tags),
        number_of_mount_targets: i32::try_from(count_mount_targets(cx, &system.id)).ok(),
        size_in_bytes: Some(api::FileSystemSize {
            value: Some(SIZE_EMPTY_BYTES),
            timestamp: None,
            value_in_ia: Some(0),
            value_in_standard: Some(SIZE_EMPTY_BYTES),
            value_in_archive: Some(0),
        }),
        performance_mode: Some(system.performance_mode.as_str().into()),
        encrypted: Some(system.kms_key.is_some()),
        kms_key_id: system.kms_key.clone(),
        throughput_mode: Some(system.throughput_mode.as_str().into()),
        provisioned_throughput_in_mibps: system.provisioned_throughput_mibps,
        availability_zone_name: system.availability_zone.clone(),
        availability_zone_id: zone_id,
        tags: Some(tags::view(&system.tags)),
        file_system_protection: Some(api::FileSystemProtectionDescription {
            replication_overwrite_protection: Some(system.overwrite_protection.as_str().into()),
        }),
    }
}

/// Returns the id of a zone in the form of EC2's: `us-east-1a` is `use1-az1`.
pub(crate) fn zone_id(zone: &str) -> String {
    let (region, letter) = zone.split_at(zone.len().saturating_sub(1));
    let mut parts = region.split('-');
    let area = parts.next().unwrap_or_default();
    let short = parts.map(|part| part.get(..1).unwrap_or_default()).collect::<String>();
    let number = letter.bytes().next().map_or(1, |letter| letter.saturating_sub(b'a') + 1);
    format!("{area}{short}-az{number}")
}
