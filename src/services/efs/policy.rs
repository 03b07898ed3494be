//! What is configured beside a file system: its policy, backups, life cycle and protection.

use api::efs as api;
use state::Cx;
use state::efs::FileSystem;
use wire::{JsonReader, document};

use crate::{error, file_system};

/// Shows the policy of a file system.
pub(crate) async fn describe_file_system_policy(
    cx: &Cx,
    input: api::DescribeFileSystemPolicyRequest,
) -> Result<api::FileSystemPolicyDescription, api::Error> {
    let system = file_system::find(cx, input.file_system_id)?;
    let policy = system.policy.clone().ok_or_else(|| error::policy_not_found(&system.id))?;
    Ok(api::FileSystemPolicyDescription { file_system_id: Some(system.id.clone()), policy: Some(policy) })
}

/// Gives a file system a policy.
pub(crate) async fn put_file_system_policy(
    cx: &Cx,
    input: api::PutFileSystemPolicyRequest,
) -> Result<api::FileSystemPolicyDescription, api::Error> {
    let policy = input.policy.unwrap_or_default();
    if !is_object(&policy) {
        return Err(error::invalid_policy());
    }
    let system = update(cx, input.file_system_id, |system| system.policy = Some(policy))?;
    Ok(api::FileSystemPolicyDescription { file_system_id: Some(system.id.clone()), policy: system.policy.clone() })
}

/// Takes the policy of a file system away; one without is no error.
pub(crate) async fn delete_file_system_policy(
    cx: &Cx,
    input: api::DeleteFileSystemPolicyRequest,
) -> Result<(), api::Error> {
    update(cx, input.file_system_id, |system| system.policy = None).map(drop)
}

/// Says whether a file system is backed up.
pub(crate) async fn describe_backup_policy(
    cx: &Cx,
    input: api::DescribeBackupPolicyRequest,
) -> Result<api::BackupPolicyDescription, api::Error> {
    Ok(backup_view(&*file_system::find(cx, input.file_system_id)?))
}

/// Has a file system backed up, or not.
pub(crate) async fn put_backup_policy(
    cx: &Cx,
    input: api::PutBackupPolicyRequest,
) -> Result<api::BackupPolicyDescription, api::Error> {
    let status = match input.backup_policy.and_then(|policy| policy.status) {
        Some(api::Status::Enabled) => "ENABLED",
        Some(api::Status::Disabled) => "DISABLED",
        _ => return Err(error::validation("The status of a backup policy is ENABLED or DISABLED.")),
    };
    let system = update(cx, input.file_system_id, |system| system.backup_status = status.to_owned())?;
    Ok(backup_view(&system))
}

/// Shows what moves the files of a file system.
pub(crate) async fn describe_lifecycle_configuration(
    cx: &Cx,
    input: api::DescribeLifecycleConfigurationRequest,
) -> Result<api::LifecycleConfigurationDescription, api::Error> {
    Ok(lifecycle_view(&*file_system::find(cx, input.file_system_id)?))
}

/// Sets what moves the files of a file system; an empty list takes it away.
pub(crate) async fn put_lifecycle_configuration(
    cx: &Cx,
    input: api::PutLifecycleConfigurationRequest,
) -> Result<api::LifecycleConfigurationDescription, api::Error> {
    let policies = input.lifecycle_policies.unwrap_or_default();
    let document = (!policies.is_empty()).then(|| document::write(&policies));
    let system = update(cx, input.file_system_id, |system| system.lifecycle = document)?;
    Ok(lifecycle_view(&system))
}

/// Sets whether a file system may become the target of a replication.
pub(crate) async fn update_file_system_protection(
    cx: &Cx,
    input: api::UpdateFileSystemProtectionRequest,
) -> Result<api::FileSystemProtectionDescription, api::Error> {
    let protection = input.replication_overwrite_protection.unwrap_or(api::ReplicationOverwriteProtection::Enabled);
    if protection == api::ReplicationOverwriteProtection::Replicating {
        return Err(error::bad_request("The protection of a file system is ENABLED or DISABLED."));
    }
    let system = update(cx, input.file_system_id, |system| system.overwrite_protection = protection.to_string())?;
    Ok(api::FileSystemProtectionDescription {
        replication_overwrite_protection: Some(system.overwrite_protection.as_str().into()),
    })
}

fn update(
    cx: &Cx,
    reference: Option<String>,
    change: impl FnOnce(&mut FileSystem),
) -> Result<std::sync::Arc<FileSystem>, api::Error> {
    let id = file_system::find(cx, reference)?.id.clone();
    cx.state.efs.file_systems.update(cx.scope(), &id, change).ok_or_else(|| error::file_system_not_found(&id))
}

fn backup_view(system: &FileSystem) -> api::BackupPolicyDescription {
    let status = Some(system.backup_status.as_str().into());
    api::BackupPolicyDescription { backup_policy: Some(api::BackupPolicy { status }) }
}

fn lifecycle_view(system: &FileSystem) -> api::LifecycleConfigurationDescription {
    let policies = system.lifecycle.as_ref().map(document::read_list);
    api::LifecycleConfigurationDescription { lifecycle_policies: Some(policies.unwrap_or_default()) }
}

/// Tells whether a text is a JSON object.
fn is_object(text: &str) -> bool {
    let mut any = ();
    text.trim_start().starts_with('{')
        && JsonReader::new(text.as_bytes()).is_ok_and(|mut reader| {
            wire::value::fill_structure(&mut any, &mut reader).and_then(|()| reader.finish()).is_ok()
        })
}
